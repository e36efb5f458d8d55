// What losses want of features, (voxels, channels), and what they add to their gradient.

struct ClassTerms {
    const stored* x;
    const unsigned char* classes;
    int channels, k;
    __device__ void add(index_t v, int c, double& sum, double& count) const
    {
        if (classes[v] != k) return;
        sum += load(x, v * channels + c);
        count += 1.0;
    }
};

// The sums of class k over some voxels, from voxel `first` on; `classes` has one for each.
extern "C" __global__ void class_sums(const stored* x, const unsigned char* classes, double* partials, index_t first,
                                      index_t voxels, int channels, int k)
{
    sum_channels(ClassTerms{x + first * channels, classes, channels, k}, partials, voxels, channels);
}

// The sums of one class, of all channels.
extern "C" __global__ void class_totals(const double* partials, int blocks, int channels, double* sums)
{
    int c = (int)own_index();
    if (c < channels) sums[c] = total(partials, blocks, 0, channels, c);
}

// The channels of some voxels, f32.
extern "C" __global__ void take_voxels(const stored* x, const index_t* voxels, float* y, index_t count, int channels)
{
    index_t i = own_index();
    if (i < count) y[i] = load(x, voxels[i / channels] * channels + remainder_of(i, channels));
}

// Adds the vector of its class to each of some voxels, from voxel `first` on; nothing to a class that has none.
extern "C" __global__ void add_to_classes(const unsigned char* classes, const float* vectors, int known, stored* y,
                                          index_t first, index_t count, int channels)
{
    index_t i = own_index();
    if (i >= count) return;
    int k = classes[i / channels];
    index_t at = first * channels + i;
    if (k < known) store(y, at, load(y, at) + vectors[k * channels + remainder_of(i, channels)]);
}

// Adds a vector of its own to each of some voxels, of which none stands twice.
extern "C" __global__ void add_to_voxels(const index_t* voxels, const float* vectors, stored* y, index_t count,
                                         int channels)
{
    index_t i = own_index();
    if (i >= count) return;
    index_t at = voxels[i / channels] * channels + remainder_of(i, channels);
    store(y, at, load(y, at) + vectors[i]);
}
