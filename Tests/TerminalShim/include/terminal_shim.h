// A process in a terminal of its own, for tests.
#ifndef TERMINAL_SHIM_H
#define TERMINAL_SHIM_H
#include <sys/types.h>
#include <termios.h>

/// Starts a program as the first of a session that a new terminal controls, with no signal blocked. `arguments[0]` is its path.
/// Gives the terminal's other end, close-on-exec, the modes that it had before, and the pid. Returns 0 or an errno.
int terminal_start(const char *_Nonnull folder, char *_Nullable const *_Nonnull arguments,
                   char *_Nullable const *_Nonnull environment, int rows, int columns,
                   int *_Nonnull other_end, struct termios *_Nonnull modes, pid_t *_Nonnull pid);
/// Tells the terminal, and who is in front of it, how large it is.
void terminal_resize(int other_end, int rows, int columns);
#endif
