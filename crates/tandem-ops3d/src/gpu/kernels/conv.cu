// The geometry of convolutions, and their weights. An image (n, d, h, w, ci), its response (n, d', h', w', co), and a weight
// (co, ci, taps), f32.

struct Geometry {
    int batch, image[3], response[3], kernel[3], stride[3], padding[3], ci, co;
};

// How the voxels of what is made meet those of the source along an axis. A place is voxel `first + step * place` of `target`; by tap j,
// the weight's `first_tap + tap_step * j`, it meets `stride * place + offset + direction * j` of the source's `side`.
struct Axis {
    int places, first, step, target, stride, offset, direction, taps, first_tap, tap_step, side;
};

// Of a response; or (spread) of the voxels of an image whose place within a stride is that of a class, which all meet the same taps.
// Classes count through the axes, the last first: `left` is what others take.
__device__ inline Axis axis_of(const Geometry& g, int axis, int spread, int& left)
{
    int stride = g.stride[axis], padding = g.padding[axis], taps = g.kernel[axis];
    if (!spread) return {g.response[axis], 0, 1, g.response[axis], stride, -padding, 1, taps, 0, 1, g.image[axis]};
    int first = left % stride, tap = (first + padding) % stride;
    left /= stride;
    int places = (g.image[axis] - first + stride - 1) / stride;
    int met = tap < taps ? (taps - tap + stride - 1) / stride : 0;
    return {places, first, stride, g.image[axis], 1, (first + padding - tap) / stride, -1, met, tap, stride, g.response[axis]};
}

// A place: its image, and where in it.
struct Place {
    index_t n;
    int z, y, x;
};

// The voxel of the source that a place meets by its first tap, and the index of its first value. It may lie outside.
struct Corner {
    index_t at;
    int z, y, x;
};

// An entry of a row of the matrices: a tap and a channel of the source, in this order.
struct Entry {
    int z, y, x, channel;
};

// What rows are gathered from.
struct Source {
    Axis z, y, x;
    int channels;

    __device__ Source(const Geometry& g, int spread, int left)
        : x(axis_of(g, 2, spread, left)), channels(spread ? g.co : g.ci)
    {
        y = axis_of(g, 1, spread, left);
        z = axis_of(g, 0, spread, left);
    }

    __device__ index_t places(int batch) const { return (index_t)batch * z.places * y.places * x.places; }
    __device__ int entries() const { return z.taps * y.taps * x.taps * channels; }

    __device__ Place place(index_t i) const
    {
        index_t line = quotient_of(i, x.places), plane = quotient_of(line, y.places), n = quotient_of(plane, z.places);
        return {n, (int)(plane - n * z.places), (int)(line - plane * y.places), (int)(i - line * x.places)};
    }

    // The voxel of what is made.
    __device__ index_t target(const Place& p) const
    {
        index_t line = (p.n * z.target + z.first + z.step * p.z) * y.target + y.first + y.step * p.y;
        return line * x.target + x.first + x.step * p.x;
    }

    __device__ Corner corner(const Place& p) const
    {
        int at_z = p.z * z.stride + z.offset, at_y = p.y * y.stride + y.offset, at_x = p.x * x.stride + x.offset;
        return {(((p.n * z.side + at_z) * y.side + at_y) * x.side + at_x) * channels, at_z, at_y, at_x};
    }

    // Meets nothing by any tap.
    __device__ Corner nowhere() const { return {0, -(1 << 28), 0, 0}; }

    // Goes on by some entries, of which there are some.
    __device__ void advance(Entry& e, int by) const
    {
        e.channel += by;
        if (e.channel < channels) return;
        int taps = e.channel / channels;
        e.channel -= taps * channels;
        for (e.x += taps; e.x >= x.taps; e.x -= x.taps)
            if (++e.y == y.taps) {
                e.y = 0;
                ++e.z;
            }
    }

    __device__ bool has(const Entry& e) const { return e.z < z.taps; }

    // How far from the first value of a corner that of an entry lies.
    __device__ index_t reach(const Entry& e) const
    {
        index_t rows = (index_t)(z.direction * e.z) * y.side + y.direction * e.y;
        return (rows * x.side + x.direction * e.x) * channels + e.channel;
    }

    // Whether it lies inside.
    __device__ bool meets(const Corner& corner, const Entry& e) const
    {
        unsigned at_z = corner.z + z.direction * e.z, at_y = corner.y + y.direction * e.y, at_x = corner.x + x.direction * e.x;
        return at_z < (unsigned)z.side && at_y < (unsigned)y.side && at_x < (unsigned)x.side;
    }
};

// Weights (co, ci, taps) stored as convolutions read them: (co, taps, ci), or to spread (ci, taps, co).
extern "C" __global__ void pack(const float* weight, stored* packed, int co, int ci, int taps, int spread)
{
    index_t i = own_index();
    if (i >= (index_t)co * ci * taps) return;
    int inner = spread ? co : ci, in = (int)(i % inner), t = (int)(i / inner % taps), out = (int)(i / inner / taps);
    index_t o = spread ? in : out;
    store(packed, i, weight[(o * ci + (spread ? out : in)) * taps + t]);
}

// A gradient (co, taps, ci), as it is stored, in the weight's own order.
extern "C" __global__ void unpack(const stored* packed, float* weight, int co, int ci, int taps)
{
    index_t i = own_index();
    if (i >= (index_t)co * ci * taps) return;
    int t = (int)(i % taps), c = (int)(i / taps % ci);
    index_t o = i / taps / ci;
    weight[i] = load(packed, (o * taps + t) * ci + c);
}

// The same of the sum of several (shares, co, taps, ci), f32.
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
