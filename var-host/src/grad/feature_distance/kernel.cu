// da[c] += (g[c] - a[c] · (g·a) / (‖a‖ · A)) / A, A = ‖a‖ + least, B = ‖b‖ + least,
// g[c] = dout · 2 weights[c] · (a[c]/A - b[c]/B) / cells; one warp a cell

// ‖x‖ of a cell's channels, the same bits in each lane.
__device__ __forceinline__ float norm_of(const float* x, u32 channels) {
    float squares = 0.0f;
    for (u32 c = threadIdx.x % 32; c < channels; c += 32) squares = fmaf(x[c], x[c], squares);
    return __fsqrt_rn(warp_sum(squares));
}

KERNEL(256) void feature_distance_backward(
    float* da, const float* dout, const float* a, const float* b, const float* weights, float least, u32 cells,
    u32 channels, u64 all_cells) {
    u64 cell = (u64)blockIdx.x * 8 + threadIdx.x / 32;
    u32 lane = threadIdx.x % 32;
    if (cell >= all_cells) return;
    da += cell * channels, a += cell * channels, b += cell * channels;
    float a_norm = norm_of(a, channels), b_norm = norm_of(b, channels);
    if (a_norm == 0.0f) return;
    float a_length = __fadd_rn(a_norm, least), b_length = __fadd_rn(b_norm, least);
    float factor = __fdiv_rn(__fmul_rn(2.0f, dout[cell / cells]), (float)cells);
    auto g = [&](u32 c) {
        float difference = __fsub_rn(__fdiv_rn(a[c], a_length), __fdiv_rn(b[c], b_length));
        return __fmul_rn(__fmul_rn(factor, weights[c]), difference);
    };
    float along = 0.0f;
    for (u32 c = lane; c < channels; c += 32) along = fmaf(g(c), a[c], along);
    along = __fdiv_rn(__fdiv_rn(warp_sum(along), a_norm), a_length);
    for (u32 c = lane; c < channels; c += 32) da[c] += __fdiv_rn(__fsub_rn(g(c), __fmul_rn(a[c], along)), a_length);
}
