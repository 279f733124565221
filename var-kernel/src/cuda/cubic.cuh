// Cubic convolution along one axis.

// Keys' kernel with a = -0.75.
__device__ __forceinline__ double keys(double x) {
    const double a = -0.75;
    return x <= 1.0 ? ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0 : ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
}

// Which four input cells make output cell i, and with what weights: the cell's center lies at (i + 1/2)·from/to - 1/2
// on the input's grid; what falls outside is given to the border's cell.
__device__ __forceinline__ void cubic(int i, int from, int to, u32 (&cells)[4], float (&weights)[4]) {
    int twice = 2 * to, center = (2 * i + 1) * from - to;
    int whole = center >= 0 ? center / twice : -((-center + twice - 1) / twice);
    double t = (double)(center - whole * twice) / twice;
    double distances[4] = {1.0 + t, t, 1.0 - t, 2.0 - t};
    for (int tap = 0; tap < 4; tap++) {
        int cell = whole - 1 + tap;
        cells[tap] = (u32)(cell < 0 ? 0 : cell > from - 1 ? from - 1 : cell);
        weights[tap] = (float)keys(distances[tap]);
    }
}
