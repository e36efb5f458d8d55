// A network's last layer: a 1x1x1 convolution to few classes. Logits and their gradient are planes (n, classes, voxels) in f32.

extern "C" __global__ void head(const stored* x, const float* weight, const float* bias, float* y, index_t count,
                                index_t voxels, int channels, int classes)
{
    // A voxel of all images a thread.
    index_t v = own_index();
    if (v >= count) return;
    index_t n = v / voxels;
    for (int k = 0; k < classes; ++k) {
        float sum = bias[k];
        for (int c = 0; c < channels; ++c) sum += load(x, v * channels + c) * weight[k * channels + c];
        y[(n * classes + k) * voxels + v % voxels] = sum;
    }
}

extern "C" __global__ void head_backward(const float* grad, const float* weight, stored* dx, index_t count,
                                         index_t voxels, int channels, int classes)
{
    index_t i = own_index();
    if (i >= count) return;
    int c = remainder_of(i, channels);
    index_t v = i / channels, n = v / voxels;
    float sum = 0.0f;
    for (int k = 0; k < classes; ++k)
        sum += grad[(n * classes + k) * voxels + v % voxels] * weight[k * channels + c];
    store(dx, i, sum);
}

struct HeadTerms {
    const stored* x;
    const float* grad;
    index_t voxels;
    int channels, classes, k;
    __device__ void add(index_t v, int c, double& products, double& sum) const
    {
        double upstream = grad[(v / voxels * classes + k) * voxels + v % voxels];
        products += upstream * (double)load(x, v * channels + c);
        sum += upstream;
    }
};

// The sums of class k.
extern "C" __global__ void head_sums(const stored* x, const float* grad, double* partials, index_t count,
                                     index_t voxels, int channels, int classes, int k)
{
    sum_channels(HeadTerms{x, grad, voxels, channels, classes, k}, partials, count, channels);
}

// The gradients of the weight (channels) and the bias of one class.
extern "C" __global__ void head_gradients(const double* partials, int blocks, int channels, float* d_weight,
                                          float* d_bias)
{
    int c = (int)own_index();
    if (c >= channels) return;
    d_weight[c] = (float)total(partials, blocks, 0, channels, c);
    if (c == 0) d_bias[0] = (float)total(partials, blocks, 1, channels, c);
}
