// Products of rows with rows, out[r, c] = finish(sum_k left[r, k] · right[c, k]), shared by linear layers and
// convolutions. `right` is a weight matrix; `left` is rows of a matrix, or the neighbourhoods of pixels.
//
// Singles: 256 threads, a tile of BM × BN sums, sixteen k at a time through shared memory; each sum is one
// chain of fused multiply-adds in order of k, as on the CPU.
// Shorts: 256 threads (8 warps), tensor cores, 64 k at a time, STAGES copies under way.

// What is done to a sum before it is written.
enum FinishKind { PLAIN, GELU, GATED, PLUS, RELU };

struct Finish {
    u32 kind;
    const float* bias;      // columns, or null
    const float* residual;  // GATED: rows × columns; PLAIN and RELU: the same, or null
    PerRow gate;            // GATED
    const float* table;     // PLUS: period × columns
    u32 period;
};

// The numbers of one row that `finish` needs.
struct FinishRow {
    const float* residual;
    const float* gate;
    const float* table;
};

__device__ __forceinline__ FinishRow finish_row(const Finish& finish, u32 row, u32 columns) {
    FinishRow of = {};
    if (finish.residual) of.residual = finish.residual + (u64)row * columns;
    if (finish.kind == GATED) of.gate = row_of(finish.gate, row);
    if (finish.kind == PLUS) of.table = finish.table + (u64)(row % finish.period) * columns;
    return of;
}

__device__ __forceinline__ float finished(const Finish& finish, const FinishRow& of, u32 column, float sum) {
    if (finish.bias) sum = __fadd_rn(sum, finish.bias[column]);
    switch (finish.kind) {
        case GELU: return gelu_of(sum);
        case GATED: return fmaf(of.gate[column], sum, of.residual[column]);
        case PLUS: return __fadd_rn(sum, of.table[column]);
        default:
            if (of.residual) sum = __fadd_rn(sum, of.residual[column]);
            return finish.kind == RELU && sum < 0.0f ? 0.0f : sum;
    }
}

// Where a product's rows go, and where what finishes them comes from: one behind the other if `out` is a pointer,
// else as its methods say.
template <class Number>
__device__ __forceinline__ u32 place_of(Number*, u32 row) { return row; }
template <class Out>
__device__ __forceinline__ u32 place_of(Out out, u32 row) { return out.place(row); }

template <class Number>
__device__ __forceinline__ Number* row_at(Number* out, u32 place, u32 columns) { return out + (u64)place * columns; }
template <class Out>
__device__ __forceinline__ auto row_at(Out out, u32 place, u32) { return out.row(place); }

// Whether each row of a product begins where two numbers can be stored together.
template <class Number>
__device__ __forceinline__ bool in_pairs(Number*, u32 columns) { return columns % 2 == 0; }
template <class Out>
__device__ __forceinline__ bool in_pairs(Out out, u32) { return out.in_pairs(); }

// Parts of longer rows.
template <class Number>
struct Parts {
    Number* numbers;  // where the part of the first row begins
    u32 stride;       // from row to row

    __device__ __forceinline__ u32 place(u32 row) const { return row; }
    __device__ __forceinline__ Number* row(u32 place) const { return numbers + (u64)place * stride; }
    __device__ __forceinline__ bool in_pairs() const {
        return stride % 2 == 0 && (u64)numbers % (2 * sizeof(Number)) == 0;
    }
};

// Rows of `depth` numbers, one behind the other.
template <class Number>
struct Rows {
    const Number* numbers;
    u32 rows, depth;
    u32 aligned;  // whether every row begins at a multiple of 16 bytes

    struct Place {
        const Number* row;  // null past the end
    };
    __device__ __forceinline__ Place place(u32 row) const {
        return {row < rows ? numbers + (u64)row * depth : nullptr};
    }
    // Where the numbers from k on lie, if they are inside.
    __device__ __forceinline__ const Number* at(Place place, u32 k) const {
        return place.row && k < depth ? place.row + k : nullptr;
    }
};

// How a convolution's output grid relates to its input's.
enum Grid { SAME, HALVED, DOUBLED };

