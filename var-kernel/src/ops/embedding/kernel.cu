// One thread a number of `out`, blocks of 256.

#define ELEMENT_OR_RETURN(i, length)                        \
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;     \
    if (i >= length) return

// out[r] = table[indices[r]], rows of `width`; NaN for an index past the end, which cannot be refused here
KERNEL(256) void embedding(float* out, const float* table, const u32* indices, u64 width, u64 entries, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    u64 index = indices[i / width];
    out[i] = index < entries ? table[index * width + i % width] : __uint_as_float(0x7fffffff);
}

// tokens[i] = forced[i] if positions[i mod cells]
KERNEL(256) void force_tokens(u32* tokens, const u32* forced, const u32* positions, u64 cells, u64 length) {
    ELEMENT_OR_RETURN(i, length);
    if (positions[i % cells]) tokens[i] = forced[i];
}
