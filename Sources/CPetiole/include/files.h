// What the C library hides behind macros or varargs: fcntl locks, preallocation, file system kinds.
#ifndef CPETIOLE_FILES_H
#define CPETIOLE_FILES_H
#include <stdint.h>
#include <sys/types.h>

/// Takes an exclusive record lock on one byte of a file. Returns 0, or EAGAIN when another process holds it, or an errno.
/// With `wait` set it waits for the lock instead of returning EAGAIN; EDEADLK when the kernel sees processes that wait for
/// each other.
int petiole_lock_byte(int file, int64_t offset, int wait);
/// The same, without waiting, for a lock that several processes may have at once, and that keeps an exclusive one out. Of a
/// lock that the process has exclusively it makes a shared one.
int petiole_share_byte(int file, int64_t offset);
/// Waits until nobody holds a lock on the byte, by a lock of the open file, which the kernel's search for deadlocks leaves
/// out. It is had for an instant and given back. May come back early. Returns 0 or an errno.
int petiole_await_byte(int file, int64_t offset);
/// Gives a record lock on one byte back. Returns 0 or an errno.
int petiole_unlock_byte(int file, int64_t offset);
/// The pid of the process that holds a lock on the byte, -1 while `petiole_await_byte` has it, 0 when nobody but this
/// process does, or less than -1, -errno.
int64_t petiole_byte_holder(int file, int64_t offset);
/// The same for any of so many bytes.
int64_t petiole_range_holder(int file, int64_t offset, int64_t length);
/// Sets close-on-exec. Returns 0 or an errno.
int petiole_close_on_exec(int file);
/// Reserves `length` bytes of disk from `offset` on; grows the file's size to their end when `grow` is set,
/// else leaves its size as it is. Returns 0 or an errno.
int petiole_reserve(int file, int64_t offset, int64_t length, int grow);
/// Whether the directory lies on a file system of another machine or in user space, where record locks and shared maps
/// are not to be relied on. Returns 1 or 0, or -errno.
int petiole_is_remote(const char *_Nonnull path);
/// Whether syncs mean nothing there (tmpfs and ramfs). Returns 1 or 0, or -errno.
int petiole_is_memory(const char *_Nonnull path);
#endif
