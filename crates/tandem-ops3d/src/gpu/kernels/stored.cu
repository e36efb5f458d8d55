// How activations are stored: f32, or bf16 where STORED_BF16 is defined. Arithmetic is f32 either way.
//
// The files of this folder are one program: this one is read first. They keep to what both CUDA and, with the header of the
// emulator, plain C++ understand.

typedef long long index_t;

// Threads of a block, in every kernel.
#define THREADS 256

#ifdef STORED_BF16
typedef unsigned short stored;

__device__ inline float load(const stored* x, index_t i) { return __uint_as_float((unsigned)x[i] << 16); }

// The nearest value, ties to even. A NaN stays one.
__device__ inline void store(stored* y, index_t i, float value)
{
    unsigned bits = __float_as_uint(value);
    unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    y[i] = (stored)(value != value ? (bits >> 16) | 0x40u : rounded);
}
#else
typedef float stored;

__device__ inline float load(const stored* x, index_t i) { return x[i]; }
__device__ inline void store(stored* y, index_t i, float value) { y[i] = value; }
#endif

// Neighbouring values that a thread moves at once, sixteen bytes where the channels of an image are a multiple of so many: a GPU reads
// and writes fewer bytes a thread at a fraction of its speed.
#define WIDE ((int)(16 / sizeof(stored)))

template <int W> struct alignas(W * sizeof(stored)) Values {
    stored values[W];
};

template <int W> __device__ inline Values<W> load_values(const stored* x, index_t i)
{
    return *(const Values<W>*)(x + i);
}

template <int W> __device__ inline void store_values(stored* y, index_t i, const Values<W>& values)
{
    *(Values<W>*)(y + i) = values;
}

// The element of this thread in a kernel that gives each thread one.
__device__ inline index_t own_index() { return (index_t)blockIdx.x * THREADS + threadIdx.x; }

// i / d and i % d. 64-bit division is slow where 32 bits do.
__device__ inline index_t quotient_of(index_t i, index_t d)
{
    return (i | d) >> 32 ? i / d : (index_t)((unsigned)i / (unsigned)d);
}

__device__ inline int remainder_of(index_t i, int d)
{
    return i >> 32 ? (int)(i % d) : (int)((unsigned)i % (unsigned)d);
}
