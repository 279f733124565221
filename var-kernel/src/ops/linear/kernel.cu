// out[r, c] = epilogue(sum_k x[r, k] · weight[c, k] + bias[c])
//
// Tiles: one block of 256 threads a tile of out; see cuda/product.
// Few rows: one block of 256 threads sixteen columns; its eight warps share the depth, so that many lines of
// the weights are under way at once, and their sums are added in order of warps.

#define FINISH_PARAMETERS                                                                                      \
    const float *bias, u32 kind, const float *residual, const float *gate, u32 gate_start, u32 gate_stride,    \
        u32 gate_rows, const float *table, u32 period
#define FINISH {kind, bias, residual, {gate, gate_start, gate_stride, gate_rows}, table, period}

template <int BM, int BN>
__device__ __forceinline__ void linear_f32(
    float* out, const float* x, const float* weight, const Epilogue& epilogue, u32 rows, u32 inner, u32 outer,
    u32 aligned) {
    Rows<float> left = {x, rows, inner, aligned}, right = {weight, outer, inner, aligned};
    auto to = finished_to(out, epilogue, rows, outer);
    product_f32<BM, BN>(k_major(left), k_major(right), to, tile_of_block<BM, BN>(outer, inner));
}

KERNEL(256) void linear_128x128(
    float* out, const float* x, const float* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer, u32 aligned) {
    linear_f32<128, 128>(out, x, weight, FINISH, rows, inner, outer, aligned);
}

KERNEL(256) void linear_32x64(
    float* out, const float* x, const float* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer, u32 aligned) {
    linear_f32<32, 64>(out, x, weight, FINISH, rows, inner, outer, aligned);
}

template <int BM, int BN, int WM, int WN, int STAGES, class Out>
__device__ __forceinline__ void linear_half(
    Out* out, const Half* x, const Half* weight, const Epilogue& epilogue, u32 rows, u32 inner, u32 outer) {
    Rows<Half> left = {x, rows, inner, 1}, right = {weight, outer, inner, 1};
    auto to = finished_to(out, epilogue, rows, outer);
    TileOffset at = tile_of_block<BM, BN>(outer, inner);
    product_half<BM, BN, WM, WN, STAGES, 64>(k_major(left), k_major(right), to, at);
}

// Large tiles, f32 out and shorts out.
KERNEL(256, 2) void linear_half_128x128(
    float* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_half<128, 128, 64, 32, 3>(out, x, weight, FINISH, rows, inner, outer);
}

KERNEL(256, 2) void linear_half_128x128_to_half(
    Half* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_half<128, 128, 64, 32, 3>(out, x, weight, FINISH, rows, inner, outer);
}

// Small tiles, for products that would leave most of the GPU idle.
KERNEL(256) void linear_half_64x64(
    float* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_half<64, 64, 32, 16, 4>(out, x, weight, FINISH, rows, inner, outer);
}

KERNEL(256) void linear_half_64x64_to_half(
    Half* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_half<64, 64, 32, 16, 4>(out, x, weight, FINISH, rows, inner, outer);
}

// The same with twice as many copies under way, for so few tiles that each has a multiprocessor to itself: what they
// wait for are the weights.
KERNEL(256) void linear_half_64x64_deep(
    float* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_half<64, 64, 32, 16, 8>(out, x, weight, FINISH, rows, inner, outer);
}

KERNEL(256) void linear_half_64x64_deep_to_half(
    Half* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_half<64, 64, 32, 16, 8>(out, x, weight, FINISH, rows, inner, outer);
}

