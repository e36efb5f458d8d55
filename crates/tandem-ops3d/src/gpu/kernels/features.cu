// What losses want of features, (voxels, channels), and what they add to their gradient.

struct ClassTerms {
    const stored* x;
    const unsigned char* classes;
    int channels, k;
    template <int W> __device__ void add(index_t v, int c, double* sums, double* counts) const
    {
        if (classes[v] != k) return;
        Values<W> values = load_values<W>(x, v * channels + c);
        for (int at = 0; at < W; ++at) {
            sums[at] += load(values.values, at);
            counts[at] += 1.0;
        }
    }
};

// The sums of class k over some voxels, and how many these are, from voxel `first` on; `classes` has one for each.
extern "C" __global__ void class_sums(const stored* x, const unsigned char* classes, double* partials, index_t first,
                                      index_t voxels, int channels, int k)
{
    sum_channels<1>(ClassTerms{x + first * channels, classes, channels, k}, partials, voxels, channels);
}

extern "C" __global__ void class_sums_wide(const stored* x, const unsigned char* classes, double* partials,
                                           index_t first, index_t voxels, int channels, int k)
{
    sum_channels<WIDE>(ClassTerms{x + first * channels, classes, channels, k}, partials, voxels, channels);
}

// The sums of one class, of all channels, and behind them how many voxels it has. A block a channel.
extern "C" __global__ void class_totals(const double* partials, int blocks, int channels, double* sums)
{
    double sum, count;
    totals(partials, blocks, channels, blockIdx.x, sum, count);
    if (threadIdx.x > 0) return;
    sums[blockIdx.x] = sum;
    if (blockIdx.x == 0) sums[channels] = count;
}

// The channels of some voxels, f32.
extern "C" __global__ void take_voxels(const stored* x, const index_t* voxels, float* y, index_t count, int channels)
{
    index_t i = own_index();
    if (i < count) y[i] = load(x, voxels[quotient_of(i, channels)] * channels + remainder_of(i, channels));
}

// Adds the vector of its class to each of some voxels, from voxel `first` on; nothing to a class that has none.
extern "C" __global__ void add_to_classes(const unsigned char* classes, const float* vectors, int known, stored* y,
                                          index_t first, index_t count, int channels)
{
    index_t i = own_index();
    if (i >= count) return;
    int k = classes[quotient_of(i, channels)];
    index_t at = first * channels + i;
    if (k < known) store(y, at, load(y, at) + vectors[k * channels + remainder_of(i, channels)]);
}

// Adds a vector of its own to each of some voxels, of which none stands twice.
extern "C" __global__ void add_to_voxels(const index_t* voxels, const float* vectors, stored* y, index_t count,
                                         int channels)
{
    index_t i = own_index();
    if (i >= count) return;
    index_t at = voxels[quotient_of(i, channels)] * channels + remainder_of(i, channels);
    store(y, at, load(y, at) + vectors[i]);
}
