// Sums over GPUs, as NCCL asks for them: each must wait for its numbers, be waited for, and leave none out.
#include <algorithm>

#include "driver.h"

namespace {

// A run of floats, and how much was asked for before in the stream that computes them.
struct Sum { uint64_t start, bytes; long asked; };

std::vector<Sum> begun;
Stream *of_sums, *of_numbers;
int sums, early;

}  // namespace

int sums_begun() { return begun.size(); }

void report_sums() {
    if (sums) printf("sums %d, %d early\n", sums, early);
}

// All sums begun must be waited for, and be of one piece of memory: each number once.
void end_sums(Stream* later, const Event* passed) {
    if (begun.empty() || passed->stream != of_sums || later != of_numbers) return;
    if (passed->begun != (int)begun.size()) wrong("a wait that is not for all sums");
    for (auto& sum : begun) early += sum.asked < of_numbers->asked;
    std::sort(begun.begin(), begun.end(), [](const Sum& a, const Sum& b) { return a.start < b.start; });
    for (size_t i = 1; i < begun.size(); i++)
        if (begun[i - 1].start + begun[i - 1].bytes != begun[i].start) wrong("sums with a gap, or one twice");
    if (bytes_of(begun[0].start) != begun.back().start + begun.back().bytes - begun[0].start)
        wrong("sums of a part of the numbers");
    sums += begun.size(), begun.clear();
}

extern "C" void emulator_sum(uint64_t start, size_t bytes, void* stream) {
    Locked locked;
    if (!inside(start, bytes)) wrong("a sum outside of memory");
    of_sums = (Stream*)stream, of_numbers = of_sums->other;
    if (of_sums->asked || !of_numbers) return wrong("a sum that delays computation, or waits for nothing");
    if (of_sums->awaited != of_numbers->asked) wrong("a sum that does not wait for its numbers");
    begun.push_back({start, bytes, of_numbers->asked});
}
