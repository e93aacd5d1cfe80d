#include <errno.h>
#include <stdatomic.h>

#include "CUnderValgrind.h"

// A steady time that goes on by 200 ns with each look at it, about what a no-op job takes outside valgrind. Under valgrind a
// job takes some fifty times as long, and now and then much longer: by the real clock tickets would be short, commits many,
// and how short and how many would depend on the machine and its load.
enum { step_nanoseconds = 200 };

// Not 0: who asks may subtract from it. Sequentially consistent throughout: nothing but the value is published by it.
static _Atomic int64_t now = 1000000000000;
static _Atomic int64_t reads;

int64_t clock_reads(void) { return atomic_load(&reads); }

int64_t __wrap_petiole_steady_time(void) {
    atomic_fetch_add(&reads, 1);
    return atomic_fetch_add(&now, step_nanoseconds) + step_nanoseconds;
}

int __real_petiole_wait_for(
    const uint32_t *word, uint32_t expected, int shared, int64_t nanoseconds, uint32_t mask);

// Waits until the time above has come. When a wait ends by the real clock and nobody has looked meanwhile, everybody waits, and
// the time moves to the deadline: the first to be reached, since its wait was the shortest.
int __wrap_petiole_wait_for(
    const uint32_t *word, uint32_t expected, int shared, int64_t nanoseconds, uint32_t mask) {
    int64_t seen = atomic_load(&now);
    int64_t deadline = nanoseconds > INT64_MAX - seen ? INT64_MAX : seen + nanoseconds;
    while (seen < deadline) {
        int result = __real_petiole_wait_for(word, expected, shared, deadline - seen, mask);
        if (result != ETIMEDOUT) return result;
        // Otherwise `seen` is what the time is now.
        if (atomic_compare_exchange_strong(&now, &seen, deadline)) break;
    }
    return ETIMEDOUT;
}
