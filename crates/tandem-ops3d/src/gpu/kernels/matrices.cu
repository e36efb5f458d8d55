// Products of two matrices that lie in memory which the threads of a block share, on matrix units where there are some, and copies
// to that memory which go on while threads compute. What only a GPU has, the emulator has in its own way (EMULATED).

// Whether a warp multiplies matrices of bf16: from compute capability 8.0 on.
#if defined(STORED_BF16) && (defined(EMULATED) || __CUDA_ARCH__ >= 800)
#define MATRIX_UNITS
#endif

#ifndef EMULATED
// Sixteen bytes from global memory, or zeros; they are there once a wait for their group is over.
__device__ inline void copy_ahead(void* to, const void* from, bool inside)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
                 "l"(__cvta_generic_to_global(from)), "r"(inside ? 16 : 0)
                 : "memory");
#else
    *(Values<WIDE>*)to = inside ? *(const Values<WIDE>*)from : Values<WIDE>{};
#endif
}

// What this thread asked for since the last call is a group.
__device__ inline void end_group_of_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits for the copies of this thread but those of its last group.
__device__ inline void wait_for_older_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group 1;" ::: "memory");
#endif
}

#ifdef MATRIX_UNITS
// Adds products of a warp, M x N of 16 x 16 by 16 x 8 bf16 values each. Lane 4 g + t has pairs of values that are neighbours along
// the sum: of a those at 2 t in rows g and g + 8, then those at 2 t + 8 in both; of b the same in column g; of d columns 2 t and
// 2 t + 1 in row g, then in row g + 8. That is the layout of the instruction.
template <int M, int N>
__device__ inline void multiply_by_warp(float (*d)[N][4], const unsigned (*a)[4], const unsigned (*b)[2])
{
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n)
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                         "{%0, %1, %2, %3};"
                         : "+f"(d[m][n][0]), "+f"(d[m][n][1]), "+f"(d[m][n][2]), "+f"(d[m][n][3])
                         : "r"(a[m][0]), "r"(a[m][1]), "r"(a[m][2]), "r"(a[m][3]), "r"(b[n][0]), "r"(b[n][1]));
}
#endif
#endif

// Values of a word, which are neighbours along the sum, and words along it of each step.
#define OF_WORD ((int)(4 / sizeof(stored)))
#define WORDS 16

// A block's ROWS x COLUMNS sums, and which of them a thread has.
template <int ROWS, int COLUMNS> struct Sums {
#ifdef MATRIX_UNITS
    // Warps below and beside each other, and products of a warp.
    static constexpr int DOWN = ROWS < 32 ? 1 : ROWS / 32, ACROSS = THREADS / 32 / DOWN;
    static constexpr int M = ROWS / DOWN / 16, N = COLUMNS / ACROSS / 8;
    float sums[M][N][4] = {};

    // Adds the product of a step: a word of a row lies at row * A_ROW + word * A_WORD, likewise of a column of b.
    template <int A_ROW, int A_WORD, int B_COLUMN, int B_WORD>
    __device__ void multiply(const unsigned* a, const unsigned* b)
    {
        int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        a += (warp / ACROSS * 16 * M + g) * A_ROW + t * A_WORD;
        b += (warp % ACROSS * 8 * N + g) * B_COLUMN + t * B_WORD;
#pragma unroll
        for (int word = 0; word < WORDS; word += 8) {
            unsigned left[M][4], right[N][2];
#pragma unroll
            for (int m = 0; m < M; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) left[m][i] = a[(16 * m + i % 2 * 8) * A_ROW + (word + i / 2 * 4) * A_WORD];
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 0; i < 2; ++i) right[n][i] = b[8 * n * B_COLUMN + (word + i * 4) * B_WORD];
            multiply_by_warp<M, N>(sums, left, right);
        }
    }

    // f(row, column, sum, sum of the next column) for all of this thread.
    template <class F> __device__ void each(const F& f) const
    {
        int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        int row = warp / ACROSS * 16 * M + g, column = warp % ACROSS * 8 * N + 2 * t;
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 0; i < 2; ++i)
                    f(row + 16 * m + 8 * i, column + 8 * n, sums[m][n][2 * i], sums[m][n][2 * i + 1]);
    }
#else
    // Threads below and beside each other, each with some rows of two pairs of columns.
    static constexpr int ACROSS = COLUMNS / 4, DOWN = THREADS / ACROSS, M = ROWS / DOWN;
    float sums[M][4] = {};

    template <int A_ROW, int A_WORD, int B_COLUMN, int B_WORD>
    __device__ void multiply(const unsigned* a, const unsigned* b)
    {
        a += threadIdx.x / ACROSS * A_ROW;
        b += threadIdx.x % ACROSS * 2 * B_COLUMN;
#pragma unroll
        for (int word = 0; word < WORDS; ++word) {
            unsigned left[M], right[4];
#pragma unroll
            for (int m = 0; m < M; ++m) left[m] = a[m * DOWN * A_ROW + word * A_WORD];
#pragma unroll
            for (int n = 0; n < 4; ++n) right[n] = b[(n / 2 * 2 * ACROSS + n % 2) * B_COLUMN + word * B_WORD];
#pragma unroll
            for (int m = 0; m < M; ++m)
#pragma unroll
                for (int n = 0; n < 4; ++n) sums[m][n] += dot(left[m], right[n]);
        }
    }

    __device__ static float dot(unsigned a, unsigned b)
    {
#ifdef STORED_BF16
        return __uint_as_float(a << 16) * __uint_as_float(b << 16) +
               __uint_as_float(a & 0xffff0000u) * __uint_as_float(b & 0xffff0000u);
#else
        return __uint_as_float(a) * __uint_as_float(b);
#endif
    }

    template <class F> __device__ void each(const F& f) const
    {
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int n = 0; n < 4; n += 2)
                f(threadIdx.x / ACROSS + m * DOWN, threadIdx.x % ACROSS * 2 + n * ACROSS, sums[m][n], sums[m][n + 1]);
    }
#endif
};
