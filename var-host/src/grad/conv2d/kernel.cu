// Gradients of a convolution
//
// The input's is a convolution of the output's gradient, with the weights turned around and inner and outer channels
// exchanged: `turn`, then a product whose rows are the neighborhoods of input pixels; see cuda/product
// of var-kernel.
// The weights' is a product too, whose depth are the pixels: `weight_*` leave the sums of parts of them, which
// `add_parts` adds in order.
// Half precision has no room for small gradients: `largest` and `narrow_scaled` bring them near its largest number.

// to[i, tap, o] = sum of weight[o, y, x, i] over the taps (y, x) that tap (t, u) of the turned kernel stands for: that
// at start - step · t, start - step · u; with `doubled` those from 2 - t to 3 - t, by which the two halves of a doubled
// cell are seen. One block a tile of 32 × 32 channels of a tap, through shared memory.
template <class To, class From>
__device__ __forceinline__ void turn_tile(
    To* to, const From* weight, u32 inner, u32 outer, u32 side, u32 turned_side, u32 start_y, u32 step_y, u32 start_x,
    u32 step_x, u32 doubled) {
    __shared__ float tile[32][33];
    u32 across = (inner + 31) / 32, taps = gridDim.y, lane = threadIdx.x % 32, line = threadIdx.x / 32;
    u32 first_i = blockIdx.x % across * 32, first_o = blockIdx.x / across * 32;
    u32 t = blockIdx.y / turned_side, u = blockIdx.y % turned_side;
    u32 top = doubled ? (t < 2 ? 2 - t : 0) : start_y - step_y * t, bottom = doubled ? min(2u, 3 - t) : top;
    u32 left = doubled ? (u < 2 ? 2 - u : 0) : start_x - step_x * u, right = doubled ? min(2u, 3 - u) : left;
    for (u32 o = line; o < 32; o += 8) {
        float sum = 0.0f;
        if (first_o + o < outer && first_i + lane < inner) {
            const From* from = weight + (u64)(first_o + o) * side * side * inner + first_i + lane;
            for (u32 y = top; y <= bottom; y++)
                for (u32 x = left; x <= right; x++) sum += widen(from[(y * side + x) * inner]);
        }
        tile[o][lane] = sum;
    }
    __syncthreads();
    for (u32 i = line; i < 32; i += 8)
        if (first_i + i < inner && first_o + lane < outer)
            store(to + ((u64)(first_i + i) * taps + blockIdx.y) * outer + first_o + lane, tile[lane][i]);
}

#define TURN_PARAMETERS(To, From)                                                                               \
    To *to, const From *weight, u32 inner, u32 outer, u32 side, u32 turned_side, u32 start_y, u32 step_y,       \
        u32 start_x, u32 step_x, u32 doubled
#define TURN_ARGUMENTS to, weight, inner, outer, side, turned_side, start_y, step_y, start_x, step_x, doubled

KERNEL(256) void turn(TURN_PARAMETERS(float, float)) { turn_tile(TURN_ARGUMENTS); }
KERNEL(256) void turn_widened(TURN_PARAMETERS(float, Half)) { turn_tile(TURN_ARGUMENTS); }
KERNEL(256) void turn_half(TURN_PARAMETERS(Half, Half)) { turn_tile(TURN_ARGUMENTS); }

// parts[block] = the largest |x| of the numbers that the block sees
KERNEL(256) void largest(float* parts, const float* x, u64 length) {
    __shared__ float of_warps[8];
    float most = 0.0f;
    for (u64 i = (u64)blockIdx.x * 256 + threadIdx.x; i < length; i += (u64)gridDim.x * 256)
        most = fmaxf(most, fabsf(x[i]));
    most = block_max(most, of_warps);
    if (threadIdx.x == 0) parts[blockIdx.x] = most;
}

// to[i] = x[i] · 2^k, for which the largest lies from 2^14 on; back[c] = 2^-k, `columns` times
KERNEL(256) void narrow_scaled(
    Half* to, float* back, const float* x, const float* parts, u32 count, u32 columns, u64 length) {
    __shared__ float of_warps[8];
    u32 exponent = __float_as_uint(block_max(threadIdx.x < count ? parts[threadIdx.x] : 0.0f, of_warps)) >> 23;
    // What is no number stays as it is; what is 0 or nearly so needs no larger power than there is.
    if (exponent == 255) exponent = 127 + 14;
    if (exponent < 15) exponent = 15;
    float factor = __uint_as_float((254 + 14 - exponent) << 23);
    u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    if (i < length) store(to + i, __fmul_rn(x[i], factor));
    for (u64 c = i; c < columns; c += (u64)gridDim.x * 256) back[c] = __uint_as_float((exponent - 14) << 23);
}

// Every `step`-th cell of images both ways, from (first_y, first_x) on: where the input's gradient is added.
struct Cells {
    float* numbers;
    u32 columns, height, width, step, first_y, first_x;  // height and width of those cells alone

    __device__ __forceinline__ u32 place(u32 row) const {
        u32 line = row / width * step + first_y;
        return line * width * step + row % width * step + first_x;
    }
    __device__ __forceinline__ float* row(u32 place) const { return numbers + (u64)place * columns; }
    __device__ __forceinline__ bool in_pairs() const { return columns % 2 == 0 && (u64)numbers % 8 == 0; }
};

