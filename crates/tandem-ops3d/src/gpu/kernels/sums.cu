// Sums over voxels, channel by channel, and what follows from them. They are f64, and split by shape alone: the same bits each
// time.

// Two sums of each channel over this block's share of the voxels, W channels a thread: terms.add<W>(voxel, channel, firsts, seconds).
// `partials` is (blocks, 2, channels).
template <int W, class Terms>
__device__ void sum_channels(const Terms& terms, double* partials, index_t voxels, int channels)
{
    // Neighbouring threads beside each other: their values lie in different banks of the shared memory.
    __shared__ double firsts[W][THREADS], seconds[W][THREADS];
    int groups = channels / W;
    for (int start = 0; start < groups; start += THREADS) {
        int width = groups - start < THREADS ? groups - start : THREADS;
        int rows = THREADS / width, row = threadIdx.x / width, c = (start + threadIdx.x % width) * W;
        double first[W] = {}, second[W] = {};
        if (row < rows)
            for (index_t v = (index_t)blockIdx.x * rows + row; v < voxels; v += (index_t)gridDim.x * rows)
                terms.template add<W>(v, c, first, second);
        for (int k = 0; k < W; ++k) {
            firsts[k][threadIdx.x] = first[k];
            seconds[k][threadIdx.x] = second[k];
        }
        // The upper half of the rows is added to the lower one until one is left.
        for (int left = rows; left > 1; left = (left + 1) / 2) {
            int half = (left + 1) / 2, other = threadIdx.x + half * width;
            __syncthreads();
            if (row + half < left)
                for (int k = 0; k < W; ++k) {
                    firsts[k][threadIdx.x] += firsts[k][other];
                    seconds[k][threadIdx.x] += seconds[k][other];
                }
        }
        if (row == 0) {
            double* to = partials + (index_t)blockIdx.x * 2 * channels + c;
            for (int k = 0; k < W; ++k) {
                to[k] = firsts[k][threadIdx.x];
                to[channels + k] = seconds[k][threadIdx.x];
            }
        }
        __syncthreads();
    }
}

// Both sums of a channel over what the blocks summed, by all threads of a block.
__device__ inline void totals(const double* partials, int blocks, int channels, int c, double& first, double& second)
{
    __shared__ double firsts[THREADS], seconds[THREADS];
    first = second = 0.0;
    for (int block = threadIdx.x; block < blocks; block += THREADS) {
        first += partials[(index_t)block * 2 * channels + c];
        second += partials[((index_t)block * 2 + 1) * channels + c];
    }
    firsts[threadIdx.x] = first;
    seconds[threadIdx.x] = second;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            firsts[threadIdx.x] += firsts[threadIdx.x + half];
            seconds[threadIdx.x] += seconds[threadIdx.x + half];
        }
    }
    __syncthreads();
    first = firsts[0];
    second = seconds[0];
}

struct Moments {
    const stored* x;
    int channels;
    template <int W> __device__ void add(index_t v, int c, double* sums, double* squares) const
    {
        Values<W> values = load_values<W>(x, v * channels + c);
        for (int k = 0; k < W; ++k) {
            double value = load(values.values, k);
            sums[k] += value;
            squares[k] += value * value;
        }
    }
};

extern "C" __global__ void moments(const stored* x, double* partials, index_t voxels, int channels)
{
    sum_channels<1>(Moments{x, channels}, partials, voxels, channels);
}

extern "C" __global__ void moments_wide(const stored* x, double* partials, index_t voxels, int channels)
{
    sum_channels<WIDE>(Moments{x, channels}, partials, voxels, channels);
}

