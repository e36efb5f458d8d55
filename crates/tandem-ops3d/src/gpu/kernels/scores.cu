// What losses want of class scores: planes (n, classes, voxels) in f32, of some patches whose voxels are counted through. Targets,
// labels and masks are a byte for each of these voxels; a target that is no class does not count.

// Where the first class of a voxel lies.
__device__ inline index_t place_of(index_t v, index_t voxels, int classes)
{
    index_t n = quotient_of(v, voxels);
    return n * classes * voxels + v - n * voxels;
}

extern "C" __global__ void softmax(const float* logits, float* p, float* log_p, index_t count, index_t voxels,
                                   int classes)
{
    index_t v = own_index();
    if (v >= count) return;
    index_t at = place_of(v, voxels, classes);
    int best = 0;
    float largest = logits[at];
    for (int c = 1; c < classes; ++c) {
        float z = logits[at + c * voxels];
        if (z > largest) {
            largest = z;
            best = c;
        }
    }
    // Without the largest term, which is 1: what a certain network leaves to the others is not rounded away.
    float others = 0.0f;
    for (int c = 0; c < classes; ++c) {
        float from_largest = logits[at + c * voxels] - largest, power = expf(from_largest);
        log_p[at + c * voxels] = from_largest;
        p[at + c * voxels] = power;
        if (c != best) others += power;
    }
    float log_total = log1pf(others);
    for (int c = 0; c < classes; ++c) {
        p[at + c * voxels] /= 1.0f + others;
        log_p[at + c * voxels] -= log_total;
    }
}

// The likeliest class of a voxel, the lowest of several: by log-probabilities, which keep the order where a softmax saturates.
__device__ inline int likeliest(const float* log_p, index_t at, index_t voxels, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; ++c)
        if (log_p[at + c * voxels] > log_p[at + best * voxels]) best = c;
    return best;
}

extern "C" __global__ void likeliest_classes(const float* log_p, unsigned char* labels, index_t count, index_t voxels,
                                             int classes)
{
    index_t v = own_index();
    if (v < count) labels[v] = (unsigned char)likeliest(log_p, place_of(v, voxels, classes), voxels, classes);
}

// The likeliest class by the mean of two networks, or by one where there is no second; 255 where that is not likely enough.
extern "C" __global__ void pseudo_labels(const float* p, const float* second, double threshold, unsigned char* labels,
                                         index_t count, index_t voxels, int classes)
{
    index_t v = own_index();
    if (v >= count) return;
    index_t at = place_of(v, voxels, classes);
    int best = 0;
    float largest = 0.0f;
    for (int c = 0; c < classes; ++c) {
        index_t i = at + c * voxels;
        float mean = second ? p[i] / 2.0f + second[i] / 2.0f : p[i];
        if (mean > largest) {
            largest = mean;
            best = c;
        }
    }
    labels[v] = largest < (float)threshold ? 255 : (unsigned char)best;
}

// In nats; the logarithm is kept finite.
extern "C" __global__ void entropies(const float* p, float* found, index_t count, index_t voxels, int classes)
{
    index_t v = own_index();
    if (v >= count) return;
    index_t at = place_of(v, voxels, classes);
    float sum = 0.0f;
    for (int c = 0; c < classes; ++c) sum -= p[at + c * voxels] * logf(p[at + c * voxels] + 1e-10f);
    found[v] = sum;
}

// Sums over voxels, and what each adds to the gradient on the way: every voxel is visited once.

struct CrossEntropy {
    const float *p, *log_p;
    const unsigned char* targets;
    float scale;
    float* gradient;
    index_t voxels;
    int classes;
    template <int W> __device__ void add(index_t v, int, double* sums, double*) const
    {
        int target = targets[v];
        if (target >= classes) return;
        index_t at = place_of(v, voxels, classes);
        for (int c = 0; c < classes; ++c)
            gradient[at + c * voxels] += scale * (p[at + c * voxels] - (c == target ? 1.0f : 0.0f));
        sums[0] -= log_p[at + target * voxels];
    }
};

