// Between maps of different sides. One thread a number of `out`, blocks of 256; channels side by side.

// out[y, x] = sum over 4 × 4 cells of weight · in, rows of cells first
KERNEL(256) void bicubic(float* out, const float* in, u32 from, u32 to, u32 channels, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 c = i % channels;
    u64 cell = i / channels, map = cell / to / to;
    u32 rows[4], columns[4];
    float row_weights[4], column_weights[4];
    cubic(cell / to % to, from, to, rows, row_weights);
    cubic(cell % to, from, to, columns, column_weights);
    in += map * from * from * channels + c;
    float sum = 0.0f;
    for (int row = 0; row < 4; row++) {
        float across = 0.0f;
        for (int column = 0; column < 4; column++)
            across = fmaf(in[(u64)(rows[row] * from + columns[column]) * channels], column_weights[column], across);
        sum = fmaf(across, row_weights[row], sum);
    }
    out[i] = sum;
}

// out[y, x] = mean of the cells from floor(i·from/to) to ceil((i + 1)·from/to), both ways
KERNEL(256) void area(float* out, const float* in, u32 from, u32 to, u32 channels, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 c = i % channels;
    u64 cell = i / channels, map = cell / to / to;
    u32 y = cell / to % to, x = cell % to;
    u32 top = y * from / to, bottom = ((y + 1) * from + to - 1) / to;
    u32 left = x * from / to, right = ((x + 1) * from + to - 1) / to;
    in += map * from * from * channels + c;
    float sum = 0.0f;
    for (u32 row = top; row < bottom; row++)
        for (u32 column = left; column < right; column++) sum += in[(u64)(row * from + column) * channels];
    out[i] = __fdiv_rn(sum, (float)((bottom - top) * (right - left)));
}
