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
