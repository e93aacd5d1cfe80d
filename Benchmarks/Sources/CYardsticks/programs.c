#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
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
    pid_t child;
    uint64_t start = now_nanoseconds();
    if (code == 0) code = posix_spawn(&child, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code) return code;
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR) return errno;
    *nanoseconds = now_nanoseconds() - start;
    return 0;
}