extern "C" __global__ void cross_entropy(const float* p, const float* log_p, const unsigned char* targets, double scale,
                                         float* gradient, double* partials, index_t count, index_t voxels, int classes)
{
    sum_channels<1>(CrossEntropy{p, log_p, targets, (float)scale, gradient, voxels, classes}, partials, count, 1);
}

// Of one class: the sum of p where it is the target, and that of p or its square where there is a target.
struct Overlaps {
    const float* p;
    const unsigned char* targets;
    int kind, squared;
    index_t voxels;
    int classes;
    template <int W> __device__ void add(index_t v, int, double* overlaps, double* sizes) const
    {
        int target = targets[v];
        if (target >= classes) return;
        float value = p[place_of(v, voxels, classes) + kind * voxels];
        if (target == kind) overlaps[0] += value;
        sizes[0] += squared ? value * value : value;
    }
};

extern "C" __global__ void overlaps(const float* p, const unsigned char* targets, int kind, int squared,
                                    double* partials, index_t count, index_t voxels, int classes)
{
    sum_channels<1>(Overlaps{p, targets, kind, squared, voxels, classes}, partials, count, 1);
}

// A Dice loss's gradient from its derivatives by the sizes and the overlaps of all classes.
extern "C" __global__ void dice(const float* p, const unsigned char* targets, const float* by_size,
                                const float* by_overlap, int squared, float* gradient, index_t count, index_t voxels,
                                int classes)
{
    index_t v = own_index();
    if (v >= count) return;
    int target = targets[v];
    if (target >= classes) return;
    index_t at = place_of(v, voxels, classes);
    float mean = 0.0f;
    for (int c = 0; c < classes; ++c) {
        float value = p[at + c * voxels];
        mean += value * (by_size[c] * (squared ? value : 1.0f) - (target == c ? by_overlap[c] : 0.0f));
    }
    for (int c = 0; c < classes; ++c) {
        float value = p[at + c * voxels];
        float slope = by_size[c] * (squared ? value : 1.0f) - (target == c ? by_overlap[c] : 0.0f);
        gradient[at + c * voxels] += value * (slope - mean);
    }
}

// What a network says: its likeliest class where that is likely enough, else background.
__device__ inline int said(const float* p, const float* log_p, index_t at, index_t voxels, int classes, float threshold)
{
    int best = likeliest(log_p, at, voxels, classes);
    return p[at + best * voxels] >= threshold ? best : 0;
}

extern "C" __global__ void conflicts(const float* p, const float* log_p, const float* other_p, const float* other_log_p,
                                     double threshold, unsigned char* mask, index_t count, index_t voxels, int classes)
{
    index_t v = own_index();
    if (v >= count) return;
    index_t at = place_of(v, voxels, classes);
    mask[v] = said(p, log_p, at, voxels, classes, (float)threshold) !=
              said(other_p, other_log_p, at, voxels, classes, (float)threshold);
}

struct Conflict {
    const float* p;
    const unsigned char *targets, *mask;
    float scale;
    float* gradient;
    index_t voxels;
    int classes;
    template <int W> __device__ void add(index_t v, int, double* sums, double*) const
    {
        if (!mask[v]) return;
        int target = targets[v];
        index_t at = place_of(v, voxels, classes);
        // p - 1 as minus the sum of the others, which does not cancel where p is near 1.
        float others = 0.0f;
        for (int c = 0; c < classes; ++c)
            if (c != target) others += p[at + c * voxels];
        float mean = 0.0f;
        for (int c = 1; c < classes; ++c) {
            float error = c == target ? -others : p[at + c * voxels];
            mean += p[at + c * voxels] * error;
            sums[0] += (double)error * (double)error;
        }
        for (int c = 0; c < classes; ++c) {
            float error = c == 0 ? 0.0f : c == target ? -others : p[at + c * voxels];
            gradient[at + c * voxels] += scale * p[at + c * voxels] * (error - mean);
        }
    }
};

extern "C" __global__ void conflict(const float* p, const unsigned char* targets, const unsigned char* mask, double scale,
                                    float* gradient, double* partials, index_t count, index_t voxels, int classes)
{
    sum_channels<1>(Conflict{p, targets, mask, (float)scale, gradient, voxels, classes}, partials, count, 1);
}

