#include "crash.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
#define COUNT (sizeof signals / sizeof *signals)
static struct sigaction before[COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local uint32_t *crash_word __attribute__((tls_model("initial-exec")));

static void on_crash(int number) {
    // Only what POSIX calls async-signal-safe: an atomic on lock-free memory, sigaction, raise.
    uint32_t *word = crash_word;
    if (word)
        __atomic_fetch_or(word, 1u, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT; i++)
        if (signals[i] == number)
            sigaction(number, &before[i], NULL);
    // Blocked while we are in here, so it arrives when we return: at the handler from before, or with the default action.
    raise(number);
}

static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT; i++)
        sigaction(signals[i], &action, &before[i]);
}

void petiole_install_crash_handler(void) { pthread_once(&once, install); }

void petiole_set_crash_word(uint32_t *word) { crash_word = word; }

static char explanation[2048];
static size_t explanation_length;
static int explanation_status;

static void on_fault(int number) {
    (void)number;
    // Nothing can be done about a text that cannot be written.
    ssize_t written = write(STDERR_FILENO, explanation, explanation_length);
    (void)written;
    _exit(explanation_status);
}

void petiole_explain_faults(const char *text, int status) {
    size_t length = strlen(text);
    if (length > sizeof explanation) length = sizeof explanation;
    memcpy(explanation, text, length);
    explanation_length = length;
    explanation_status = status;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

int petiole_make_signal_stack(void) {
    stack_t stack;
    if (sigaltstack(NULL, &stack) == 0 && !(stack.ss_flags & SS_DISABLE))
        return 0;
    memset(&stack, 0, sizeof stack);
    stack.ss_size = 64 * 1024;
    // Kept as long as the thread; a worker lives as long as its runner.
    stack.ss_sp = malloc(stack.ss_size);
    if (!stack.ss_sp)
        return ENOMEM;
    return sigaltstack(&stack, NULL) ? errno : 0;
}
