// Sums of f32 by fused multiply-adds: each is one chain in order of k, as on the CPU.

// A thread's sums: BM / 16 rows × BN / 16 columns, in groups of up to four neighbors.
template <int BM, int BN>
struct Chains {
    static constexpr int TM = BM / 16, TN = BN / 16, GM = TM < 4 ? TM : 4, GN = TN < 4 ? TN : 4;
    // With 64 sums a thread has registers for two k at a time, if two blocks are to share a multiprocessor.
    static constexpr int UNROLLED = TM * TN >= 64 ? 2 : TM * TN >= 16 ? 8 : 16;
    float sums[TM][TN];

    // An operand's tile: for each k its numbers side by side.
    template <int SIDE, bool K_IN_LINES>
    struct Tile {
        float at[SINGLES_DEPTH][SIDE + 4];

        // Four neighbors of a line of the operand.
        __device__ __forceinline__ void put(u32 line, u32 along, float4 four) {
            if constexpr (K_IN_LINES) {
                at[along][line] = four.x, at[along + 1][line] = four.y;
                at[along + 2][line] = four.z, at[along + 3][line] = four.w;
            } else {
                *reinterpret_cast<float4*>(&at[line][along]) = four;
            }
        }
    };

    __device__ __forceinline__ static u32 row(int i) { return i / GM * 16 * GM + threadIdx.x / 16 * GM + i % GM; }
    __device__ __forceinline__ static u32 column(int i) { return i / GN * 16 * GN + threadIdx.x % 16 * GN + i % GN; }

    template <class Left, class Right>
    __device__ __forceinline__ void multiply_add(const Left& left, const Right& right) {
#pragma unroll UNROLLED
        for (int k = 0; k < SINGLES_DEPTH; k++) {
            float a[TM], b[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) a[i] = left.at[k][row(i)];
#pragma unroll
            for (int i = 0; i < TN; i++) b[i] = right.at[k][column(i)];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
    }

    template <class Out>
    __device__ __forceinline__ void put(const Out& out, u32 tile_row, u32 tile_column) const {
#pragma unroll
        for (int i = 0; i < TM; i++) {
            if (tile_row + row(i) >= out.rows) continue;
            auto to = out.row(tile_row + row(i));
#pragma unroll
            for (int j = 0; j < TN; j++)
                if (tile_column + column(j) < out.columns) to.put(tile_column + column(j), sums[i][j]);
        }
    }
};
