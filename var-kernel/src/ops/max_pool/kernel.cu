// out[y, x, c] = the greatest of in[2y .. 2y + 1, 2x .. 2x + 1, c]; one thread a number of out
KERNEL(256) void max_pool(float* out, const float* x, u32 height, u32 width, u32 channels, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 rows = height / 2, columns = width / 2, c = i % channels;
    u64 cell = i / channels, picture = cell / columns / rows;
    u32 row = cell / columns % rows * 2, column = cell % columns * 2;
    const float* upper = x + ((picture * height + row) * width + column) * channels + c;
    const float* lower = upper + (u64)width * channels;
    out[i] = fmaxf(fmaxf(upper[0], upper[channels]), fmaxf(lower[0], lower[channels]));
}