// dx[cell, i] += sum over taps and o of dout[neighbor, o] · weight[i, tap, o] · back[i]
#define INPUT_PARAMETERS(Number)                                                                                \
    float *dx, const Number *dout, const Number *weight, const float *back, u32 rows, u32 height, u32 width,    \
        u32 outer, u32 inner, u32 taps, u32 side, u32 stride, u32 border_y, u32 border_x, u32 out_height,       \
        u32 out_width, u32 step, u32 first_y, u32 first_x, u32 aligned
#define INPUT_ARGUMENTS                                                                                         \
    dx, dout, weight, back, rows, height, width, outer, inner, taps, side, stride, border_y, border_x,          \
        out_height, out_width, step, first_y, first_x, aligned
#define INPUT_NEIGHBORS                                                                                        \
    {dout,   rows,     taps * outer, aligned, height,     width,    outer,                                      \
     side,   stride,   border_y,     border_x, 0,         out_height, out_width}
#define INPUT_FINISH {(u32)(back ? GATED : PLAIN), nullptr, dx, {back, 0, 0, 1}}

template <int BM, int BN>
__device__ __forceinline__ void input_f32(INPUT_PARAMETERS(float)) {
    Neighbors<float> left = INPUT_NEIGHBORS;
    Rows<float> right = {weight, inner, taps * outer, aligned};
    Cells cells = {dx, inner, out_height, out_width, step, first_y, first_x};
    Epilogue epilogue = INPUT_FINISH;
    auto to = finished_to(cells, epilogue, rows, inner);
    product_f32<BM, BN>(k_major(left), k_major(right), to, tile_of_block<BM, BN>(inner, taps * outer));
}

KERNEL(256) void input_128x64(INPUT_PARAMETERS(float)) { input_f32<128, 64>(INPUT_ARGUMENTS); }
KERNEL(256) void input_32x32(INPUT_PARAMETERS(float)) { input_f32<32, 32>(INPUT_ARGUMENTS); }

template <int BM, int BN, int WM, int WN, int STAGES>
__device__ __forceinline__ void input_half(INPUT_PARAMETERS(Half)) {
    Neighbors<Half> left = INPUT_NEIGHBORS;
    Rows<Half> right = {weight, inner, taps * outer, aligned};
    Cells cells = {dx, inner, out_height, out_width, step, first_y, first_x};
    Epilogue epilogue = INPUT_FINISH;
    auto to = finished_to(cells, epilogue, rows, inner);
    TileOffset at = tile_of_block<BM, BN>(inner, taps * outer);
    product_half<BM, BN, WM, WN, STAGES, 64>(k_major(left), k_major(right), to, at);
}

KERNEL(256) void input_half_128x160(INPUT_PARAMETERS(Half)) { input_half<128, 160, 32, 80, 3>(INPUT_ARGUMENTS); }
KERNEL(256) void input_half_64x64(INPUT_PARAMETERS(Half)) { input_half<64, 64, 32, 16, 4>(INPUT_ARGUMENTS); }
KERNEL(256) void input_half_128x32(INPUT_PARAMETERS(Half)) { input_half<128, 32, 32, 16, 4>(INPUT_ARGUMENTS); }

// parts[part, o, tap · inner + i] = sum over the pixels of a part of dout[pixel, o] · x[neighbor(pixel, tap), i]
#define WEIGHT_PARAMETERS(Number)                                                                               \
    float *parts, const Number *dout, const Number *x, u32 pixels, u32 each, u32 height, u32 width, u32 inner,  \
        u32 outer, u32 side, u32 grid, u32 out_height, u32 out_width, u32 left_aligned, u32 right_aligned
#define WEIGHT_ARGUMENTS                                                                                        \
    parts, dout, x, pixels, each, height, width, inner, outer, side, grid, out_height, out_width, left_aligned, \
        right_aligned

#define WEIGHT_OPERANDS(Number)                                                                                 \
    u32 columns = side * side * inner;                                                                          \
    Rows<Number> left = {dout, pixels, outer, left_aligned};                                                    \
    Neighbors<Number> right =                                                                                  \
        neighbors_on(grid, x, pixels, right_aligned, height, width, inner, side, out_height, out_width)

KERNEL(256) void weight_64x64(WEIGHT_PARAMETERS(float)) {
    WEIGHT_OPERANDS(float);
    PartSums to = part_of_block(parts, outer, columns, false);
    product_f32<64, 64>(mn_major(left), mn_major(right), to, tile_of_part<64, 64>(columns, pixels, each));
}

// 32 pixels at a time, channels are multiples of eight.
template <int BM, int BN, int WM, int WN, int STAGES>
__device__ __forceinline__ void weight_half(WEIGHT_PARAMETERS(Half)) {
    WEIGHT_OPERANDS(Half);
    PartSums to = part_of_block(parts, outer, columns, false);
    TileOffset at = tile_of_part<BM, BN>(columns, pixels, each);
    product_half<BM, BN, WM, WN, STAGES, 32>(mn_major(left), mn_major(right), to, at);
}

KERNEL(256) void weight_half_160x128(WEIGHT_PARAMETERS(Half)) { weight_half<160, 128, 80, 32, 4>(WEIGHT_ARGUMENTS); }
KERNEL(256) void weight_half_64x64(WEIGHT_PARAMETERS(Half)) { weight_half<64, 64, 32, 16, 4>(WEIGHT_ARGUMENTS); }

// dweight[i] += back · sum over the parts of parts[part, i]; back is 1 without one
KERNEL(256) void add_parts(float* dweight, const float* parts, const float* back, u32 count, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    float sum = 0.0f;
    for (u32 part = 0; part < count; part++) sum += parts[part * length + i];
    dweight[i] = fmaf(back ? *back : 1.0f, sum, dweight[i]);
}
