// dx += dy · weight and dweight += dyᵀ · x: products out[m, n] += sum_k left[m, k] · right[k, n] of operands as
// they lie. `right` has its k in rows; `left` has them in columns (dy) or, turned, in rows (dyᵀ).
//
// The depth is shared by gridDim.y blocks. If there is more than one, each writes its sums to a part of its own,
// which `add_parts` adds to out in order.
//
// Singles: 256 threads, a tile of SIDE × SIDE sums, sixteen k at a time through shared memory.
// Shorts: 256 threads (8 warps), tensor cores, 64 k at a time, STAGES copies under way.

// A product's sizes, and where this block is in it.
struct Place {
    u32 rows, columns;
    u32 row, column;  // of the tile
    u32 begin, end;   // of the depth
    u32 adds;         // whether out is added to
};

template <int SIDE, int STEP>
__device__ __forceinline__ Place place_of_block(u32 rows, u32 columns, u32 depth) {
    u32 across = (columns + SIDE - 1) / SIDE, steps = (depth + STEP - 1) / STEP;
    u32 each = (steps + gridDim.y - 1) / gridDim.y * STEP, begin = min(blockIdx.y * each, depth);
    return {
        rows, columns, blockIdx.x / across * SIDE, blockIdx.x % across * SIDE, begin, min(begin + each, depth),
        gridDim.y == 1};
}

// Where the sums of this block's part begin.
__device__ __forceinline__ float* part_of_block(float* out, const Place& at) {
    return out + (u64)blockIdx.y * at.rows * at.columns;
}

// out[i] += parts[0][i] + parts[1][i] + …
KERNEL(256) void add_parts(float* out, const float* parts, u32 count, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    float sum = parts[i];
    for (u32 part = 1; part < count; part++) sum += parts[part * length + i];
    out[i] += sum;
}

// Four neighbours of a row of `width` numbers from `from` on, zeros from `end` on.
__device__ __forceinline__ float4 load_four(
    const float* numbers, u64 row, u32 width, u32 from, u32 end, bool inside, u32 aligned) {
    const float* at = numbers + row * width + from;
    if (!inside || from >= end) return make_float4(0, 0, 0, 0);
    if (aligned) return *reinterpret_cast<const float4*>(at);
    return make_float4(
        at[0], from + 1 < end ? at[1] : 0.0f, from + 2 < end ? at[2] : 0.0f, from + 3 < end ? at[3] : 0.0f);
}

// One tile of singles. `aligned` operands have rows of a multiple of four numbers.
template <int SIDE, bool TURNED>
__device__ __forceinline__ void product_single(
    float* out, const float* left, const float* right, u32 rows, u32 columns, u32 depth, u32 aligned) {
    constexpr int STEP = 16, THREADS = 256, FOURS = SIDE * STEP / 4, EACH = FOURS / THREADS;
    constexpr int SUMS = SIDE / 16, GROUP = 4;
    static_assert(FOURS % THREADS == 0 && SUMS % GROUP == 0, "whole fours for each thread");
    __shared__ __align__(16) float of_left[STEP][SIDE + 4];
    __shared__ __align__(16) float of_right[STEP][SIDE + 4];
    u32 thread = threadIdx.x, down = thread / 16, across = thread % 16;
    Place at = place_of_block<SIDE, STEP>(rows, columns, depth);
    float4 next_left[EACH], next_right[EACH];
    auto fetch = [&](u32 k) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            u32 number = thread + i * THREADS, of_k = k + number / (SIDE / 4), along = number % (SIDE / 4) * 4;
            next_right[i] = load_four(right, of_k, columns, at.column + along, columns, of_k < at.end, aligned);
            if (TURNED) {
                next_left[i] = load_four(left, of_k, rows, at.row + along, rows, of_k < at.end, aligned);
            } else {
                u32 row = at.row + number / (STEP / 4), from = k + number % (STEP / 4) * 4;
                next_left[i] = load_four(left, row, depth, from, at.end, row < rows, aligned);
            }
        }
    };
    float sums[SUMS][SUMS] = {};
    if (at.begin < at.end) fetch(at.begin);
    for (u32 k = at.begin; k < at.end; k += STEP) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            u32 number = thread + i * THREADS, of_k = number / (SIDE / 4), along = number % (SIDE / 4) * 4;
            *reinterpret_cast<float4*>(&of_right[of_k][along]) = next_right[i];
            if (TURNED) {
                *reinterpret_cast<float4*>(&of_left[of_k][along]) = next_left[i];
            } else {
                u32 row = number / (STEP / 4), from = number % (STEP / 4) * 4;
                of_left[from][row] = next_left[i].x, of_left[from + 1][row] = next_left[i].y;
                of_left[from + 2][row] = next_left[i].z, of_left[from + 3][row] = next_left[i].w;
            }
        }
        __syncthreads();
        if (k + STEP < at.end) fetch(k + STEP);
