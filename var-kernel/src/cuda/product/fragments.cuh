// Sums as tensor cores leave them: lane 4g + t has (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1) of each 16 × 8.

template <int MT, int NT, class Out>
__device__ __forceinline__ void put_fragments(
    const float (&sums)[MT][NT][4], const Out& out, u32 first_row, u32 first_column) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 row = first_row + i * 16 + half * 8 + lane / 4;
            if (row >= out.rows) continue;
            auto to = out.row(row);
#pragma unroll
            for (int j = 0; j < NT; j++) {
                u32 column = first_column + j * 8 + lane % 4 * 2;
                if (column < out.columns) to.put_two(column, sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
            }
        }
    }
}
