// Convolutions as products of matrices whose entries are gathered from the images (implicit GEMM): rows are voxels, columns are
// channels, and sums run over taps and the source's channels.

// Pieces of sixteen bytes that a row has in a step, and from one row to the next: one more, so that neighbouring rows lie in other
// banks of the shared memory.
#define PIECES 4
#define PITCH (PIECES + 1)

// Sums of a row that become channels `c` and `c + 1` of a voxel.
__device__ inline void put(stored* y, index_t voxel, int c, int channels, int add, float first, float second)
{
    if (c >= channels) return;
    index_t at = voxel * channels + c;
    bool pair = c + 1 < channels;
    if (pair && channels % 2 == 0) {
        Values<2> values = {};
        if (add) values = load_values<2>(y, at);
        store(values.values, 0, add ? load(values.values, 0) + first : first);
        store(values.values, 1, add ? load(values.values, 1) + second : second);
        store_values<2>(y, at, values);
        return;
    }
    store(y, at, add ? load(y, at) + first : first);
    if (pair) store(y, at + 1, add ? load(y, at + 1) + second : second);
}

// The response of an image, or (spread) the image that a response spreads into, each block ROWS voxels of a class and COLUMNS
// channels. `packed` is (target channels, taps, source channels). Both lie in pieces where the source's channels are `wide`, a multiple
// of WIDE. While a step is multiplied, the next one is copied.
template <int ROWS, int COLUMNS>
__device__ void gather(const stored* x, const stored* packed, stored* y, int add, int spread, int wide,
                       const Geometry& g)
{
    // A thread's pieces are those of one column of pieces, in rows this far apart.
    constexpr int APART = THREADS / PIECES;
    __shared__ Values<WIDE> a[2][ROWS * PITCH], b[2][COLUMNS * PITCH];
    __shared__ index_t targets[ROWS];
    const Source source(g, spread, blockIdx.z);
    int made = spread ? g.ci : g.co;
    index_t places = source.places(g.batch), first = (index_t)blockIdx.x * ROWS;
    // Some classes have fewer voxels than others.
    if (first >= places) return;

    // Each row's corner is found once, and handed on where the first step will lie.
    Corner* corners = (Corner*)a;
    int row = threadIdx.x;
    if (row < ROWS) {
        bool inside = first + row < places;
        Place p = source.place(inside ? first + row : 0);
        targets[row] = inside ? source.target(p) : -1;
        corners[row] = inside ? source.corner(p) : source.nowhere();
    }
    __syncthreads();
    int piece = threadIdx.x % PIECES, own_row = threadIdx.x / PIECES, first_channel = blockIdx.y * COLUMNS;
    Corner own[ROWS / APART];
#pragma unroll
    for (int r = 0; r < ROWS / APART; ++r) own[r] = corners[own_row + r * APART];
    __syncthreads();

    bool has_column = own_row < COLUMNS && first_channel + own_row < made;
    const int taps_y = g.kernel[1], taps_x = g.kernel[2], all_taps = g.kernel[0] * taps_y * taps_x;
    packed += has_column ? (index_t)(first_channel + own_row) * all_taps * source.channels : 0;
    auto weight_of = [&](const Entry& e) {
        int tap_z = source.z.first_tap + source.z.tap_step * e.z, tap_y = source.y.first_tap + source.y.tap_step * e.y;
        int tap_x = source.x.first_tap + source.x.tap_step * e.x;
        return ((tap_z * taps_y + tap_y) * taps_x + tap_x) * source.channels + e.channel;
    };
    int entries = source.entries();
    Entry entry = {0, 0, 0, 0};
    if (entries > 0) source.advance(entry, piece * WIDE);
    auto copy_step = [&](int to) {
        Values<WIDE>*rows = a[to] + own_row * PITCH + piece, *columns = b[to] + own_row * PITCH + piece;
        if (wide) {
            bool there = source.has(entry);
            index_t reach = source.reach(entry);
#pragma unroll
            for (int r = 0; r < ROWS / APART; ++r) {
                bool inside = there && source.meets(own[r], entry);
                copy_ahead(rows + r * APART * PITCH, inside ? x + own[r].at + reach : x, inside);
            }
            bool inside = there && has_column;
            if (own_row < COLUMNS) copy_ahead(columns, inside ? packed + weight_of(entry) : packed, inside);
        } else {
            Entry e = entry;
            for (int k = 0; k < WIDE; ++k, source.advance(e, 1)) {
                bool there = source.has(e);
                index_t reach = source.reach(e);
#pragma unroll
                for (int r = 0; r < ROWS / APART; ++r) {
                    bool inside = there && source.meets(own[r], e);
                    rows[r * APART * PITCH].values[k] = inside ? x[own[r].at + reach] : (stored)0;
                }
                if (own_row < COLUMNS) columns->values[k] = there && has_column ? packed[weight_of(e)] : (stored)0;
            }
        }
        end_group_of_copies();
        source.advance(entry, PIECES * WIDE);
    };

    Sums<ROWS, COLUMNS> sums;
    if (entries > 0) copy_step(0);
    for (int start = 0, current = 0; start < entries; start += PIECES * WIDE, current = 1 - current) {
        if (start + PIECES * WIDE < entries)
            copy_step(1 - current);
        else
            end_group_of_copies();
        wait_for_older_copies();
        __syncthreads();
        sums.template multiply<4 * PITCH, 1, 4 * PITCH, 1>((const unsigned*)a[current], (const unsigned*)b[current]);
        __syncthreads();
    }
    sums.each([&](int row, int column, float one, float two) {
        if (targets[row] >= 0) put(y, targets[row], first_channel + column, made, add, one, two);
    });
}

extern "C" __global__ void gather_16(const stored* x, const stored* packed, stored* y, int add,
                                     int spread, int wide, Geometry g)
{
    gather<256, 16>(x, packed, y, add, spread, wide, g);
}

extern "C" __global__ void gather_32(const stored* x, const stored* packed, stored* y, int add,
                                     int spread, int wide, Geometry g)
{
    gather<256, 32>(x, packed, y, add, spread, wide, g);
}

extern "C" __global__ void gather_64(const stored* x, const stored* packed, stored* y, int add,
                                     int spread, int wide, Geometry g)
{
    gather<128, 64>(x, packed, y, add, spread, wide, g);
}
