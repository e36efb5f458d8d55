// What is done to each value by itself. Images are (n, voxels, channels).

// From planes (n, channels, voxels) in f32; added to what is there, where `add` says so.
extern "C" __global__ void enter(const float* x, stored* y, int add, index_t count, int channels, index_t voxels)
{
    index_t i = own_index();
    if (i >= count) return;
    int c = remainder_of(i, channels);
    index_t voxel = quotient_of(i, channels), n = quotient_of(voxel, voxels);
    float value = x[(n * channels + c) * voxels + voxel - n * voxels];
    store(y, i, add ? load(y, i) + value : value);
}

// To planes (n, channels, voxels) in f32.
extern "C" __global__ void leave(const stored* x, float* y, index_t count, int channels, index_t voxels)
{
    index_t i = own_index();
    if (i >= count) return;
    index_t plane = quotient_of(i, voxels), n = quotient_of(plane, channels);
    y[i] = load(x, (n * voxels + i - plane * voxels) * channels + plane - n * channels);
}

// A normalisation's map of one value: `map` holds mean, scale and shift of all channels.
__device__ inline float mapped(float x, const float* map, int c, int channels)
{
    return (x - map[c]) * map[channels + c] + map[2 * channels + c];
}

// Each of what follows has a wide form, whose threads have WIDE neighbouring channels of a voxel each; both compute the same.

// A normalised convolution: its map, a ReLU, another image added, a ReLU of the sum. Each but the map may be absent. Written so that
// NaN stays NaN.
template <int W>
__device__ void activate_values(const stored* middle, const float* map, int relu, const stored* added, int relu_of_sum,
                                stored* y, index_t count, int channels)
{
    index_t i = own_index() * W;
    if (i >= count) return;
    int first = remainder_of(i, channels);
    Values<W> values = load_values<W>(middle, i), others = {};
    if (added) others = load_values<W>(added, i);
    for (int k = 0; k < W; ++k) {
        int c = first + k;
        float value = mapped(load(values.values, k), map, c, channels);
        if (relu && value < 0.0f) value = 0.0f;
        if (added) value += load(others.values, k);
        if (relu_of_sum && value < 0.0f) value = 0.0f;
        store(values.values, k, value);
    }
    store_values<W>(y, i, values);
}

extern "C" __global__ void activate(const stored* middle, const float* map, int relu, const stored* added,
                                    int relu_of_sum, stored* y, index_t count, int channels)
{
    activate_values<1>(middle, map, relu, added, relu_of_sum, y, count, channels);
}

extern "C" __global__ void activate_wide(const stored* middle, const float* map, int relu, const stored* added,
                                         int relu_of_sum, stored* y, index_t count, int channels)
{
    activate_values<WIDE>(middle, map, relu, added, relu_of_sum, y, count, channels);
}

// The gradient of a normalisation's input; where its ReLU was closed, the upstream gradient counts as 0.
template <int W>
__device__ void activate_backward_values(const stored* middle, const stored* grad, const float* map,
                                         const float* gradient, int relu, stored* dx, index_t count, int channels)
{
    index_t i = own_index() * W;
    if (i >= count) return;
    int first = remainder_of(i, channels);
    Values<W> values = load_values<W>(middle, i), upstreams = load_values<W>(grad, i);
    for (int k = 0; k < W; ++k) {
        int c = first + k;
        float x = load(values.values, k);
        float upstream = !relu || mapped(x, map, c, channels) > 0.0f ? load(upstreams.values, k) : 0.0f;
        store(values.values, k,
              gradient[c] * upstream + gradient[channels + c] * (x - map[c]) + gradient[2 * channels + c]);
    }
    store_values<W>(dx, i, values);
}

extern "C" __global__ void activate_backward(const stored* middle, const stored* grad, const float* map,
                                             const float* gradient, int relu, stored* dx, index_t count, int channels)
{
    activate_backward_values<1>(middle, grad, map, gradient, relu, dx, count, channels);
}

extern "C" __global__ void activate_backward_wide(const stored* middle, const stored* grad, const float* map,
                                                  const float* gradient, int relu, stored* dx, index_t count,
                                                  int channels)
{
    activate_backward_values<WIDE>(middle, grad, map, gradient, relu, dx, count, channels);
}

// A factor for each channel of each image; y may be x.
template <int W>
__device__ void scale_values(const stored* x, const float* factors, stored* y, index_t count, int channels,
                             index_t image)
{
    index_t i = own_index() * W;
    if (i >= count) return;
    const float* own_factors = factors + quotient_of(i, image) * channels + remainder_of(i, channels);
    Values<W> values = load_values<W>(x, i);
    for (int k = 0; k < W; ++k) store(values.values, k, load(values.values, k) * own_factors[k]);
    store_values<W>(y, i, values);
}

extern "C" __global__ void scale(const stored* x, const float* factors, stored* y, index_t count, int channels,
                                 index_t image)
{
    scale_values<1>(x, factors, y, count, channels, image);
}

extern "C" __global__ void scale_wide(const stored* x, const float* factors, stored* y, index_t count, int channels,
                                      index_t image)
{
    scale_values<WIDE>(x, factors, y, count, channels, image);
}

// Clears the gradient where the output of a ReLU is not positive.
template <int W> __device__ void close_gradient_values(const stored* y, stored* grad, index_t count)
{
    index_t i = own_index() * W;
    if (i >= count) return;
    Values<W> outputs = load_values<W>(y, i), values = load_values<W>(grad, i);
    for (int k = 0; k < W; ++k)
        if (!(load(outputs.values, k) > 0.0f)) store(values.values, k, 0.0f);
    store_values<W>(grad, i, values);
}

extern "C" __global__ void close_gradient(const stored* y, stored* grad, index_t count)
{
    close_gradient_values<1>(y, grad, count);
}

extern "C" __global__ void close_gradient_wide(const stored* y, stored* grad, index_t count)
{
    close_gradient_values<WIDE>(y, grad, count);
}

template <int W> __device__ void add_values(const stored* x, stored* y, index_t count)
{
    index_t i = own_index() * W;
    if (i >= count) return;
    Values<W> values = load_values<W>(x, i), sums = load_values<W>(y, i);
    for (int k = 0; k < W; ++k) store(sums.values, k, load(sums.values, k) + load(values.values, k));
    store_values<W>(y, i, sums);
}

extern "C" __global__ void add(const stored* x, stored* y, index_t count)
{
    add_values<1>(x, y, count);
}

extern "C" __global__ void add_wide(const stored* x, stored* y, index_t count)
{
    add_values<WIDE>(x, y, count);
}
