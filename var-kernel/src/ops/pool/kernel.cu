// out[y, x, first + c] = the maximum, or the mean, of those cells of in[stride·y - padding ..,
// stride·x - padding .., c] that lie inside the image; one thread a number that is written

#define PARAMETERS                                                                                            \
    float *out, const float *x, u32 height, u32 width, u32 channels, u32 kernel, u32 stride, u32 padding,     \
        u32 out_height, u32 out_width, u32 out_first, u32 out_channels, u64 length
#define ARGUMENTS \
    out, x, height, width, channels, kernel, stride, padding, out_height, out_width, out_first, out_channels, length

template <bool MAX>
__device__ __forceinline__ void pool(PARAMETERS) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 c = i % channels;
    u64 cell = i / channels, image = cell / out_width / out_height;
    u32 row = cell / out_width % out_height * stride, column = cell % out_width * stride;
    u32 top = row > padding ? row - padding : 0, bottom = min(row + kernel - padding, height);
    u32 left = column > padding ? column - padding : 0, right = min(column + kernel - padding, width);
    x += image * height * width * channels + c;
    float sum = MAX ? x[((u64)top * width + left) * channels] : 0.0f;
    for (u32 y = top; y < bottom; y++)
        for (u32 z = left; z < right; z++) {
            float number = x[((u64)y * width + z) * channels];
            sum = MAX ? fmaxf(sum, number) : sum + number;
        }
    float count = (float)((bottom - top) * (right - left));
    out[cell * out_channels + out_first + c] = MAX ? sum : __fdiv_rn(sum, count);
}

KERNEL(256) void max_pool(PARAMETERS) { pool<true>(ARGUMENTS); }
KERNEL(256) void average_pool(PARAMETERS) { pool<false>(ARGUMENTS); }
