// Threads with a name, a stack of our choice and SIGPIPE blocked; and how many processors there are for them.
#ifndef CPETIOLE_THREADS_H
#define CPETIOLE_THREADS_H
#include <stddef.h>
#include <stdint.h>

/// Starts a thread that runs `body(context)`. `name` is copied, and cut to 15 bytes on Linux. SIGPIPE is blocked on it.
/// With `handle` the thread must be given to `petiole_thread_join` once; without, it is detached. Returns 0 or an errno.
int petiole_thread_start(
    void (*_Nonnull body)(void *_Nullable), void *_Nullable context, const char *_Nonnull name, size_t stack_bytes,
    uintptr_t *_Nullable handle);
/// Waits for the thread's end. Returns 0 or an errno.
int petiole_thread_join(uintptr_t handle);
/// Reads the calling thread's name into `name`. Returns 0 or an errno.
int petiole_thread_name(char *_Nonnull name, size_t capacity);
/// Blocks SIGPIPE on the calling thread, and on those that it starts.
void petiole_block_sigpipe(void);
/// Whether the calling thread blocks SIGPIPE.
int petiole_blocks_sigpipe(void);

/// A word of the calling thread, NULL at first: what dispatch knows a thread by.
void *_Nullable petiole_thread_word(void);
void petiole_set_thread_word(void *_Nullable word);

/// The processors this process may use: those of its affinity mask, at most what its control groups allow. At least 1.
int petiole_processors(void);
/// The processors that control groups allow, rounded up: the smallest quota from the process's group up to the root, as read
/// from a file like /proc/self/cgroup and the mounts under a directory like /sys/fs/cgroup. 0 when nothing limits them.
int petiole_quota_processors(const char *_Nonnull groups_path, const char *_Nonnull mount_path);

/// Gives the processor to another thread that is ready.
void petiole_yield(void);

/// Asks that the calling thread, when it has something to do, need not wait for others' time slices to end: its own
/// become short. Takes nothing from others in sum, and needs no privilege. Linux 6.12 and later; elsewhere nothing.
void petiole_ask_for_short_slices(void);

/// Asks that timed waits of the calling thread end within a microsecond of their time: by default Linux adds up to 50.
void petiole_ask_for_exact_waits(void);

/// Tells the processor that this is a waiting loop.
static inline void petiole_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}
#endif
