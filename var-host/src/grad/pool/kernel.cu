// dx[y, x, c] += dy of the windows whose first greatest cell, row by row, it is; or its share of the dy of all windows
// that it is in. Windows in their order, row by row; one thread a number of dx

#define PARAMETERS                                                                                            \
    float *dx, const float *dy, const float *x, u32 height, u32 width, u32 channels, u32 kernel, u32 stride,  \
        u32 padding, u32 out_height, u32 out_width, u32 out_first, u32 out_channels, u64 length
#define ARGUMENTS                                                                                             \
    dx, dy, x, height, width, channels, kernel, stride, padding, out_height, out_width, out_first, out_channels, length

template <bool MAX>
__device__ __forceinline__ void pool_dx(PARAMETERS) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 c = i % channels;
    u64 cell = i / channels, image = cell / width / height;
    u32 column = cell % width, row = cell / width % height;
    // The first window that reaches so far, and one past the last that begins before.
    auto first = [&](u32 at) { return at + padding >= kernel ? (at + padding - kernel) / stride + 1 : 0; };
    auto last = [&](u32 at, u32 count) { return min((at + padding) / stride + 1, count); };
    x += image * height * width * channels + c;
    float sum = dx[i];
    for (u32 v = first(row); v < last(row, out_height); v++)
        for (u32 u = first(column); u < last(column, out_width); u++) {
            u32 y = v * stride, z = u * stride;
            u32 top = y > padding ? y - padding : 0, bottom = min(y + kernel - padding, height);
            u32 left = z > padding ? z - padding : 0, right = min(z + kernel - padding, width);
            float of_window = dy[((image * out_height + v) * out_width + u) * out_channels + out_first + c];
            if (!MAX) {
                sum += __fdiv_rn(of_window, (float)((bottom - top) * (right - left)));
                continue;
            }
            u32 most_y = top, most_z = left;
            float most = x[((u64)top * width + left) * channels];
            for (u32 y = top; y < bottom; y++)
                for (u32 z = left; z < right; z++) {
                    float number = x[((u64)y * width + z) * channels];
                    if (number > most) most = number, most_y = y, most_z = z;
                }
            if (most_y == row && most_z == column) sum += of_window;
        }
    dx[i] = sum;
}

KERNEL(256) void max_pool_dx(PARAMETERS) { pool_dx<true>(ARGUMENTS); }
KERNEL(256) void average_pool_dx(PARAMETERS) { pool_dx<false>(ARGUMENTS); }
