// GPUs and their contexts.
#include "driver.h"

static Gpu gpus[2];
static thread_local Gpu* own;
static thread_local int failed_with;
static thread_local std::string failed_text;

static std::recursive_mutex lock;

Locked::Locked() : guard(lock) {}

int failure(Code code, const std::string& text) { return failed_text = text, failed_with = code; }

Gpu* current() { return own; }

int launches;

// Lost after so many launches: 200, or as VAR_FAKE_LAUNCHES says.
bool lost() {
    const char* most = getenv("VAR_FAKE_LAUNCHES");
    return (is("lost") || is("lost-of-pair")) && launches > (most ? atoi(most) : 200);
}

static int graph_launches_of_all;
void count_graph_launch() { graph_launches_of_all++; }

// A retained GPU: its context's memory, objects and sums must be gone when nobody retains it any more.
static void given_back(Gpu* gpu) {
    report_memory_left(gpu);
    if (gpu->modules || gpu->events || gpu->graphs || gpu->streams)
        wrong("modules, events, graphs or streams are left");
    if (sums_begun()) wrong("sums that were not waited for");
    if (is("counting")) printf("launches %d, graphs %d\n", launches, graph_launches_of_all);
    report_sums();
    fflush(stdout);
}

extern "C" {

bool emulator_lost() { return lost(); }

int cuInit(unsigned) {
    if (is("none")) return failure(NO_DEVICE, "no CUDA-capable device is detected");
    if (is("stub")) return failure(STUB, "a stub");
    Locked locked;
    for (int number = 0; number < 2; number++) {
        gpus[number].number = number;
        gpus[number].kind = !computes() ? FAKE : number ? RECORDS : COMPUTES;
    }
    return OK;
}
int cuDriverGetVersion(int* version) { return *version = is("old-driver") ? 12040 : 13000, OK; }
int cuDeviceGetCount(int* count) {
    return *count = computes() || is("pair") || is("waiting") || is("lost-of-pair") ? 2 : 1, OK;
}
int cuDeviceGet(int* device, int number) { return *device = number, OK; }
int cuDeviceGetName(char* name, int room, int device) {
    const char* names[] = {"fake GPU", "recording GPU", "emulated GPU"};
    return snprintf(name, room, "%s", names[gpus[device].kind]), OK;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    // Those of an H100, with few multiprocessors where they compute; of an A100 where they record.
    Kind kind = gpus[device].kind;
    bool one = is("small") || is("old-library") || is("broken-library");
    switch (attribute) {
        case 75: *value = is("old-gpu") ? 7 : kind == RECORDS ? 8 : 9; break;
        case 76: *value = is("old-gpu") ? 5 : 0; break;
        case 16: *value = one ? 1 : kind == RECORDS ? 108 : kind == COMPUTES ? 4 : 132; break;
        case 97: *value = kind == RECORDS ? 163 << 10 : SHARED_OF_BLOCK; break;
        default: wrong("an unknown attribute");
    }
    return OK;
}
int cuGetErrorString(int error, const char** text) {
    static thread_local std::string given;
    given = error == failed_with ? failed_text : error == NOT_READY ? "not ready" : "an error";
    return *text = given.c_str(), OK;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
    if (is("busy")) return failure(BUSY, "all CUDA-capable devices are busy or unavailable");
    Locked locked;
    return gpus[device].retained++, *context = &gpus[device], OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    Locked locked;
    if (--gpus[device].retained == 0) given_back(&gpus[device]);
    return OK;
}
int cuCtxSetCurrent(void* context) {
    if (context != &gpus[0] && context != &gpus[1]) return failure(INVALID_CONTEXT, "no context");
    return own = (Gpu*)context, OK;
}
}
