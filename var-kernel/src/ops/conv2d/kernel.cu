// out[y, x, o] = sum over taps and i of in[y + dy, x + dx, i] · weight[o, tap, i] + bias[o] (+ residual[y, x, o])
//
// A product whose rows are the neighbourhoods of output pixels, gathered on the way to shared memory; one block
// of 256 threads a tile of pixels × output channels; see cuda/product. Weights are stored outer × taps × inner.

#define PARAMETERS(Number)                                                                                   \
    float *out, const Number *x, const Number *weight, const float *bias, const float *residual, u32 rows,   \
        u32 height, u32 width, u32 inner, u32 outer, u32 side, u32 grid, u32 out_height, u32 out_width, u32 aligned
#define ARGUMENTS \
    out, x, weight, bias, residual, rows, height, width, inner, outer, side, grid, out_height, out_width, aligned

template <int BM, int BN>
__device__ __forceinline__ void conv2d_single(PARAMETERS(float)) {
    u32 depth = side * side * inner;
    Neighbours<float> left =
        neighbours_on(grid, x, rows, aligned, height, width, inner, side, out_height, out_width);
    Rows<float> right = {weight, outer, depth, aligned};
    Finish finish = {PLAIN, bias, residual};
    auto to = finished_to(out, finish, rows, outer);
    product_single<BM, BN>(k_major(left), k_major(right), to, tile_of_block<BM, BN>(outer, depth));
}

KERNEL(256) void conv2d_128x64(PARAMETERS(float)) { conv2d_single<128, 64>(ARGUMENTS); }
KERNEL(256) void conv2d_32x32(PARAMETERS(float)) { conv2d_single<32, 32>(ARGUMENTS); }

template <int BM, int BN, int WM, int WN, int STAGES>
__device__ __forceinline__ void conv2d_short(PARAMETERS(Short)) {
    u32 depth = side * side * inner;
    Neighbours<Short> left = neighbours_on(grid, x, rows, 1, height, width, inner, side, out_height, out_width);
    Rows<Short> right = {weight, outer, depth, 1};
    Finish finish = {PLAIN, bias, residual};
    auto to = finished_to(out, finish, rows, outer);
    TilePlace at = tile_of_block<BM, BN>(outer, depth);
    product_short<BM, BN, WM, WN, STAGES, 64>(k_major(left), k_major(right), to, at);
}

// The published network's channels are multiples of 160.
KERNEL(256) void conv2d_short_128x160(PARAMETERS(Short)) { conv2d_short<128, 160, 32, 80, 3>(ARGUMENTS); }
KERNEL(256) void conv2d_short_64x64(PARAMETERS(Short)) { conv2d_short<64, 64, 32, 16, 4>(ARGUMENTS); }
KERNEL(256) void conv2d_short_128x32(PARAMETERS(Short)) { conv2d_short<128, 32, 32, 16, 4>(ARGUMENTS); }

// The same, plainly: one thread a number of out. For tests.
KERNEL(256) void conv2d_naive(PARAMETERS(float)) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)rows * outer) return;
    u32 row = i / outer, o = i % outer, x_out = row % out_width, y_out = row / out_width % out_height;
    x += (u64)(row / out_width / out_height) * height * width * inner;
    double sum = bias[o];
    for (u32 tap = 0; tap < side * side; tap++) {
        int border = grid == HALVED ? 0 : (int)side / 2, stride = grid == HALVED ? 2 : 1;
        int y = (int)y_out * stride + (int)(tap / side) - border, c = (int)x_out * stride + (int)(tap % side) - border;
        int limit_y = grid == DOUBLED ? 2 * height : height, limit_x = grid == DOUBLED ? 2 * width : width;
        if (y < 0 || c < 0 || y >= limit_y || c >= limit_x) continue;
        if (grid == DOUBLED) y /= 2, c /= 2;
        for (u32 j = 0; j < inner; j++)
            sum += (double)x[((u64)y * width + c) * inner + j] * weight[((u64)o * side * side + tap) * inner + j];
    }
    out[i] = (float)(sum + (residual ? residual[i] : 0.0f));
}
