// Gradients of resizing: dx[y, x] += sum over v, u of dout[v, u] · weight(v, y) · weight(u, x)
//
// Two launches: an axis' weights, matrix[v, y] (to × from), one thread a number; `back`, one thread a number of dx.

// Keys' kernel with a = -0.75.
__device__ __forceinline__ double keys(double x) {
    const double a = -0.75;
    return x <= 1.0 ? ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0 : ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
}

// Output cell v is mixed from four input cells around its centre, at (v + 1/2)·from/to - 1/2 on the input's grid;
// what falls outside is given to the border's cell.
KERNEL(256) void cubic_axis(float* matrix, u32 from, u32 to) {
    u32 number = blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= from * to) return;
    int v = (int)(number / from), y = (int)(number % from), last = (int)from - 1;
    int twice = 2 * (int)to, centre = (2 * v + 1) * (int)from - (int)to;
    int whole = centre >= 0 ? centre / twice : -((-centre + twice - 1) / twice);
    double t = (double)(centre - whole * twice) / twice;
    double distances[4] = {1.0 + t, t, 1.0 - t, 2.0 - t};
    float sum = 0.0f;
    for (int tap = 0; tap < 4; tap++) {
        int cell = whole - 1 + tap;
        if ((cell < 0 ? 0 : cell > last ? last : cell) == y) sum += (float)keys(distances[tap]);
    }
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
