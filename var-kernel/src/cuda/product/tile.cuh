// Products out[r, c] = sum_k left[r, k] · right[c, k], tile by tile, shared by linear layers, convolutions and
// their gradients: 256 threads bring tiles of both operands through shared memory.

// How many k of f32 are brought at a time.
constexpr int SINGLES_DEPTH = 16;

// Where the tile of a block begins, and which part of the depth is its.
struct TileOffset {
    u32 row, column;
    u32 begin, end;  // k
};

// The tile of this block, over the whole depth: tiles of one row of tiles follow each other, so that they find its
// rows in the cache.
template <int BM, int BN>
__device__ __forceinline__ TileOffset tile_of_block(u32 columns, u32 depth) {
    u32 across = (columns + BN - 1) / BN;
    return {blockIdx.x / across * BM, blockIdx.x % across * BN, 0, depth};
}

// The same over `each` k of it, by blockIdx.y.
template <int BM, int BN>
__device__ __forceinline__ TileOffset tile_of_part(u32 columns, u32 depth, u32 each) {
    TileOffset at = tile_of_block<BM, BN>(columns, depth);
    at.begin = min(blockIdx.y * each, depth);
    at.end = min(at.begin + each, depth);
    return at;
}
