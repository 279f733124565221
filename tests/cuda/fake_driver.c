/* An NVIDIA driver and an NVRTC that compute nothing, for tests of what is asked of them and of what is said
 * when they refuse. Memory is the host's. Built as libcuda.so; with -DNVRTC as libnvrtc.so; with -DNCCL as libnccl.so.2;
 * with -DCUBLASLT as libcublasLt.so, which does compute.
 *
 * VAR_FAKE_CARD says with words between commas what is wrong: none, stub, old-driver, old-card, new-card, busy, full,
 * tiny, lost; no-capture, no-graph, no-launch-in-capture; waiting, whose work never ends; pair, one of two; lost-of-pair;
 * small, of one multiprocessor; the same with an old-library, or a broken-library; counting, which says at the end
 * how much was launched; anything else is a card.
 * What should never happen (writes past memory, allocations within a capture, things left behind) is said on
 * stderr, after "fake driver:". */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is(const char* name) {
    const char* fake = getenv("VAR_FAKE_CARD");
    size_t length = strlen(name);
    for (; fake && *fake; fake += *fake == ',') {
        const char* word = fake;
        fake += strcspn(fake, ",");
        if ((size_t)(fake - word) == length && strncmp(word, name, length) == 0) return 1;
    }
    return 0;
}

#ifdef NVRTC

int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0, 0; }
int nvrtcGetNumSupportedArchs(int* count) { return *count = 1, 0; }
int nvrtcGetSupportedArchs(int* archs) { return archs[0] = is("new-card") ? 80 : 90, 0; }
int nvrtcCreateProgram(void** program, const char* source, const char* name, int count, void* headers, void* names) {
    return *program = strdup(source), 0;
}
int nvrtcCompileProgram(void* program, int count, const char** options) { return 0; }
int nvrtcGetProgramLogSize(void* program, size_t* size) { return *size = 1, 0; }
int nvrtcGetProgramLog(void* program, char* log) { return *log = 0, 0; }
int nvrtcGetCUBINSize(void* program, size_t* size) { return *size = strlen(program) + 1, 0; }
int nvrtcGetCUBIN(void* program, char* cubin) { return strcpy(cubin, program), 0; }
int nvrtcDestroyProgram(void** program) { return free(*program), 0; }

#elif defined(NCCL)

#include <dlfcn.h>

static int joined;

typedef struct { char internal[128]; } Identity;

int ncclGetUniqueId(Identity* identity) { return strcpy(identity->internal, "a fake group"), 0; }
int ncclCommInitRank(void** member, int size, Identity identity, int rank) {
    if (strcmp(identity.internal, "a fake group")) fprintf(stderr, "fake driver: another group is joined\n");
    if (rank >= size) fprintf(stderr, "fake driver: rank %d of %d\n", rank, size);
    return joined++, *member = &joined, 0;
}
int ncclAllReduce(const void* from, void* to, size_t count, int number, int sum, void* member, void* stream) {
    if (number != 7 || sum != 0 || from != to) fprintf(stderr, "fake driver: another sum\n");
    void (*begin)(uint64_t, size_t, void*) = dlsym(dlopen("libcuda.so", RTLD_LAZY), "fake_sum");
    return begin((uint64_t)to, 4 * count, stream), 0;
}
int ncclCommGetAsyncError(void* member, int* error) { return *error = 0, 0; }
int ncclCommDestroy(void* member) {
    if (--joined) fprintf(stderr, "fake driver: more than one membership\n");
    return 0;
}
int ncclCommAbort(void* member) { return printf("aborted\n"), fflush(stdout), 0; }
const char* ncclGetErrorString(int error) { return "an error"; }

#elif defined(CUBLASLT)

#include <dlfcn.h>

/* Matrix products as cuBLASLt documents them, computed: D = epilogue(alpha · op(A) · op(B) + beta · C), all by
 * columns. */
enum { SINGLE = 0, HALF = 2, BRAIN = 14, COMPUTE_SINGLE = 68, COMPUTE_TF32 = 77, INVALID = 7, UNSUPPORTED = 15 };
enum { TRANSPOSE_A = 3, TRANSPOSE_B = 4, EPILOGUE = 7, BIAS = 8 };
enum { PLAIN = 1, WITH_BIAS = 4, GELU = 32, GELU_BIAS = 36 };

typedef struct { int type; uint64_t rows, columns; int64_t stride; } Layout;
typedef struct { int compute, transposed_a, transposed_b, epilogue; uint64_t bias; } Description;
typedef struct { uint64_t workspace; unsigned reduction, alignments[4]; } Preference;

