// What is done to each value by itself. Images are (n, voxels, channels).

// From planes (n, channels, voxels) in f32; added to what is there, where `add` says so.
extern "C" __global__ void enter(const float* x, stored* y, int add, index_t count, int channels, index_t voxels)
{
    index_t i = own_index();
    if (i >= count) return;
    int c = remainder_of(i, channels);
    index_t voxel = i / channels, n = voxel / voxels;
    float value = x[(n * channels + c) * voxels + voxel % voxels];
    store(y, i, add ? load(y, i) + value : value);
}

// To planes (n, channels, voxels) in f32.
extern "C" __global__ void leave(const stored* x, float* y, index_t count, int channels, index_t voxels)
{
    index_t i = own_index();
    if (i >= count) return;
    index_t plane = i / voxels, n = plane / channels;
    y[i] = load(x, (n * voxels + i % voxels) * channels + plane % channels);
}

// A normalisation's map of one value: `map` holds mean, scale and shift of all channels.
__device__ inline float mapped(float x, const float* map, int c, int channels)
{
    return (x - map[c]) * map[channels + c] + map[2 * channels + c];
}

// A normalised convolution: its map, a ReLU, another image added, a ReLU of the sum, a factor for each channel of each image
// (dropout). Each but the map may be absent. Written so that NaN stays NaN.
extern "C" __global__ void activate(const stored* middle, const float* map, int relu, const stored* added,
                                    int relu_of_sum, const float* factors, stored* y, index_t count,
                                    int channels, index_t image)
{
    index_t i = own_index();
    if (i >= count) return;
    int c = remainder_of(i, channels);
    float value = mapped(load(middle, i), map, c, channels);
    if (relu && value < 0.0f) value = 0.0f;
    if (added) value += load(added, i);
    if (relu_of_sum && value < 0.0f) value = 0.0f;
    if (factors) value *= factors[i / image * channels + c];
    store(y, i, value);
}

// The gradient of a normalisation's input; where its ReLU was closed, the upstream gradient counts as 0.
extern "C" __global__ void activate_backward(const stored* middle, const stored* grad, const float* map,
                                             const float* gradient, int relu, stored* dx, index_t count,
                                             int channels)
{
    index_t i = own_index();
    if (i >= count) return;
    int c = remainder_of(i, channels);
    float x = load(middle, i);
    float upstream = !relu || mapped(x, map, c, channels) > 0.0f ? load(grad, i) : 0.0f;
    store(dx, i, gradient[c] * upstream + gradient[channels + c] * (x - map[c]) + gradient[2 * channels + c]);
}

// A factor for each channel of each image; y may be x.
extern "C" __global__ void scale(const stored* x, const float* factors, stored* y, index_t count, int channels,
                                 index_t image)
{
    index_t i = own_index();
    if (i < count) store(y, i, load(x, i) * factors[i / image * channels + remainder_of(i, channels)]);
}

// Clears the gradient where the output of a ReLU is not positive.
extern "C" __global__ void close_gradient(const stored* y, stored* grad, index_t count)
{
    index_t i = own_index();
    if (i < count && !(load(y, i) > 0.0f)) store(grad, i, 0.0f);
}

extern "C" __global__ void add(const stored* x, stored* y, index_t count)
{
    index_t i = own_index();
    if (i < count) store(y, i, load(y, i) + load(x, i));
}
