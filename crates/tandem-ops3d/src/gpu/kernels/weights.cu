// What is done to the vectors of a network's weights, f32 whatever activations are stored as.

// A step of gradient descent with momentum; it moves by `own` of the gradient and `ahead` of the momentum.
extern "C" __global__ void descend(float* p, const float* g, float* b, index_t count, double rate, double weight_decay,
                                   double stays, double own, double ahead)
{
    index_t i = own_index();
    if (i >= count) return;
    float d = g[i] + (float)weight_decay * p[i];
    float momentum = (float)stays * b[i] + d;
    b[i] = momentum;
    p[i] -= (float)rate * ((float)own * d + (float)ahead * momentum);
}

// An average moves towards what it follows.
extern "C" __global__ void follow(float* mean, const float* x, index_t count, double stays, double comes)
{
    index_t i = own_index();
    if (i < count) mean[i] = mean[i] * (float)stays + x[i] * (float)comes;
}

extern "C" __global__ void multiply_f32(float* x, index_t count, double factor)
{
    index_t i = own_index();
    if (i < count) x[i] *= (float)factor;
}

struct Squares {
    const float* x;
    template <int W> __device__ void add(index_t i, int, double* sums, double*) const
    {
        sums[0] += (double)x[i] * (double)x[i];
    }
};

// The sum of squares of this block's share; `partials` is (blocks, 2).
extern "C" __global__ void squares(const float* x, double* partials, index_t count)
{
    sum_channels<1>(Squares{x}, partials, count, 1);
}
