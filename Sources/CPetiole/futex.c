#include "futex.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <time.h>

static int64_t now_on(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t petiole_real_time(void) { return now_on(CLOCK_REALTIME); }
int64_t petiole_steady_time(void) { return now_on(CLOCK_MONOTONIC); }
#if defined(__APPLE__)
// The clock of `mach_continuous_time`.
int64_t petiole_uptime(void) { return now_on(CLOCK_MONOTONIC_RAW); }
#else
int64_t petiole_uptime(void) { return now_on(CLOCK_BOOTTIME); }
#endif

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

// FUTEX_WAIT_BITSET takes an absolute time, FUTEX_WAIT a relative one; with FUTEX_CLOCK_REALTIME the kernel ends the wait
// also when the clock is set past the deadline (futex(2)).
static int wait_until(const uint32_t *word, uint32_t expected, int flags, int64_t deadline, uint32_t mask) {
    struct timespec until, *limit = NULL;
    if (deadline >= 0) {
        until.tv_sec = (time_t)(deadline / 1000000000);
        until.tv_nsec = (long)(deadline % 1000000000);
        limit = &until;
    }
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | flags, expected, limit, NULL, mask) == 0) return 0;
    return errno;
}

int petiole_wait_in(const uint32_t *word, uint32_t expected, int shared, int64_t deadline, uint32_t mask) {
    int flags = FUTEX_CLOCK_REALTIME | (shared ? 0 : FUTEX_PRIVATE_FLAG);
    return wait_until(word, expected, flags, deadline, mask);
}

int petiole_wait_for(const uint32_t *word, uint32_t expected, int shared, int64_t nanoseconds, uint32_t mask) {
    int64_t now = petiole_steady_time(), left = nanoseconds < 0 ? 0 : nanoseconds;
    int64_t deadline = left > INT64_MAX - now ? INT64_MAX : now + left;
    return wait_until(word, expected, shared ? 0 : FUTEX_PRIVATE_FLAG, deadline, mask);
}

void petiole_wake_in(uint32_t *word, int shared, int count, uint32_t mask) {
    int operation = FUTEX_WAKE_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG);
    int kept = errno;
    syscall(SYS_futex, word, operation, count, NULL, NULL, mask);
    errno = kept;
}
#elif defined(__APPLE__)
#include <mach/mach_time.h>
#include <os/os_sync_wait_on_address.h>

// The system's deadline is on the clock of `mach_absolute_time`, which cannot follow a clock that is set. A wait is therefore
// cut into pieces of at most 10 s: the caller sees ETIMEDOUT only once the real-time clock has come to the deadline, and 0
// (look again) at the end of a piece before it.
static const int64_t piece = 10000000000;

int petiole_wait_in(const uint32_t *word, uint32_t expected, int shared, int64_t deadline, uint32_t mask) {
    (void)mask;
    os_sync_wait_on_address_flags_t flags = shared ? OS_SYNC_WAIT_ON_ADDRESS_SHARED : OS_SYNC_WAIT_ON_ADDRESS_NONE;
    int result;
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != expected) return EAGAIN;
    if (deadline < 0) {
        result = os_sync_wait_on_address((void *)word, expected, sizeof *word, flags);
    } else {
        int64_t left = deadline - petiole_real_time();
        if (left <= 0) return ETIMEDOUT;
        if (left > piece) left = piece;
        result = os_sync_wait_on_address_with_timeout(
            (void *)word, expected, sizeof *word, flags, OS_CLOCK_MACH_ABSOLUTE_TIME, (uint64_t)left);
    }
    if (result >= 0) return 0;
    if (errno == ETIMEDOUT) return petiole_real_time() >= deadline ? ETIMEDOUT : 0;
    return errno == EFAULT || errno == ENOMEM ? EINTR : errno;
}

int petiole_wait_for(const uint32_t *word, uint32_t expected, int shared, int64_t nanoseconds, uint32_t mask) {
    (void)mask;
    os_sync_wait_on_address_flags_t flags = shared ? OS_SYNC_WAIT_ON_ADDRESS_SHARED : OS_SYNC_WAIT_ON_ADDRESS_NONE;
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != expected) return EAGAIN;
    if (nanoseconds <= 0) return ETIMEDOUT;
    int result = os_sync_wait_on_address_with_timeout(
        (void *)word, expected, sizeof *word, flags, OS_CLOCK_MACH_ABSOLUTE_TIME, (uint64_t)nanoseconds);
    if (result >= 0) return 0;
    return errno == EFAULT || errno == ENOMEM ? EINTR : errno;
}

void petiole_wake_in(uint32_t *word, int shared, int count, uint32_t mask) {
    os_sync_wake_by_address_flags_t flags = shared ? OS_SYNC_WAKE_BY_ADDRESS_SHARED : OS_SYNC_WAKE_BY_ADDRESS_NONE;
    int kept = errno;
    if (count == 1 && mask == UINT32_MAX) {
        os_sync_wake_by_address_any(word, sizeof *word, flags);
    } else {
        os_sync_wake_by_address_all(word, sizeof *word, flags);
    }
    errno = kept;
}
#else
#error "Petiole waits by futex (Linux) or os_sync_wait_on_address (macOS)"
#endif

int petiole_wait(const uint32_t *word, uint32_t expected, int shared, int64_t deadline) {
    return petiole_wait_in(word, expected, shared, deadline, UINT32_MAX);
}

void petiole_wake(uint32_t *word, int shared, int count) { petiole_wake_in(word, shared, count, UINT32_MAX); }
