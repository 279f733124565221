// out[r] = ln sum_i e^logits[r, i] - (1 - eps)·logits[r, targets[r]] - eps/codes · sum_i logits[r, i]
//
// One block of 256 threads a row.

KERNEL(256) void cross_entropy(float* out, const float* logits, const u32* targets, float smoothing, u32 codes) {
    __shared__ float between[8];
    __shared__ double wide_between[8];
    u64 row = blockIdx.x;
    logits += row * codes;
    float most = -INFINITE;
    for (u32 i = threadIdx.x; i < codes; i += blockDim.x) most = fmaxf(most, logits[i]);
    most = block_max(most, between);
    double sum = 0, all = 0;
    for (u32 i = threadIdx.x; i < codes; i += blockDim.x) {
        sum += exponential(logits[i] - most);
        all += logits[i];
    }
    sum = block_sum(sum, wide_between);
    all = block_sum(all, wide_between);
    if (threadIdx.x == 0) {
        double right = logits[targets[row]];
        right += smoothing * (all / codes - right);
        out[row] = (float)(most + log(sum) - right);
    }
}

// The same, plainly: one thread a row. For tests.
KERNEL(256) void cross_entropy_naive(
    float* out, const float* logits, const u32* targets, float smoothing, u32 codes, u32 rows) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    logits += (u64)row * codes;
    double most = logits[0], sum = 0, all = 0;
    for (u32 i = 0; i < codes; i++) most = fmax(most, (double)logits[i]);
    for (u32 i = 0; i < codes; i++) sum += exp(logits[i] - most), all += logits[i];
    double right = logits[targets[row]];
    out[row] = (float)(most + log(sum) - right - smoothing * (all / codes - right));
}

// tokens[r] = argmax_i logits[r, i], the first of equals; NaN is below every number.
//
// One block of 256 threads a row; each thread's numbers are in order of their places.
KERNEL(256) void most_likely(u32* tokens, const float* logits, u32 codes) {
    __shared__ float values[8];
    __shared__ u32 places[8];
    const u32 none = ~0u;
    u64 row = blockIdx.x;
    logits += row * codes;
    float value = -INFINITE;
    u32 place = none;
    auto compare = [&](float other, u32 there) {
        if (other > value || (other == value && there < place)) value = other, place = there;
    };
    for (u32 i = threadIdx.x; i < codes; i += blockDim.x) {
        if (logits[i] > value) value = logits[i], place = i;
    }
    for (int apart = 16; apart > 0; apart /= 2) {
        float other = __shfl_xor_sync(~0u, value, apart);
        compare(other, __shfl_xor_sync(~0u, place, apart));
    }
    if (threadIdx.x % 32 == 0) values[threadIdx.x / 32] = value, places[threadIdx.x / 32] = place;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (u32 warp = 1; warp < blockDim.x / 32; warp++) compare(values[warp], places[warp]);
    tokens[row] = place == none ? 0 : place;
}

// The same, plainly: one thread a row. For tests.
KERNEL(256) void most_likely_naive(u32* tokens, const float* logits, u32 codes, u32 rows) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    logits += (u64)row * codes;
    float value = -INFINITE;
    u32 place = 0;
    for (u32 i = 0; i < codes; i++) {
        if (logits[i] > value) value = logits[i], place = i;
    }
    tokens[row] = place;
}
