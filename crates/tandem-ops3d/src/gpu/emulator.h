// CUDA's words in plain C++: the threads of a block take turns on one thread of the CPU, block after block.
//
// Kernels that wait for each other (__syncthreads) run on stacks of their own; the others run from end to end. The order of threads
// and blocks turns with every launch, so that a kernel which relies on one of them fails its tests.

#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

// Forbids memory to kernels, or allows it again; only a soak is compiled so that it is watched.
extern "C" void forbid(void* from, std::size_t bytes, int forbidden)
{
#ifdef __SANITIZE_ADDRESS__
    if (forbidden)
        __asan_poison_memory_region(from, bytes);
    else
        __asan_unpoison_memory_region(from, bytes);
#endif
}

#define EMULATED
#define __global__
#define __device__
// Blocks run one after the other, so one copy serves.
#define __shared__ static

struct Three {
    unsigned x, y, z;
};
static Three gridDim, blockDim, blockIdx, threadIdx;

inline float __uint_as_float(unsigned bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline unsigned __float_as_uint(float value)
{
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

// A thread of a block, on a stack of its own, block after block. Its context is made once; then it jumps, which asks nothing of the system.
struct Fibre {
    ucontext_t context;
    jmp_buf here;
    std::vector<char> stack;
    bool begun, ended;
};
static std::vector<Fibre> fibres;
static jmp_buf scheduler;
static int running = -1;
static void (*body)(void**);
static void** arguments;

__attribute__((noinline)) static void to_scheduler()
{
    if (!_setjmp(fibres[running].here)) _longjmp(scheduler, 1);
}

__attribute__((noinline)) static void to_fibre(int thread)
{
    Fibre& fibre = fibres[thread];
    running = thread;
    if (_setjmp(scheduler)) return;
    if (fibre.begun) _longjmp(fibre.here, 1);
    fibre.begun = true;
    setcontext(&fibre.context);
}

static void __syncthreads()
{
    if (running < 0) {
        fprintf(stderr, "a kernel waits for its block, and is not listed as one that does\n");
        abort();
    }
    to_scheduler();
}

// A copy that a thread has asked for, and the group that it belongs to.
struct Copy {
    void* to;
    const void* from;
    bool inside;
    int group;
};
static std::vector<Copy> copies[1024];
static int groups[1024];

// What is read before it was waited for is NaN.
static void copy_ahead(void* to, const void* from, bool inside)
{
    memset(to, 0xff, 16);
    copies[threadIdx.x].push_back({to, from, inside, groups[threadIdx.x]});
}

static void end_group_of_copies() { ++groups[threadIdx.x]; }

static void wait_for_older_copies()
{
    auto& own = copies[threadIdx.x];
    std::vector<Copy> left;
    for (const Copy& copy : own) {
        if (copy.group >= groups[threadIdx.x] - 1)
            left.push_back(copy);
        else if (copy.inside)
            memcpy(copy.to, copy.from, 16);
        else
            memset(copy.to, 0, 16);
    }
    own = left;
}

// By the layout of the instruction, which `matrices.cu` tells. All warps of a block multiply at once here.
template <int M, int N> static void multiply_by_warp(float (*d)[N][4], const unsigned (*a)[4], const unsigned (*b)[2])
{
    static unsigned of_a[1024][M][4], of_b[1024][N][2];
    const int thread = threadIdx.x, lane = thread % 32, first = thread - lane;
    memcpy(of_a[thread], a, sizeof of_a[thread]);
    memcpy(of_b[thread], b, sizeof of_b[thread]);
    __syncthreads();
    auto half = [](unsigned word, int k) { return __uint_as_float(k % 2 ? word & 0xffff0000u : word << 16); };
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n)
            for (int i = 0; i < 4; ++i) {
                const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                for (int k = 0; k < 16; ++k) {
                    const int of_row = first + row % 8 * 4 + k % 8 / 2, of_column = first + column * 4 + k % 8 / 2;
                    d[m][n][i] += half(of_a[of_row][m][row / 8 + k / 8 * 2], k) * half(of_b[of_column][n][k / 8], k);
                }
            }
    __syncthreads();
}

static void enter_fibre()
{
    for (;;) {
        body(arguments);
        if (!copies[threadIdx.x].empty()) {
            fprintf(stderr, "a thread ends and has not waited for its copies\n");
            abort();
        }
        fibres[running].ended = true;
        to_scheduler();
    }
}

static void run_block_in_turns(bool reversed)
{
    const int threads = blockDim.x;
    if (fibres.empty()) {
        fibres = std::vector<Fibre>(threads);
        for (auto& fibre : fibres) {
            fibre.stack.resize(64 << 10);
            fibre.begun = false;
            getcontext(&fibre.context);
            fibre.context.uc_stack.ss_sp = fibre.stack.data();
            fibre.context.uc_stack.ss_size = fibre.stack.size();
            fibre.context.uc_link = nullptr;
            makecontext(&fibre.context, enter_fibre, 0);
        }
    }
    for (auto& fibre : fibres) fibre.ended = false;
    for (int left = threads; left > 0;) {
        int ended = 0;
        for (int turn = 0; turn < threads; ++turn) {
            int thread = reversed ? threads - 1 - turn : turn;
            threadIdx = {(unsigned)thread, 0, 0};
            to_fibre(thread);
            ended += fibres[thread].ended;
        }
        running = -1;
        // On a GPU it would be undefined whether the others wait for ever.
        if (ended != 0 && ended != threads) {
            fprintf(stderr, "threads of a block end while others wait\n");
            abort();
        }
        left = threads - ended;
    }
}

// One letter for each argument, as the program that launches has them.
template <class T> char letter()
{
    if (std::is_pointer<T>::value) return 'p';
    if (std::is_same<T, int>::value) return 'i';
    if (std::is_same<T, long long>::value) return 'l';
    if (std::is_same<T, double>::value) return 'd';
    return 'g';
}

template <auto kernel> struct Kernel;
template <class... A, void (*kernel)(A...)> struct Kernel<kernel> {
    static void call(void** values) { unpacked(values, std::index_sequence_for<A...>()); }
    template <std::size_t... I> static void unpacked(void** values, std::index_sequence<I...>)
    {
        kernel(*static_cast<std::remove_const_t<A>*>(values[I])...);
    }
    static std::string letters() { return {letter<A>()...}; }
};

struct Known {
    const char* name;
    bool waits;
    void (*call)(void**);
    std::string letters;
};
#define KERNEL(name, waits) Known{#name, waits, Kernel<&name>::call, Kernel<&name>::letters()}
static std::vector<Known> kernels();

// 0, or 1 where no kernel has that name, or 2 where it takes other arguments.
extern "C" int emulate(const char* name, const char* letters, const unsigned* grid, unsigned threads, void** values)
{
    static const std::vector<Known> known = kernels();
    static bool reversed = false;
    for (const Known& entry : known) {
        if (strcmp(entry.name, name) != 0) continue;
        if (entry.letters != letters) return 2;
        reversed = !reversed;
        gridDim = {grid[0], grid[1], grid[2]};
        blockDim = {threads, 1, 1};
        body = entry.call;
        arguments = values;
        const long long blocks = (long long)grid[0] * grid[1] * grid[2];
        for (long long turn = 0; turn < blocks; ++turn) {
            long long block = reversed ? blocks - 1 - turn : turn;
            blockIdx = {(unsigned)(block % grid[0]), (unsigned)(block / grid[0] % grid[1]),
                        (unsigned)(block / grid[0] / grid[1])};
            if (entry.waits) {
                run_block_in_turns(reversed);
                continue;
            }
            for (unsigned thread = 0; thread < threads; ++thread) {
                threadIdx = {reversed ? threads - 1 - thread : thread, 0, 0};
                body(values);
            }
        }
        return 0;
    }
    return 1;
}
