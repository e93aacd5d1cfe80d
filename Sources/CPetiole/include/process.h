// Starting child processes, waiting for their end, and looking at other processes.
#ifndef CPETIOLE_PROCESS_H
#define CPETIOLE_PROCESS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What a child is started with. Descriptors may have any number; the caller keeps them.
struct petiole_spawn_request {
    /// NULL-terminated; `arguments[0]` is the program: a path if it holds a slash, else searched in
    /// the PATH of `environment` (the child's), relative entries being meant from its working
    /// directory.
    char *_Nullable const *_Nonnull arguments;
    char *_Nullable const *_Nonnull environment;
    /// The child's working directory, or -1 for this process's.
    int directory;
    int input, output, error;
    /// The child's descriptor 3; -1: it has none.
    int channel;
    /// NULL or empty, or at most 15 bytes: the child's name until it becomes its program, see
    /// `petiole_process_info`. Linux alone.
    const char *_Nullable starting_name;
    /// How much nicer than the calling thread the child is, 0 to 19: from its first instruction on.
    int niceness;
};

/// Starts a child in a process group of its own, with no signal blocked, every disposition default
/// (glibc leaves its own two, 32 and 33, ignored), descriptors 0, 1, 2, and 3 as given and no others.
/// Returns 0 or an errno: ENOENT no such program, EACCES not executable, ELIBBAD the program is
/// there and its interpreter is not, ENOEXEC, E2BIG, EAGAIN, ENOMEM.
int petiole_spawn(const struct petiole_spawn_request *_Nonnull request, pid_t *_Nonnull pid);

/// A descriptor, close-on-exec, that polls as readable (or hung up) once the process has ended,
/// reaped or not. A pidfd; where the kernel has none a pipe whose other end a thread closes that
/// waits for the child; a kqueue on macOS. `without_handle` picks the thread, for tests. Returns
/// -errno; -ESRCH if there is no such process.
int petiole_end_descriptor(pid_t pid, int without_handle);
/// The same for a process that is no child of ours, for which no thread can wait: -ENOSYS where the
/// kernel has none.
int petiole_end_descriptor_of_other(pid_t pid);
/// Sends a signal to the group that a process leads, which is no child of ours and whose descriptor it is: on Linux from 6.9 on the
/// kernel takes the group from the descriptor, so that it cannot be another one; before, and elsewhere, by its number. Returns 0 or
/// an errno.
int petiole_signal_group_of_other(pid_t group, int descriptor, int signal);

/// How a child ended.
struct petiole_end {
    /// The exit code, or the signal.
    int status;
    int signalled, core_dumped;
};

/// Takes the end of this one child, waiting for it if need be. `descriptor` is its end descriptor,
/// or -1. Returns 0 or an errno; ECHILD when somebody else took it or the process ignores SIGCHLD.
int petiole_reap(pid_t pid, int descriptor, struct petiole_end *_Nonnull end);

/// Sends a signal to the one process that the end descriptor stands for, if it still exists. Where
/// the descriptor is no pidfd it goes by pid. Returns 0 or an errno.
int petiole_signal(pid_t pid, int descriptor, int signal);

/// Both ends close-on-exec; the ends named in `nonblocking` (1: the reading one, 2: the writing
/// one) never block.
int petiole_pipe(int ends[_Nonnull 2], int nonblocking);
/// Two ends of a conversation in both directions, close-on-exec, that raise no SIGPIPE when written to
/// by `petiole_channel_send`. Returns 0 or an errno.
int petiole_channel(int ends[_Nonnull 2]);
/// Waits for room. Returns the count or -errno.
ssize_t petiole_channel_send(int end, const void *_Nonnull bytes, size_t length);
/// Never waits: -EAGAIN when nothing is there, 0 at the end. Returns the count or -errno.
ssize_t petiole_channel_receive(int end, void *_Nonnull bytes, size_t capacity);
/// A descriptor to wake a poll with: `ends[0]` becomes readable after `petiole_wake_ring(ends[1])`.
/// They may be one.
int petiole_wake_open(int ends[_Nonnull 2]);
void petiole_wake_ring(int end);
void petiole_wake_drain(int end);
/// `write` that never raises SIGPIPE. Returns the count or -errno.
ssize_t petiole_write_quietly(int file, const void *_Nonnull bytes, size_t length);
/// /dev/null for reading, opened once for the life of the process. Returns -errno.
int petiole_null_input(void);
/// `open` for reading, close-on-exec, which never waits for the writer of a FIFO. Returns -errno.
int petiole_open_input(int directory, const char *_Nonnull path);
/// Opens a directory as an anchor for others, close-on-exec. Returns -errno.
int petiole_open_directory(const char *_Nonnull path);
/// Makes a file, 0600, close-on-exec, never through a link and never over another. Returns -errno.
int petiole_create_file(int directory, const char *_Nonnull name);

/// This process's environment as it is now; valid until somebody changes it.
char *_Nullable *_Nonnull petiole_environment(void);

/// The system's words for an errno.
void petiole_error_text(int code, char *_Nonnull text, size_t capacity);

struct petiole_process_info {
    /// In the system's own unit, to be compared alone: ticks since boot on Linux, microseconds
    /// since 1970 on macOS.
    uint64_t start_time;
    pid_t parent, group, session;
    uid_t user;
    int has_ended;
    /// Whether a signal has suspended it.
    int is_suspended;
    /// The name of its first thread: that of the thread which started it, then, once it has become
    /// another program, that program's. Empty on macOS.
    char name[16];
};
/// Returns 0, or an errno: ESRCH if there is no such process.
int petiole_process_info(pid_t pid, struct petiole_process_info *_Nonnull info);
/// The memory of a process that is in the machine's, in bytes; 0 when it cannot be told.
uint64_t petiole_resident_bytes(pid_t pid);
/// The pids of all processes, at most `capacity` of them. Returns how many there are, or -errno.
ssize_t petiole_list_processes(pid_t *_Nonnull pids, size_t capacity);
/// The environment a process was started with: NAME=VALUE strings, each closed by a zero byte.
/// Returns the length read, at most `capacity`, or -errno: EAGAIN when the process is just becoming
/// another program and has no environment yet.
ssize_t petiole_process_environment(pid_t pid, char *_Nonnull bytes, size_t capacity);

/// Bytes of memory that new processes could have without swapping: MemAvailable of /proc/meminfo; on macOS pages that are
/// free, inactive or purgeable. -1: the system does not tell.
int64_t petiole_available_memory(void);
#endif
