// What Petiole is given instead of its own while instructions are counted. The linker puts it in the place of the functions
// that are named after `--wrap` in the manifest.
#ifndef CUNDERVALGRIND_H
#define CUNDERVALGRIND_H
#include <stdint.h>

/// How often Petiole has asked what time it is. Zero would mean that it does so by another function now.
int64_t clock_reads(void);
#endif
