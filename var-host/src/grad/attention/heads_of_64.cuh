// Heads of 64 in shorts on tensor cores: blocks of 128 threads, tiles of 64 queries and 64 keys, a warp sixteen rows
// of the tile that stays; the tiles that pass by come through shared memory, two stages of them. What a lane holds
// of a product is what the next product wants of its first operand.

#define LOG2_E 1.44269504f
#define SIDE 64
#define TILE_64 (SIDE * SIDE)

// Operands of all heads; dout, q: sequences × queries × heads · 64; k, v: sequences × keys × heads · 64.
struct Heads {
    const Half *dout, *q, *k, *v;
    float scale;
    u32 heads, queries, keys;

    __device__ __forceinline__ u32 width() const { return heads * SIDE; }
    // Where the rows of a head of a sequence begin.
    __device__ __forceinline__ u64 start(u64 number, u32 rows) const {
        return number / heads * rows * width() + number % heads * SIDE;
    }
    // The same operands of one head alone.
    __device__ __forceinline__ Heads one(u64 number) const {
        u64 of_queries = start(number, queries), of_keys = start(number, keys);
        return {dout + of_queries, q + of_queries, k + of_keys, v + of_keys, scale, heads, queries, keys};
    }
};

// Rows of 64 shorts in shared memory: eight pieces of 16 bytes, whose order changes from row to row.
__device__ __forceinline__ Half* piece_of(Half* tile, u32 row, u32 piece) {
    return tile + row * SIDE + (piece ^ row % 8) * 8;
}

// Begins to copy 64 rows from `row` on; those past `rows` are zeros.
__device__ __forceinline__ void fetch_tile(Half* tile, const Half* from, u32 row, u32 rows, u32 width) {
    for (u32 i = threadIdx.x; i < SIDE * 8; i += 128) {
        u32 r = i / 8, piece = i % 8;
        bool inside = row + r < rows;
        copy_16_async(piece_of(tile, r, piece), from + (u64)(inside ? row + r : 0) * width + piece * 8, inside);
    }
}

// The warp's own sixteen rows of a tile, as first operand.
__device__ __forceinline__ void load_own_rows(u32 (&a)[4][4], Half* tile) {
    u32 lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
#pragma unroll
    for (int step = 0; step < 4; step++) load_matrices(a[step], piece_of(tile, row + lane % 16, step * 2 + lane / 16));
}

// sums = own rows · sixteen rows of a tile, from `row` on.
__device__ __forceinline__ void multiply_rows(float (&sums)[2][4], const u32 (&own)[4][4], Half* tile, u32 row) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 4; i++) sums[0][i] = sums[1][i] = 0.0f;
#pragma unroll
    for (int step = 0; step < 4; step++) {
        u32 b[4];
        load_matrices(b, piece_of(tile, row + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
        multiply_add_16x8x16(sums[0], own[step], b[0], b[1]);
        multiply_add_16x8x16(sums[1], own[step], b[2], b[3]);
    }
}

// sums += weights, 16 × 16, · sixteen rows of a tile, from `row` on.
__device__ __forceinline__ void add_weighted_rows(
    float (&sums)[8][4], const float (&weights)[2][4], Half* tile, u32 row) {
    u32 lane = threadIdx.x % 32;
    u32 a[4] = {
        pack_half(weights[0][0], weights[0][1]), pack_half(weights[0][2], weights[0][3]),
        pack_half(weights[1][0], weights[1][1]), pack_half(weights[1][2], weights[1][3])};
#pragma unroll
    for (int n = 0; n < 4; n++) {
        u32 b[4];
        load_matrices_transposed(b, piece_of(tile, row + lane % 16, n * 2 + lane / 16));
        multiply_add_16x8x16(sums[2 * n], a, b[0], b[1]);
        multiply_add_16x8x16(sums[2 * n + 1], a, b[2], b[3]);
    }
}

// out += factor · sums for the warp's own rows of a tile, those before `rows`.
__device__ __forceinline__ void add_own_rows(
    float* out, const float (&sums)[8][4], float factor, u32 first, u32 rows, u32 width) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        u32 row = first + threadIdx.x / 32 * 16 + lane / 4 + half * 8;
        if (row >= rows) continue;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            float2& sum = access<float2>(out + (u64)row * width + n * 8 + lane % 4 * 2);
            sum = make_float2(
                fmaf(sums[n][half * 2], factor, sum.x), fmaf(sums[n][half * 2 + 1], factor, sum.y));
        }
    }
}

