// Waiting for a 32-bit word to change: futex on Linux, os_sync_wait_on_address on macOS.
#ifndef CPETIOLE_FUTEX_H
#define CPETIOLE_FUTEX_H
#include <stdint.h>

/// Waits while `*word` is `expected`, until woken or until `deadline`, in nanoseconds on the real-time clock (negative: none).
/// `shared` is set when the word lies in memory mapped by several processes.
/// Returns 0 (woken, perhaps for no reason), EAGAIN (the word was another), ETIMEDOUT or EINTR. Every caller looks again.
int petiole_wait(const uint32_t *_Nonnull word, uint32_t expected, int shared, int64_t deadline);
/// Wakes up to `count` of those who wait on the word.
void petiole_wake(uint32_t *_Nonnull word, int shared, int count);

/// The same two with a set of groups: a waiter is in the groups of its mask (not empty), a wake is for those whose mask shares
/// a bit with its own. Where the system knows no groups, everybody is woken.
int petiole_wait_in(const uint32_t *_Nonnull word, uint32_t expected, int shared, int64_t deadline, uint32_t mask);
void petiole_wake_in(uint32_t *_Nonnull word, int shared, int count, uint32_t mask);

/// As the first, for at most so many nanoseconds by a clock that only goes forward: it ends in time also when the real-time
/// clock is set meanwhile. Negative: 0.
int petiole_wait_for(const uint32_t *_Nonnull word, uint32_t expected, int shared, int64_t nanoseconds, uint32_t mask);

/// Now, in nanoseconds on the real-time clock, the clock of the deadlines above.
int64_t petiole_real_time(void);
/// Now, in nanoseconds on a clock that only goes forward.
int64_t petiole_steady_time(void);
/// Nanoseconds since the machine was started, those counted in which it slept.
int64_t petiole_uptime(void);
#endif
