// Sums over the rows that share a row of a table: dtable[n · stride + start + c] += sum_r term(r, c), r from
// n · each on.
//
// One block of 256 threads 32 columns of one row of the table: eight warps share the rows, each lane adds one
// column's in order, and the warps' sums are added in theirs. gridDim.y blocks share the rows; if there is more
// than one, each writes a part of its own, parts × table's rows × width, which `add_table_parts` adds in order.

#define TABLE_PARAMETERS float *out, u32 start, u32 stride, u32 each, u32 rows, u32 width
#define TABLE {out, start, stride, each, rows, width}

struct TableSpan {
    float* out;
    u32 start, stride, each, rows, width;
};

// `add(sum, r, c)`: the sum and one more term.
template <class Add>
__device__ __forceinline__ void sum_into_table(const TableSpan& table, Add add) {
    __shared__ float of_warps[8][33];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, tiles = (table.width + 31) / 32;
    u32 entry = blockIdx.x / tiles, column = blockIdx.x % tiles * 32 + lane;
    u32 first = entry * table.each, count = min(table.each, table.rows - first);
    u32 share = (count + gridDim.y - 1) / gridDim.y;
    u32 begin = min(blockIdx.y * share, count), end = min(begin + share, count);
    float sum = 0.0f;
    if (column < table.width)
        for (u32 row = first + begin + warp; row < first + end; row += 8) sum = add(sum, row, column);
    of_warps[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= table.width) return;
    float all = of_warps[0][lane];
    for (u32 other = 1; other < 8; other++) all += of_warps[other][lane];
    if (gridDim.y == 1) {
        table.out[(u64)entry * table.stride + table.start + column] += all;
    } else {
        u64 entries = gridDim.x / tiles;
        table.out[(blockIdx.y * entries + entry) * table.width + column] = all;
    }
}
