// Convolutions as products of matrices whose entries are gathered from the images (implicit GEMM), without tensor cores. An image
// (n, d, h, w, ci) and its response (n, d', h', w', co); weights are f32.

struct Geometry {
    int batch, image[3], response[3], kernel[3], stride[3], padding[3], ci, co;
};

// Products that a block gathers at a time.
#define DEPTH 16
// A block makes 4096 values: each thread 4 x 4.
#define TILE 4096

struct Place {
    int n, z, y, x;
};

__device__ inline Place place(index_t i, const int* sides)
{
    Place p;
    p.x = (int)(i % sides[2]);
    i /= sides[2];
    p.y = (int)(i % sides[1]);
    i /= sides[1];
    p.z = (int)(i % sides[0]);
    p.n = (int)(i / sides[0]);
    return p;
}

// Taps of a kernel, and the channel that goes with one of its entries: (tap, channel) in this order.
struct Tap {
    int z, y, x, channel;
};

__device__ inline Tap tap(int entry, int channels, const int* kernel)
{
    Tap t;
    t.channel = entry % channels;
    entry /= channels;
    t.x = entry % kernel[2];
    t.y = entry / kernel[2] % kernel[1];
    t.z = entry / kernel[2] / kernel[1];
    return t;
}

// Which voxel of the source a voxel meets by a tap, along one axis: SPREAD goes from response to image.
template <bool SPREAD>
__device__ inline bool meets(int at, int tap, int stride, int padding, int side, int& source)
{
    if (SPREAD) {
        int distance = at + padding - tap;
        source = distance / stride;
        return distance >= 0 && distance % stride == 0 && source < side;
    }
    source = at * stride + tap - padding;
    return source >= 0 && source < side;
}

template <bool SPREAD>
__device__ inline float gathered(const stored* x, Place p, Tap t, const int* sides, int channels, const Geometry& g)
{
    int z, y, w;
    if (!meets<SPREAD>(p.z, t.z, g.stride[0], g.padding[0], sides[0], z)) return 0.0f;
    if (!meets<SPREAD>(p.y, t.y, g.stride[1], g.padding[1], sides[1], y)) return 0.0f;
    if (!meets<SPREAD>(p.x, t.x, g.stride[2], g.padding[2], sides[2], w)) return 0.0f;
    index_t voxel = (((index_t)p.n * sides[0] + z) * sides[1] + y) * sides[2] + w;
    return load(x, voxel * channels + t.channel);
}

// Adds the products of a block's two gathered matrices to this thread's 4 x 4 sums.
template <int ROWS, int COLUMNS>
__device__ inline void multiply(const float (*a)[ROWS + 1], const float (*b)[COLUMNS + 1], int row, int column,
                                float (*sums)[4])
{
    for (int k = 0; k < DEPTH; ++k)
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j) sums[i][j] += a[k][row + i] * b[k][column + j];
}

// The response of an image, or (SPREAD) the image that a response spreads into, COLUMNS channels of it a block. `packed` is
// (taps, source channels, target channels).
template <bool SPREAD, int COLUMNS>
__device__ void gather(const stored* x, const float* packed, const float* bias, stored* y, int add, const Geometry& g)
{
    const int ROWS = TILE / COLUMNS;
    __shared__ float a[DEPTH][ROWS + 1], b[DEPTH][COLUMNS + 1];
    __shared__ Place places[ROWS];
    __shared__ Tap taps[DEPTH];
    const int* sides = SPREAD ? g.response : g.image;
    const int* targets = SPREAD ? g.image : g.response;
    int from = SPREAD ? g.co : g.ci, to = SPREAD ? g.ci : g.co;
    int entries = g.kernel[0] * g.kernel[1] * g.kernel[2] * from;
    index_t voxels = (index_t)g.batch * targets[0] * targets[1] * targets[2];
    index_t first = (index_t)blockIdx.x * ROWS;
    int first_channel = blockIdx.y * COLUMNS;
    int row = threadIdx.x / (COLUMNS / 4) * 4, column = threadIdx.x % (COLUMNS / 4) * 4;
    float sums[4][4] = {};
    for (int i = threadIdx.x; i < ROWS; i += THREADS) places[i] = place(first + i, targets);
    for (int start = 0; start < entries; start += DEPTH) {
        if (threadIdx.x < DEPTH) taps[threadIdx.x] = tap(start + threadIdx.x, from, g.kernel);
        __syncthreads();
        for (int i = threadIdx.x; i < ROWS * DEPTH; i += THREADS) {
            int k = i % DEPTH, r = i / DEPTH;
            bool inside = first + r < voxels && start + k < entries;
            a[k][r] = inside ? gathered<SPREAD>(x, places[r], taps[k], sides, from, g) : 0.0f;
        }
        for (int i = threadIdx.x; i < COLUMNS * DEPTH; i += THREADS) {
            int k = i / COLUMNS, c = i % COLUMNS;
            bool inside = first_channel + c < to && start + k < entries;
            b[k][c] = inside ? packed[(index_t)(start + k) * to + first_channel + c] : 0.0f;
        }
        __syncthreads();
        multiply<ROWS, COLUMNS>(a, b, row, column, sums);
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            index_t voxel = first + row + i;
            int c = first_channel + column + j;
            if (voxel >= voxels || c >= to) continue;
            float value = sums[i][j] + (bias ? bias[c] : 0.0f);
            index_t at = voxel * to + c;
            store(y, at, add ? load(y, at) + value : value);
        }
}

extern "C" __global__ void respond_16(const stored* x, const float* packed, const float* bias, stored* y, int add,
                                      Geometry g)
{
    gather<false, 16>(x, packed, bias, y, add, g);
}

