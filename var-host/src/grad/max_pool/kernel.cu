// dx[2y + down, 2x + right, c] += dy[y, x, c] if it is the first of the greatest of its four cells, row by row; one
// thread a number of dx
KERNEL(256) void max_pool_backward(
    float* dx, const float* dy, const float* x, u32 height, u32 width, u32 channels, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= length) return;
    u32 rows = height / 2, columns = width / 2, c = i % channels;
    u64 cell = i / channels, picture = cell / width / height;
    u32 column = cell % width, row = cell / width % height;
    if (row / 2 >= rows || column / 2 >= columns) return;
    const float* first = x + ((picture * height + row / 2 * 2) * width + column / 2 * 2) * channels + c;
    u64 below = (u64)width * channels;
    float cells[4] = {first[0], first[channels], first[below], first[below + channels]};
    float most = cells[0];
    u32 place = 0;
    for (u32 other = 1; other < 4; other++)
        if (cells[other] > most) most = cells[other], place = other;
    if (place == row % 2 * 2 + column % 2)
        dx[i] += dy[((picture * rows + row / 2) * columns + column / 2) * channels + c];
}
