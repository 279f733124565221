// Sums of f32 by tensor cores: factors are rounded to TF32, sums are f32.

// A warp's sums of a tile: eight warps share it.
template <int BM, int BN>
struct TensorSums {
    static constexpr int WARPS_DOWN = BM > BN ? 4 : 2, WARPS_ACROSS = 8 / WARPS_DOWN;
    static constexpr int WM = BM / WARPS_DOWN, WN = BN / WARPS_ACROSS, MT = WM / 16, NT = WN / 8;
    static_assert(MT * 16 * WARPS_DOWN == BM && NT * 8 * WARPS_ACROSS == BN, "whole products for each warp");
    float sums[MT][NT][4];

    // An operand's tile, line by line. Lines are so much longer than needed that a fragment's 32 numbers, eight rows
    // or columns by four k, lie in different banks.
    template <int SIDE, bool K_IN_LINES>
    struct Tile {
        static constexpr int LINES = K_IN_LINES ? SIDE : SINGLES_DEPTH;
        static constexpr int STRIDE = K_IN_LINES ? SINGLES_DEPTH + 4 : SIDE + 8;
        float numbers[LINES][STRIDE];

        // Four neighbors of a line of the operand; rounded here, where each number is seen once.
        __device__ __forceinline__ void put(u32 line, u32 along, float4 four) {
            *reinterpret_cast<float4*>(&numbers[line][along]) = make_float4(
                round_to_tf32(four.x), round_to_tf32(four.y), round_to_tf32(four.z), round_to_tf32(four.w));
        }
        __device__ __forceinline__ float at(u32 side, u32 k) const {
            return K_IN_LINES ? numbers[side][k] : numbers[k][side];
        }
    };

    __device__ __forceinline__ static u32 first_row() { return threadIdx.x / 32 / WARPS_ACROSS * WM; }
    __device__ __forceinline__ static u32 first_column() { return threadIdx.x / 32 % WARPS_ACROSS * WN; }

    template <class Left, class Right>
    __device__ __forceinline__ void multiply_add(const Left& left, const Right& right) {
        u32 g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
        for (int k = 0; k < SINGLES_DEPTH; k += 8) {
            float a[MT][4], b[NT][2];
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int part = 0; part < 4; part++)
                    a[i][part] = left.at(first_row() + i * 16 + part % 2 * 8 + g, k + part / 2 * 4 + t);
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int part = 0; part < 2; part++)
                    b[j][part] = right.at(first_column() + j * 8 + g, k + part * 4 + t);
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++) multiply_add_16x8x8(sums[i][j], a[i], b[j]);
        }
    }

    template <class Out>
    __device__ __forceinline__ void put(const Out& out, u32 tile_row, u32 tile_column) const {
        put_fragments(sums, out, tile_row + first_row(), tile_column + first_column());
    }
};