static int libraries, descriptions, layouts, preferences;

static void wrong(const char* what) { fprintf(stderr, "fake driver: %s\n", what); }

size_t cublasLtGetVersion(void) { return is("old-library") ? 110400 : 130100; }
const char* cublasLtGetStatusString(int status) { return "a status"; }
int cublasLtCreate(void** library) {
    if (is("broken-library")) return 1;
    return libraries++, *library = &libraries, 0;
}
int cublasLtDestroy(void* library) {
    int (*lost)(void) = dlsym(dlopen("libcuda.so", RTLD_LAZY), "fake_lost");
    if (lost && lost()) wrong("a library is closed on a card that is lost");
    if (descriptions || layouts || preferences) wrong("descriptions, layouts or preferences are left");
    return libraries--, 0;
}
int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    if (stride < (int64_t)rows) wrong("columns overlap");
    *layout = malloc(sizeof **layout);
    **layout = (Layout){type, rows, columns, stride};
    return layouts++, 0;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) { return layouts--, free(layout), 0; }
int cublasLtMatmulDescCreate(Description** description, int compute, int scale) {
    if (scale != SINGLE) wrong("factors of another format");
    *description = calloc(1, sizeof **description);
    (*description)->compute = compute, (*description)->epilogue = PLAIN;
    return descriptions++, 0;
}
int cublasLtMatmulDescSetAttribute(Description* description, int attribute, const void* value, size_t bytes) {
    if (bytes != (attribute == BIAS ? 8 : 4)) return INVALID;
    switch (attribute) {
        case TRANSPOSE_A: description->transposed_a = *(int*)value; break;
        case TRANSPOSE_B: description->transposed_b = *(int*)value; break;
        case EPILOGUE: description->epilogue = *(int*)value; break;
        case BIAS: description->bias = *(uint64_t*)value; break;
        default: wrong("an unknown attribute of a product");
    }
    return 0;
}
int cublasLtMatmulDescDestroy(Description* description) { return descriptions--, free(description), 0; }
int cublasLtMatmulPreferenceCreate(Preference** preference) {
    *preference = malloc(sizeof **preference);
    **preference = (Preference){0, 7, {256, 256, 256, 256}};
    return preferences++, 0;
}
int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes) {
    if (bytes != (attribute == 1 ? 8 : 4)) return INVALID;
    if (attribute == 1) preference->workspace = *(uint64_t*)value;
    else if (attribute == 3) preference->reduction = *(unsigned*)value;
    else if (attribute >= 5 && attribute <= 8) preference->alignments[attribute - 5] = *(unsigned*)value;
    else wrong("an unknown preference");
    return 0;
}
int cublasLtMatmulPreferenceDestroy(Preference* preference) { return preferences--, free(preference), 0; }

typedef struct { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; } Heuristic;

/* What is computed: D is m × n. */
static int sizes(Description* of, Layout* a, Layout* b, Layout* d, uint64_t* m, uint64_t* n, uint64_t* k) {
    *m = of->transposed_a ? a->columns : a->rows, *k = of->transposed_a ? a->rows : a->columns;
    *n = of->transposed_b ? b->rows : b->columns;
    if (*k != (of->transposed_b ? b->columns : b->rows)) return wrong("sides do not match"), INVALID;
    if (*m != d->rows || *n != d->columns) return wrong("the product is of another size"), INVALID;
    if (a->type != b->type || (d->type != SINGLE && d->type != a->type)) return UNSUPPORTED;
    if (of->compute != (a->type == SINGLE ? COMPUTE_TF32 : COMPUTE_SINGLE)) wrong("another way to compute");
    return 0;
}
int cublasLtMatmulAlgoGetHeuristic(
    void* library, Description* of, Layout* a, Layout* b, Layout* c, Layout* d, Preference* preference, int wanted,
    Heuristic* found, int* count) {
    uint64_t m, n, k;
    int status = sizes(of, a, b, d, &m, &n, &k);
    if (status) return status;
    if (preference->reduction != 2) wrong("sums whose order is open");
    *found = (Heuristic){{m, n, k, preference->alignments[0], of->epilogue}, preference->workspace};
    /* One depth that it has nothing for. */
    return *count = k == 4096 ? 0 : 1, 0;
}