// The neighbourhood of each output pixel: rows of `side` input pixels of `inner` channels, k = tap · inner + i;
// outside of the picture there are zeros.
template <class Number>
struct Neighbours {
    const Number* numbers;
    u32 rows, depth;
    u32 aligned;
    u32 height, width, inner, side;
    u32 stride, border_y, border_x;  // the first tap of pixel y lies at y · stride - border
    u32 doubled;                     // whether the taps see each input pixel twice both ways
    u32 out_height, out_width;

    struct Place {
        const Number* picture;  // null past the end
        int y, x;               // of the first tap
    };
    __device__ __forceinline__ Place place(u32 row) const {
        if (row >= rows) return {nullptr, 0, 0};
        u32 x = row % out_width, y = row / out_width % out_height, picture = row / out_width / out_height;
        return {
            numbers + (u64)picture * height * width * inner, (int)(y * stride) - (int)border_y,
            (int)(x * stride) - (int)border_x};
    }
    __device__ __forceinline__ const Number* at(Place place, u32 k) const {
        if (!place.picture || k >= depth) return nullptr;
        u32 tap = k / inner, i = k % inner;
        int y = place.y + (int)(tap / side), x = place.x + (int)(tap % side);
        if (y < 0 || x < 0) return nullptr;
        if (doubled) y /= 2, x /= 2;
        if (y >= (int)height || x >= (int)width) return nullptr;
        return place.picture + ((u64)y * width + x) * inner + i;
    }
};

// The neighbourhoods that a square kernel of 1 or 3 sees, by how the output's grid relates to the input's.
template <class Number>
__device__ __forceinline__ Neighbours<Number> neighbours_on(
    u32 grid, const Number* numbers, u32 rows, u32 aligned, u32 height, u32 width, u32 inner, u32 side, u32 out_height,
    u32 out_width) {
    u32 stride = grid == HALVED ? 2 : 1, border = grid == HALVED ? 0 : side / 2;
    return {
        numbers, rows,   side * side * inner, aligned, height,          width,      inner,
        side,    stride, border,              border,  grid == DOUBLED, out_height, out_width};
}

// Four numbers from k on, zeros outside.
template <class Left>
__device__ __forceinline__ float4 load_four(const Left& left, typename Left::Place place, u32 k) {
    if (left.aligned) {
        const float* from = left.at(place, k);
        return from ? *reinterpret_cast<const float4*>(from) : make_float4(0, 0, 0, 0);
    }
    float some[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float* from = left.at(place, k + i);
        some[i] = from ? *from : 0.0f;
    }
    return make_float4(some[0], some[1], some[2], some[3]);
}

