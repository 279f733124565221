// NCCL's interface for a group of GPUs: it adds nothing, and checks the order of its calls.
#include "gpu.h"

static int joined;

struct Identity { char internal[128]; };

extern "C" {

int ncclGetUniqueId(Identity* identity) { return strcpy(identity->internal, "a fake group"), 0; }
int ncclCommInitRank(void** member, int size, Identity identity, int rank) {
    if (strcmp(identity.internal, "a fake group")) wrong("another group is joined");
    if (rank >= size) wrong("a rank beyond the group's size");
    return joined++, *member = &joined, 0;
}
int ncclAllReduce(const void* from, void* to, size_t count, int number, int sum, void*, void* stream) {
    if (number != 7 || sum != 0 || from != to) wrong("another sum");
    return emulator_sum((uint64_t)to, 4 * count, stream), 0;
}
int ncclCommGetAsyncError(void*, int* error) { return *error = 0, 0; }
int ncclCommDestroy(void*) {
    if (--joined) wrong("more than one membership");
    return 0;
}
int ncclCommAbort(void*) { return printf("aborted\n"), fflush(stdout), 0; }
const char* ncclGetErrorString(int) { return "an error"; }
}