extern "C" __global__ void respond_64(const stored* x, const float* packed, const float* bias, stored* y, int add,
                                      Geometry g)
{
    gather<false, 64>(x, packed, bias, y, add, g);
}

extern "C" __global__ void spread_16(const stored* x, const float* packed, const float* bias, stored* y, int add,
                                     Geometry g)
{
    gather<true, 16>(x, packed, bias, y, add, g);
}

extern "C" __global__ void spread_64(const stored* x, const float* packed, const float* bias, stored* y, int add,
                                     Geometry g)
{
    gather<true, 64>(x, packed, bias, y, add, g);
}

// The weight's gradient over this block's share of the response's voxels (blockIdx.z of gridDim.z): ROWS channels of the response by
// some entries (tap, channel of the image). `partials` is (shares, co, entries).
template <int ROWS>
__device__ void filter(const stored* image, const stored* response, float* partials, const Geometry& g)
{
    const int COLUMNS = TILE / ROWS;
    __shared__ float a[DEPTH][ROWS + 1], b[DEPTH][COLUMNS + 1];
    __shared__ Place places[DEPTH];
    __shared__ Tap taps[COLUMNS];
    int entries = g.kernel[0] * g.kernel[1] * g.kernel[2] * g.ci;
    index_t voxels = (index_t)g.batch * g.response[0] * g.response[1] * g.response[2];
    index_t share = (voxels + gridDim.z - 1) / gridDim.z;
    index_t first = blockIdx.z * share, end = first + share < voxels ? first + share : voxels;
    int first_entry = blockIdx.x * COLUMNS, first_channel = blockIdx.y * ROWS;
    int row = threadIdx.x / (COLUMNS / 4) * 4, column = threadIdx.x % (COLUMNS / 4) * 4;
    float sums[4][4] = {};
    for (int i = threadIdx.x; i < COLUMNS; i += THREADS) taps[i] = tap(first_entry + i, g.ci, g.kernel);
    for (index_t start = first; start < end; start += DEPTH) {
        if (threadIdx.x < DEPTH) places[threadIdx.x] = place(start + threadIdx.x, g.response);
        __syncthreads();
        for (int i = threadIdx.x; i < ROWS * DEPTH; i += THREADS) {
            int k = i / ROWS, c = i % ROWS;
            bool inside = start + k < end && first_channel + c < g.co;
            a[k][c] = inside ? load(response, (start + k) * g.co + first_channel + c) : 0.0f;
        }
        for (int i = threadIdx.x; i < COLUMNS * DEPTH; i += THREADS) {
            int k = i / COLUMNS, e = i % COLUMNS;
            bool inside = start + k < end && first_entry + e < entries;
            b[k][e] = inside ? gathered<false>(image, places[k], taps[e], g.image, g.ci, g) : 0.0f;
        }
        __syncthreads();
        multiply<ROWS, COLUMNS>(a, b, row, column, sums);
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            int c = first_channel + row + i, entry = first_entry + column + j;
            if (c < g.co && entry < entries)
                partials[((index_t)blockIdx.z * g.co + c) * entries + entry] = sums[i][j];
        }
}

extern "C" __global__ void filter_16(const stored* image, const stored* response, float* partials, Geometry g)
{
    filter<16>(image, response, partials, g);
}

extern "C" __global__ void filter_64(const stored* image, const stored* response, float* partials, Geometry g)
{
    filter<64>(image, response, partials, g);
}

// Adds up the shares, and turns (co, taps, ci) into the weight's own order (co, ci, taps).
extern "C" __global__ void sum_filters(const float* partials, int shares, float* weight, int co, int ci, int taps)
{
    index_t i = own_index(), count = (index_t)co * ci * taps;
    if (i >= count) return;
    int t = (int)(i % taps), c = (int)(i / taps % ci);
    index_t o = i / taps / ci, from = (o * taps + t) * ci + c;
    double sum = 0.0;
    for (int share = 0; share < shares; ++share) sum += partials[share * count + from];
    weight[i] = (float)sum;
}

// Weights (co, ci, taps) as `gather` reads them: (taps, ci, co), or to spread (taps, co, ci).
extern "C" __global__ void pack(const float* weight, float* packed, int co, int ci, int taps, int spread)
{
    index_t i = own_index(), count = (index_t)co * ci * taps;
    if (i >= count) return;
    int from = spread ? co : ci, to = spread ? ci : co;
    int target = (int)(i % to), source = (int)(i / to % from);
    index_t t = i / to / from;
    int o = spread ? source : target, c = spread ? target : source;
    packed[i] = weight[((index_t)o * ci + c) * taps + t];
}

// Weights (co, ci, taps) as cuDNN reads them beside channels-last images: (co, taps, ci), stored as these are.
extern "C" __global__ void pack_filter(const float* weight, stored* packed, int co, int ci, int taps)
{
    index_t i = own_index();
    if (i >= (index_t)co * ci * taps) return;
    int c = (int)(i % ci), t = (int)(i / ci % taps);
    index_t o = i / ci / taps;
    store(packed, i, weight[(o * ci + c) * taps + t]);
}

// The same back, of a gradient.
extern "C" __global__ void unpack_filter(const stored* packed, float* weight, int co, int ci, int taps)
{
    index_t i = own_index();
    if (i >= (index_t)co * ci * taps) return;
    int t = (int)(i % taps), c = (int)(i / taps % ci);
    index_t o = i / taps / ci;
    weight[i] = load(packed, (o * taps + t) * ci + c);
}

// Adds a bias to each channel.
extern "C" __global__ void add_bias(stored* y, const float* bias, index_t count, int channels)
{
    index_t i = own_index();
    if (i < count) store(y, i, load(y, i) + bias[remainder_of(i, channels)]);
}
