// out[i] = sum_j p_ij · v[j], p_ij = softmax_j(scale · q[i]·k[j]) over the keys query i sees, for each sequence
// and head. Keys are taken in tiles with a running maximum; tiles that no query of a block sees are skipped.
//
// Any head width: one block of 128 threads eight queries of a head, sums in f32.
// Heads of 64 in shorts: one block of 128 threads 64 queries of a head, a warp sixteen of them, tensor cores.

// How many keys a query sees: all, or those up to the end of its own scale.
__device__ __forceinline__ u32 visible(const u32* ends, u32 scales, u32 query, u32 keys) {
    if (!ends) return keys;
    for (u32 scale = 0; scale < scales; scale++)
        if (ends[scale] > query) return ends[scale];
    return keys;
}

#define LOG2_E 1.44269504f

// EACH: channels of a thread, at least the head's width over 128.
template <int EACH, class Number>
__device__ __forceinline__ void attention_any(
    Number* out, const Number* q, const Number* k, const Number* v, float scale, const u32* ends, u32 scales,
    u32 heads, u32 head_width, u32 queries, u32 keys, u32 capacity) {
    constexpr int QUERIES = 8, KEYS = 32, CHANNELS = 32;
    DYNAMIC_SHARED(shared);
    float* of_q = (float*)shared;  // QUERIES × head_width
    __shared__ float of_k[KEYS][CHANNELS + 1];
    __shared__ float p[QUERIES][KEYS];
    __shared__ float shrink[QUERIES], totals[QUERIES];
    u32 tiles = (queries + QUERIES - 1) / QUERIES, width = heads * head_width;
    u32 first = blockIdx.x % tiles * QUERIES, head = blockIdx.x / tiles % heads;
    u64 sequence = blockIdx.x / tiles / heads;
    q += sequence * queries * width + head * head_width;
    out += sequence * queries * width + head * head_width;
    k += sequence * capacity * width + head * head_width;
    v += sequence * capacity * width + head * head_width;
    u32 thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    auto query = [&](u32 i) { return min(first + i, queries - 1); };
    for (u32 i = thread; i < QUERIES * head_width; i += blockDim.x)
        of_q[i] = widen(q[(u64)query(i / head_width) * width + i % head_width]);

    // A warp's own two queries.
    u32 sees[2] = {
        visible(ends, scales, query(2 * warp), keys), visible(ends, scales, query(2 * warp + 1), keys)};
    u32 end = visible(ends, scales, query(QUERIES - 1), keys);
    float most[2] = {-INFINITE, -INFINITE}, total[2] = {0, 0};
    float sums[QUERIES][EACH] = {};
    for (u32 key = 0; key < end; key += KEYS) {
        float scores[2] = {0, 0};
        for (u32 channel = 0; channel < head_width; channel += CHANNELS) {
            __syncthreads();
            for (u32 i = thread; i < KEYS * CHANNELS; i += blockDim.x) {
                u32 j = i / CHANNELS, c = i % CHANNELS;
                bool inside = key + j < end && channel + c < head_width;
                of_k[j][c] = inside ? widen(k[(u64)(key + j) * width + channel + c]) : 0.0f;
            }
            __syncthreads();
            u32 count = min((u32)CHANNELS, head_width - channel);
            for (u32 c = 0; c < count; c++) {
                float of_key = of_k[lane][c];
#pragma unroll
                for (int i = 0; i < 2; i++)
                    scores[i] = fmaf(of_q[(2 * warp + i) * head_width + channel + c], of_key, scores[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float score = key + lane < sees[i] ? scores[i] * scale : -INFINITE;
            float now = fmaxf(most[i], warp_max(score));
            float weight = exponential(score - now), smaller = exponential(most[i] - now);
            total[i] = fmaf(total[i], smaller, warp_sum(weight));
            most[i] = now;
            p[2 * warp + i][lane] = weight;
            if (lane == 0) shrink[2 * warp + i] = smaller;
        }
        __syncthreads();
        u32 count = min((u32)KEYS, end - key);
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            u32 c = thread + e * 128;
            if (c < head_width) {
#pragma unroll
                for (int i = 0; i < QUERIES; i++) sums[i][e] *= shrink[i];
                for (u32 j = 0; j < count; j++) {
                    float of_value = widen(v[(u64)(key + j) * width + c]);
#pragma unroll
                    for (int i = 0; i < QUERIES; i++) sums[i][e] = fmaf(p[i][j], of_value, sums[i][e]);
                }
            }
        }
    }
    if (lane == 0) totals[2 * warp] = total[0], totals[2 * warp + 1] = total[1];
    __syncthreads();
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        u32 c = thread + e * 128;
#pragma unroll
        for (int i = 0; i < QUERIES; i++)
            if (c < head_width && first + i < queries) store(out + (u64)(first + i) * width + c, __fdiv_rn(sums[i][e], totals[i]));
    }
}

#define PARAMETERS(Number)                                                                                   \
    Number *out, const Number *q, const Number *k, const Number *v, float scale, const u32 *ends, u32 scales, \
        u32 heads, u32 head_width, u32 queries, u32 keys, u32 capacity
#define ARGUMENTS out, q, k, v, scale, ends, scales, heads, head_width, queries, keys, capacity

KERNEL(128) void attention_128(PARAMETERS(float)) { attention_any<1>(ARGUMENTS); }
KERNEL(128) void attention_640(PARAMETERS(float)) { attention_any<5>(ARGUMENTS); }
KERNEL(128) void attention_1024(PARAMETERS(float)) { attention_any<8>(ARGUMENTS); }
KERNEL(128) void attention_128_half(PARAMETERS(Half)) { attention_any<1>(ARGUMENTS); }
KERNEL(128) void attention_640_half(PARAMETERS(Half)) { attention_any<5>(ARGUMENTS); }
KERNEL(128) void attention_1024_half(PARAMETERS(Half)) { attention_any<8>(ARGUMENTS); }

// Rows of 64 shorts in shared memory: eight pieces of 16 bytes, whose order changes from row to row.
__device__ __forceinline__ Half* piece_of(Half* tile, u32 row, u32 piece) {
    return tile + row * 64 + (piece ^ row % 8) * 8;
}

// Heads of 64 on tensor cores. Scores and sums stay in registers: what a lane holds of the scores is what the
// second product wants of its first operand.
KERNEL(128) void attention_64_half(PARAMETERS(Half)) {
    constexpr int QUERIES = 64, KEYS = 64, WIDTH = 64, TILE = 64 * 64;
    __shared__ __align__(128) Half of_q[TILE];
    __shared__ __align__(128) Half of_k[2][TILE];
    __shared__ __align__(128) Half of_v[2][TILE];
    u32 tiles = (queries + QUERIES - 1) / QUERIES, width = heads * WIDTH;
    // The last queries see the most keys: they go first.
    u32 first = (tiles - 1 - blockIdx.x % tiles) * QUERIES, head = blockIdx.x / tiles % heads;
    u64 sequence = blockIdx.x / tiles / heads;
    q += sequence * queries * width + head * WIDTH;
    out += sequence * queries * width + head * WIDTH;
    k += sequence * capacity * width + head * WIDTH;
    v += sequence * capacity * width + head * WIDTH;
    u32 thread = threadIdx.x, lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;

    // Rows past `rows` are zeros.
    auto fetch = [&](Half* tile, const Half* from, u32 row, u32 rows) {
        for (u32 i = thread; i < 64 * 8; i += 128) {
            u32 r = i / 8, piece = i % 8;
            bool inside = row + r < rows;
            copy_16_async(piece_of(tile, r, piece), from + (u64)(inside ? row + r : 0) * width + piece * 8, inside);
        }
    };
    u32 low = min(first + warp * 16 + g, queries - 1), high = min(first + warp * 16 + g + 8, queries - 1);
    u32 sees[2] = {visible(ends, scales, low, keys), visible(ends, scales, high, keys)};
    u32 least = visible(ends, scales, first, keys);
    u32 end = visible(ends, scales, min(first + QUERIES, queries) - 1, keys);

    fetch(of_q, q, first, queries);
    fetch(of_k[0], k, 0, end);
    fetch(of_v[0], v, 0, end);
    commit_copies();
    u32 a_q[WIDTH / 16][4];
    float sums[WIDTH / 8][4] = {};
    float most[2] = {-INFINITE, -INFINITE}, total[2] = {0, 0};
    float by = scale * LOG2_E;
    for (u32 key = 0, stage = 0; key < end; key += KEYS, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        // The other stage was read in the last turn, which all threads are past.
        if (key + KEYS < end) {
            fetch(of_k[stage ^ 1], k, key + KEYS, end);
            fetch(of_v[stage ^ 1], v, key + KEYS, end);
        }
        commit_copies();
        if (key == 0)
#pragma unroll
            for (int step = 0; step < WIDTH / 16; step++)
                load_matrices(a_q[step], piece_of(of_q, warp * 16 + lane % 16, step * 2 + lane / 16));

        float scores[KEYS / 8][4] = {};
#pragma unroll
        for (int step = 0; step < WIDTH / 16; step++) {
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++) {
                u32 b[4];
                load_matrices(b, piece_of(of_k[stage], j * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
                multiply_add_16x8x16(scores[2 * j], a_q[step], b[0], b[1]);
                multiply_add_16x8x16(scores[2 * j + 1], a_q[step], b[2], b[3]);
            }
        }
        bool masked = key + KEYS > least;
        float now[2] = {most[0], most[1]};
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                scores[j][i] *= by;
                if (masked && key + j * 8 + t * 2 + i % 2 >= sees[i / 2]) scores[j][i] = -INFINITE;
                now[i / 2] = fmaxf(now[i / 2], scores[j][i]);
            }
        }
        float shrink[2], fresh[2] = {0, 0};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            now[half] = fmaxf(now[half], __shfl_xor_sync(~0u, now[half], 1));
            now[half] = fmaxf(now[half], __shfl_xor_sync(~0u, now[half], 2));
            shrink[half] = exp2_fast(most[half] - now[half]);
            most[half] = now[half];
        }
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                scores[j][i] = exp2_fast(scores[j][i] - now[i / 2]);
                fresh[i / 2] += scores[j][i];
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) total[half] = fmaf(total[half], shrink[half], fresh[half]);
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) sums[n][i] *= shrink[i / 2];
#pragma unroll
        for (int step = 0; step < KEYS / 16; step++) {
            u32 a[4] = {
                pack_half(scores[2 * step][0], scores[2 * step][1]),
                pack_half(scores[2 * step][2], scores[2 * step][3]),
                pack_half(scores[2 * step + 1][0], scores[2 * step + 1][1]),
                pack_half(scores[2 * step + 1][2], scores[2 * step + 1][3])};
#pragma unroll
            for (int n = 0; n < WIDTH / 16; n++) {
                u32 b[4];
                load_matrices_transposed(
                    b, piece_of(of_v[stage], step * 16 + lane / 8 % 2 * 8 + lane % 8, n * 2 + lane / 16));
                multiply_add_16x8x16(sums[2 * n], a, b[0], b[1]);
                multiply_add_16x8x16(sums[2 * n + 1], a, b[2], b[3]);
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        total[half] += __shfl_xor_sync(~0u, total[half], 1);
        total[half] += __shfl_xor_sync(~0u, total[half], 2);
        u32 row = first + warp * 16 + g + half * 8;
        if (row >= queries) continue;
        float share = 1.0f / total[half];
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            u32 pair = pack_half(sums[n][half * 2] * share, sums[n][half * 2 + 1] * share);
            access<u32>(out + (u64)row * width + n * 8 + t * 2) = pair;
        }
    }
}

// The same, plainly: one thread a number of out. For tests.
KERNEL(256) void attention_naive(PARAMETERS(float), u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 width = heads * head_width, c = i % width, head = c / head_width, query = i / width % queries;
    u64 sequence = i / width / queries;
    q += (sequence * queries + query) * width + head * head_width;
    k += sequence * capacity * width + head * head_width;
    v += sequence * capacity * width;
    u32 end = visible(ends, scales, query, keys);
    double most = -1e300, total = 0, sum = 0;
    for (u32 j = 0; j < end; j++) {
        double score = 0;
        for (u32 d = 0; d < head_width; d++) score += (double)q[d] * k[(u64)j * width + d];
        score *= scale;
        if (score > most) {
            double smaller = exp(most - score);
            total *= smaller, sum *= smaller, most = score;
        }
        double weight = exp(score - most);
        total += weight, sum += weight * v[(u64)j * width + c];
    }
    out[i] = (float)(sum / total);
}
