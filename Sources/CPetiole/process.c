#include "process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#else
#include <libproc.h>
#include <mach/mach.h>
#include <sys/event.h>
#include <sys/sysctl.h>
#endif

extern char **environ;

#ifndef ELIBBAD
#define ELIBBAD ENOEXEC
#endif

// Starting

/// What execvp falls back on when there is no PATH.
static const char default_path[] = "/bin:/usr/bin";

static const char *value_of(char *const *environment, const char *name) {
    size_t length = strlen(name);
    for (; *environment; environment++) {
        if (!strncmp(*environment, name, length) && (*environment)[length] == '=')
            return *environment + length + 1;
    }
    return NULL;
}

struct prepared {
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
};

static void discard(struct prepared *spawn) {
    posix_spawn_file_actions_destroy(&spawn->actions);
    posix_spawnattr_destroy(&spawn->attributes);
}

/// The child gets `count` descriptors, from 0 on. On an error nothing is left to discard.
static int prepare(struct prepared *spawn, int directory, const int *descriptors, int count,
                   int niceness) {
    int error = posix_spawnattr_init(&spawn->attributes);
    if (error)
        return error;
    error = posix_spawn_file_actions_init(&spawn->actions);
    if (error) {
        posix_spawnattr_destroy(&spawn->attributes);
        return error;
    }
    // Every disposition is set, those that are default already too: glibc then makes one call a
    // signal, else two for each that has a handler.
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#ifdef POSIX_SPAWN_CLOEXEC_DEFAULT
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
#ifdef POSIX_SPAWN_START_SUSPENDED
    // Before it is its own, nothing of it runs.
    if (niceness > 0)
        flags |= POSIX_SPAWN_START_SUSPENDED;
#else
    (void)niceness;
#endif
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    error = posix_spawnattr_setflags(&spawn->attributes, flags);
    if (!error)
        error = posix_spawnattr_setpgroup(&spawn->attributes, 0);
    if (!error)
        error = posix_spawnattr_setsigmask(&spawn->attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(&spawn->attributes, &all);
    if (!error && directory >= 0)
        error = posix_spawn_file_actions_addfchdir_np(&spawn->actions, directory);
    for (int target = 0; !error && target < count; target++)
        error = posix_spawn_file_actions_adddup2(&spawn->actions, descriptors[target], target);
#ifdef __linux__
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&spawn->actions, count);
#endif
    if (error)
        discard(spawn);
    return error;
}

/// Starts the program at `path`. An absent file is told from an absent interpreter, which both are
/// ENOENT.
static int start(const struct petiole_spawn_request *request, const char *path,
                 const struct prepared *spawn, pid_t *pid) {
    int error = posix_spawn(pid, path, &spawn->actions, &spawn->attributes, request->arguments,
                            request->environment);
    if (error != ENOENT)
        return error;
    int directory = request->directory >= 0 ? request->directory : AT_FDCWD;
    struct stat info;
    return fstatat(directory, path, &info, 0) ? ENOENT : ELIBBAD;
}

/// The search of execvp, but without its last resort, a shell for a file that is no program.
static int search_and_start(const struct petiole_spawn_request *request,
                            const struct prepared *spawn, pid_t *pid) {
    const char *name = request->arguments[0];
    size_t name_length = strlen(name);
    if (!name_length)
        return ENOENT;
    if (strchr(name, '/'))
        return start(request, name, spawn, pid);
    if (name_length > NAME_MAX)
        return ENAMETOOLONG;
    const char *path = value_of(request->environment, "PATH");
    if (!path)
        path = default_path;
    int directory = request->directory >= 0 ? request->directory : AT_FDCWD;
    int answer = ENOENT;
    for (;;) {
        size_t length = strcspn(path, ":");
        char candidate[PATH_MAX];
        if (length + name_length + 2 <= sizeof candidate) {
            // An empty entry is the working directory.
            memcpy(candidate, path, length);
            if (length)
                candidate[length] = '/';
            memcpy(candidate + length + (length ? 1 : 0), name, name_length + 1);
            // Looking first is a microsecond; a child started in vain is a hundred.
            struct stat info;
            if (!fstatat(directory, candidate, &info, 0)) {
                int error = S_ISREG(info.st_mode) ? start(request, candidate, spawn, pid) : EACCES;
                if (error == EACCES)
                    answer = EACCES;
                else if (error != ENOENT && error != ENOTDIR)
                    return error;
            } else if (errno == EACCES) {
                answer = EACCES;
            }
        }
        if (!path[length])
            return answer;
        path += length + 1;
    }
}