// One tile of singles; `aligned` operands have depths that are multiples of four.
template <int BM, int BN, class Out, class Left>
__device__ __forceinline__ void product_single(
    Out out, const Left& left, const Rows<float>& right, const Finish& finish, u32 tile_row, u32 tile_column) {
    constexpr int DEPTH = 16, THREADS = 256;
    constexpr int TM = BM / 16, TN = BN / 16, GM = TM < 4 ? TM : 4, GN = TN < 4 ? TN : 4;
    constexpr int LEFT_FOURS = BM * DEPTH / 4, RIGHT_FOURS = BN * DEPTH / 4;
    constexpr int LEFT_EACH = (LEFT_FOURS + THREADS - 1) / THREADS, RIGHT_EACH = (RIGHT_FOURS + THREADS - 1) / THREADS;
    __shared__ float of_left[DEPTH][BM + 4];
    __shared__ float of_right[DEPTH][BN + 4];
    u32 thread = threadIdx.x, down = thread / 16, across = thread % 16;
    u32 depth = left.depth, columns = right.rows;

    typename Left::Place left_places[LEFT_EACH];
    Rows<float>::Place right_places[RIGHT_EACH];
#pragma unroll
    for (int i = 0; i < LEFT_EACH; i++) left_places[i] = left.place(tile_row + (thread + i * THREADS) / 4);
#pragma unroll
    for (int i = 0; i < RIGHT_EACH; i++) right_places[i] = right.place(tile_column + (thread + i * THREADS) / 4);
    float4 next_left[LEFT_EACH], next_right[RIGHT_EACH];
    auto fetch = [&](u32 k) {
#pragma unroll
        for (int i = 0; i < LEFT_EACH; i++) next_left[i] = load_four(left, left_places[i], k + thread % 4 * 4);
#pragma unroll
        for (int i = 0; i < RIGHT_EACH; i++) next_right[i] = load_four(right, right_places[i], k + thread % 4 * 4);
    };

    float sums[TM][TN] = {};
    fetch(0);
    for (u32 k = 0; k < depth; k += DEPTH) {
#pragma unroll
        for (int i = 0; i < LEFT_EACH; i++) {
            u32 number = thread + i * THREADS, row = number / 4, at = number % 4 * 4;
            if (number >= LEFT_FOURS) break;
            of_left[at][row] = next_left[i].x, of_left[at + 1][row] = next_left[i].y;
            of_left[at + 2][row] = next_left[i].z, of_left[at + 3][row] = next_left[i].w;
        }
#pragma unroll
        for (int i = 0; i < RIGHT_EACH; i++) {
            u32 number = thread + i * THREADS, row = number / 4, at = number % 4 * 4;
            if (number >= RIGHT_FOURS) break;
            of_right[at][row] = next_right[i].x, of_right[at + 1][row] = next_right[i].y;
            of_right[at + 2][row] = next_right[i].z, of_right[at + 3][row] = next_right[i].w;
        }
        __syncthreads();
        if (k + DEPTH < depth) fetch(k + DEPTH);
        // Past the depth there are zeros: they change no sum but the sign of a zero.
#pragma unroll
        for (int at = 0; at < DEPTH; at++) {
            float a[TM], b[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) a[i] = of_left[at][i / GM * 16 * GM + down * GM + i % GM];
#pragma unroll
            for (int i = 0; i < TN; i++) b[i] = of_right[at][i / GN * 16 * GN + across * GN + i % GN];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TM; i++) {
        u32 row = tile_row + i / GM * 16 * GM + down * GM + i % GM;
        if (row >= left.rows) continue;
        u32 place = place_of(out, row);
        FinishRow of = finish_row(finish, place, columns);
        float* to = row_at(out, place, columns);
#pragma unroll
        for (int j = 0; j < TN; j++) {
            u32 column = tile_column + j / GN * 16 * GN + across * GN + j % GN;
            if (column < columns) to[column] = finished(finish, of, column, sums[i][j]);
        }
    }
}

// Rows of 64 short numbers in shared memory are 128 bytes: eight pieces of 16, whose order changes from row to
// row so that eight rows' pieces lie in different banks.
__device__ __forceinline__ Short* piece_of(Short* tile, u32 row, u32 piece) {
    return tile + row * 64 + (piece ^ row % 8) * 8;
}

__device__ __forceinline__ void store_pair(float* to, float a, float b, bool together) {
    if (together) *reinterpret_cast<float2*>(to) = make_float2(a, b);
    else to[0] = a, to[1] = b;
}
__device__ __forceinline__ void store_pair(Short* to, float a, float b, bool together) {
    if (together) *reinterpret_cast<u32*>(to) = pack_short(a, b);
    else to[0] = narrow(a), to[1] = narrow(b);
}

// Bytes of shared memory of a tile of shorts.
#define PRODUCT_SHARED(BM, BN, STAGES) ((BM + BN) * 64 * 2 * STAGES)

// One tile of shorts: BM × BN sums by 8 warps of WM × WN each; depths are multiples of eight, rows aligned.
template <int BM, int BN, int WM, int WN, int STAGES, class Out, class Left>
__device__ __forceinline__ void product_short(
    Out out, const Left& left, const Rows<Short>& right, const Finish& finish, u32 tile_row, u32 tile_column,
    unsigned char* shared) {
    constexpr int DEPTH = 64, THREADS = 256, PIECES = DEPTH / 8;
    constexpr int WARPS_ACROSS = BN / WN, MT = WM / 16, NT = WN / 8;
    static_assert(BM / WM * WARPS_ACROSS == THREADS / 32, "eight warps");
    static_assert(NT % 2 == 0, "columns come in sixteens");
    constexpr int LEFT_EACH = BM * PIECES / THREADS, RIGHT_EACH = (BN * PIECES + THREADS - 1) / THREADS;
    u32 thread = threadIdx.x, lane = thread % 32, warp = thread / 32, piece = thread % PIECES;
    u32 depth = left.depth, columns = right.rows, blocks = (depth + DEPTH - 1) / DEPTH;
    auto left_tile = [&](u32 stage) { return (Short*)shared + stage * (BM + BN) * DEPTH; };
    auto right_tile = [&](u32 stage) { return left_tile(stage) + BM * DEPTH; };

    typename Left::Place left_places[LEFT_EACH];
    Rows<Short>::Place right_places[RIGHT_EACH];
#pragma unroll
    for (int i = 0; i < LEFT_EACH; i++) left_places[i] = left.place(tile_row + thread / PIECES + i * THREADS / PIECES);
#pragma unroll
    for (int i = 0; i < RIGHT_EACH; i++)
        right_places[i] = right.place(tile_column + thread / PIECES + i * THREADS / PIECES);
    auto fetch = [&](u32 block) {
        u32 k = block * DEPTH + piece * 8, stage = block % STAGES;
        if (block < blocks) {
#pragma unroll
            for (int i = 0; i < LEFT_EACH; i++) {
                const Short* from = left.at(left_places[i], k);
                u32 row = thread / PIECES + i * THREADS / PIECES;
                copy_16_async(piece_of(left_tile(stage), row, piece), from ? from : left.numbers, from);
            }
#pragma unroll
            for (int i = 0; i < RIGHT_EACH; i++) {
                const Short* from = right.at(right_places[i], k);
                u32 row = thread / PIECES + i * THREADS / PIECES;
                if (row < BN) copy_16_async(piece_of(right_tile(stage), row, piece), from ? from : right.numbers, from);
            }
        }
        // A group for each block, empty past the end, so that their count tells what has arrived.
        commit_copies();
    };

    float sums[MT][NT][4] = {};
    u32 warp_row = warp / WARPS_ACROSS * WM, warp_column = warp % WARPS_ACROSS * WN;
    for (int stage = 0; stage < STAGES - 1; stage++) fetch(stage);
    for (u32 block = 0; block < blocks; block++) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        // The stage that was read in the last turn is free: all threads are past it.
        fetch(block + STAGES - 1);
        Short* of_left = left_tile(block % STAGES);
        Short* of_right = right_tile(block % STAGES);
#pragma unroll
        for (int step = 0; step < DEPTH / 16; step++) {
            u32 a[MT][4], b[NT / 2][4];
#pragma unroll
            for (int i = 0; i < MT; i++)
                load_matrices(a[i], piece_of(of_left, warp_row + i * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
            for (int j = 0; j < NT / 2; j++)
                load_matrices(
                    b[j],
                    piece_of(of_right, warp_column + j * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++)
                    multiply_add_16x8x16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    }
    bool together = in_pairs(out, columns);
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 row = tile_row + warp_row + i * 16 + half * 8 + lane / 4;
            if (row >= left.rows) continue;
            u32 place = place_of(out, row);
            FinishRow of = finish_row(finish, place, columns);
            auto* to = row_at(out, place, columns);
#pragma unroll
            for (int j = 0; j < NT; j++) {
                u32 column = tile_column + warp_column + j * 8 + lane % 4 * 2;
                if (column >= columns) continue;
                float first = finished(finish, of, column, sums[i][j][half * 2]);
                if (column + 1 < columns) {
                    float second = finished(finish, of, column + 1, sums[i][j][half * 2 + 1]);
                    store_pair(to + column, first, second, together);
                } else {
                    store(to + column, first);
                }
            }
        }
    }
}

// The tile of this block: tiles of one row of tiles follow each other, so that they find its rows in the cache.
__device__ __forceinline__ void tile_of_block(u32 columns, int BM, int BN, u32& row, u32& column) {
    u32 across = (columns + BN - 1) / BN;
    row = blockIdx.x / across * BM;
    column = blockIdx.x % across * BN;
}
