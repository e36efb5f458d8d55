// Windows of a prediction, added up where they lie.

// Adds the softmax of a window's logits, planes (classes, sides), to sums (classes, sides[0], rows, width): as many planes as a window
// has, plane i of the image at i modulo their number. The window begins at `start`, and is mirrored along the axes that
// say so.
extern "C" __global__ void add_window(const float* logits, float* sums, int classes, int depth, int height, int length,
                                      int rows, int width, int start_i, int start_j, int start_k, int mirrored_i,
                                      int mirrored_j, int mirrored_k)
{
    index_t v = own_index();
    index_t voxels = (index_t)depth * height * length;
    if (v >= voxels) return;
    int k = remainder_of(v, length), j = remainder_of(quotient_of(v, length), height);
    int i = (int)quotient_of(v, (index_t)height * length);
    int from_i = mirrored_i ? depth - 1 - i : i, from_j = mirrored_j ? height - 1 - j : j;
    int from_k = mirrored_k ? length - 1 - k : k;
    const float* from = logits + ((index_t)from_i * height + from_j) * length + from_k;
    float largest = from[0], total = 0.0f;
    for (int c = 1; c < classes; ++c)
        if (from[c * voxels] > largest) largest = from[c * voxels];
    for (int c = 0; c < classes; ++c) total += expf(from[c * voxels] - largest);
    index_t plane = (index_t)rows * width;
    float* to = sums + (start_i + i) % depth * plane + (index_t)(start_j + j) * width + start_k + k;
    for (int c = 0; c < classes; ++c) to[c * depth * plane] += expf(from[c * voxels] - largest) / total;
}