static float half(uint16_t bits) {
    _Float16 x;
    return memcpy(&x, &bits, 2), x;
}
static float brain(uint16_t bits) {
    uint32_t word = (uint32_t)bits << 16;
    float x;
    return memcpy(&x, &word, 4), x;
}
static float number(const void* run, int type, uint64_t i) {
    if (type == SINGLE) return ((const float*)run)[i];
    uint16_t bits = ((const uint16_t*)run)[i];
    return type == HALF ? half(bits) : brain(bits);
}
static void put(void* run, int type, uint64_t i, float x) {
    if (type == SINGLE) { ((float*)run)[i] = x; return; }
    if (type == HALF) { _Float16 y = x; memcpy((uint16_t*)run + i, &y, 2); return; }
    uint32_t word;
    memcpy(&word, &x, 4);
    ((uint16_t*)run)[i] = (word + 0x7fff + (word >> 16 & 1)) >> 16;
}

int cublasLtMatmul(
    void* library, Description* of, const float* alpha, const void* a, Layout* at_a, const void* b, Layout* at_b,
    const float* beta, const void* c, Layout* at_c, void* d, Layout* at_d, const uint64_t* algorithm, void* workspace,
    size_t bytes, void* stream) {
    uint64_t m, n, k;
    int status = sizes(of, at_a, at_b, at_d, &m, &n, &k);
    if (status) return status;
    if (algorithm[0] != m || algorithm[1] != n || algorithm[2] != k || algorithm[4] != of->epilogue)
        wrong("an algorithm of another product");
    for (int i = 0; i < 4; i++)
        if ((uint64_t)(const void*[]){a, b, c, d}[i] % algorithm[3]) wrong("an address that is not aligned as promised");
    if (c != d || at_c != at_d) wrong("another matrix is added");
    int has_bias = of->epilogue == WITH_BIAS || of->epilogue == GELU_BIAS;
    for (uint64_t column = 0; column < n; column++) {
        for (uint64_t row = 0; row < m; row++) {
            float sum = 0;
            for (uint64_t i = 0; i < k; i++) {
                uint64_t in_a = of->transposed_a ? i + row * at_a->stride : row + i * at_a->stride;
                uint64_t in_b = of->transposed_b ? column + i * at_b->stride : i + column * at_b->stride;
                sum += number(a, at_a->type, in_a) * number(b, at_b->type, in_b);
            }
            uint64_t place = row + column * at_d->stride;
            sum = *alpha * sum + (*beta ? *beta * number(c, at_c->type, place) : 0);
            if (has_bias) sum += number((void*)of->bias, at_d->type, row);
            if (of->epilogue == GELU || of->epilogue == GELU_BIAS)
                sum = 0.5f * sum * (1 + tanhf(0.7978845608f * (sum + 0.044715f * sum * sum * sum)));
            put(d, at_d->type, place, sum);
        }
    }
    return 0;
}

#else

enum { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, STUB = 34, NO_DEVICE = 100, BUSY = 46, NOT_READY = 600, FAILED = 719, INVALIDATED = 901 };
/* What a block may have without a function's attribute. */
enum { USUAL_SHARED = 48 << 10 };
enum { MOST = 4096, ROOM = 1 << 30 };

static struct { char* start; size_t bytes; } held[MOST];
static size_t used;
static int retained, modules, events, graphs, streams, capturing, noted, launches, graph_launches;

/* How much was asked for in a stream, and for how much of another's it waits. */
typedef struct Stream { long asked, awaited; struct Stream* other; } Stream;
typedef struct { Stream* stream; long asked; int begun; } Event;
typedef struct { int launches; } Graph;
typedef struct { char name[128]; int allowed; } Function;

/* Sums that nobody has waited for: what was asked for before in the stream whose numbers they are. */
static struct { uint64_t start, bytes; long asked; } sum_of[MOST];
static Stream *of_sums, *of_numbers;
static int begun, sums, early;

static void wrong(const char* what) { fprintf(stderr, "fake driver: %s\n", what); }

static void inside(uint64_t address, size_t bytes) {
    for (int i = 0; i < MOST; i++)
        if (held[i].start && address >= (uint64_t)held[i].start &&
            address + bytes <= (uint64_t)held[i].start + held[i].bytes)
            return;
    wrong("a copy outside of memory");
}

static size_t room(void) { return is("full") ? ROOM / 16 : is("tiny") ? ROOM / 128 : ROOM; }

