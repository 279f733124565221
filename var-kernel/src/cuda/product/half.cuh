// A tile of shorts: 256 threads (8 warps), tensor cores, STAGES copies under way.

// An operand's tile: its lines in shared memory are pieces of 16 bytes, so laid that those of eight lines lie in
// different banks. Either their order changes from line to line, or lines are a piece longer; the latter takes fewer
// registers, where shared memory is left for it.
template <class Operand, int SIDE, int DEPTH>
struct Pieces : Brought<Operand, SIDE, DEPTH, 8> {
    typedef Brought<Operand, SIDE, DEPTH, 8> Base;
    using Base::Base;
    static constexpr bool LONGER = DEPTH < 64;
    static constexpr int STRIDE = Base::WIDTH + (LONGER ? 8 : 0), LENGTH = SIDE * DEPTH / Base::WIDTH * STRIDE;
    static_assert(LONGER || Base::WIDTH % 64 == 0, "eight pieces to change the order of");

    __device__ __forceinline__ static Half* at(Half* tile, u32 line, u32 along) {
        return tile + line * STRIDE + (LONGER ? along : (along / 8 ^ line % 8) * 8);
    }
    // Begins to copy the numbers from k on.
    __device__ __forceinline__ void copy(Half* tile, u32 k) const {
#pragma unroll
        for (int i = 0; i < Base::EACH; i++) {
            if (!this->has(i)) break;
            const Half* from = this->lines.at(this->place(i, k), this->from(i, k));
            copy_16_async(at(tile, this->line(i), this->along(i)), from ? from : this->lines.numbers, from);
        }
    }
    // Sixteen rows or columns from `side` on by sixteen k: four matrices of 8 × 8, of which the second is the next
    // eight rows' or columns' if `sides_first`, else the next eight k's.
    __device__ __forceinline__ static void load(u32 (&out)[4], Half* tile, u32 side, u32 k, bool sides_first) {
        u32 lane = threadIdx.x % 32, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
        side += sides_first ? second : third, k += sides_first ? third : second;
        if constexpr (Base::K_IN_LINES) load_matrices(out, at(tile, side + lane % 8, k));
        else load_matrices_transposed(out, at(tile, k + lane % 8, side));
    }
};

// One tile: BM × BN sums by 8 warps of WM × WN each, DEPTH k at a time; lines are multiples of eight numbers, and
// aligned.
template <int BM, int BN, int WM, int WN, int STAGES, int DEPTH, class Left, class Right, class Out>
__device__ __forceinline__ void product_half(const Left& left, const Right& right, const Out& out, TileOffset at) {
    constexpr int WARPS_ACROSS = BN / WN, MT = WM / 16, NT = WN / 8;
    static_assert(BM / WM * WARPS_ACROSS == 8, "eight warps");
    static_assert(NT % 2 == 0, "columns come in sixteens");
    typedef Pieces<Left, BM, DEPTH> LeftPieces;
    typedef Pieces<Right, BN, DEPTH> RightPieces;
    DYNAMIC_SHARED(shared);
    auto left_tile = [&](u32 stage) { return (Half*)shared + stage * (LeftPieces::LENGTH + RightPieces::LENGTH); };
    auto right_tile = [&](u32 stage) { return left_tile(stage) + LeftPieces::LENGTH; };
    LeftPieces left_pieces(left, at.row);
    RightPieces right_pieces(right, at.column);
    u32 warp = threadIdx.x / 32, steps = (at.end - at.begin + DEPTH - 1) / DEPTH;
    auto fetch = [&](u32 step) {
        if (step < steps) {
            u32 k = at.begin + step * DEPTH, stage = step % STAGES;
            left_pieces.copy(left_tile(stage), k);
            right_pieces.copy(right_tile(stage), k);
        }
        // A group for each step, empty past the end, so that their count tells what has arrived.
        commit_copies();
    };

    float sums[MT][NT][4] = {};
    u32 warp_row = warp / WARPS_ACROSS * WM, warp_column = warp % WARPS_ACROSS * WN;
    for (int stage = 0; stage < STAGES - 1; stage++) fetch(stage);
    for (u32 step = 0; step < steps; step++) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        // The stage that was read in the last turn is free: all threads are past it.
        fetch(step + STAGES - 1);
        Half* of_left = left_tile(step % STAGES);
        Half* of_right = right_tile(step % STAGES);
#pragma unroll
        for (int k = 0; k < DEPTH; k += 16) {
            u32 a[MT][4], b[NT / 2][4];
#pragma unroll
            for (int i = 0; i < MT; i++) LeftPieces::load(a[i], of_left, warp_row + i * 16, k, true);
#pragma unroll
            for (int j = 0; j < NT / 2; j++) RightPieces::load(b[j], of_right, warp_column + j * 16, k, false);
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++)
                    multiply_add_16x8x16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    }
    put_fragments(sums, out, at.row + warp_row, at.column + warp_column);
}
