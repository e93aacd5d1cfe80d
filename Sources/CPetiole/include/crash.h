// Marks which thread ended the process: a handler for the signals that a trap or a bad access raises.
#ifndef CPETIOLE_CRASH_H
#define CPETIOLE_CRASH_H
#include <stdint.h>

/// Installs the handler, once in a process, for SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT and SIGFPE. Each is passed on to
/// what was installed before, after the calling thread's word has been marked.
void petiole_install_crash_handler(void);
/// The word in which bit 0 is set when this thread ends the process; NULL: none.
void petiole_set_crash_word(uint32_t *_Nullable word);
/// For a program whose own memory is not in doubt: lets a bad access (SIGBUS, SIGSEGV) print a text on standard error and end
/// the process with a status. Of a mapped file that is damaged nothing else can be said once LMDB has been led astray by it.
/// The text is copied; a later call replaces it. Call it before `petiole_install_crash_handler`, which passes on to it.
void petiole_explain_faults(const char *_Nonnull text, int status);
/// Gives this thread a stack for signal handlers, so that a stack overflow can be marked too. Returns 0 or an errno.
int petiole_make_signal_stack(void);
#endif
