// out[i] = value
KERNEL(256) void fill(float* out, float value, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) out[i] = value;
}

// out[i] += factor · x[i]
KERNEL(256) void add_scaled(float* out, const float* x, float factor, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) out[i] = fmaf(factor, x[i], out[i]);
}

// out[c] += sum_r x[r · stride + start + c]: 32 columns a block; eight warps share the rows, each lane adds one
// column's in order, and the warps' sums are added in theirs. Rows that fill many blocks go through `between`
// (parts × columns) first: `parts` blocks share them, and a second launch adds what they found.
KERNEL(256) void sum_rows(float* out, const float* x, u64 rows, u64 stride, u64 start, u32 columns, u32 adds) {
    __shared__ float of_warps[8][33];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    u64 each = (rows + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * each;
    u64 end = begin + each < rows ? begin + each : rows;
    float sum = 0.0f;
    if (column < columns)
        for (u64 row = begin + warp; row < end; row += 8) sum += x[row * stride + start + column];
    of_warps[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    float all = of_warps[0][lane];
    for (u32 other = 1; other < 8; other++) all += of_warps[other][lane];
    float* to = out + (u64)blockIdx.y * columns + column;
    *to = adds ? *to + all : all;
}