/* Lost after so many launches: 200, or what VAR_FAKE_LAUNCHES says. */
static int lost(void) {
    const char* most = getenv("VAR_FAKE_LAUNCHES");
    return (is("lost") || is("lost-of-pair")) && launches > (most ? atoi(most) : 200);
}

int fake_lost(void) { return lost(); }

int cuInit(unsigned flags) { return is("none") ? NO_DEVICE : is("stub") ? STUB : OK; }
int cuDriverGetVersion(int* version) { return *version = is("old-driver") ? 12040 : 13000, OK; }
int cuDeviceGetCount(int* count) { return *count = is("pair") || is("waiting") || is("lost-of-pair") ? 2 : 1, OK; }
int cuDeviceGet(int* device, int number) { return *device = number, OK; }
int cuDeviceGetName(char* name, int room, int device) { return strcpy(name, "fake card"), OK; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    switch (attribute) {
        case 75: *value = is("old-card") ? 7 : 9; break;
        case 76: *value = is("old-card") ? 5 : 0; break;
        case 16: *value = is("small") || is("old-library") || is("broken-library") ? 1 : 132; break;
        case 97: *value = 227 << 10; break;
        default: wrong("an unknown attribute");
    }
    return OK;
}
int cuGetErrorString(int error, const char** text) {
    *text = error == BUSY ? "all CUDA-capable devices are busy or unavailable"
            : error == FAILED ? "unspecified launch failure" : "an error";
    return OK;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
    if (is("busy")) return BUSY;
    return retained++, *context = &used, OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    if (--retained) return OK;
    for (int i = 0; i < MOST; i++)
        if (held[i].start) wrong("memory is left");
    if (modules || events || graphs || streams) wrong("modules, events, graphs or streams are left");
    if (begun) wrong("sums that were not waited for");
    if (is("counting")) printf("launches %d, graphs %d\n", launches, graph_launches);
    if (sums) printf("sums %d, %d early\n", sums, early);
    fflush(stdout);
    return OK;
}
int cuCtxSetCurrent(void* context) { return context == &used ? OK : 201; }
int cuStreamCreate(void** stream, unsigned flags) {
    return streams++, *stream = calloc(1, sizeof(Stream)), OK;
}
int cuStreamDestroy_v2(void* stream) { return streams--, free(stream), OK; }
int cuStreamQuery(void* stream) { return is("waiting") ? NOT_READY : lost() ? FAILED : OK; }
int cuStreamSynchronize(void* stream) {
    if (capturing) wrong("a wait within a capture");
    return lost() ? FAILED : OK;
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    if (capturing) wrong("memory is asked for within a capture");
    if (used + bytes > room()) return OUT_OF_MEMORY;
    for (int i = 0; i < MOST; i++) {
        if (held[i].start) continue;
        held[i].start = aligned_alloc(256, (bytes + 255) / 256 * 256), held[i].bytes = bytes;
        memset(held[i].start, 0, bytes);
        return used += bytes, *address = (uint64_t)held[i].start, OK;
    }
    return OUT_OF_MEMORY;
}
int cuMemFree_v2(uint64_t address) {
    for (int i = 0; i < MOST; i++) {
        if (!held[i].start || (uint64_t)held[i].start != address) continue;
        free(held[i].start);
        return held[i].start = 0, used -= held[i].bytes, OK;
    }
    return wrong("what is freed was not allocated"), OK;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    return *free = room() - used, *total = room(), OK;
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) { return *memory = malloc(bytes), OK; }
int cuMemFreeHost(void* memory) { return free(memory), OK; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
    inside(to, bytes);
    return capturing ? OK : (memcpy((void*)to, from, bytes), OK);
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
    if (capturing) wrong("a download within a capture");
    inside(from, bytes);
    return memcpy(to, (void*)from, bytes), OK;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
    inside(to, bytes), inside(from, bytes);
    return capturing ? OK : (memmove((void*)to, (void*)from, bytes), OK);
}

