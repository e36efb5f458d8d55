// The gradient of a convolution's weight as a product of matrices: rows are channels of the response, columns are entries (tap,
// channel of the image), and sums run over voxels. Voxels that share a word lie beside each other in it, channel by channel.

// Words from one group of voxels to the next: neighbouring groups lie in other banks of the shared memory.
#define BESIDE(columns) ((columns) + 8)

// Writes neighbouring channels of the voxels of a group.
__device__ inline void put_words(unsigned* to, const Values<WIDE>* voxels)
{
    struct alignas(16) Four {
        unsigned words[4];
    };
#pragma unroll
    for (int k = 0; k < WIDE; k += 4) {
        Four four;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#ifdef STORED_BF16
            four.words[i] = voxels[0].values[k + i] | (unsigned)voxels[1].values[k + i] << 16;
#else
            four.words[i] = __float_as_uint(voxels[0].values[k + i]);
#endif
        }
        *(Four*)(to + k) = four;
    }
}

// Over this block's share of the response's voxels (blockIdx.z of gridDim.z). `partials` is (shares, co, taps, ci). Channels lie in
// pieces where those of image and response are `wide`, multiples of WIDE.
template <int ROWS, int COLUMNS>
__device__ void filter(const stored* image, const stored* response, float* partials, int wide, const Geometry& g)
{
    constexpr int STEP = WORDS * OF_WORD, CHUNKS = COLUMNS / WIDE;
    __shared__ Values<WIDE> a[WORDS * BESIDE(ROWS) / 4], b[WORDS * BESIDE(COLUMNS) / 4];
    __shared__ Corner corners[STEP];
    unsigned *rows = (unsigned*)a, *columns = (unsigned*)b;
    const Source source(g, 0, 0);
    int entries = source.entries();
    index_t voxels = source.places(g.batch), share = (voxels + gridDim.z - 1) / gridDim.z;
    index_t first = blockIdx.z * share, end = first + share < voxels ? first + share : voxels;
    int first_entry = blockIdx.x * COLUMNS, first_channel = blockIdx.y * ROWS;
    // A thread reads the same entries of all its voxels.
    int chunk = threadIdx.x % CHUNKS;
    Entry entry = {0, 0, 0, 0};
    source.advance(entry, first_entry + chunk * WIDE);
    bool there = source.has(entry);
    index_t reach = source.reach(entry);
    Sums<ROWS, COLUMNS> sums;
    for (index_t start = first; start < end; start += STEP) {
        if (threadIdx.x < STEP) {
            index_t i = start + threadIdx.x;
            corners[threadIdx.x] = i < end ? source.corner(source.place(i)) : source.nowhere();
        }
        __syncthreads();
        for (int i = threadIdx.x; i < WORDS * (ROWS / WIDE); i += THREADS) {
            int group = i / (ROWS / WIDE), channel = i % (ROWS / WIDE) * WIDE, c = first_channel + channel;
            Values<WIDE> values[OF_WORD];
#pragma unroll
            for (int v = 0; v < OF_WORD; ++v) {
                index_t voxel = start + group * OF_WORD + v;
                values[v] = {};
                if (voxel >= end) continue;
                if (wide) {
                    if (c < g.co) values[v] = load_values<WIDE>(response, voxel * g.co + c);
                } else
                    for (int k = 0; k < WIDE; ++k)
                        if (c + k < g.co) values[v].values[k] = response[voxel * g.co + c + k];
            }
            put_words(rows + group * BESIDE(ROWS) + channel, values);
        }
        for (int group = threadIdx.x / CHUNKS; group < WORDS; group += THREADS / CHUNKS) {
            Values<WIDE> values[OF_WORD];
#pragma unroll
            for (int v = 0; v < OF_WORD; ++v) {
                const Corner& corner = corners[group * OF_WORD + v];
                values[v] = {};
                if (wide) {
                    if (there && source.meets(corner, entry)) values[v] = load_values<WIDE>(image, corner.at + reach);
                } else {
                    Entry e = entry;
                    for (int k = 0; k < WIDE; ++k, source.advance(e, 1))
                        if (source.has(e) && source.meets(corner, e)) values[v].values[k] = image[corner.at + source.reach(e)];
                }
            }
            put_words(columns + group * BESIDE(COLUMNS) + chunk * WIDE, values);
        }
        __syncthreads();
        sums.template multiply<1, BESIDE(ROWS), 1, BESIDE(COLUMNS)>(rows, columns);
    }
    sums.each([&](int row, int column, float one, float two) {
        int c = first_channel + row, at = first_entry + column;
        float* to = partials + ((index_t)blockIdx.z * g.co + c) * entries + at;
        if (c < g.co && at < entries) to[0] = one;
        if (c < g.co && at + 1 < entries) to[1] = two;
    });
}

extern "C" __global__ void filter_16(const stored* image, const stored* response, float* partials, int wide, Geometry g)
{
    filter<16, 256>(image, response, partials, wide, g);
}

extern "C" __global__ void filter_32(const stored* image, const stored* response, float* partials, int wide, Geometry g)
{
    filter<32, 256>(image, response, partials, wide, g);
}

extern "C" __global__ void filter_64(const stored* image, const stored* response, float* partials, int wide, Geometry g)
{
    filter<64, 128>(image, response, partials, wide, g);
}
