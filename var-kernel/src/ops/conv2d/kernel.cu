// out[y, x, first + o] = epilogue(bias[o] + sum over taps and i of in[s·y + dy - p, s·x + dx - q, i] ·
// weight[o, tap, i]): plain, + residual[y, x, o], or ReLU
//
// A product whose rows are the neighborhoods of output pixels, gathered on the way to shared memory; one block
// of 256 threads a tile of pixels × output channels; see cuda/product. Weights are stored outer × taps × inner.

#define PARAMETERS(Number)                                                                                     \
    float *out, const Number *x, const Number *weight, const float *bias, const float *residual, u32 relu,     \
        u32 rows, u32 height, u32 width, u32 inner, u32 outer, u32 taps, u32 side, u32 stride, u32 border_y,   \
        u32 border_x, u32 doubled, u32 out_height, u32 out_width, u32 out_first, u32 out_channels, u32 aligned
#define ARGUMENTS                                                                                              \
    out, x, weight, bias, residual, relu, rows, height, width, inner, outer, taps, side, stride, border_y,     \
        border_x, doubled, out_height, out_width, out_first, out_channels, aligned
#define NEIGHBORS(aligned)                                                                                    \
    {x,    rows,   taps * inner, aligned,  height,  width,      inner,                                         \
     side, stride, border_y,     border_x, doubled, out_height, out_width}

template <int BM, int BN>
__device__ __forceinline__ void conv2d_f32(PARAMETERS(float)) {
    Neighbors<float> left = NEIGHBORS(aligned);
    Rows<float> right = {weight, outer, taps * inner, aligned};
    Epilogue epilogue = {(u32)(relu ? RELU : PLAIN), bias, residual};
    auto to = finished_to(Parts<float>{out + out_first, out_channels}, epilogue, rows, outer);
    product_f32<BM, BN>(k_major(left), k_major(right), to, tile_of_block<BM, BN>(outer, taps * inner));
}

KERNEL(256) void conv2d_128x64(PARAMETERS(float)) { conv2d_f32<128, 64>(ARGUMENTS); }
KERNEL(256) void conv2d_32x32(PARAMETERS(float)) { conv2d_f32<32, 32>(ARGUMENTS); }

template <int BM, int BN, int WM, int WN, int STAGES>
__device__ __forceinline__ void conv2d_half(PARAMETERS(Half)) {
    Neighbors<Half> left = NEIGHBORS(1);
    Rows<Half> right = {weight, outer, taps * inner, 1};
    Epilogue epilogue = {(u32)(relu ? RELU : PLAIN), bias, residual};
    auto to = finished_to(Parts<float>{out + out_first, out_channels}, epilogue, rows, outer);
    TileOffset at = tile_of_block<BM, BN>(outer, taps * inner);
    product_half<BM, BN, WM, WN, STAGES, 64>(k_major(left), k_major(right), to, at);
}

// The published VQVAE's channels are multiples of 160, Inception's of 64 or 96.
KERNEL(256) void conv2d_half_128x160(PARAMETERS(Half)) { conv2d_half<128, 160, 32, 80, 3>(ARGUMENTS); }
KERNEL(256) void conv2d_half_128x96(PARAMETERS(Half)) { conv2d_half<128, 96, 32, 48, 3>(ARGUMENTS); }
KERNEL(256) void conv2d_half_64x64(PARAMETERS(Half)) { conv2d_half<64, 64, 32, 16, 4>(ARGUMENTS); }
KERNEL(256) void conv2d_half_128x32(PARAMETERS(Half)) { conv2d_half<128, 32, 32, 16, 4>(ARGUMENTS); }

// The same, plainly: one thread a number of out. For tests.
KERNEL(256) void conv2d_naive(PARAMETERS(float)) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)rows * outer) return;
    u32 row = i / outer, o = i % outer, x_out = row % out_width, y_out = row / out_width % out_height;
    x += (u64)(row / out_width / out_height) * height * width * inner;
    double sum = bias[o];
    for (u32 tap = 0; tap < taps; tap++) {
        int y = (int)(y_out * stride + tap / side) - (int)border_y;
        int c = (int)(x_out * stride + tap % side) - (int)border_x;
        if (y < 0 || c < 0) continue;
        if (doubled) y /= 2, c /= 2;
        if (y >= (int)height || c >= (int)width) continue;
        for (u32 j = 0; j < inner; j++)
            sum += (double)x[((u64)y * width + c) * inner + j] * weight[((u64)o * taps + tap) * inner + j];
    }
    if (residual) sum += residual[i];
    out[(u64)row * out_channels + out_first + o] = (float)(relu && sum < 0 ? 0 : sum);
}