int cuModuleLoadData(void** module, const void* image) {
    if (capturing) wrong("kernels are loaded within a capture");
    return modules++, *module = strdup(image), OK;
}
int cuModuleUnload(void* module) { return modules--, free(module), OK; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
    char wanted[128];
    snprintf(wanted, sizeof wanted, " void %s(", name);
    if (!strstr(module, wanted)) wrong("a kernel that its text does not have");
    Function* found = calloc(1, sizeof *found);
    strncpy(found->name, name, sizeof found->name - 1);
    return *function = found, OK;
}
/* As ptxas says: of the kernels with dynamic shared memory, `draw` declares the most. */
static int declared(const Function* function) { return strcmp(function->name, "draw") ? 128 : 4352; }
int cuFuncGetAttribute(int* value, int attribute, void* function) {
    if (attribute != 1) wrong("an unknown attribute of a function");
    return *value = declared(function), OK;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
    if (attribute != 8) wrong("another attribute of a function");
    return ((Function*)function)->allowed = value, OK;
}
int cuLaunchKernel(
    Function* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz, unsigned shared,
    void* stream, void** arguments, void** extra) {
    if (begun && (strstr(function->name, "adamw") || strstr(function->name, "squares"))) wrong("gradients are read before their sum");
    if (!x || y > 65535 || z > 65535 || !threads || threads > 1024 || ty != 1 || tz != 1 || shared > 227 << 10)
        wrong("a launch no card can do");
    if (declared(function) + shared > USUAL_SHARED && shared > function->allowed) return INVALID;
    if (capturing && is("no-launch-in-capture")) return INVALID;
    return capturing ? noted++ : (launches++, ((Stream*)stream)->asked++), OK;
}

int cuStreamBeginCapture_v2(void* stream, int mode) { return capturing++ ? (wrong("a capture within another"), OK) : OK; }
static int of_launches(void** graph, int launches) {
    Graph* made = malloc(sizeof *made);
    return made->launches = launches, graphs++, *graph = made, OK;
}
int cuStreamEndCapture(void* stream, void** graph) {
    int launches = noted;
    capturing--, noted = 0;
    return is("no-capture") ? (*graph = 0, INVALIDATED) : of_launches(graph, launches);
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, uint64_t flags) {
    return is("no-graph") ? OUT_OF_MEMORY : of_launches(executable, ((Graph*)graph)->launches);
}
int cuGraphDestroy(void* graph) { return graphs--, free(graph), OK; }
int cuGraphExecDestroy(void* executable) { return graphs--, free(executable), OK; }
int cuGraphLaunch(void* executable, void* stream) {
    return graph_launches++, ((Stream*)stream)->asked++, launches += ((Graph*)executable)->launches, OK;
}
int cuEventCreate(void** event, unsigned flags) { return events++, *event = calloc(1, sizeof(Event)), OK; }
int cuEventDestroy_v2(void* event) { return events--, free(event), OK; }
int cuEventRecord(void* event, void* stream) {
    return *(Event*)event = (Event){stream, ((Stream*)stream)->asked, begun}, OK;
}

static int by_place(const void* a, const void* b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}
/* All sums begun must be waited for, and be of one piece of memory: each number once. */
static void ended(int count) {
    if (count != begun) wrong("a wait that is not for all sums");
    for (int i = 0; i < begun; i++) early += sum_of[i].asked < of_numbers->asked;
    qsort(sum_of, begun, sizeof *sum_of, by_place);
    for (int i = 1; i < begun; i++)
        if (sum_of[i - 1].start + sum_of[i - 1].bytes != sum_of[i].start) wrong("sums with a gap, or one twice");
    uint64_t bytes = begun ? sum_of[begun - 1].start + sum_of[begun - 1].bytes - sum_of[0].start : 0;
    int whole = 0;
    for (int i = 0; i < MOST; i++) whole |= (uint64_t)held[i].start == sum_of[0].start && held[i].bytes == bytes;
    if (!whole) wrong("sums of a part of what there is");
    sums += begun, begun = 0;
}
int cuStreamWaitEvent(void* stream, void* event, unsigned flags) {
    Stream* later = stream;
    Event* passed = event;
    later->other = passed->stream, later->awaited = passed->asked;
    if (begun && passed->stream == of_sums && later == of_numbers) ended(passed->begun);
    return OK;
}
void fake_sum(uint64_t start, size_t bytes, void* stream) {
    inside(start, bytes);
    of_sums = stream, of_numbers = of_sums->other;
    if (of_sums->asked || !of_numbers) return wrong("a sum that delays what is computed, or waits for nothing");
    if (of_sums->awaited != of_numbers->asked) wrong("a sum that does not wait for its numbers");
    if (begun == MOST) return wrong("too many sums");
    sum_of[begun].start = start, sum_of[begun].bytes = bytes, sum_of[begun++].asked = of_numbers->asked;
}
int cuEventSynchronize(void* event) { return lost() ? FAILED : OK; }
int cuEventElapsedTime_v2(float* milliseconds, void* begin, void* end) { return *milliseconds = 100.0f, OK; }

#endif