// Calls `use(of_k, of_v, key)` for tiles of keys up to `end`, the first ones after dout's and q's own rows have been
// loaded to `own_q` and `own_dout`.
template <class Use>
__device__ __forceinline__ void for_tiles_of_keys(
    const Heads& of, u32 first, u32 end, u32 (&own_q)[4][4], u32 (&own_dout)[4][4], Use use) {
    __shared__ __align__(128) Half of_k[2][TILE_64], of_v[2][TILE_64];
    u32 width = of.width();
    fetch_tile(of_k[1], of.q, first, of.queries, width);
    fetch_tile(of_v[1], of.dout, first, of.queries, width);
    fetch_tile(of_k[0], of.k, 0, end, width);
    fetch_tile(of_v[0], of.v, 0, end, width);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    load_own_rows(own_q, of_k[1]);
    load_own_rows(own_dout, of_v[1]);
    for (u32 key = 0, stage = 0; key < end; key += SIDE, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        // The other stage was read in the last turn, which all threads are past.
        if (key + SIDE < end) {
            fetch_tile(of_k[stage ^ 1], of.k, key + SIDE, end, width);
            fetch_tile(of_v[stage ^ 1], of.v, key + SIDE, end, width);
        }
        commit_copies();
        use(of_k[stage], of_v[stage], key);
    }
}

// log_sum, to base 2, and delta of each query: every lane on its own over the keys it holds, then four together.
__device__ __forceinline__ void sums_of_queries(float* log_sums, float* deltas, const Heads& all, const Mask& mask) {
    u32 tiles = (all.queries + SIDE - 1) / SIDE, first = (tiles - 1 - blockIdx.x % tiles) * SIDE;
    u64 number = blockIdx.x / tiles;
    Heads of = all.one(number);
    u32 lane = threadIdx.x % 32, row = first + threadIdx.x / 32 * 16 + lane / 4;
    u32 least = mask.visible(first, of.keys), end = mask.visible(min(first + SIDE, of.queries) - 1, of.keys);
    u32 sees[2] = {
        mask.visible(min(row, of.queries - 1), of.keys), mask.visible(min(row + 8, of.queries - 1), of.keys)};
    float by = of.scale * LOG2_E;
    // Less than any score: the difference of two is a number.
    float most[2] = {-1e30f, -1e30f}, total[2] = {0, 0}, dot[2] = {0, 0};
    u32 own_q[4][4], own_dout[4][4];
    for_tiles_of_keys(of, first, end, own_q, own_dout, [&](Half* of_k, Half* of_v, u32 key) {
        bool masked = key + SIDE > least;
#pragma unroll 2
        for (u32 some = 0; some < SIDE; some += 16) {
            float scores[2][4], products[2][4];
            multiply_rows(scores, own_q, of_k, some);
            multiply_rows(products, own_dout, of_v, some);
            float now[2] = {most[0], most[1]};
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float& score = scores[i / 4][i % 4];
                score *= by;
                if (masked && key + some + i / 4 * 8 + lane % 4 * 2 + i % 2 >= sees[i % 4 / 2]) score = -INFINITE;
                now[i % 4 / 2] = fmaxf(now[i % 4 / 2], score);
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float shrink = exp2_fast(most[half] - now[half]);
                most[half] = now[half], total[half] *= shrink, dot[half] *= shrink;
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float weight = exp2_fast(scores[i / 2][half * 2 + i % 2] - now[half]);
                    total[half] += weight;
                    dot[half] = fmaf(weight, products[i / 2][half * 2 + i % 2], dot[half]);
                }
            }
        }
    });
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float top = fmaxf(most[half], __shfl_xor_sync(~0u, most[half], 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
        float shrink = exp2_fast(most[half] - top), sum = total[half] * shrink, product = dot[half] * shrink;
        for (int apart = 1; apart <= 2; apart *= 2) {
            sum += __shfl_xor_sync(~0u, sum, apart);
            product += __shfl_xor_sync(~0u, product, apart);
        }
        if (lane % 4 > 0 || row + half * 8 >= of.queries) continue;
        log_sums[number * of.queries + row + half * 8] = top + log2f(sum);
        deltas[number * of.queries + row + half * 8] = product / sum;
    }
}