// From the sums to a normalisation: its map (mean, scale, shift), and mean and 1 / SD for the backward pass. Batch statistics
// move the running ones, with the unbiased variance; without a batch the running ones are used. The image lacks the bias of its
// convolution, where there is one: it moves the mean and nothing else. A block a channel.
extern "C" __global__ void normalise(const double* partials, int blocks, index_t voxels, int channels,
                                     const float* bias, const float* gamma, const float* beta, float* running_mean,
                                     float* running_variance, double momentum, double eps, int of_batch, float* map,
                                     double* kept)
{
    int c = blockIdx.x;
    double sum = 0.0, squares = 0.0;
    if (of_batch) totals(partials, blocks, channels, c, sum, squares);
    if (threadIdx.x > 0) return;
    double shift = bias ? bias[c] : 0.0, mean = running_mean[c] - shift, variance = running_variance[c];
    if (of_batch) {
        double count = (double)voxels, old_mean = running_mean[c], old_variance = variance;
        mean = sum / count;
        variance = squares / count - mean * mean;
        // Rounding may leave less than nothing; NaN must stay.
        if (variance < 0.0) variance = 0.0;
        running_mean[c] = (float)((1.0 - momentum) * old_mean + momentum * (mean + shift));
        running_variance[c] = (float)((1.0 - momentum) * old_variance + momentum * variance * (count / (count - 1.0)));
    }
    double inverse_sd = 1.0 / sqrt(variance + eps);
    map[c] = (float)mean;
    map[channels + c] = (float)(inverse_sd * gamma[c]);
    map[2 * channels + c] = beta[c];
    kept[c] = mean;
    kept[channels + c] = inverse_sd;
}

struct GradientTerms {
    const stored *middle, *grad;
    const float* map;
    int relu, channels;
    template <int W> __device__ void add(index_t v, int c, double* products, double* sums) const
    {
        index_t i = v * channels + c;
        Values<W> values = load_values<W>(middle, i), upstreams = load_values<W>(grad, i);
        for (int k = 0; k < W; ++k) {
            float x = load(values.values, k);
            bool open = !relu || mapped(x, map, c + k, channels) > 0.0f;
            float upstream = open ? load(upstreams.values, k) : 0.0f;
            products[k] += (double)upstream * (double)(x - map[c + k]);
            sums[k] += upstream;
        }
    }
};

extern "C" __global__ void gradient_sums(const stored* middle, const stored* grad, const float* map, int relu,
                                         double* partials, index_t voxels, int channels)
{
    sum_channels<1>(GradientTerms{middle, grad, map, relu, channels}, partials, voxels, channels);
}

extern "C" __global__ void gradient_sums_wide(const stored* middle, const stored* grad, const float* map, int relu,
                                              double* partials, index_t voxels, int channels)
{
    sum_channels<WIDE>(GradientTerms{middle, grad, map, relu, channels}, partials, voxels, channels);
}

// From the sums to the gradients of gamma, beta and of a bias before the normalisation, where there is one; and to how the input's
// gradient follows from the output's: a * upstream + b * (x - mean) + c, of all channels. A block a channel.
extern "C" __global__ void normalise_backward(const double* partials, int blocks, index_t voxels, int channels,
                                              const float* gamma, const double* kept, int of_batch, float* d_gamma,
                                              float* d_beta, float* d_bias, float* gradient)
{
    int channel = blockIdx.x;
    double products, sum;
    totals(partials, blocks, channels, channel, products, sum);
    if (threadIdx.x > 0) return;
    double inverse_sd = kept[channels + channel];
    // The batch's statistics depend on the input, given ones do not.
    double own = of_batch ? 1.0 / (double)voxels : 0.0;
    double scaled = products * inverse_sd, a = inverse_sd * gamma[channel];
    double b = -a * scaled * inverse_sd * own, c = -a * sum * own;
    d_gamma[channel] = (float)scaled;
    d_beta[channel] = (float)sum;
    if (d_bias) d_bias[channel] = (float)(a * sum + c * (double)voxels);
    gradient[channel] = (float)a;
    gradient[channels + channel] = (float)b;
    gradient[2 * channels + channel] = (float)c;
}
