// What is done to a product's sums at the end, and where they go.

// What is done to a sum before it is written.
enum EpilogueKind { PLAIN, GELU, GATED, PLUS, RELU };

struct Epilogue {
    u32 kind;
    const float* bias;      // columns, or null
    const float* residual;  // GATED: rows × columns; PLAIN and RELU: the same, or null
    PerRow gate;            // GATED
    const float* table;     // PLUS: period × columns
    u32 period;
};

// The numbers of one row that `epilogue` needs.
struct EpilogueRow {
    const float* residual;
    const float* gate;
    const float* table;
};

__device__ __forceinline__ EpilogueRow epilogue_row(const Epilogue& epilogue, u32 row, u32 columns) {
    EpilogueRow of = {};
    if (epilogue.residual) of.residual = epilogue.residual + (u64)row * columns;
    if (epilogue.kind == GATED) of.gate = row_of(epilogue.gate, row);
    if (epilogue.kind == PLUS) of.table = epilogue.table + (u64)(row % epilogue.period) * columns;
    return of;
}

__device__ __forceinline__ float finished(const Epilogue& epilogue, const EpilogueRow& of, u32 column, float sum) {
    if (epilogue.bias) sum = __fadd_rn(sum, epilogue.bias[column]);
    switch (epilogue.kind) {
        case GELU: return gelu_of(sum);
        case GATED: return fmaf(of.gate[column], sum, of.residual[column]);
        case PLUS: return __fadd_rn(sum, of.table[column]);
        default:
            if (of.residual) sum = __fadd_rn(sum, of.residual[column]);
            return epilogue.kind == RELU && sum < 0.0f ? 0.0f : sum;
    }
}

// Where a product's rows go, and where what finishes them comes from: one behind the other if `out` is a pointer,
// else as its methods say.
template <class Number>
__device__ __forceinline__ u32 place_of(Number*, u32 row) { return row; }
template <class Out>
__device__ __forceinline__ u32 place_of(Out out, u32 row) { return out.place(row); }

template <class Number>
__device__ __forceinline__ Number* row_at(Number* out, u32 place, u32 columns) { return out + (u64)place * columns; }
template <class Out>
__device__ __forceinline__ auto row_at(Out out, u32 place, u32) { return out.row(place); }

// Whether each row of a product begins where two numbers can be stored together.
template <class Number>
__device__ __forceinline__ bool in_pairs(Number* out, u32 columns) {
    return columns % 2 == 0 && (u64)out % (2 * sizeof(Number)) == 0;
}
template <class Out>
__device__ __forceinline__ bool in_pairs(Out out, u32) { return out.in_pairs(); }

// Parts of longer rows.
template <class Number>
struct Parts {
    Number* numbers;  // where the part of the first row begins
    u32 stride;       // from row to row

    __device__ __forceinline__ u32 place(u32 row) const { return row; }
    __device__ __forceinline__ Number* row(u32 place) const { return numbers + (u64)place * stride; }
    __device__ __forceinline__ bool in_pairs() const {
        return stride % 2 == 0 && (u64)numbers % (2 * sizeof(Number)) == 0;
    }
};

__device__ __forceinline__ void store_pair(float* to, float a, float b, bool together) {
    if (together) access<float2>(to) = make_float2(a, b);
    else to[0] = a, to[1] = b;
}
__device__ __forceinline__ void store_pair(Half* to, float a, float b, bool together) {
    if (together) access<u32>(to) = pack_half(a, b);
    else to[0] = narrow(a), to[1] = narrow(b);
}

// Sums that are finished and written to `out`.
template <class Out>
struct Finished {
    Out out;
    const Epilogue& epilogue;
    u32 rows, columns;

    template <class Number>
    struct Row {
        const Epilogue& epilogue;
        EpilogueRow of;
        Number* to;
        u32 columns;
        bool together;

        __device__ __forceinline__ void put(u32 column, float sum) const {
            store(to + column, finished(epilogue, of, column, sum));
        }
        // The sums of two neighboring columns, of which the second may be outside. With an early return the compiler
        // would keep the sums in local memory.
        __device__ __forceinline__ void put_two(u32 column, float first, float second) const {
            first = finished(epilogue, of, column, first);
            if (column + 1 < columns)
                store_pair(to + column, first, finished(epilogue, of, column + 1, second), together);
            else
                store(to + column, first);
        }
    };
    template <class Number>
    __device__ __forceinline__ Row<Number> row_in(u32 place, Number* to) const {
        return {epilogue, epilogue_row(epilogue, place, columns), to, columns, in_pairs(out, columns)};
    }
    __device__ __forceinline__ auto row(u32 row) const {
        u32 place = place_of(out, row);
        return row_in(place, row_at(out, place, columns));
    }
};

template <class Out>
__device__ __forceinline__ Finished<Out> finished_to(Out out, const Epilogue& epilogue, u32 rows, u32 columns) {
    return {out, epilogue, rows, columns};
}

// Sums over a part of the depth, as they are.
struct PartSums {
    float* out;
    u32 rows, columns;
    bool adds;  // whether to what `out` holds

    struct Row {
        float* to;
        u32 columns;
        bool adds, together;

        __device__ __forceinline__ void put(u32 column, float sum) const {
            to[column] = adds ? to[column] + sum : sum;
        }
        __device__ __forceinline__ void put_two(u32 column, float first, float second) const {
            if (!together) {
                put(column, first);
                if (column + 1 < columns) put(column + 1, second);
                return;
            }
            float2& pair = access<float2>(to + column);
            if (adds) first += pair.x, second += pair.y;
            pair = make_float2(first, second);
        }
    };
    __device__ __forceinline__ Row row(u32 row) const {
        return {out + (u64)row * columns, columns, adds, columns % 2 == 0 && (u64)out % 8 == 0};
    }
};

// Those of this block's part, by blockIdx.y: `parts` has rows × columns sums for each.
__device__ __forceinline__ PartSums part_of_block(float* parts, u32 rows, u32 columns, bool adds) {
    return {parts + (u64)blockIdx.y * rows * columns, rows, columns, adds};
}