// dq += scale · dS·k
__device__ __forceinline__ void add_dq(
    float* dq, const float* log_sums, const float* deltas, const Heads& all, const Mask& mask) {
    u32 tiles = (all.queries + SIDE - 1) / SIDE, first = (tiles - 1 - blockIdx.x % tiles) * SIDE;
    u64 number = blockIdx.x / tiles;
    Heads of = all.one(number);
    u32 lane = threadIdx.x % 32, row = first + threadIdx.x / 32 * 16 + lane / 4;
    u32 least = mask.visible(first, of.keys), end = mask.visible(min(first + SIDE, of.queries) - 1, of.keys);
    u32 sees[2];
    float log_sum[2], delta[2], by = of.scale * LOG2_E;
    for (u32 half = 0; half < 2; half++) {
        u32 query = min(row + half * 8, of.queries - 1);
        sees[half] = mask.visible(query, of.keys);
        log_sum[half] = log_sums[number * of.queries + query], delta[half] = deltas[number * of.queries + query];
    }
    float sums[8][4] = {};
    u32 own_q[4][4], own_dout[4][4];
    for_tiles_of_keys(of, first, end, own_q, own_dout, [&](Half* of_k, Half* of_v, u32 key) {
        bool masked = key + SIDE > least;
#pragma unroll 2
        for (u32 some = 0; some < SIDE; some += 16) {
            float scores[2][4], products[2][4];
            multiply_rows(scores, own_q, of_k, some);
            multiply_rows(products, own_dout, of_v, some);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                u32 half = i % 4 / 2;
                float p = exp2_fast(fmaf(scores[i / 4][i % 4], by, -log_sum[half]));
                if (masked && key + some + i / 4 * 8 + lane % 4 * 2 + i % 2 >= sees[half]) p = 0.0f;
                scores[i / 4][i % 4] = p * (products[i / 4][i % 4] - delta[half]);
            }
            add_weighted_rows(sums, scores, of_k, some);
        }
    });
    add_own_rows(dq + all.start(number, of.queries), sums, of.scale, first, of.queries, of.width());
}

// dk += scale · dSᵀ·q, dv += Pᵀ·dout
__device__ __forceinline__ void add_dk_dv(
    float* dk, float* dv, const float* log_sums, const float* deltas, const Heads& all, const Mask& mask) {
    __shared__ __align__(128) Half of_q[2][TILE_64], of_dout[2][TILE_64];
    __shared__ float of_log_sums[2][SIDE], of_deltas[2][SIDE];
    __shared__ u32 of_sees[2][SIDE];
    u32 tiles = (all.keys + SIDE - 1) / SIDE, key = blockIdx.x % tiles * SIDE;
    u64 number = blockIdx.x / tiles;
    Heads of = all.one(number);
    log_sums += number * of.queries, deltas += number * of.queries;
    u32 lane = threadIdx.x % 32, row = key + threadIdx.x / 32 * 16 + lane / 4, width = of.width();
    float by = of.scale * LOG2_E;

    auto fetch = [&](u32 stage, u32 query) {
        fetch_tile(of_q[stage], of.q, query, of.queries, width);
        fetch_tile(of_dout[stage], of.dout, query, of.queries, width);
        u32 own = query + threadIdx.x;
        if (threadIdx.x >= SIDE) return;
        // A query past the last one sees nothing.
        bool inside = own < of.queries;
        of_sees[stage][threadIdx.x] = inside ? mask.visible(own, of.keys) : 0;
        of_log_sums[stage][threadIdx.x] = inside ? log_sums[own] : 0.0f;
        of_deltas[stage][threadIdx.x] = inside ? deltas[own] : 0.0f;
    };
    u32 query = mask.first_that_sees(key);
    fetch_tile(of_q[1], of.k, key, of.keys, width);
    fetch_tile(of_dout[1], of.v, key, of.keys, width);
    fetch(0, query);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    u32 own_k[4][4], own_v[4][4];
    load_own_rows(own_k, of_q[1]);
    load_own_rows(own_v, of_dout[1]);
    float of_dk[8][4] = {}, of_dv[8][4] = {};
    for (u32 stage = 0; query < of.queries; query += SIDE, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        // The other stage was read in the last turn, which all threads are past.
        if (query + SIDE < of.queries) fetch(stage ^ 1, query + SIDE);
        commit_copies();
        // The first query sees the fewest keys, and queries past the last one none.
        bool masked = of_sees[stage][0] < key + SIDE || query + SIDE > of.queries;
#pragma unroll 2
        for (u32 some = 0; some < SIDE; some += 16) {
            float p[2][4], ds[2][4];
            multiply_rows(p, own_k, of_q[stage], some);
            multiply_rows(ds, own_v, of_dout[stage], some);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                u32 column = some + i / 4 * 8 + lane % 4 * 2 + i % 2;
                float weight = exp2_fast(fmaf(p[i / 4][i % 4], by, -of_log_sums[stage][column]));
                if (masked && row + i % 4 / 2 * 8 >= of_sees[stage][column]) weight = 0.0f;
                p[i / 4][i % 4] = weight;
                ds[i / 4][i % 4] = weight * (ds[i / 4][i % 4] - of_deltas[stage][column]);
            }
            add_weighted_rows(of_dv, p, of_dout[stage], some);
            add_weighted_rows(of_dk, ds, of_q[stage], some);
        }
    }
    u64 start = all.start(number, of.keys);
    add_own_rows(dk + start, of_dk, of.scale, key, of.keys, width);
    add_own_rows(dv + start, of_dv, 1.0f, key, of.keys, width);
}
