#include "terminal_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void child(int terminal, const char *folder, char *const *arguments, char *const *environment) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    struct sigaction usual;
    memset(&usual, 0, sizeof usual);
    usual.sa_handler = SIG_DFL;
    sigaction(SIGPIPE, &usual, NULL);
    setsid();
    ioctl(terminal, TIOCSCTTY, 0);
    for (int number = 0; number < 3; number++) dup2(terminal, number);
    if (chdir(folder) == 0) execve(arguments[0], arguments, environment);
    _exit(127);
}

int terminal_start(const char *folder, char *const *arguments, char *const *environment, int rows,
                   int columns, int *other_end, struct termios *modes, pid_t *pid) {
    int end = posix_openpt(O_RDWR | O_NOCTTY);
    if (end < 0) return errno;
    fcntl(end, F_SETFD, FD_CLOEXEC);
    const char *name = grantpt(end) == 0 && unlockpt(end) == 0 ? ptsname(end) : NULL;
    int terminal = name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    if (terminal < 0 || tcgetattr(terminal, modes) != 0) {
        int code = errno;
        if (terminal >= 0) close(terminal);
        close(end);
        return code;
    }
    terminal_resize(end, rows, columns);
    // Between here and its program the child does only what a signal handler may.
    *pid = fork();
    int code = *pid < 0 ? errno : 0;
    if (*pid == 0) child(terminal, folder, arguments, environment);
    close(terminal);
    if (code != 0) close(end);
    *other_end = end;
    return code;
}

void terminal_resize(int other_end, int rows, int columns) {
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    ioctl(other_end, TIOCSWINSZ, &size);
}
