// A network's last layer: a 1x1x1 convolution to few classes. Logits and their gradient are planes (n, classes, voxels) in f32.

extern "C" __global__ void head(const stored* x, const float* weight, const float* bias, float* y, index_t count,
                                index_t voxels, int channels, int classes)
{
    // A voxel of all images a thread.
    index_t v = own_index();
    if (v >= count) return;
    index_t n = quotient_of(v, voxels), at = v - n * voxels;
    for (int k = 0; k < classes; ++k) {
        float sum = bias[k];
        for (int c = 0; c < channels; ++c) sum += load(x, v * channels + c) * weight[k * channels + c];
        y[(n * classes + k) * voxels + at] = sum;
    }
}

template <int W>
__device__ void head_backward_values(const float* grad, const float* weight, stored* dx, index_t count, index_t voxels,
                                     int channels, int classes)
{
    index_t i = own_index() * W;
    if (i >= count) return;
    int c = remainder_of(i, channels);
    index_t v = quotient_of(i, channels), n = quotient_of(v, voxels);
    const float* upstream = grad + n * classes * voxels + v - n * voxels;
    float sums[W] = {};
    for (int kind = 0; kind < classes; ++kind) {
        float of_class = upstream[kind * voxels];
        for (int k = 0; k < W; ++k) sums[k] += of_class * weight[kind * channels + c + k];
    }
    Values<W> values;
    for (int k = 0; k < W; ++k) store(values.values, k, sums[k]);
    store_values<W>(dx, i, values);
}

extern "C" __global__ void head_backward(const float* grad, const float* weight, stored* dx, index_t count,
                                         index_t voxels, int channels, int classes)
{
    head_backward_values<1>(grad, weight, dx, count, voxels, channels, classes);
}

extern "C" __global__ void head_backward_wide(const float* grad, const float* weight, stored* dx, index_t count,
                                              index_t voxels, int channels, int classes)
{
    head_backward_values<WIDE>(grad, weight, dx, count, voxels, channels, classes);
}

struct HeadTerms {
    const stored* x;
    // Of the class whose sums these are.
    const float* grad;
    index_t voxels;
    int channels, classes;
    template <int W> __device__ void add(index_t v, int c, double* products, double* sums) const
    {
        index_t n = quotient_of(v, voxels);
        double upstream = grad[n * classes * voxels + v - n * voxels];
        Values<W> values = load_values<W>(x, v * channels + c);
        for (int k = 0; k < W; ++k) {
            products[k] += upstream * (double)load(values.values, k);
            sums[k] += upstream;
        }
    }
};

// The sums of class k.
extern "C" __global__ void head_sums(const stored* x, const float* grad, double* partials, index_t count,
                                     index_t voxels, int channels, int classes, int k)
{
    sum_channels<1>(HeadTerms{x, grad + k * voxels, voxels, channels, classes}, partials, count, channels);
}

extern "C" __global__ void head_sums_wide(const stored* x, const float* grad, double* partials, index_t count,
                                          index_t voxels, int channels, int classes, int k)
{
    sum_channels<WIDE>(HeadTerms{x, grad + k * voxels, voxels, channels, classes}, partials, count, channels);
}

// The gradients of the weight (channels) and the bias of one class. A block a channel.
extern "C" __global__ void head_gradients(const double* partials, int blocks, int channels, float* d_weight,
                                          float* d_bias)
{
    int c = blockIdx.x;
    double products, sum;
    totals(partials, blocks, channels, c, products, sum);
    if (threadIdx.x > 0) return;
    d_weight[c] = (float)products;
    if (c == 0) d_bias[0] = (float)sum;
}
