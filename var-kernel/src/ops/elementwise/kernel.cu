// Element-wise: one thread a number of `out`, blocks of 256.

#define ELEMENT_OR_RETURN(i, length)                        \
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;     \
    if (i >= length) return

// out[i] = a[i] · a_factor + b[i] · b_factor
KERNEL(256) void blend(float* out, const float* a, const float* b, float a_factor, float b_factor, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = fmaf(b[i], b_factor, __fmul_rn(a[i], a_factor));
}

// out[i] = x[i] + table[i mod period]
KERNEL(256) void add_table(float* out, const float* x, const float* table, u64 period, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = x[i] + table[i % period];
}

// out[i] = gelu(x[i]), left in the format of activations inside a block
KERNEL(256) void gelu(float* out, const float* x, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = gelu_of(x[i]);
}

KERNEL(256) void gelu_half(Half* out, const float* x, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = narrow(gelu_of(x[i]));
}

// out[i] = silu(x[i])
KERNEL(256) void silu(float* out, const float* x, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = silu_of(x[i]);
}

// out[i] = x[i] where it is above 0, else slope · x[i]
KERNEL(256) void leaky_relu(float* out, const float* x, float slope, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = x[i] > 0.0f ? x[i] : __fmul_rn(slope, x[i]);
}

// out[r, c] = residual[r, c] + gate(r, c) · x[r, c]
KERNEL(256) void gated(
    float* out, const float* residual, const float* x, const float* table, u32 start, u32 stride, u32 rows,
    u32 width, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    const float* gate = row_of({table, start, stride, rows}, i / width);
    out[i] = fmaf(gate[i % width], x[i], residual[i]);
}

// out[r, c] = x[r, c] · factors[r]
KERNEL(256) void scale_rows(float* out, const float* x, const float* factors, u64 width, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i] = x[i] * factors[i / width];
}

// out[r, start + c] = x[r, c]; one thread a number of x
KERNEL(256) void place_rows(float* out, const float* x, u64 width, u64 stride, u64 start, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    out[i / width * stride + start + i % width] = x[i];
}