#pragma unroll 4
        for (int of_k = 0; of_k < STEP; of_k++) {
            float a[SUMS], b[SUMS];
#pragma unroll
            for (int i = 0; i < SUMS; i++) a[i] = of_left[of_k][i / GROUP * 64 + down * GROUP + i % GROUP];
#pragma unroll
            for (int i = 0; i < SUMS; i++) b[i] = of_right[of_k][i / GROUP * 64 + across * GROUP + i % GROUP];
#pragma unroll
            for (int i = 0; i < SUMS; i++)
#pragma unroll
                for (int j = 0; j < SUMS; j++) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
        __syncthreads();
    }
    out = part_of_block(out, at);
#pragma unroll
    for (int i = 0; i < SUMS; i++) {
        u32 row = at.row + i / GROUP * 64 + down * GROUP + i % GROUP;
        if (row >= rows) continue;
#pragma unroll
        for (int j = 0; j < SUMS; j++) {
            u32 column = at.column + j / GROUP * 64 + across * GROUP + j % GROUP;
            if (column >= columns) continue;
            float* to = out + (u64)row * columns + column;
            *to = at.adds ? *to + sums[i][j] : sums[i][j];
        }
    }
}

// Rows of WIDTH shorts in shared memory: pieces of 16 bytes, whose order changes from row to row so that eight
// rows' pieces lie in different banks.
template <int WIDTH>
__device__ __forceinline__ Short* piece_of(Short* tile, u32 row, u32 piece) {
    return tile + row * WIDTH + (piece ^ row % 8) * 8;
}

