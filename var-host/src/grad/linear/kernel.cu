// dx += dy · weight and dweight += dyᵀ · x: products of operands as they lie; see cuda/product of var-kernel. Of
// weight and of x there is a row for each k, of dy a column, or, turned around, a row.
//
// The depth is shared by gridDim.y blocks. If there is more than one, each writes its sums to a part of its own,
// which `add_parts` adds to out in order.

// The tile of this block over its share of the depth, which is cut into whole steps.
template <int SIDE, int STEP>
__device__ __forceinline__ TileOffset tile_of_share(u32 columns, u32 depth) {
    u32 steps = (depth + STEP - 1) / STEP;
    return tile_of_part<SIDE, SIDE>(columns, depth, (steps + gridDim.y - 1) / gridDim.y * STEP);
}

// out[i] += parts[0][i] + parts[1][i] + …
KERNEL(256) void add_parts(float* out, const float* parts, u32 count, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    float sum = parts[i];
    for (u32 part = 1; part < count; part++) sum += parts[part * length + i];
    out[i] += sum;
}

#define SINGLE_PARAMETERS \
    float *out, const float *left, const float *right, u32 rows, u32 columns, u32 depth, u32 aligned
#define SHORT_PARAMETERS float *out, const Half *left, const Half *right, u32 rows, u32 columns, u32 depth
#define SINGLE_ARGUMENTS out, left, right, rows, columns, depth, aligned
#define SHORT_ARGUMENTS out, left, right, rows, columns, depth

template <int SIDE>
__device__ __forceinline__ void dx_f32(SINGLE_PARAMETERS) {
    Rows<float> dy = {left, rows, depth, aligned}, weight = {right, depth, columns, aligned};
    PartSums to = part_of_block(out, rows, columns, gridDim.y == 1);
    TileOffset at = tile_of_share<SIDE, SINGLES_DEPTH>(columns, depth);
    product_f32<SIDE, SIDE>(k_major(dy), mn_major(weight), to, at);
}

template <int SIDE>
__device__ __forceinline__ void dweight_f32(SINGLE_PARAMETERS) {
    Rows<float> dy = {left, depth, rows, aligned}, x = {right, depth, columns, aligned};
    PartSums to = part_of_block(out, rows, columns, gridDim.y == 1);
    TileOffset at = tile_of_share<SIDE, SINGLES_DEPTH>(columns, depth);
    product_f32<SIDE, SIDE>(mn_major(dy), mn_major(x), to, at);
}

template <int SIDE, int WM, int WN, int STAGES>
__device__ __forceinline__ void dx_half(SHORT_PARAMETERS) {
    Rows<Half> dy = {left, rows, depth, 1}, weight = {right, depth, columns, 1};
    PartSums to = part_of_block(out, rows, columns, gridDim.y == 1);
    TileOffset at = tile_of_share<SIDE, 64>(columns, depth);
    product_half<SIDE, SIDE, WM, WN, STAGES, 64>(k_major(dy), mn_major(weight), to, at);
}

template <int SIDE, int WM, int WN, int STAGES>
__device__ __forceinline__ void dweight_half(SHORT_PARAMETERS) {
    Rows<Half> dy = {left, depth, rows, 1}, x = {right, depth, columns, 1};
    PartSums to = part_of_block(out, rows, columns, gridDim.y == 1);
    TileOffset at = tile_of_share<SIDE, 64>(columns, depth);
    product_half<SIDE, SIDE, WM, WN, STAGES, 64>(mn_major(dy), mn_major(x), to, at);
}

KERNEL(256) void dx_128(SINGLE_PARAMETERS) { dx_f32<128>(SINGLE_ARGUMENTS); }
KERNEL(256) void dx_64(SINGLE_PARAMETERS) { dx_f32<64>(SINGLE_ARGUMENTS); }
KERNEL(256) void dweight_128(SINGLE_PARAMETERS) { dweight_f32<128>(SINGLE_ARGUMENTS); }
KERNEL(256) void dweight_64(SINGLE_PARAMETERS) { dweight_f32<64>(SINGLE_ARGUMENTS); }
KERNEL(256, 2) void dx_half_128(SHORT_PARAMETERS) { dx_half<128, 64, 32, 3>(SHORT_ARGUMENTS); }
KERNEL(256) void dx_half_64(SHORT_PARAMETERS) { dx_half<64, 32, 16, 4>(SHORT_ARGUMENTS); }
KERNEL(256, 2) void dweight_half_128(SHORT_PARAMETERS) { dweight_half<128, 64, 32, 3>(SHORT_ARGUMENTS); }
KERNEL(256) void dweight_half_64(SHORT_PARAMETERS) { dweight_half<64, 32, 16, 4>(SHORT_ARGUMENTS); }
