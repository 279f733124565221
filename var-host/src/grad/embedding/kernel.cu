// One thread a number of a row: as many columns a block as it has threads.
#define ROW_AND_COLUMN_OR_RETURN(row, c, width)                                                    \
    u32 chunks = (width + blockDim.x - 1) / blockDim.x, c = blockIdx.x % chunks * blockDim.x + threadIdx.x; \
    u64 row = blockIdx.x / chunks;                                                                 \
    if (c >= width) return

// dtable[indices[n]] += sum_i dout[order[i]], i from starts[n] to starts[n + 1]: one thread a column of a row of
// the table adds its rows in order. Past the last row of the table that is looked up, there is nothing to add.
KERNEL(256) void embedding_dtable(
    float* dtable, const float* dout, const u32* indices, const u32* starts, const u32* order, u32 width) {
    ROW_AND_COLUMN_OR_RETURN(n, c, width);
    u32 begin = starts[n], end = starts[n + 1];
    if (begin == end) return;
    float* to = dtable + (u64)indices[n] * width + c;
    float sum = *to;
    for (u32 i = begin; i < end; i++) sum += dout[(u64)order[i] * width + c];
    *to = sum;
}
