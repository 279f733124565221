// out[i] = x[i] where it is above 0, else slope · x[i]; one thread a number
KERNEL(256) void leaky_relu(float* out, const float* x, float slope, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) out[i] = x[i] > 0.0f ? x[i] : __fmul_rn(slope, x[i]);
}