// 1 - cos of two networks' probabilities.
struct Cosine {
    const float *a, *b;
    float scale;
    float *gradient_a, *gradient_b;
    index_t voxels;
    int classes;
    // 1 / length.
    __device__ float factor(const float* p, index_t at) const
    {
        float square = 0.0f;
        for (int c = 0; c < classes; ++c) square += p[at + c * voxels] * p[at + c * voxels];
        float length = sqrtf(square);
        return 1.0f / (length < 1e-8f ? 1e-8f : length);
    }
    __device__ void backward(const float* own, const float* other, float factor, float others, float value,
                             float* gradient, index_t at) const
    {
        float mean = 0.0f;
        for (int pass = 0; pass < 2; ++pass)
            for (int c = 0; c < classes; ++c) {
                float p = own[at + c * voxels], unit = p * factor;
                float slope = (unit - other[at + c * voxels] * others - value * unit) * factor;
                if (pass == 0)
                    mean += p * slope;
                else
                    gradient[at + c * voxels] += scale * p * (slope - mean);
            }
    }
    template <int W> __device__ void add(index_t v, int, double* sums, double*) const
    {
        index_t at = place_of(v, voxels, classes);
        float of_a = factor(a, at), of_b = factor(b, at), value = 0.0f;
        // Half of the squared distance of the unit vectors, which does not cancel where they agree.
        for (int c = 0; c < classes; ++c) {
            float apart = a[at + c * voxels] * of_a - b[at + c * voxels] * of_b;
            value += 0.5f * apart * apart;
        }
        backward(a, b, of_a, of_b, value, gradient_a, at);
        backward(b, a, of_b, of_a, value, gradient_b, at);
        sums[0] += value;
    }
};

extern "C" __global__ void cosine(const float* a, const float* b, double scale, float* gradient_a, float* gradient_b,
                                  double* partials, index_t count, index_t voxels, int classes)
{
    sum_channels<1>(Cosine{a, b, (float)scale, gradient_a, gradient_b, voxels, classes}, partials, count, 1);
}

// Cross-entropy to pseudo-labels of the reliable voxels, each by its share, and the divergence from the teacher.
struct Uncertainty {
    const float *p, *log_p, *teacher, *log_teacher;
    const unsigned char *labels, *reliable;
    float by_entropy, by_divergence;
    // Whether a share is 1 in place of exp(-D); whether it is live; whether the divergence is over the reliable voxels too.
    int unweighted, live, of_reliable;
    float* gradient;
    index_t voxels;
    int classes;
    template <int W> __device__ void add(index_t v, int, double* entropies, double* divergences) const
    {
        index_t at = place_of(v, voxels, classes);
        int label = labels[v];
        float divergence = 0.0f, entropy = label < classes ? -log_p[at + label * voxels] : 0.0f;
        for (int c = 0; c < classes; ++c) {
            index_t i = at + c * voxels;
            if (teacher[i] > 0.0f) divergence += teacher[i] * (log_teacher[i] - log_p[i]);
        }
        float share = !reliable || reliable[v] ? 1.0f : 0.0f, counts = of_reliable ? share : 1.0f;
        if (!unweighted) share *= expf(-divergence);
        entropy *= share;
        float scale = by_divergence * counts - (live ? by_entropy * entropy : 0.0f);
        for (int c = 0; c < classes; ++c) {
            index_t i = at + c * voxels;
            float hit = c == label ? 1.0f : 0.0f;
            gradient[i] += by_entropy * share * (p[i] - hit) + scale * (p[i] - teacher[i]);
        }
        entropies[0] += entropy;
        divergences[0] += divergence * counts;
    }
};

extern "C" __global__ void uncertainty(const float* p, const float* log_p, const float* teacher,
                                       const float* log_teacher, const unsigned char* labels,
                                       const unsigned char* reliable, double by_entropy, double by_divergence,
                                       int unweighted, int live, int of_reliable, float* gradient, double* partials,
                                       index_t count, index_t voxels, int classes)
{
    sum_channels<1>(Uncertainty{p, log_p, teacher, log_teacher, labels, reliable, (float)by_entropy,
                                (float)by_divergence, unweighted, live, of_reliable, gradient, voxels, classes},
                    partials, count, 1);
}
