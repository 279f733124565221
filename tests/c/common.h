/* Of both test programs: assertions, a pool of threads, the time. */
#define _POSIX_C_SOURCE 200809L
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef NDEBUG
#error "assertions are the test"
#endif

/* A pool of the caller's: a thread for each task. */
typedef struct {
    void (*task)(void *, size_t);
    void *context;
    size_t index;
} Call;

static void *called(void *user) {
    Call *call = (Call *)user;
    call->task(call->context, call->index);
    return NULL;
}

static void by_threads(void *pool, size_t tasks, void (*task)(void *, size_t), void *context) {
    pthread_t threads[8];
    Call calls[8];
    size_t i;
    ++*(int *)pool;
    assert(tasks <= 8);
    for (i = 0; i < tasks; i++) {
        calls[i].task = task, calls[i].context = context, calls[i].index = i;
        assert(!pthread_create(&threads[i], NULL, called, &calls[i]));
    }
    for (i = 0; i < tasks; i++) pthread_join(threads[i], NULL);
}

/* Milliseconds since some start. */
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}
