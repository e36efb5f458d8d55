// What is counted and picked among the bytes and numbers of voxels.

// How many of each span of neighbouring bytes are this class, for every class and last for 255: `counts` is (classes + 1, spans). A
// thread a span.
extern "C" __global__ void count_bytes(const unsigned char* bytes, int* counts, index_t count, int span, int classes,
                                       index_t spans)
{
    index_t s = own_index();
    if (s >= spans) return;
    index_t first = s * span, end = first + span < count ? first + span : count;
    for (int c = 0; c <= classes; ++c) {
        int wanted = c < classes ? c : 255, found = 0;
        for (index_t v = first; v < end; ++v) found += bytes[v] == wanted;
        counts[c * spans + s] = found;
    }
}

// How many bytes are set: the first of the two sums of each block.
struct AreSet {
    const unsigned char* bytes;
    template <int W> __device__ void add(index_t v, int, double* sums, double*) const { sums[0] += bytes[v] != 0; }
};

extern "C" __global__ void count_set(const unsigned char* bytes, double* partials, index_t count)
{
    sum_channels<1>(AreSet{bytes}, partials, count, 1);
}

// The voxel that holds a byte for the rank-th time, from 0 on, behind a first voxel. A thread a place, (byte, first, rank).
extern "C" __global__ void find_bytes(const unsigned char* bytes, const index_t* places, index_t* found, index_t count,
                                      index_t places_count)
{
    index_t i = own_index();
    if (i >= places_count) return;
    index_t wanted = places[3 * i], v = places[3 * i + 1], left = places[3 * i + 2];
    for (; v < count; ++v)
        if (bytes[v] == wanted && left-- == 0) break;
    found[i] = v;
}

// The bytes where a mask is set, or where it is not; 255 elsewhere.
extern "C" __global__ void keep_bytes(const unsigned char* bytes, const unsigned char* mask, int where_set,
                                      unsigned char* kept, index_t count)
{
    index_t v = own_index();
    if (v < count) kept[v] = (mask[v] != 0) == (where_set != 0) ? bytes[v] : 255;
}

// 1 where a number is at most this; a NaN is not.
extern "C" __global__ void at_most(const float* numbers, double threshold, unsigned char* mask, index_t count)
{
    index_t v = own_index();
    if (v < count) mask[v] = (double)numbers[v] <= threshold;
}

// Thresholds that are counted at once: half of them in each of the two sums.
#define HALF_OF_BOUNDS 8

// How many numbers come before each of some bounds, by an order of their bits that is that of the numbers, NaN last.
struct Before {
    const float* numbers;
    index_t first, step;
    template <int W> __device__ void add(index_t v, int c, double* lower, double* upper) const
    {
        unsigned bits = __float_as_uint(numbers[v]);
        index_t place = bits >> 31 ? (index_t)(~bits) : (index_t)(bits | 0x80000000u);
        if (numbers[v] != numbers[v]) place = (index_t)1 << 32;
        for (int k = 0; k < W; ++k) {
            lower[k] += place < first + (c + k) * step;
            upper[k] += place < first + (HALF_OF_BOUNDS + c + k) * step;
        }
    }
};

// A search of the number of a rank has two values: the place up to which it has come, and how many of the numbers are none.

// The bounds are `search[0] + step`, `search[0] + 2 * step`, and so on; `partials` is (blocks, bounds).
extern "C" __global__ void count_before(const float* numbers, const index_t* search, index_t step, double* partials,
                                        index_t count)
{
    sum_channels<HALF_OF_BOUNDS>(Before{numbers, search[0] + step, step}, partials, count, HALF_OF_BOUNDS);
}

// Moves a search by the steps that end before or at the number of a rank. Its first move, whose last bound is the end of all places,
// finds what is no number. One block.
extern "C" __global__ void narrow_search(const double* partials, int blocks, index_t rank, index_t step, int begins,
                                         index_t* search, index_t count)
{
    index_t steps = 0;
    double lower, upper;
    for (int c = 0; c < HALF_OF_BOUNDS; ++c) {
        totals(partials, blocks, HALF_OF_BOUNDS, c, lower, upper);
        steps += (lower <= (double)rank) + (upper <= (double)rank);
        __syncthreads();
    }
    if (threadIdx.x > 0) return;
    search[0] += steps * step;
    if (begins) search[1] = count - (index_t)upper;
}