static int spawn(const struct petiole_spawn_request *request, pid_t *pid) {
    // Low numbers would be overwritten by the copies to 0, 1, 2 and 3 before their own turn.
    int given[4] = {request->input, request->output, request->error, request->channel};
    int lifted[4] = {-1, -1, -1, -1};
    int count = request->channel < 0 ? 3 : 4;
    int error = 0;
    for (int index = 0; index < count && !error; index++) {
        if (given[index] < count) {
            lifted[index] = fcntl(given[index], F_DUPFD_CLOEXEC, count);
            if (lifted[index] < 0)
                error = errno;
            given[index] = lifted[index];
        }
    }
    struct petiole_spawn_request lifted_request = *request;
    int lifted_directory = -1;
    if (!error && request->directory >= 0 && request->directory < 3) {
        lifted_directory = fcntl(request->directory, F_DUPFD_CLOEXEC, 3);
        if (lifted_directory < 0)
            error = errno;
        lifted_request.directory = lifted_directory;
    }
    if (!error) {
        struct prepared attributes;
        error = prepare(&attributes, lifted_request.directory, given, count,
                        lifted_request.niceness);
        if (!error) {
#ifdef __linux__
            // A new process has the name of the thread that made it until it becomes its program.
            char name[16];
            int is_named = request->starting_name && *request->starting_name &&
                           !prctl(PR_GET_NAME, name) && !prctl(PR_SET_NAME, request->starting_name);
#endif
            error = search_and_start(&lifted_request, &attributes, pid);
#ifdef __linux__
            if (is_named)
                prctl(PR_SET_NAME, name);
#endif
            discard(&attributes);
        }
    }
    for (int index = 0; index < 4; index++) {
        if (lifted[index] >= 0)
            close(lifted[index]);
    }
    if (lifted_directory >= 0)
        close(lifted_directory);
    return error;
}

#ifdef __linux__
struct nice_spawn {
    const struct petiole_spawn_request *request;
    pid_t *pid;
    int error;
};

static void *spawn_nicely(void *argument) {
    struct nice_spawn *nicely = argument;
    // To Linux a niceness is a thread's, and a child has that of the thread which made it.
    int now = getpriority(PRIO_PROCESS, 0);
    int wanted = now + nicely->request->niceness;
    nicely->error = setpriority(PRIO_PROCESS, 0, wanted > 19 ? 19 : wanted) ? errno : 0;
    if (!nicely->error)
        nicely->error = spawn(nicely->request, nicely->pid);
    return NULL;
}

int petiole_spawn(const struct petiole_spawn_request *request, pid_t *pid) {
    if (request->niceness <= 0)
        return spawn(request, pid);
    // A thread of its own for the time of the start: who has become nicer cannot go back.
    struct nice_spawn nicely = {request, pid, 0};
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, spawn_nicely, &nicely);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    pthread_join(thread, NULL);
    return nicely.error;
}
#else
int petiole_spawn(const struct petiole_spawn_request *request, pid_t *pid) {
    int error = spawn(request, pid);
    if (error || request->niceness <= 0)
        return error;
    // It was started suspended.
    int wanted = getpriority(PRIO_PROCESS, 0) + request->niceness;
    setpriority(PRIO_PROCESS, (id_t)*pid, wanted > 19 ? 19 : wanted);
    kill(*pid, SIGCONT);
    return 0;
}
#endif

// Waiting for the end

struct watch {
    pid_t pid;
    int end;
};

static void *watch_until_end(void *argument) {
    struct watch *watch = argument;
    siginfo_t info;
    // WNOWAIT leaves the end for the one who asks how it was.
    while (waitid(P_PID, (id_t)watch->pid, &info, WEXITED | WNOWAIT) && errno == EINTR) {
    }
    close(watch->end);
    free(watch);
    return NULL;
}

