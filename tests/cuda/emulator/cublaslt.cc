// Matrix products as cuBLASLt documents them, computed: D = epilogue(alpha · op(A) · op(B) + beta · C), all by
// columns. A sum is one chain of fused multiply-adds in order of k.
#include <cmath>
#include <initializer_list>

#include "gpu.h"

namespace {

enum { OK = 0, NOT_INITIALIZED = 1, INVALID = 7, EXECUTION_FAILED = 13, UNSUPPORTED = 15 };
enum { SINGLE = 0, HALF = 2, BRAIN = 14, COMPUTE_SINGLE = 68, COMPUTE_TF32 = 77 };
enum { TRANSPOSE_A = 3, TRANSPOSE_B = 4, EPILOGUE = 7, BIAS = 8 };
enum { PLAIN = 1, WITH_BIAS = 4, GELU = 32, GELU_BIAS = 36 };

struct Layout { int type; uint64_t rows, columns; int64_t stride; };
struct Description { int compute, transposed_a, transposed_b, epilogue; uint64_t bias; };
struct Preference { uint64_t workspace; unsigned reduction, alignments[4]; };
struct Heuristic { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; };

// D is m × n.
struct Sizes { uint64_t m, n, k; };

// All that a product reads and writes.
struct Product {
    Sizes sizes;
    Description of;
    Layout at_a, at_b, at_c, at_d;
    float alpha, beta;
    const void *a, *b, *c;
    void* d;
};

int libraries, descriptions, layouts, preferences;

int sizes(const Description* of, const Layout* a, const Layout* b, const Layout* d, Sizes* sizes) {
    *sizes = {of->transposed_a ? a->columns : a->rows, of->transposed_b ? b->rows : b->columns,
              of->transposed_a ? a->rows : a->columns};
    if (sizes->k != (of->transposed_b ? b->columns : b->rows)) return wrong("sides do not match"), INVALID;
    if (sizes->m != d->rows || sizes->n != d->columns) return wrong("the product is of another size"), INVALID;
    if (a->type != b->type || (d->type != SINGLE && d->type != a->type)) return UNSUPPORTED;
    if (of->compute != (a->type == SINGLE ? COMPUTE_TF32 : COMPUTE_SINGLE)) wrong("another way to compute");
    return OK;
}

float number(const void* run, int type, uint64_t i) {
    if (type == SINGLE) return ((const float*)run)[i];
    if (type == HALF) return ((const _Float16*)run)[i];
    uint32_t word = (uint32_t)((const uint16_t*)run)[i] << 16;
    float x;
    return memcpy(&x, &word, 4), x;
}

void put(void* run, int type, uint64_t i, float x) {
    if (type == SINGLE) { ((float*)run)[i] = x; return; }
    if (type == HALF) { ((_Float16*)run)[i] = (_Float16)x; return; }
    uint32_t word;
    memcpy(&word, &x, 4);
    bool is_nan = (word & 0x7fffffff) > 0x7f800000;
    ((uint16_t*)run)[i] = is_nan ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16;
}

float gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

void multiply(const void* data) {
    Product p;
    memcpy(&p, data, sizeof p);
    bool has_bias = p.of.epilogue == WITH_BIAS || p.of.epilogue == GELU_BIAS;
    bool has_gelu = p.of.epilogue == GELU || p.of.epilogue == GELU_BIAS;
    for (uint64_t column = 0; column < p.sizes.n; column++) {
        for (uint64_t row = 0; row < p.sizes.m; row++) {
            float sum = 0;
            for (uint64_t i = 0; i < p.sizes.k; i++) {
                uint64_t in_a = p.of.transposed_a ? i + row * p.at_a.stride : row + i * p.at_a.stride;
                uint64_t in_b = p.of.transposed_b ? column + i * p.at_b.stride : i + column * p.at_b.stride;
                sum = std::fma(number(p.a, p.at_a.type, in_a), number(p.b, p.at_b.type, in_b), sum);
            }
            uint64_t place = row + column * p.at_d.stride;
            sum *= p.alpha;
            if (p.beta) sum += p.beta * number(p.c, p.at_c.type, place);
            if (has_bias) sum += number((const void*)p.of.bias, p.at_d.type, row);
            put(p.d, p.at_d.type, place, has_gelu ? gelu(sum) : sum);
        }
    }
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() { return is("old-library") ? 110400 : 130100; }
const char* cublasLtGetStatusString(int) { return "a status"; }
int cublasLtCreate(void** library) {
    if (is("broken-library")) return NOT_INITIALIZED;
    return __atomic_add_fetch(&libraries, 1, __ATOMIC_RELAXED), *library = &libraries, OK;
}
int cublasLtDestroy(void*) {
    if (emulator_lost()) wrong("a library is closed on a GPU that is lost");
    // Another thread's library may have some yet.
    if (__atomic_sub_fetch(&libraries, 1, __ATOMIC_RELAXED) == 0 && (descriptions || layouts || preferences))
        wrong("descriptions, layouts or preferences are left");
    return OK;
}
int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    if (stride < (int64_t)rows) wrong("columns overlap");
    *layout = new Layout{type, rows, columns, stride};
    return __atomic_add_fetch(&layouts, 1, __ATOMIC_RELAXED), OK;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) {
    return __atomic_sub_fetch(&layouts, 1, __ATOMIC_RELAXED), delete layout, OK;
}
int cublasLtMatmulDescCreate(Description** description, int compute, int scale) {
    if (scale != SINGLE) wrong("factors of another format");
    *description = new Description{compute, 0, 0, PLAIN, 0};
    return __atomic_add_fetch(&descriptions, 1, __ATOMIC_RELAXED), OK;
}
int cublasLtMatmulDescSetAttribute(Description* description, int attribute, const void* value, size_t bytes) {
    if (bytes != (attribute == BIAS ? 8 : 4)) return INVALID;
    switch (attribute) {
        case TRANSPOSE_A: description->transposed_a = *(const int*)value; break;
        case TRANSPOSE_B: description->transposed_b = *(const int*)value; break;
        case EPILOGUE: description->epilogue = *(const int*)value; break;
        case BIAS: description->bias = *(const uint64_t*)value; break;
        default: wrong("an unknown attribute of a product");
    }
    return OK;
}
int cublasLtMatmulDescDestroy(Description* description) {
    return __atomic_sub_fetch(&descriptions, 1, __ATOMIC_RELAXED), delete description, OK;
}
int cublasLtMatmulPreferenceCreate(Preference** preference) {
    *preference = new Preference{0, 7, {256, 256, 256, 256}};
    return __atomic_add_fetch(&preferences, 1, __ATOMIC_RELAXED), OK;
}
int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes) {
    if (bytes != (attribute == 1 ? 8 : 4)) return INVALID;
    if (attribute == 1) preference->workspace = *(const uint64_t*)value;
    else if (attribute == 3) preference->reduction = *(const unsigned*)value;
    else if (attribute >= 5 && attribute <= 8) preference->alignments[attribute - 5] = *(const unsigned*)value;
    else wrong("an unknown preference");
    return OK;
}
int cublasLtMatmulPreferenceDestroy(Preference* preference) {
    return __atomic_sub_fetch(&preferences, 1, __ATOMIC_RELAXED), delete preference, OK;
}

