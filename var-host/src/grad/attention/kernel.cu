// Gradients of out = P·v, P = softmax(scale · q·kᵀ), for each sequence and head. P is computed again tile by tile,
// from each query's log_sum = ln sum_j e^(scale · q·k[j]); with dP = dout·vᵀ and delta = sum_j P · dP:
//
// dq += scale · dS·k, dk += scale · dSᵀ·q, dv += Pᵀ·dout, dS = P ∘ (dP - delta).
//
// Three kernels: log_sum and delta of each query; dq, one block a tile of queries; dk and dv, one block a tile of
// keys. Tiles that see nothing of each other are skipped. Heads of 64 in shorts: heads_of_64.cuh. Any other:
// blocks of 256 threads, tiles of 32 × 32 in f32; sums over a tile are added to the gradients at once.

#define TILE 32
#define PADDED (TILE + 4)

// One head of one sequence: where its rows of each operand begin.
struct Head {
    const float *dout, *q, *k, *v;
    u32 width, head_width, queries, keys;
};

// scores[i][j] = q[i]·k[j] and products[i][j] = dout[i]·v[j] of a tile's queries and keys, zeros past the last ones:
// half of the threads one, half the other, two queries and four keys a thread.
__device__ __forceinline__ void scores_of_tile(
    float (*scores)[PADDED], float (*products)[PADDED], const Head& of, u32 query, u32 key) {
    __shared__ __align__(16) float left[2][TILE][PADDED], right[2][TILE][PADDED];
    u32 thread = threadIdx.x, half = thread / 128, i = thread % 128 / 8 * 2, j = thread % 8 * 4;
    float sums[2][4] = {};
    for (u32 channel = 0; channel < of.head_width; channel += TILE) {
        __syncthreads();
        u32 c = thread % TILE;
        bool in_head = channel + c < of.head_width;
#pragma unroll 2
        for (u32 row = thread / TILE; row < TILE; row += 256 / TILE) {
            u64 of_query = (u64)(query + row) * of.width + channel + c;
            u64 of_key = (u64)(key + row) * of.width + channel + c;
            bool has_query = in_head && query + row < of.queries, has_key = in_head && key + row < of.keys;
            left[0][c][row] = has_query ? of.q[of_query] : 0.0f;
            left[1][c][row] = has_query ? of.dout[of_query] : 0.0f;
            right[0][c][row] = has_key ? of.k[of_key] : 0.0f;
            right[1][c][row] = has_key ? of.v[of_key] : 0.0f;
        }
        __syncthreads();
#pragma unroll 8
        for (int at = 0; at < TILE; at++) {
            float2 a = *reinterpret_cast<const float2*>(&left[half][at][i]);
            float4 b = *reinterpret_cast<const float4*>(&right[half][at][j]);
            sums[0][0] = fmaf(a.x, b.x, sums[0][0]), sums[1][0] = fmaf(a.y, b.x, sums[1][0]);
            sums[0][1] = fmaf(a.x, b.y, sums[0][1]), sums[1][1] = fmaf(a.y, b.y, sums[1][1]);
            sums[0][2] = fmaf(a.x, b.z, sums[0][2]), sums[1][2] = fmaf(a.y, b.z, sums[1][2]);
            sums[0][3] = fmaf(a.x, b.w, sums[0][3]), sums[1][3] = fmaf(a.y, b.w, sums[1][3]);
        }
    }
    for (int row = 0; row < 2; row++)
        for (int column = 0; column < 4; column++) (half ? products : scores)[i + row][j + column] = sums[row][column];
    __syncthreads();
}

// out[i, c] += sum_j weights[j][i] · x[j, c], i the warp's own four rows of a tile, `rows` of them inside.
__device__ __forceinline__ void add_weighted(
    float* out, u32 rows, const float (*weights)[PADDED], const float* x, u32 count, u32 width, u32 head_width) {
    u32 lane = threadIdx.x % 32, first = threadIdx.x / 32 * 4;
    for (u32 c = lane; c < head_width; c += 32) {
        float sums[4] = {};
        for (u32 j = 0; j < count; j++) {
            float of_x = x[(u64)j * width + c];
            float4 weight = *reinterpret_cast<const float4*>(&weights[j][first]);
            sums[0] = fmaf(weight.x, of_x, sums[0]), sums[1] = fmaf(weight.y, of_x, sums[1]);
            sums[2] = fmaf(weight.z, of_x, sums[2]), sums[3] = fmaf(weight.w, of_x, sums[3]);
        }
        for (u32 i = 0; i < 4; i++)
            if (first + i < rows) out[(u64)(first + i) * width + c] += sums[i];
    }
}

#define HEAD(block)                                                                                           \
    u32 width = heads * head_width, head = block % heads;                                                     \
    u64 sequence = block / heads, of_queries = sequence * queries * width + head * head_width,                 \
        of_keys = sequence * keys * width + head * head_width;                                                \
    log_sums += (u64)(block) * queries, deltas += (u64)(block) * queries;                                      \
    Head of = {dout + of_queries, q + of_queries, k + of_keys, v + of_keys, width, head_width, queries, keys}

