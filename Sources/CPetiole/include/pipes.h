// Bytes from a file into a pipe.
#ifndef CPETIOLE_PIPES_H
#define CPETIOLE_PIPES_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Lets a pipe hold so many bytes, if the system lets it; else it stays as it is.
void petiole_enlarge_pipe(int pipe, int size);

/// Moves bytes of a file, from an offset on, into a pipe that never blocks, without a copy: the pipe
/// refers to the pages of the file's cache. Never raises SIGPIPE. Returns how many, 0 at the end of
/// the file, or -errno: -EAGAIN when the pipe is full, -EINVAL for a file that cannot be read so,
/// -ENOSYS on a system that cannot.
ssize_t petiole_splice_quietly(int file, int64_t offset, int pipe, size_t length);
#endif
