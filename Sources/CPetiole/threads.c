#include "threads.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

struct start {
    void (*body)(void *);
    void *context;
    char name[64];
};

static void *run(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
#if defined(__APPLE__)
    pthread_setname_np(start.name);
#else
    start.name[15] = 0;  // The kernel's limit, its zero included, is 16.
    pthread_setname_np(pthread_self(), start.name);
#endif
    start.body(start.context);
    return NULL;
}

// A thread inherits the mask of the one that starts it, so SIGPIPE is blocked around the start: no moment without.
int petiole_thread_start(
    void (*body)(void *), void *context, const char *name, size_t stack_bytes, uintptr_t *handle) {
    struct start *start = malloc(sizeof *start);
    if (!start) return ENOMEM;
    start->body = body;
    start->context = context;
    snprintf(start->name, sizeof start->name, "%s", name);

    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) {
        free(start);
        return error;
    }
    pthread_attr_setstacksize(&attributes, stack_bytes < PTHREAD_STACK_MIN ? PTHREAD_STACK_MIN : stack_bytes);
    pthread_attr_setdetachstate(&attributes, handle ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);

    sigset_t pipe, before;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error) {
        free(start);
    } else if (handle) {
        *handle = (uintptr_t)thread;
    }
    return error;
}

int petiole_thread_join(uintptr_t handle) { return pthread_join((pthread_t)handle, NULL); }

int petiole_thread_name(char *name, size_t capacity) { return pthread_getname_np(pthread_self(), name, capacity); }

void petiole_block_sigpipe(void) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
}

int petiole_blocks_sigpipe(void) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGPIPE);
}

static _Thread_local void *thread_word;
void *petiole_thread_word(void) { return thread_word; }
void petiole_set_thread_word(void *word) { thread_word = word; }

void petiole_yield(void) { sched_yield(); }

#if defined(__linux__) && defined(SYS_sched_setattr)
void petiole_ask_for_short_slices(void) {
    // struct sched_attr, the part that there has always been: sched_setattr(2).
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof attributes};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0))
        return;
    // For ordinary threads the run time is the slice, in nanoseconds; the kernel takes 100 µs and more.
    if (attributes.policy == SCHED_OTHER) {
        attributes.runtime = 100000;
        syscall(SYS_sched_setattr, 0, &attributes, 0);
    }
}
#else
void petiole_ask_for_short_slices(void) {}
#endif

#if defined(__linux__)
void petiole_ask_for_exact_waits(void) { prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); }
#else
void petiole_ask_for_exact_waits(void) {}
#endif

static int smaller(int left, int right) {
    if (left == 0) return right;
    return right == 0 || left < right ? left : right;
}

static int rounded_up(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long count = (quota + period - 1) / period;
    return count > INT_MAX ? INT_MAX : (int)count;
}

static long long number_in(const char *directory, const char *name) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) return -1;
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    long long value = -1;
    if (fscanf(file, "%lld", &value) != 1) value = -1;
    fclose(file);
    return value;
}

/// Version 1: two files. Version 2: `cpu.max` holds "max 100000" or "50000 100000".
static int quota_in(const char *directory, int version) {
    if (version == 1) {
        return rounded_up(number_in(directory, "cpu.cfs_quota_us"), number_in(directory, "cpu.cfs_period_us"));
    }
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/cpu.max", directory) >= (int)sizeof path) return 0;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    long long quota = 0, period = 0;
    int count = fscanf(file, "%lld %lld", &quota, &period);
    fclose(file);
    return count == 2 ? rounded_up(quota, period) : 0;
}

/// The smallest quota from `mount/group` up to `mount`. In a container the group's path may be the host's and absent here; what
/// is there counts, and the root is always looked at.
static int quota_upward(const char *mount, const char *group, int version) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s%s", mount, group) >= (int)sizeof path) return 0;
    size_t root = strlen(mount);
    int quota = 0;
    for (;;) {
        quota = smaller(quota, quota_in(path, version));
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < root) return quota;
        *slash = 0;
    }
}

/// Whether a list like "cpu,cpuacct" has `cpu` in it.
static int names_cpu(const char *list) {
    while (*list) {
        size_t length = strcspn(list, ",");
        if (length == 3 && strncmp(list, "cpu", 3) == 0) return 1;
        list += length + (list[length] == ',');
    }
    return 0;
}

int petiole_quota_processors(const char *groups_path, const char *mount_path) {
    FILE *file = fopen(groups_path, "re");
    if (!file) return 0;
    int quota = 0;
    char line[PATH_MAX + 256], mount[PATH_MAX];
    // A line is "4:cpu,cpuacct:/group" in version 1, "0::/group" in version 2.
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        if (!controllers) continue;
        char *group = strchr(++controllers, ':');
        if (!group) continue;
        *group++ = 0;
        if (*controllers == 0) {
            quota = smaller(quota, quota_upward(mount_path, group, 2));
            snprintf(mount, sizeof mount, "%s/unified", mount_path);
            quota = smaller(quota, quota_upward(mount, group, 2));
        } else if (names_cpu(controllers)) {
            snprintf(mount, sizeof mount, "%s/%s", mount_path, controllers);
            quota = smaller(quota, quota_upward(mount, group, 1));
            snprintf(mount, sizeof mount, "%s/cpu", mount_path);
            quota = smaller(quota, quota_upward(mount, group, 1));
        }
    }
    fclose(file);
    return quota;
}

static int processors_of_mask(void) {
#if defined(__linux__)
    // The kernel refuses a set that is smaller than its own (EINVAL), so try larger ones.
    for (int size = 1024; size <= 1 << 20; size *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)size);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)size);
        CPU_ZERO_S(bytes, set);
        int failed = sched_getaffinity(0, bytes, set);
        int count = failed ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!failed) return count;
        if (errno != EINVAL) break;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > INT_MAX ? INT_MAX : (int)online;
}

int petiole_processors(void) {
    int count = processors_of_mask();
    int quota = petiole_quota_processors("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < count) count = quota;
    return count < 1 ? 1 : count;
}
