// dx[i] += dy[i] where x[i] is above 0, else slope · dy[i]; one thread a number
KERNEL(256) void leaky_relu_backward(float* dx, const float* dy, const float* x, float slope, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) dx[i] = fmaf(dy[i], x[i] > 0.0f ? 1.0f : slope, dx[i]);
}
