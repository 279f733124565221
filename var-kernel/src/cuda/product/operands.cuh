// What products are of: lines of numbers, and which way k runs in them.

// `rows` lines of `length` numbers, one behind the other.
template <class N>
struct Rows {
    typedef N Number;
    const Number* numbers;
    u32 rows, length;
    u32 aligned;  // whether every line begins at a multiple of 16 bytes

    static constexpr bool PLACES_ARE_KEPT = false;  // they cost less to find than registers to keep
    struct Place {
        const Number* row;  // null past the end
    };
    __device__ __forceinline__ Place place(u32 row) const {
        return {row < rows ? numbers + (u64)row * length : nullptr};
    }
    // Where the numbers from `from` on lie, if they are inside.
    __device__ __forceinline__ const Number* at(Place place, u32 from) const {
        return place.row && from < length ? place.row + from : nullptr;
    }
};

// How a convolution's output grid relates to its input's.
enum Grid { SAME, HALVED, DOUBLED };

// The neighborhood of each output pixel: lines of `side` input pixels of `inner` channels, tap · inner + i;
// outside of the image there are zeros.
template <class N>
struct Neighbors {
    typedef N Number;
    const Number* numbers;
    u32 rows, length;
    u32 aligned;
    u32 height, width, inner, side;
    u32 stride, border_y, border_x;  // the first tap of pixel y lies at y · stride - border
    u32 doubled;                     // whether the taps see each input pixel twice both ways
    u32 out_height, out_width;

    static constexpr bool PLACES_ARE_KEPT = true;
    struct Place {
        const Number* picture;  // null past the end
        int y, x;               // of the first tap
    };
    __device__ __forceinline__ Place place(u32 row) const {
        if (row >= rows) return {nullptr, 0, 0};
        u32 x = row % out_width, y = row / out_width % out_height, picture = row / out_width / out_height;
        return {
            numbers + (u64)picture * height * width * inner, (int)(y * stride) - (int)border_y,
            (int)(x * stride) - (int)border_x};
    }
    __device__ __forceinline__ const Number* at(Place place, u32 from) const {
        if (!place.picture || from >= length) return nullptr;
        u32 tap = from / inner, i = from % inner;
        int y = place.y + (int)(tap / side), x = place.x + (int)(tap % side);
        if (y < 0 || x < 0) return nullptr;
        if (doubled) y /= 2, x /= 2;
        if (y >= (int)height || x >= (int)width) return nullptr;
        return place.picture + ((u64)y * width + x) * inner + i;
    }
};

// The neighborhoods that a square kernel of 1 or 3 sees, by how the output's grid relates to the input's.
template <class Number>
__device__ __forceinline__ Neighbors<Number> neighbors_on(
    u32 grid, const Number* numbers, u32 rows, u32 aligned, u32 height, u32 width, u32 inner, u32 side, u32 out_height,
    u32 out_width) {
    u32 stride = grid == HALVED ? 2 : 1, border = grid == HALVED ? 0 : side / 2;
    return {
        numbers, rows,   side * side * inner, aligned, height,          width,      inner,
        side,    stride, border,              border,  grid == DOUBLED, out_height, out_width};
}

// An operand whose k lie side by side: a line is a row of the left operand, a column of the right one.
template <class L>
struct KMajor {
    typedef L Lines;
    static constexpr bool K_IN_LINES = true;
    L lines;
};

// An operand that has a line for each k: the k-th numbers of the left one's rows, of the right one's columns.
template <class L>
struct MnMajor {
    typedef L Lines;
    static constexpr bool K_IN_LINES = false;
    L lines;
};

template <class Lines>
__device__ __forceinline__ KMajor<Lines> k_major(const Lines& lines) { return {lines}; }
template <class Lines>
__device__ __forceinline__ MnMajor<Lines> mn_major(const Lines& lines) { return {lines}; }

// What a thread brings of an operand's tile of SIDE rows or columns × DEPTH: EACH pieces of PIECE neighbors.
template <class Operand, int SIDE, int DEPTH, int PIECE>
struct Brought {
    typedef typename Operand::Lines Lines;
    static constexpr bool K_IN_LINES = Operand::K_IN_LINES, KEEPS = K_IN_LINES && Lines::PLACES_ARE_KEPT;
    static constexpr int WIDTH = K_IN_LINES ? DEPTH : SIDE, ACROSS = WIDTH / PIECE;  // of a line
    static constexpr int COUNT = SIDE * DEPTH / PIECE, EACH = (COUNT + 255) / 256;
    const Lines& lines;
    u32 first;  // row or column
    typename Lines::Place places[EACH];

    __device__ __forceinline__ Brought(const Operand& operand, u32 first) : lines(operand.lines), first(first) {
        if constexpr (KEEPS)
#pragma unroll
            for (int i = 0; i < EACH; i++) places[i] = lines.place(first + line(i));
    }
    // Whether this thread has an i-th piece, its line of the tile, and where in the line it begins; written so that
    // only constants depend on i, where that can be.
    __device__ __forceinline__ static bool has(int i) { return COUNT % 256 == 0 || threadIdx.x + i * 256 < COUNT; }
    __device__ __forceinline__ static u32 line(int i) {
        return 256 % ACROSS == 0 ? threadIdx.x / ACROSS + i * (256 / ACROSS) : (threadIdx.x + i * 256) / ACROSS;
    }
    __device__ __forceinline__ static u32 along(int i) {
        return (256 % ACROSS == 0 ? threadIdx.x : threadIdx.x + i * 256) % ACROSS * PIECE;
    }
    // The i-th piece's line of the operand, and where in it the piece begins, for the tile from k on.
    __device__ __forceinline__ typename Lines::Place place(int i, u32 k) const {
        if constexpr (KEEPS) return places[i];
        else return lines.place((K_IN_LINES ? first : k) + line(i));
    }
    __device__ __forceinline__ u32 from(int i, u32 k) const { return (K_IN_LINES ? k : first) + along(i); }
};

// Four numbers of a line, zeros outside.
template <class Lines>
__device__ __forceinline__ float4 load_four(const Lines& lines, typename Lines::Place place, u32 from) {
    if (lines.aligned) {
        const float* at = lines.at(place, from);
        return at ? *reinterpret_cast<const float4*>(at) : make_float4(0, 0, 0, 0);
    }
    float some[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float* at = lines.at(place, from + i);
        some[i] = at ? *at : 0.0f;
    }
    return make_float4(some[0], some[1], some[2], some[3]);
}