// At most 8·EIGHTS rows of shorts, whose depth is a multiple of 32. The weights are the tensor cores' first
// operand: sixteen columns of out; the rows of x are its second. A lane loads eight neighboring numbers of a
// row of weights and of x at once and takes them for the k that the instruction wants: the order of k in a sum
// is the same for both, and free.
template <int EIGHTS, class Out>
__device__ __forceinline__ void linear_few(
    Out* out, const Half* x, const Half* weight, const Epilogue& epilogue, u32 rows, u32 inner, u32 outer) {
    constexpr int WARPS = 8, UNROLLED = 4;
    __shared__ float sums_of_warps[WARPS][EIGHTS * 8][16 + 1];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    u32 first = blockIdx.x * 16, chunks = inner / 32;
    const uint4 nothing = make_uint4(0, 0, 0, 0);
    const Half* low = first + g < outer ? weight + (u64)(first + g) * inner + t * 8 : nullptr;
    const Half* high = first + g + 8 < outer ? weight + (u64)(first + g + 8) * inner + t * 8 : nullptr;
    auto load = [&](const Half* row, u32 chunk) {
        return row && chunk < chunks ? *reinterpret_cast<const uint4*>(row + chunk * 32) : nothing;
    };
    float sums[EIGHTS][4] = {};
    for (u32 begin = warp; begin < chunks; begin += WARPS * UNROLLED) {
        uint4 a_low[UNROLLED], a_high[UNROLLED];
#pragma unroll
        for (int u = 0; u < UNROLLED; u++) {
            a_low[u] = load(low, begin + u * WARPS);
            a_high[u] = load(high, begin + u * WARPS);
        }
#pragma unroll
        for (int u = 0; u < UNROLLED; u++) {
            u32 even[4] = {a_low[u].x, a_high[u].x, a_low[u].y, a_high[u].y};
            u32 odd[4] = {a_low[u].z, a_high[u].z, a_low[u].w, a_high[u].w};
#pragma unroll
            for (int e = 0; e < EIGHTS; e++) {
                u32 row = e * 8 + g;
                uint4 b = load(row < rows ? x + (u64)row * inner + t * 8 : nullptr, begin + u * WARPS);
                multiply_add_16x8x16(sums[e], even, b.x, b.y);
                multiply_add_16x8x16(sums[e], odd, b.z, b.w);
            }
        }
    }
#pragma unroll
    for (int e = 0; e < EIGHTS; e++) {
#pragma unroll
        for (int i = 0; i < 4; i++) sums_of_warps[warp][e * 8 + t * 2 + i % 2][g + i / 2 * 8] = sums[e][i];
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < EIGHTS * 8 * 16; i += blockDim.x) {
        u32 row = i / 16, column = first + i % 16;
        if (row >= rows || column >= outer) continue;
        float sum = sums_of_warps[0][row][i % 16];
        for (int w = 1; w < WARPS; w++) sum += sums_of_warps[w][row][i % 16];
        EpilogueRow of = epilogue_row(epilogue, row, outer);
        store(out + (u64)row * outer + column, finished(epilogue, of, column, sum));
    }
}

KERNEL(256) void linear_few_8(
    float* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_few<1>(out, x, weight, FINISH, rows, inner, outer);
}

KERNEL(256) void linear_few_8_to_half(
    Half* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_few<1>(out, x, weight, FINISH, rows, inner, outer);
}

KERNEL(256) void linear_few_32(
    float* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_few<4>(out, x, weight, FINISH, rows, inner, outer);
}

KERNEL(256) void linear_few_32_to_half(
    Half* out, const Half* x, const Half* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    linear_few<4>(out, x, weight, FINISH, rows, inner, outer);
}

// out[r, c] = epilogue(sums[r, c]), four columns a thread; rows are whole fours and begin at multiples of 16 bytes.
KERNEL(256) void finish_sums(float* out, const float* sums, FINISH_PARAMETERS, u32 rows, u32 outer) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i >= (u64)rows * outer) return;
    u32 row = i / outer, column = i % outer;
    Epilogue epilogue = FINISH;
    EpilogueRow of = epilogue_row(epilogue, row, outer);
    float4 four = *reinterpret_cast<const float4*>(sums + i);
    four.x = finished(epilogue, of, column, four.x), four.y = finished(epilogue, of, column + 1, four.y);
    four.z = finished(epilogue, of, column + 2, four.z), four.w = finished(epilogue, of, column + 3, four.w);
    *reinterpret_cast<float4*>(out + i) = four;
}

// The same, plainly: one thread a number of out. For tests.
KERNEL(256) void linear_naive(
    float* out, const float* x, const float* weight, FINISH_PARAMETERS, u32 rows, u32 inner, u32 outer) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)rows * outer) return;
    u32 row = i / outer, column = i % outer;
    double sum = 0;
    for (u32 k = 0; k < inner; k++) sum += (double)x[(u64)row * inner + k] * weight[(u64)column * inner + k];
    Epilogue epilogue = FINISH;
    out[i] = finished(epilogue, epilogue_row(epilogue, row, outer), column, (float)sum);
}
