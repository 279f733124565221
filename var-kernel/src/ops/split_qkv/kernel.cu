// q[b, i] = normalize(qkv[b, i, 0] + q_bias), k[b, start + i] = normalize(qkv[b, i, 1]),
// v[b, start + i] = qkv[b, i, 2] + v_bias
//
// One warp a head of one row, eight warps a block; lanes walk the head's channels.

// The reciprocal of a vector's length, no less than 1e-12, and the vector's factor.
__device__ __forceinline__ float unit_factor(float squares, float log_scale) {
    float length = fmaxf(__fsqrt_rn(warp_sum(squares)), 1e-12f);
    return exponential(fminf(log_scale, 4.6051702f)) / length;
}

template <class In, class Out>
__device__ __forceinline__ void split(
    Out* q, Out* k, Out* v, const In* qkv, const float* q_bias, const float* v_bias, const float* log_scale,
    u32 unit_length, u32 rows, u32 heads, u32 head_width, u32 start, u32 capacity, u64 all_heads) {
    u64 number = (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (number >= all_heads) return;
    u32 lane = threadIdx.x % 32, head = number % heads, width = heads * head_width;
    u64 row = number / heads, sequence = row / rows, kept = sequence * capacity + start + row % rows;
    u32 from = head * head_width;
    const In* in = qkv + row * 3 * width + from;
    q += row * width + from, k += kept * width + from, v += kept * width + from;

    float q_factor = 1.0f, k_factor = 1.0f;
    if (unit_length) {
        float q_squares = 0.0f, k_squares = 0.0f;
        for (u32 c = lane; c < head_width; c += 32) {
            float of_q = widen(in[c]) + (q_bias ? q_bias[from + c] : 0.0f), of_k = widen(in[width + c]);
            q_squares = fmaf(of_q, of_q, q_squares);
            k_squares = fmaf(of_k, of_k, k_squares);
        }
        q_factor = unit_factor(q_squares, log_scale[head]);
        k_factor = unit_factor(k_squares, 0.0f);
    }
    for (u32 c = lane; c < head_width; c += 32) {
        float of_q = widen(in[c]) + (q_bias ? q_bias[from + c] : 0.0f);
        store(q + c, of_q * q_factor);
        store(k + c, widen(in[width + c]) * k_factor);
        store(v + c, widen(in[2 * width + c]) + (v_bias ? v_bias[from + c] : 0.0f));
    }
}

KERNEL(256) void split_qkv(
    float* q, float* k, float* v, const float* qkv, const float* q_bias, const float* v_bias, const float* log_scale,
    u32 unit_length, u32 rows, u32 heads, u32 head_width, u32 start, u32 capacity, u64 all_heads) {
    split(
        q, k, v, qkv, q_bias, v_bias, log_scale, unit_length, rows, heads, head_width, start, capacity, all_heads);
}

// Single in, short out.
KERNEL(256) void split_qkv_to_half(
    Half* q, Half* k, Half* v, const float* qkv, const float* q_bias, const float* v_bias, const float* log_scale,
    u32 unit_length, u32 rows, u32 heads, u32 head_width, u32 start, u32 capacity, u64 all_heads) {
    split(
        q, k, v, qkv, q_bias, v_bias, log_scale, unit_length, rows, heads, head_width, start, capacity, all_heads);
}

// Half in, short out.
KERNEL(256) void split_qkv_half(
    Half* q, Half* k, Half* v, const Half* qkv, const float* q_bias, const float* v_bias, const float* log_scale,
    u32 unit_length, u32 rows, u32 heads, u32 head_width, u32 start, u32 capacity, u64 all_heads) {
    split(
        q, k, v, qkv, q_bias, v_bias, log_scale, unit_length, rows, heads, head_width, start, capacity, all_heads);
}

// The same, plainly: one thread a channel of q, k or v, which sums its head's squares by itself. For tests.
KERNEL(256) void split_qkv_naive(
    float* q, float* k, float* v, const float* qkv, const float* q_bias, const float* v_bias, const float* log_scale,
    u32 unit_length, u32 rows, u32 heads, u32 head_width, u32 start, u32 capacity, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 width = heads * head_width, c = i % width, part = i / width % 3, head = c / head_width;
    u64 row = i / width / 3, kept = (row / rows * capacity + start + row % rows) * width + c;
    const float* bias = part == 0 ? q_bias : part == 2 ? v_bias : nullptr;
    const float* in = qkv + (row * 3 + part) * width;
    double squares = 0;
    for (u32 j = head * head_width; j < (head + 1) * head_width; j++) {
        double x = (double)in[j] + (bias ? bias[j] : 0.0);
        squares += x * x;
    }
    double x = (double)in[c] + (bias ? bias[c] : 0.0);
    if (unit_length && part < 2) {
        x /= fmax(sqrt(squares), 1e-12);
        if (part == 0) x *= exp(fmin((double)log_scale[head], log(100.0)));
    }
    if (part == 0) q[row * width + c] = (float)x;
    else (part == 1 ? k : v)[kept] = (float)x;
}
