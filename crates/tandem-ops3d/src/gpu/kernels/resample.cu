// A map of images that works along each axis by itself. For voxel o of axis a, `starts[offset of a + o]` up to the next one are its
// taps: source voxels and their weights. Resizing and its gradient are both such maps.

extern "C" __global__ void resample(const stored* x, stored* y, index_t count, int channels, int from_d, int from_h,
                                    int from_w, int d, int h, int w, const int* starts, const int* sources,
                                    const float* weights)
{
    index_t i = own_index();
    if (i >= count) return;
    int c = remainder_of(i, channels);
    index_t row = quotient_of(quotient_of(i, channels), w), plane = quotient_of(row, h), n = quotient_of(plane, d);
    int ox = remainder_of(quotient_of(i, channels), w), oy = (int)(row - plane * h), oz = (int)(plane - n * d);
    const int *by_z = starts + oz, *by_y = starts + d + 1 + oy, *by_x = starts + d + 1 + h + 1 + ox;
    float sum = 0.0f;
    for (int tx = by_x[0]; tx < by_x[1]; ++tx) {
        float along = 0.0f;
        for (int tz = by_z[0]; tz < by_z[1]; ++tz)
            for (int ty = by_y[0]; ty < by_y[1]; ++ty) {
                index_t voxel = ((n * from_d + sources[tz]) * from_h + sources[ty]) * from_w + sources[tx];
                along += weights[tz] * weights[ty] * load(x, voxel * channels + c);
            }
        sum += weights[tx] * along;
    }
    store(y, i, sum);
}
