// Gradients of the step between the q·k·v product and attention.
//
// Where vectors are made unit length, u the unit vector: dqkv += f · (d - u · (u·d)) / |v|, d the gradient of the
// query or key, f the query's factor, 1 for keys; elsewhere dqkv += d.
//
// One warp a head of one row, eight warps a block; lanes walk the head's channels.

#define SHORTEST 1e-12f
#define LONGEST_LOG 4.6051702f

// d - v · along, times factor: what is added for a vector v whose gradient is d.
struct Across {
    float along, factor;
};

// Of a vector's squares and its product with its gradient. One shorter than the least length is divided by a
// constant.
__device__ __forceinline__ Across across(float squares, float dot, float log_scale) {
    float length = __fsqrt_rn(warp_sum(squares)), kept = fmaxf(length, SHORTEST);
    dot = warp_sum(dot);
    return {length < SHORTEST ? 0.0f : dot / kept / kept, exponential(fminf(log_scale, LONGEST_LOG)) / kept};
}

KERNEL(256) void split_qkv_dqkv(
    float* dqkv, const float* dq, const float* dk, const float* dv, const float* qkv, const float* q_bias,
    const float* log_scale, u32 heads, u32 head_width, u64 all_heads) {
    u64 number = (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (number >= all_heads) return;
    u32 lane = threadIdx.x % 32, head = number % heads, width = heads * head_width, from = head * head_width;
    u64 row = number / heads;
    dqkv += row * 3 * width + from, qkv += row * 3 * width + from;
    dq += row * width + from, dk += row * width + from, dv += row * width + from;
    auto query = [&](u32 c) { return qkv[c] + (q_bias ? q_bias[from + c] : 0.0f); };

    Across of_q = {0.0f, 1.0f}, of_k = {0.0f, 1.0f};
    if (log_scale) {
        float q_squares = 0.0f, q_dot = 0.0f, k_squares = 0.0f, k_dot = 0.0f;
        for (u32 c = lane; c < head_width; c += 32) {
            float q = query(c), k = qkv[width + c];
            q_squares = fmaf(q, q, q_squares), q_dot = fmaf(q, dq[c], q_dot);
            k_squares = fmaf(k, k, k_squares), k_dot = fmaf(k, dk[c], k_dot);
        }
        of_q = across(q_squares, q_dot, log_scale[head]);
        of_k = across(k_squares, k_dot, 0.0f);
    }
    for (u32 c = lane; c < head_width; c += 32) {
        float of_dq = dq[c], of_dk = dk[c];
        if (log_scale) of_dq -= query(c) * of_q.along, of_dk -= qkv[width + c] * of_k.along;
        float q = fmaf(of_dq, of_q.factor, dqkv[c]), k = fmaf(of_dk, of_k.factor, dqkv[width + c]);
        float v = dqkv[2 * width + c] + dv[c];
        dqkv[c] = q, dqkv[width + c] = k, dqkv[2 * width + c] = v;
    }
}

// parts[part, h] = sum dq · q of head h over the rows of a part: gridDim.y blocks share the rows, a warp of them
// takes every eighth.
template <class Number>
__device__ __forceinline__ void sum_of_head(
    float* parts, const float* dq, const Number* q, u32 rows, u32 heads, u32 head_width) {
    __shared__ float between[8];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = blockIdx.x, width = heads * head_width;
    u32 share = (rows + gridDim.y - 1) / gridDim.y, begin = min(blockIdx.y * share, rows);
    u32 end = min(begin + share, rows);
    float sum = 0.0f;
    for (u32 row = begin + warp; row < end; row += 8) {
        u64 at = (u64)row * width + head * head_width;
        for (u32 c = lane; c < head_width; c += 32) sum = fmaf(dq[at + c], widen(q[at + c]), sum);
    }
    sum = block_sum(sum, between);
    if (threadIdx.x == 0) parts[blockIdx.y * heads + head] = sum;
}

KERNEL(256) void sums_of_heads(
    float* parts, const float* dq, const float* q, u32 rows, u32 heads, u32 head_width) {
    sum_of_head(parts, dq, q, rows, heads, head_width);
}

KERNEL(256) void sums_of_heads_half(
    float* parts, const float* dq, const Half* q, u32 rows, u32 heads, u32 head_width) {
    sum_of_head(parts, dq, q, rows, heads, head_width);
}

// dscale[h] += parts[0, h] + parts[1, h] + …, nothing where the scale is at its ceiling
KERNEL(256) void split_qkv_dscale(float* dscale, const float* parts, const float* log_scale, u32 count, u32 heads) {
    u32 head = blockIdx.x * blockDim.x + threadIdx.x;
    if (head >= heads || !(log_scale[head] < LONGEST_LOG)) return;
    float sum = parts[head];
    for (u32 part = 1; part < count; part++) sum += parts[part * heads + head];
    dscale[head] += sum;
}
