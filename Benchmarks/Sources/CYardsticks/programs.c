#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "include/CYardsticks.h"
#include "support.h"

extern char **environ;

int run_program(const char *program, char *const *arguments, const char *input,
                uint64_t *nanoseconds, int *status) {
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code) return code;
    code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0);
    if (code == 0)
        code = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    // Threads that others made may block all signals, and a shell that waits for its children needs one.
    posix_spawnattr_t attributes;
    if (code == 0) code = posix_spawnattr_init(&attributes);
    if (code) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t child;
    uint64_t start = now_nanoseconds();
    code = posix_spawn(&child, program, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (code) return code;
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR) return errno;
    *nanoseconds = now_nanoseconds() - start;
    return 0;
}

int process_round_trip(size_t count, uint64_t *nanoseconds) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return errno;
    char question[24] = {0}, answer[40] = {0};
    pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) {
        close(ends[0]);
        while (recv(ends[1], question, sizeof question, MSG_WAITALL) == sizeof question)
            if (send(ends[1], answer, sizeof answer, 0) != sizeof answer) break;
        _exit(0);
    }
    close(ends[1]);
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        uint64_t start = now_nanoseconds();
        if (send(ends[0], question, sizeof question, 0) != sizeof question ||
            recv(ends[0], answer, sizeof answer, MSG_WAITALL) != sizeof answer)
            code = errno ? errno : EPIPE;
        nanoseconds[i] = now_nanoseconds() - start;
    }
    close(ends[0]);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return errno;
    return code;
}