int cublasLtMatmulAlgoGetHeuristic(
    void*, const Description* of, const Layout* a, const Layout* b, const Layout*, const Layout* d,
    const Preference* preference, int, Heuristic* found, int* count) {
    Sizes of_all;
    if (int status = sizes(of, a, b, d, &of_all)) return status;
    if (preference->reduction != 2) wrong("sums whose order is open");
    *found = {};
    uint64_t algorithm[] = {of_all.m, of_all.n, of_all.k, preference->alignments[0], (uint64_t)of->epilogue};
    memcpy(found->algorithm, algorithm, sizeof algorithm);
    found->workspace = preference->workspace;
    // One depth that the library of a small GPU has nothing for.
    return *count = is("small") && of_all.k == 4096 ? 0 : 1, OK;
}

int cublasLtMatmul(
    void*, const Description* of, const float* alpha, const void* a, const Layout* at_a, const void* b,
    const Layout* at_b, const float* beta, const void* c, const Layout* at_c, void* d, const Layout* at_d,
    const uint64_t* algorithm, void*, size_t, Stream* stream) {
    Sizes of_all;
    if (int status = sizes(of, at_a, at_b, at_d, &of_all)) return status;
    auto [m, n, k] = of_all;
    if (algorithm[0] != m || algorithm[1] != n || algorithm[2] != k || algorithm[4] != (uint64_t)of->epilogue)
        wrong("an algorithm of another product");
    for (const void* address : {a, b, c, (const void*)d})
        if ((uint64_t)address % algorithm[3]) wrong("an address that is not aligned as promised");
    if (c != d || at_c != at_d) wrong("another matrix is added");
    Product product = {of_all, *of, *at_a, *at_b, *at_c, *at_d, *alpha, *beta, a, b, c, d};
    return emulator_multiply(stream, m, n, k, multiply, &product, sizeof product) ? EXECUTION_FAILED : OK;
}
}
