// Gradients of element-wise operations.

#define ELEMENT_OR_RETURN(i, length)                        \
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;     \
    if (i >= length) return

// One thread a number of a row: as many columns a block as it has threads.
#define ROW_AND_COLUMN_OR_RETURN(row, c, width)                                                    \
    u32 chunks = (width + blockDim.x - 1) / blockDim.x, c = blockIdx.x % chunks * blockDim.x + threadIdx.x; \
    u64 row = blockIdx.x / chunks;                                                                 \
    if (c >= width) return

// With u = sqrt(2/pi)·(x + 0.044715·x³) and s = 1 / (1 + e^-2u): s + 2x·s·(1 - s)·u'.
__device__ __forceinline__ float gelu_slope(float x) {
    float square = x * x, cubic = fmaf(square, 0.044715f, 1.0f);
    float sigmoid = __fdiv_rn(1.0f, 1.0f + exponential(x * -1.595769f * cubic));
    float twice_slope = fmaf(square, 3.0f * 0.044715f, 1.0f) * 1.595769f;
    return fmaf(x * sigmoid, (1.0f - sigmoid) * twice_slope, sigmoid);
}

// s(x)·(1 + x·(1 - s(x))), s(x) = 1 / (1 + e^-x)
__device__ __forceinline__ float silu_slope(float x) {
    float sigmoid = __fdiv_rn(1.0f, 1.0f + exponential(-x));
    return sigmoid * fmaf(x, 1.0f - sigmoid, 1.0f);
}

// dx[i] += dy[i] · gelu'(x[i])
KERNEL(256) void gelu_dx(float* dx, const float* dy, const float* x, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    dx[i] = fmaf(dy[i], gelu_slope(x[i]), dx[i]);
}

// dx[i] += dy[i] · silu'(x[i])
KERNEL(256) void silu_dx(float* dx, const float* dy, const float* x, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    dx[i] = fmaf(dy[i], silu_slope(x[i]), dx[i]);
}

// dx[i] += dy[i] where x[i] is above 0, else slope · dy[i]
KERNEL(256) void leaky_relu_dx(float* dx, const float* dy, const float* x, float slope, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    dx[i] = fmaf(dy[i], x[i] > 0.0f ? 1.0f : slope, dx[i]);
}

// dx[r, c] += gate(r, c) · dy[r, c]
KERNEL(256) void gated_dx(
    float* dx, const float* dy, const float* table, u32 start, u32 stride, u32 rows, u32 width) {
    ROW_AND_COLUMN_OR_RETURN(row, c, width);
    u64 i = row * width + c;
    dx[i] = fmaf(row_of({table, start, stride, rows}, row)[c], dy[i], dx[i]);
}

// dtable[n · stride + start + c] += sum_r dy[r, c] · x[r, c]
KERNEL(256) void gated_dgate(TABLE_PARAMETERS, const float* dy, const float* x) {
    sum_into_table(TABLE, [&](float sum, u32 row, u32 c) {
        u64 i = (u64)row * width + c;
        return fmaf(dy[i], x[i], sum);
    });
}

// dtable[n · stride + start + c] += parts[0, n, c] + parts[1, n, c] + …
KERNEL(256) void add_table_parts(
    float* dtable, const float* parts, u32 start, u32 stride, u32 entries, u32 width, u32 count) {
    u64 length = (u64)entries * width;
    ELEMENT_OR_RETURN(i, length);
    float sum = parts[i];
    for (u32 part = 1; part < count; part++) sum += parts[part * length + i];
    dtable[i / width * stride + start + i % width] += sum;
}

// dx[r, c] += dy[r, c] · factors[r]
KERNEL(256) void scale_rows_dx(float* dx, const float* dy, const float* factors, u32 width) {
    ROW_AND_COLUMN_OR_RETURN(row, c, width);
    u64 i = row * width + c;
    dx[i] = __fadd_rn(dx[i], __fmul_rn(dy[i], factors[row]));
}

// dx[r, c] += dout[r, start + c]
KERNEL(256) void place_rows_dx(float* dx, const float* dout, u32 stride, u32 start, u32 width) {
    ROW_AND_COLUMN_OR_RETURN(row, c, width);
    dx[row * width + c] += dout[row * stride + start + c];
}
