// The code of least distance to each feature, the first of equals; the same sums as on the CPU.
//
// `prepare`: one thread a vector: its square, or with angles the vector made unit length.
// `search`: one block of 256 threads 32 features over a share of the codes; eight threads a feature, each eight
// codes of a tile of 64. `pick`: one thread a feature, over the shares.

#define SHORTEST 1e-12f

// squares[r] = |x[r]|²; with angles 0, and out[r] = x[r] / max(|x[r]|, 1e-12)
KERNEL(256) void prepare(float* squares, float* out, const float* x, u32 angle, u32 rows, u32 width) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    x += (u64)row * width;
    float square = 0.0f;
    for (u32 k = 0; k < width; k++) square = __fadd_rn(square, __fmul_rn(x[k], x[k]));
    if (angle) {
        float length = fmaxf(__fsqrt_rn(square), SHORTEST);
        for (u32 k = 0; k < width; k++) out[(u64)row * width + k] = __fdiv_rn(x[k], length);
        square = 0.0f;
    }
    squares[row] = square;
}

// values, codes: shares × rows: the least distance and its code in each share of the codebook
KERNEL(256) void search(
    float* values, u32* found, const float* x, const float* x_squares, const float* codebook,
    const float* code_squares, float factor, u32 rows, u32 codes, u32 width, u32 each_share) {
    constexpr int ROWS = 32, CODES = 64, DEPTH = 32, EACH = 8;
    __shared__ float of_x[ROWS][DEPTH + 1];
    __shared__ float of_codes[CODES][DEPTH + 1];
    __shared__ float best_values[ROWS][8];
    __shared__ u32 best_codes[ROWS][8];
    u32 tiles = (rows + ROWS - 1) / ROWS, share = blockIdx.x / tiles, first = blockIdx.x % tiles * ROWS;
    u32 begin = share * each_share, end = min(begin + each_share, codes);
    u32 r = threadIdx.x / 8, part = threadIdx.x % 8, row = min(first + r, rows - 1);
    float best = INFINITE, x_square = x_squares[row];
    u32 best_code = 0;
    for (u32 tile = begin; tile < end; tile += CODES) {
        float products[EACH] = {};
        for (u32 k = 0; k < width; k += DEPTH) {
            u32 depth = min((u32)DEPTH, width - k);
            __syncthreads();
            for (u32 i = threadIdx.x; i < ROWS * DEPTH; i += 256) {
                u32 at = i / DEPTH, d = i % DEPTH;
                of_x[at][d] = d < depth ? x[(u64)min(first + at, rows - 1) * width + k + d] : 0.0f;
            }
            for (u32 i = threadIdx.x; i < CODES * DEPTH; i += 256) {
                u32 at = i / DEPTH, d = i % DEPTH;
                of_codes[at][d] = d < depth && tile + at < end ? codebook[(u64)(tile + at) * width + k + d] : 0.0f;
            }
            __syncthreads();
            for (u32 d = 0; d < depth; d++)
#pragma unroll
                for (int i = 0; i < EACH; i++)
                    products[i] = fmaf(of_codes[i * 8 + part][d], of_x[r][d], products[i]);
        }
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            u32 code = tile + i * 8 + part;
            if (code >= end) continue;
            float value = fmaf(products[i], factor, __fadd_rn(x_square, code_squares[code]));
            if (value < best) best = value, best_code = code;
        }
    }
    best_values[r][part] = best, best_codes[r][part] = best_code;
    __syncthreads();
    if (part == 0 && first + r < rows) {
        for (int i = 1; i < 8; i++) {
            float value = best_values[r][i];
            u32 code = best_codes[r][i];
            if (value < best || (value == best && code < best_code)) best = value, best_code = code;
        }
        values[(u64)share * rows + row] = best;
        found[(u64)share * rows + row] = best_code;
    }
}

KERNEL(256) void pick(u32* tokens, const float* values, const u32* found, u32 rows, u32 shares) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float best = INFINITE;
    u32 token = 0;
    for (u32 share = 0; share < shares; share++) {
        float value = values[(u64)share * rows + row];
        if (value < best) best = value, token = found[(u64)share * rows + row];
    }
    tokens[row] = token;
}