// One tile of shorts by 8 warps of WM × WN each; rows of both operands are aligned and whole pieces.
template <int SIDE, int WM, int WN, int STAGES, bool TURNED>
__device__ __forceinline__ void product_short(
    float* out, const Short* left, const Short* right, u32 rows, u32 columns, u32 depth) {
    constexpr int STEP = 64, THREADS = 256, TILE = SIDE * STEP;
    constexpr int WARPS_ACROSS = SIDE / WN, MT = WM / 16, NT = WN / 8, LEFT_WIDTH = TURNED ? SIDE : STEP;
    static_assert(SIDE / WM * WARPS_ACROSS == THREADS / 32, "eight warps");
    DYNAMIC_SHARED(shared);
    u32 thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    Place at = place_of_block<SIDE, STEP>(rows, columns, depth);
    u32 steps = (at.end - at.begin + STEP - 1) / STEP;
    auto left_tile = [&](u32 stage) { return (Short*)shared + stage * 2 * TILE; };
    auto right_tile = [&](u32 stage) { return left_tile(stage) + TILE; };

    auto fetch = [&](u32 step) {
        if (step < steps) {
            u32 k = at.begin + step * STEP, stage = step % STAGES;
#pragma unroll
            for (int i = 0; i < TILE / 8 / THREADS; i++) {
                u32 number = thread + i * THREADS;
                u32 of_k = number / (SIDE / 8), piece = number % (SIDE / 8), column = at.column + piece * 8;
                bool inside = k + of_k < at.end && column < columns;
                const Short* from = right + (u64)(k + of_k) * columns + column;
                copy_16_async(piece_of<SIDE>(right_tile(stage), of_k, piece), inside ? from : right, inside);
                if (TURNED) {
                    u32 row = at.row + piece * 8;
                    inside = k + of_k < at.end && row < rows;
                    from = left + (u64)(k + of_k) * rows + row;
                    copy_16_async(piece_of<SIDE>(left_tile(stage), of_k, piece), inside ? from : left, inside);
                } else {
                    u32 row = number / (STEP / 8), of_row = number % (STEP / 8), from_k = k + of_row * 8;
                    inside = at.row + row < rows && from_k < at.end;
                    from = left + (u64)(at.row + row) * depth + from_k;
                    copy_16_async(piece_of<STEP>(left_tile(stage), row, of_row), inside ? from : left, inside);
                }
            }
        }
        // A group for each step, empty past the end, so that their count tells what has arrived.
        commit_copies();
    };

    float sums[MT][NT][4] = {};
    u32 warp_row = warp / WARPS_ACROSS * WM, warp_column = warp % WARPS_ACROSS * WN;
    for (int stage = 0; stage < STAGES - 1; stage++) fetch(stage);
    for (u32 step = 0; step < steps; step++) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        // The stage that was read in the last turn is free: all threads are past it.
        fetch(step + STAGES - 1);
        Short* of_left = left_tile(step % STAGES);
        Short* of_right = right_tile(step % STAGES);
#pragma unroll
        for (int k = 0; k < STEP; k += 16) {
            u32 a[MT][4], b[NT / 2][4];
#pragma unroll
            for (int i = 0; i < MT; i++) {
                u32 row = warp_row + i * 16;
                if (TURNED)
                    load_matrices_transposed(
                        a[i],
                        piece_of<LEFT_WIDTH>(of_left, k + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
                else
                    load_matrices(a[i], piece_of<LEFT_WIDTH>(of_left, row + lane % 16, k / 8 + lane / 16));
            }
#pragma unroll
            for (int j = 0; j < NT / 2; j++)
                load_matrices_transposed(
                    b[j], piece_of<SIDE>(of_right, k + lane % 16, warp_column / 8 + j * 2 + lane / 16));
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++)
                    multiply_add_16x8x16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    }
    out = part_of_block(out, at);
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 row = at.row + warp_row + i * 16 + half * 8 + lane / 4;
            if (row >= rows) continue;
#pragma unroll
            for (int j = 0; j < NT; j++) {
                u32 column = at.column + warp_column + j * 8 + lane % 4 * 2;
                if (column >= columns) continue;
                // Columns come in eights: both are inside, and their address is a multiple of eight bytes.
                float2* to = reinterpret_cast<float2*>(out + (u64)row * columns + column);
                float2 sum = make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
                if (at.adds) sum.x += to->x, sum.y += to->y;
                *to = sum;
            }
        }
    }
}

#define SINGLE_PARAMETERS \
    float *out, const float *left, const float *right, u32 rows, u32 columns, u32 depth, u32 aligned
#define SHORT_PARAMETERS float *out, const Short *left, const Short *right, u32 rows, u32 columns, u32 depth
#define SINGLE_ARGUMENTS out, left, right, rows, columns, depth, aligned
#define SHORT_ARGUMENTS out, left, right, rows, columns, depth

KERNEL(256) void dx_128(SINGLE_PARAMETERS) { product_single<128, false>(SINGLE_ARGUMENTS); }
KERNEL(256) void dx_64(SINGLE_PARAMETERS) { product_single<64, false>(SINGLE_ARGUMENTS); }
KERNEL(256) void dweight_128(SINGLE_PARAMETERS) { product_single<128, true>(SINGLE_ARGUMENTS); }
KERNEL(256) void dweight_64(SINGLE_PARAMETERS) { product_single<64, true>(SINGLE_ARGUMENTS); }
KERNEL(256) void dx_short_128(SHORT_PARAMETERS) { product_short<128, 64, 32, 3, false>(SHORT_ARGUMENTS); }
KERNEL(256) void dx_short_64(SHORT_PARAMETERS) { product_short<64, 32, 16, 4, false>(SHORT_ARGUMENTS); }
KERNEL(256) void dweight_short_128(SHORT_PARAMETERS) { product_short<128, 64, 32, 3, true>(SHORT_ARGUMENTS); }
KERNEL(256) void dweight_short_64(SHORT_PARAMETERS) { product_short<64, 32, 16, 4, true>(SHORT_ARGUMENTS); }
