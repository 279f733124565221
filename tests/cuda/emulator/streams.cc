// Streams, events, and graphs captured from a stream: work is done when it is asked for, or replayed.
#include "driver.h"

// Captures that this thread has begun.
static thread_local int captures;

bool capturing() { return captures > 0; }

int enqueue(Stream* stream, Work work, bool is_launch) {
    if (stream->captures) {
        stream->captured_launches += is_launch;
        return stream->captured.push_back(std::move(work)), OK;
    }
    if (is_launch) launches++, stream->asked++;
    return work();
}

static int lost_failure() { return failure(FAILED, "unspecified launch failure"); }

extern "C" {

int emulator_multiply(
    Stream* stream, uint64_t m, uint64_t n, uint64_t k, void (*run)(const void*), const void* data, size_t bytes) {
    Locked locked;
    if (stream->gpu->kind == RECORDS) return record_product(m, n, k), OK;
    std::string copy((const char*)data, bytes);
    auto work = [run, copy] {
        run(copy.data());
        std::string written = written_past_the_end();
        return written.empty() ? OK : failure(ILLEGAL_ADDRESS, "a product: " + written);
    };
    return enqueue(stream, work, false);
}

int cuStreamCreate(Stream** stream, unsigned) {
    Locked locked;
    return current()->streams++, *stream = new Stream{current()}, OK;
}
int cuStreamDestroy_v2(Stream* stream) {
    Locked locked;
    return stream->gpu->streams--, delete stream, OK;
}
int cuStreamQuery(Stream*) { return is("waiting") ? failure(NOT_READY, "not ready") : lost() ? lost_failure() : OK; }
int cuStreamSynchronize(Stream* stream) {
    Locked locked;
    if (stream->captures) wrong("a wait within a capture");
    return lost() ? lost_failure() : OK;
}

int cuStreamBeginCapture_v2(Stream* stream, int mode) {
    Locked locked;
    if (stream->captures) wrong("a capture within another");
    if (mode != 1) wrong("a capture that other threads disturb");
    captures++;
    return stream->captures = true, stream->captured.clear(), stream->captured_launches = 0, OK;
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    Locked locked;
    captures--, stream->captures = false, *graph = nullptr;
    if (is("no-capture")) return failure(INVALIDATED, "an invalidated capture");
    *graph = new Graph{stream->gpu, std::move(stream->captured), stream->captured_launches};
    return stream->gpu->graphs++, stream->captured.clear(), OK;
}
int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, uint64_t) {
    Locked locked;
    if (is("no-graph")) return failure(OUT_OF_MEMORY, "no memory for a graph");
    return graph->gpu->graphs++, *executable = new Graph(*graph), OK;
}
int cuGraphDestroy(Graph* graph) {
    Locked locked;
    return graph->gpu->graphs--, delete graph, OK;
}
int cuGraphExecDestroy(Graph* executable) { return cuGraphDestroy(executable); }
int cuGraphLaunch(Graph* executable, Stream* stream) {
    Locked locked;
    count_graph_launch();
    stream->asked++, launches += executable->launches;
    for (auto& work : executable->work)
        if (int failed = work()) return failed;
    return OK;
}

int cuEventCreate(Event** event, unsigned) {
    Locked locked;
    return current()->events++, *event = new Event{current()}, OK;
}
int cuEventDestroy_v2(Event* event) {
    Locked locked;
    return event->gpu->events--, delete event, OK;
}
int cuEventRecord(Event* event, Stream* stream) {
    Locked locked;
    event->stream = stream, event->asked = stream->asked, event->begun = sums_begun();
    return event->time = std::chrono::steady_clock::now(), OK;
}
int cuEventSynchronize(Event*) { return lost() ? lost_failure() : OK; }
int cuEventElapsedTime_v2(float* milliseconds, Event* begin, Event* end) {
    Locked locked;
    // A fake's work takes no time: one that is never 0.
    std::chrono::duration<float, std::milli> time = end->time - begin->time;
    return *milliseconds = end->gpu->kind == COMPUTES ? time.count() : 100.0f, OK;
}
int cuStreamWaitEvent(Stream* later, Event* passed, unsigned) {
    Locked locked;
    later->other = passed->stream, later->awaited = passed->asked;
    return end_sums(later, passed), OK;
}
}