// log_sum and delta of each query.
KERNEL(256) void attention_sums(
    float* log_sums, float* deltas, const float* dout, const float* q, const float* k, const float* v, float scale,
    const u32* ends, u32 scales, u32 heads, u32 head_width, u32 queries, u32 keys) {
    Mask mask = {ends, scales};
    __shared__ float scores[TILE][PADDED], products[TILE][PADDED];
    u32 tiles = (queries + TILE - 1) / TILE, first = (tiles - 1 - blockIdx.x % tiles) * TILE;
    HEAD(blockIdx.x / tiles);
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 end = mask.visible(min(first + TILE, queries) - 1, keys), sees[4];
    float most[4], total[4] = {}, dot[4] = {};
    for (int i = 0; i < 4; i++) {
        sees[i] = mask.visible(min(first + warp * 4 + i, queries - 1), keys);
        most[i] = -INFINITE;
    }
    for (u32 key = 0; key < end; key += TILE) {
        scores_of_tile(scores, products, of, first, key);
        for (int i = 0; i < 4; i++) {
            float score = key + lane < sees[i] ? scores[warp * 4 + i][lane] * scale : -INFINITE;
            float now = fmaxf(most[i], warp_max(score));
            float weight = exponential(score - now), shrink = exponential(most[i] - now);
            total[i] = fmaf(total[i], shrink, warp_sum(weight));
            dot[i] = fmaf(dot[i], shrink, warp_sum(weight * products[warp * 4 + i][lane]));
            most[i] = now;
        }
    }
    for (int i = 0; i < 4; i++) {
        u32 query = first + warp * 4 + i;
        if (lane > 0 || query >= queries) continue;
        log_sums[query] = most[i] + logf(total[i]);
        deltas[query] = dot[i] / total[i];
    }
}

KERNEL(256) void attention_dq(
    float* dq, const float* log_sums, const float* deltas, const float* dout, const float* q, const float* k,
    const float* v, float scale, const u32* ends, u32 scales, u32 heads, u32 head_width, u32 queries, u32 keys) {
    Mask mask = {ends, scales};
    __shared__ float scores[TILE][PADDED], products[TILE][PADDED];
    __shared__ __align__(16) float turned[TILE][PADDED];
    u32 tiles = (queries + TILE - 1) / TILE, first = (tiles - 1 - blockIdx.x % tiles) * TILE;
    HEAD(blockIdx.x / tiles);
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 end = mask.visible(min(first + TILE, queries) - 1, keys);
    for (u32 key = 0; key < end; key += TILE) {
        scores_of_tile(scores, products, of, first, key);
#pragma unroll 1
        for (int i = 0; i < 4; i++) {
            u32 row = warp * 4 + i, query = min(first + row, queries - 1);
            bool sees = key + lane < mask.visible(query, keys);
            float p = sees ? exponential(fmaf(scores[row][lane], scale, -log_sums[query])) : 0.0f;
            turned[lane][row] = p * (products[row][lane] - deltas[query]) * scale;
        }
        __syncthreads();
        add_weighted(
            dq + of_queries + (u64)first * width, min((u32)TILE, queries - first), turned, of.k + (u64)key * width,
            min((u32)TILE, end - key), width, head_width);
    }
}

KERNEL(256) void attention_dk_dv(
    float* dk, float* dv, const float* log_sums, const float* deltas, const float* dout, const float* q,
    const float* k, const float* v, float scale, const u32* ends, u32 scales, u32 heads, u32 head_width, u32 queries,
    u32 keys) {
    Mask mask = {ends, scales};
    __shared__ __align__(16) float p[TILE][PADDED], ds[TILE][PADDED];
    u32 tiles = (keys + TILE - 1) / TILE, key = blockIdx.x % tiles * TILE;
    HEAD(blockIdx.x / tiles);
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, rows = min((u32)TILE, keys - key);
    dk += of_keys + (u64)key * width, dv += of_keys + (u64)key * width;
    for (u32 first = mask.first_that_sees(key); first < queries; first += TILE) {
        scores_of_tile(p, ds, of, first, key);
        for (int i = 0; i < 4; i++) {
            u32 row = warp * 4 + i, query = min(first + row, queries - 1);
            bool sees = first + row < queries && key + lane < mask.visible(query, keys);
            float weight = sees ? exponential(fmaf(p[row][lane], scale, -log_sums[query])) : 0.0f;
            p[row][lane] = weight;
            ds[row][lane] = weight * (ds[row][lane] - deltas[query]) * scale;
        }
        __syncthreads();
        u32 count = min((u32)TILE, queries - first);
        add_weighted(dv, rows, p, of.dout + (u64)first * width, count, width, head_width);
        add_weighted(dk, rows, ds, of.q + (u64)first * width, count, width, head_width);
    }
}

// Heads of 64 in shorts.

KERNEL(128) void attention_64_sums(
    float* log_sums, float* deltas, const Half* dout, const Half* q, const Half* k, const Half* v, float scale,
    const u32* ends, u32 scales, u32 heads, u32 queries, u32 keys) {
    sums_of_queries(log_sums, deltas, {dout, q, k, v, scale, heads, queries, keys}, {ends, scales});
}

KERNEL(128) void attention_64_dq(
    float* dq, const float* log_sums, const float* deltas, const Half* dout, const Half* q, const Half* k,
    const Half* v, float scale, const u32* ends, u32 scales, u32 heads, u32 queries, u32 keys) {
    add_dq(dq, log_sums, deltas, {dout, q, k, v, scale, heads, queries, keys}, {ends, scales});
}

KERNEL(128) void attention_64_dk_dv(
    float* dk, float* dv, const float* log_sums, const float* deltas, const Half* dout, const Half* q,
    const Half* k, const Half* v, float scale, const u32* ends, u32 scales, u32 heads, u32 queries, u32 keys) {
    add_dk_dv(dk, dv, log_sums, deltas, {dout, q, k, v, scale, heads, queries, keys}, {ends, scales});
}
