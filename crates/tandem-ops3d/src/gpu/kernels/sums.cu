// Sums over voxels, channel by channel, and what follows from them. They are f64, and split by shape alone: the same bits each
// time.

// Two sums of each channel over this block's share of the voxels: terms.add(voxel, channel, first, second).
// `partials` is (blocks, 2, channels).
template <class Terms>
__device__ void sum_channels(const Terms& terms, double* partials, index_t voxels, int channels)
{
    __shared__ double firsts[THREADS], seconds[THREADS];
    for (int start = 0; start < channels; start += THREADS) {
        int width = channels - start < THREADS ? channels - start : THREADS;
        int rows = THREADS / width, row = threadIdx.x / width, c = start + threadIdx.x % width;
        double first = 0.0, second = 0.0;
        if (row < rows)
            for (index_t v = (index_t)blockIdx.x * rows + row; v < voxels; v += (index_t)gridDim.x * rows)
                terms.add(v, c, first, second);
        firsts[threadIdx.x] = first;
        seconds[threadIdx.x] = second;
        __syncthreads();
        if (row == 0) {
            for (int other = 1; other < rows; ++other) {
                first += firsts[other * width + threadIdx.x];
                second += seconds[other * width + threadIdx.x];
            }
            partials[(index_t)blockIdx.x * 2 * channels + c] = first;
            partials[((index_t)blockIdx.x * 2 + 1) * channels + c] = second;
        }
        __syncthreads();
    }
}

// What the blocks summed: which = 0 or 1.
__device__ inline double total(const double* partials, int blocks, int which, int channels, int c)
{
    double sum = 0.0;
    for (int block = 0; block < blocks; ++block) sum += partials[((index_t)block * 2 + which) * channels + c];
    return sum;
}

struct Moments {
    const stored* x;
    int channels;
    __device__ void add(index_t v, int c, double& sum, double& squares) const
    {
        double value = load(x, v * channels + c);
        sum += value;
        squares += value * value;
    }
};

extern "C" __global__ void moments(const stored* x, double* partials, index_t voxels, int channels)
{
    sum_channels(Moments{x, channels}, partials, voxels, channels);
}

// From the sums to a normalisation: its map (mean, scale, shift), and mean and 1 / SD for the backward pass. Batch statistics
// move the running ones, with the unbiased variance; without a batch the running ones are used.
extern "C" __global__ void normalise(const double* partials, int blocks, index_t voxels, int channels,
                                     const float* gamma, const float* beta, float* running_mean,
                                     float* running_variance, double momentum, double eps, int of_batch, float* map,
                                     double* kept)
{
    int c = (int)own_index();
    if (c >= channels) return;
    double mean = running_mean[c], variance = running_variance[c];
    if (of_batch) {
        double count = (double)voxels, old_mean = mean, old_variance = variance;
        mean = total(partials, blocks, 0, channels, c) / count;
        variance = total(partials, blocks, 1, channels, c) / count - mean * mean;
        // Rounding may leave less than nothing; NaN must stay.
        if (variance < 0.0) variance = 0.0;
        running_mean[c] = (float)((1.0 - momentum) * old_mean + momentum * mean);
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
    __device__ void add(index_t v, int c, double& products, double& sum) const
    {
        index_t i = v * channels + c;
        float x = load(middle, i);
        float upstream = !relu || mapped(x, map, c, channels) > 0.0f ? load(grad, i) : 0.0f;
        products += (double)upstream * (double)(x - map[c]);
        sum += upstream;
    }
};

extern "C" __global__ void gradient_sums(const stored* middle, const stored* grad, const float* map, int relu,
                                         double* partials, index_t voxels, int channels)
{
    sum_channels(GradientTerms{middle, grad, map, relu, channels}, partials, voxels, channels);
}

// From the sums to the gradients of gamma, beta and of a bias before the normalisation, where there is one; and to how the input's
// gradient follows from the output's: a * upstream + b * (x - mean) + c, of all channels.
extern "C" __global__ void normalise_backward(const double* partials, int blocks, index_t voxels, int channels,
                                              const float* gamma, const double* kept, int of_batch, float* d_gamma,
                                              float* d_beta, float* d_bias, float* gradient)
{
    int channel = (int)own_index();
    if (channel >= channels) return;
    double inverse_sd = kept[channels + channel];
    double products = total(partials, blocks, 0, channels, channel);
    double sum = total(partials, blocks, 1, channels, channel);
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
