// A tile of f32: sixteen k at a time, the next ones on their way to registers while these are multiplied.

// How they are multiplied and added up: it depends on what the text is compiled for.
#ifdef F32_IS_TF32
template <int BM, int BN>
using SingleSums = TensorSums<BM, BN>;
#else
template <int BM, int BN>
using SingleSums = Chains<BM, BN>;
#endif

// The fours of neighbors that a thread brings of an operand's tile.
template <class Operand, int SIDE>
struct Fours : Brought<Operand, SIDE, SINGLES_DEPTH, 4> {
    typedef Brought<Operand, SIDE, SINGLES_DEPTH, 4> Base;
    using Base::Base;
    float4 fours[Base::EACH];

    __device__ __forceinline__ void fetch(u32 k) {
#pragma unroll
        for (int i = 0; i < Base::EACH; i++) fours[i] = load_four(this->lines, this->place(i, k), this->from(i, k));
    }
    template <class Tile>
    __device__ __forceinline__ void put(Tile& tile) const {
#pragma unroll
        for (int i = 0; i < Base::EACH; i++)
            if (this->has(i)) tile.put(this->line(i), this->along(i), fours[i]);
    }
};

// One tile; `aligned` operands have lines of a multiple of four numbers.
template <int BM, int BN, class Left, class Right, class Out>
__device__ __forceinline__ void product_f32(const Left& left, const Right& right, const Out& out, TileOffset at) {
    typedef SingleSums<BM, BN> Sums;
    __shared__ __align__(16) typename Sums::template Tile<BM, Left::K_IN_LINES> of_left;
    __shared__ __align__(16) typename Sums::template Tile<BN, Right::K_IN_LINES> of_right;
    Fours<Left, BM> next_left(left, at.row);
    Fours<Right, BN> next_right(right, at.column);
    auto fetch = [&](u32 k) { next_left.fetch(k), next_right.fetch(k); };
    Sums sums = {};
    if (at.begin < at.end) fetch(at.begin);
    for (u32 k = at.begin; k < at.end; k += SINGLES_DEPTH) {
        next_left.put(of_left), next_right.put(of_right);
        __syncthreads();
        if (k + SINGLES_DEPTH < at.end) fetch(k + SINGLES_DEPTH);
        // Past the depth there are zeros: they change no sum but the sign of a zero.
        sums.multiply_add(of_left, of_right);
        __syncthreads();
    }
    sums.put(out, at.row, at.column);
}
