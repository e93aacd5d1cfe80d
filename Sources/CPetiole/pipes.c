#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pipes.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

void petiole_enlarge_pipe(int pipe, int size) {
#ifdef F_SETPIPE_SZ
    // EPERM where the user has many large ones already.
    (void)fcntl(pipe, F_SETPIPE_SZ, size);
#else
    (void)pipe;
    (void)size;
#endif
}

#ifdef __linux__
ssize_t petiole_splice_quietly(int file, int64_t offset, int pipe, size_t length) {
    // As in `petiole_write_quietly`: our own signal is blocked and taken, another's is left.
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    int was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    loff_t from = offset;
    ssize_t count = splice(file, &from, pipe, NULL, length, SPLICE_F_NONBLOCK);
    int error = count < 0 ? errno : 0;
    if (error == EPIPE && !was_pending) {
        struct timespec now = {0, 0};
        while (sigtimedwait(&pipe_signal, NULL, &now) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count < 0 ? -error : count;
}
#else
ssize_t petiole_splice_quietly(int file, int64_t offset, int pipe, size_t length) {
    (void)file;
    (void)offset;
    (void)pipe;
    (void)length;
    return -ENOSYS;
}
#endif
