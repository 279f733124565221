// Gradients of resizing: dx[y, x] += sum over v, u of dout[v, u] · weight(v, y) · weight(u, x)
//
// Two launches: an axis' weights, matrix[v, y] (to × from), one thread a number; `back`, one thread a number of dx.

// Output cell v is mixed from four input cells around its center, which may be one at the border.
KERNEL(256) void cubic_axis(float* matrix, u32 from, u32 to) {
    u32 number = blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= from * to) return;
    u32 y = number % from, cells[4];
    float weights[4], sum = 0.0f;
    cubic((int)(number / from), (int)from, (int)to, cells, weights);
    for (int tap = 0; tap < 4; tap++)
        if (cells[tap] == y) sum += weights[tap];
    matrix[number] = sum;
}

// Output cell v is the mean of the input cells from floor(v·from/to) to ceil((v + 1)·from/to).
KERNEL(256) void area_axis(float* matrix, u32 from, u32 to) {
    u32 number = blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= from * to) return;
    u32 v = number / from, y = number % from, first = v * from / to, end = ((v + 1) * from + to - 1) / to;
    matrix[number] = first <= y && y < end ? __fdiv_rn(1.0f, (float)(end - first)) : 0.0f;
}

KERNEL(256) void back(float* dx, const float* dout, const float* matrix, u32 from, u32 to, u32 channels, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 c = i % channels;
    u64 cell = i / channels;
    u32 y = cell / from % from, x = cell % from;
    dout += cell / from / from * to * to * channels + c;
    float sum = 0.0f;
    for (u32 v = 0; v < to; v++) {
        float down = matrix[v * from + y];
        if (down == 0.0f) continue;
        float across = 0.0f;
        for (u32 u = 0; u < to; u++) {
            float weight = matrix[u * from + x];
            if (weight != 0.0f) across = fmaf(dout[(u64)(v * to + u) * channels], weight, across);
        }
        sum = fmaf(across, down, sum);
    }
    dx[i] += sum;
}