static int end_descriptor_by_thread(pid_t pid) {
    int ends[2];
    int error = petiole_pipe(ends, 0);
    if (error)
        return -error;
    struct watch *watch = malloc(sizeof *watch);
    pthread_t thread;
    sigset_t all, before;
    error = watch ? 0 : ENOMEM;
    if (!error) {
        watch->pid = pid;
        watch->end = ends[1];
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(&thread, NULL, watch_until_end, watch);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (error) {
        free(watch);
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    pthread_detach(thread);
    return ends[0];
}

#ifdef __linux__
int petiole_end_descriptor_of_other(pid_t pid) {
    int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
    if (descriptor >= 0)
        return descriptor;
    // EPERM is the answer of a seccomp filter that does not know the call.
    return errno == EPERM ? -ENOSYS : -errno;
}

int petiole_end_descriptor(pid_t pid, int without_handle) {
    int descriptor = without_handle ? -ENOSYS : petiole_end_descriptor_of_other(pid);
    return descriptor == -ENOSYS ? end_descriptor_by_thread(pid) : descriptor;
}

int petiole_signal(pid_t pid, int descriptor, int signal) {
    if (!syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0))
        return 0;
    if (errno == ENOSYS || errno == EBADF || errno == EINVAL)
        return kill(pid, signal) ? errno : 0;
    return errno;
}

int petiole_signal_group_of_other(pid_t group, int descriptor, int signal) {
    // PIDFD_SIGNAL_PROCESS_GROUP.
    if (!syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 1U << 2))
        return 0;
    if (errno == ENOSYS || errno == EBADF || errno == EINVAL)
        return kill(-group, signal) ? errno : 0;
    return errno;
}
#else
int petiole_end_descriptor_of_other(pid_t pid) {
    int queue = kqueue();
    if (queue < 0)
        return -errno;
    fcntl(queue, F_SETFD, FD_CLOEXEC);
    struct kevent change;
    EV_SET(&change, pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    if (!kevent(queue, &change, 1, NULL, 0, NULL))
        return queue;
    int error = errno;
    close(queue);
    return -error;
}

int petiole_end_descriptor(pid_t pid, int without_handle) {
    if (without_handle)
        return end_descriptor_by_thread(pid);
    int descriptor = petiole_end_descriptor_of_other(pid);
    if (descriptor != -ESRCH)
        return descriptor;
    // A child that has ended and is not reaped is ESRCH here; the waiting thread comes back at
    // once.
    siginfo_t info;
    if (!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG))
        return end_descriptor_by_thread(pid);
    return -ESRCH;
}

int petiole_signal(pid_t pid, int descriptor, int signal) {
    (void)descriptor;
    return kill(pid, signal) ? errno : 0;
}

int petiole_signal_group_of_other(pid_t group, int descriptor, int signal) {
    (void)descriptor;
    return kill(-group, signal) ? errno : 0;
}
#endif

int petiole_reap(pid_t pid, int descriptor, struct petiole_end *end) {
    siginfo_t info;
    int failed;
    do {
        memset(&info, 0, sizeof info);
#ifdef __linux__
        // P_PIDFD, which cannot mean another child that got the number. Before Linux 5.4, and for
        // a descriptor that is no pidfd, EINVAL or EBADF.
        failed = descriptor >= 0 ? waitid((idtype_t)3, (id_t)descriptor, &info, WEXITED) : -1;
        if (descriptor < 0 || (failed && (errno == EINVAL || errno == EBADF)))
            failed = waitid(P_PID, (id_t)pid, &info, WEXITED);
#else
        (void)descriptor;
        failed = waitid(P_PID, (id_t)pid, &info, WEXITED);
#endif
    } while (failed && errno == EINTR);
    if (failed)
        return errno;
    end->status = info.si_status;
    end->signalled = info.si_code != CLD_EXITED;
    end->core_dumped = info.si_code == CLD_DUMPED;
    return 0;
}

// Descriptors

int petiole_pipe(int ends[2], int nonblocking) {
#ifdef __linux__
    if (pipe2(ends, O_CLOEXEC))
        return errno;
#else
    if (pipe(ends))
        return errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#endif
    if (((nonblocking & 1) && fcntl(ends[0], F_SETFL, O_NONBLOCK)) ||
        ((nonblocking & 2) && fcntl(ends[1], F_SETFL, O_WRONLY | O_NONBLOCK))) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        return error;
    }
    return 0;
}

