// latents (=, +=, -=) (1 - ratio)·e + ratio·(φ * e + bias), e = codes enlarged by cubic convolution.
//
// A block makes one row of a latent: it enlarges three rows into shared memory, with a border of zeros; each thread
// makes CELLS neighboring cells of one channel, each sum one chain in order of k = tap · channels + channel.

enum Change { SET, ADD, SUBTRACT };

#define CELLS 2

// Codes: rows of `numbers`, one behind the other, or those that `tokens` name.
struct Codes {
    const float* numbers;
    const u32* tokens;  // or null
    u32 entries, channels;

    // NaN for a token past the end, which cannot be refused here.
    __device__ __forceinline__ float at(u64 cell, u32 channel) const {
        u64 row = tokens ? tokens[cell] : cell;
        if (tokens && row >= entries) return __uint_as_float(0x7fffffff);
        return numbers[row * channels + channel];
    }
};

KERNEL(256) void refine(
    float* latents, const float* numbers, const u32* tokens, u32 entries, const float* weight, const float* bias,
    float ratio, u32 change, u32 from, u32 to, u32 channels) {
    DYNAMIC_SHARED(shared);
    __shared__ u32 cells_of_rows[3][4];
    __shared__ float weights_of_rows[3][4];
    u32 picture = blockIdx.x / to, y = blockIdx.x % to, groups = (to + CELLS - 1) / CELLS;
    u32 columns = groups * CELLS + 2, width = columns * channels;
    float* enlarged = (float*)shared;                       // 3 × columns × channels
    float* weights_of_columns = enlarged + 3 * width;       // to × 4
    u32* cells_of_columns = (u32*)(weights_of_columns + 4 * to);  // to × 4
    for (u32 i = threadIdx.x; i < to + 3; i += blockDim.x) {
        bool is_row = i >= to;
        u32 cells[4], place = is_row ? y + (i - to) - 1 : i;
        float weights[4];
        // Rows outside of the latent are not read.
        if (place >= to) continue;
        cubic((int)place, (int)from, (int)to, cells, weights);
#pragma unroll
        for (int tap = 0; tap < 4; tap++) {
            if (is_row) cells_of_rows[i - to][tap] = cells[tap], weights_of_rows[i - to][tap] = weights[tap];
            else cells_of_columns[i * 4 + tap] = cells[tap], weights_of_columns[i * 4 + tap] = weights[tap];
        }
    }
    __syncthreads();
    Codes codes = {numbers, tokens, entries, channels};
    u64 first = (u64)picture * from * from;
    for (u32 i = threadIdx.x; i < 3 * width; i += blockDim.x) {
        u32 row = i / width, column = i % width / channels, channel = i % channels;
        // A border of one column; rows above the first wrap to large numbers.
        u32 place = y + row - 1, x = column - 1;
        float sum = 0.0f;
        if (place < to && x < to) {
            for (int r = 0; r < 4; r++) {
                float across = 0.0f;
                for (int c = 0; c < 4; c++)
                    across = fmaf(
                        codes.at(first + cells_of_rows[row][r] * from + cells_of_columns[x * 4 + c], channel),
                        weights_of_columns[x * 4 + c], across);
                sum = fmaf(across, weights_of_rows[row][r], sum);
            }
        }
        enlarged[i] = sum;
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < groups * channels; i += blockDim.x) {
        u32 out = i % channels, column = i / channels * CELLS;
        float sums[CELLS] = {};
        if (ratio != 0.0f) {
            const float* kernel = weight + (u64)out * 9 * channels;
            for (u32 tap = 0; tap < 9; tap++) {
                const float* here = enlarged + tap / 3 * width + (column + tap % 3) * channels;
#pragma unroll 8
                for (u32 channel = 0; channel < channels; channel++) {
                    float factor = kernel[tap * channels + channel];
#pragma unroll
                    for (int cell = 0; cell < CELLS; cell++)
                        sums[cell] = fmaf(here[cell * channels + channel], factor, sums[cell]);
                }
            }
        }
#pragma unroll
        for (int cell = 0; cell < CELLS; cell++) {
            u32 x = column + cell;
            if (x >= to) break;
            float contribution = enlarged[width + (x + 1) * channels + out];
            if (ratio != 0.0f) {
                float refined = __fadd_rn(sums[cell], bias[out]);
                contribution = fmaf(refined, ratio, __fmul_rn(contribution, __fsub_rn(1.0f, ratio)));
            }
            float* to_change = latents + (((u64)picture * to + y) * to + x) * channels + out;
            switch (change) {
                case ADD: *to_change = __fadd_rn(*to_change, contribution); break;
                case SUBTRACT: *to_change = __fsub_rn(*to_change, contribution); break;
                default: *to_change = contribution;
            }
        }
    }
}