int petiole_channel(int ends[2]) {
#ifdef __linux__
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ? errno : 0;
#else
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return errno;
    for (int index = 0; index < 2; index++) {
        int yes = 1;
        fcntl(ends[index], F_SETFD, FD_CLOEXEC);
        setsockopt(ends[index], SOL_SOCKET, SO_NOSIGPIPE, &yes, sizeof yes);
    }
    return 0;
#endif
}

ssize_t petiole_channel_send(int end, const void *bytes, size_t length) {
#ifdef MSG_NOSIGNAL
    ssize_t count = send(end, bytes, length, MSG_NOSIGNAL);
#else
    ssize_t count = send(end, bytes, length, 0);
#endif
    return count < 0 ? -errno : count;
}

ssize_t petiole_channel_receive(int end, void *bytes, size_t capacity) {
    ssize_t count = recv(end, bytes, capacity, MSG_DONTWAIT);
    return count < 0 ? -errno : count;
}

int petiole_wake_open(int ends[2]) {
#ifdef __linux__
    ends[0] = ends[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return ends[0] < 0 ? errno : 0;
#else
    return petiole_pipe(ends, 3);
#endif
}

void petiole_wake_ring(int end) {
    uint64_t one = 1;
    // The only failure is "full", and then the other side wakes anyway.
    while (write(end, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void petiole_wake_drain(int end) {
    uint64_t counts[8];
    ssize_t count;
    do {
        count = read(end, counts, sizeof counts);
    } while (count == (ssize_t)sizeof counts || (count < 0 && errno == EINTR));
}

ssize_t petiole_write_quietly(int file, const void *bytes, size_t length) {
    // The signal of our own write is blocked, taken if it came, and the mask put back. One that was
    // pending before is not ours to take.
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    int was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t count = write(file, bytes, length);
    int error = count < 0 ? errno : 0;
    if (error == EPIPE && !was_pending) {
#ifdef __linux__
        struct timespec now = {0, 0};
        while (sigtimedwait(&pipe_signal, NULL, &now) < 0 && errno == EINTR) {
        }
#else
        int taken;
        sigpending(&pending);
        if (sigismember(&pending, SIGPIPE))
            sigwait(&pipe_signal, &taken);
#endif
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count < 0 ? -error : count;
}

static pthread_once_t null_once = PTHREAD_ONCE_INIT;
static int null_input;

static void open_null(void) {
    null_input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_input < 0)
        null_input = -errno;
}

int petiole_null_input(void) {
    pthread_once(&null_once, open_null);
    return null_input;
}

int petiole_open_input(int directory, const char *path) {
    int file = openat(directory >= 0 ? directory : AT_FDCWD, path,
                      O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return -errno;
    // The child expects reads that block.
    fcntl(file, F_SETFL, O_RDONLY);
    return file;
}

int petiole_open_directory(const char *path) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
#ifdef O_PATH
    // A directory that may be entered and not listed is good enough to work in.
    if (directory < 0 && errno == EACCES)
        directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
#endif
    return directory < 0 ? -errno : directory;
}

int petiole_create_file(int directory, const char *name) {
    int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return file < 0 ? -errno : file;
}

char **petiole_environment(void) {
    static char *none[] = {NULL};
    return environ ? environ : none;
}

void petiole_error_text(int code, char *text, size_t capacity) {
#if defined(__GLIBC__)
    // The GNU form answers with a string, which may lie elsewhere.
    char buffer[128];
    snprintf(text, capacity, "%s", strerror_r(code, buffer, sizeof buffer));
#else
    if (strerror_r(code, text, capacity))
        snprintf(text, capacity, "unknown error");
#endif
}

int64_t petiole_available_memory(void) {
#ifdef __linux__
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file)
        return -1;
    char line[128];
    long long kibibytes = -1;
    while (kibibytes < 0 && fgets(line, sizeof line, file))
        sscanf(line, "MemAvailable: %lld kB", &kibibytes);
    fclose(file);
    return kibibytes < 0 ? -1 : kibibytes * 1024;
#else
    vm_statistics64_data_t pages;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    mach_port_t host = mach_host_self();
    kern_return_t code = host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&pages, &count);
    mach_port_deallocate(mach_task_self(), host);
    if (code != KERN_SUCCESS)
        return -1;
    int64_t free = (int64_t)pages.free_count + pages.inactive_count + pages.purgeable_count;
    return free * sysconf(_SC_PAGESIZE);
#endif
}
