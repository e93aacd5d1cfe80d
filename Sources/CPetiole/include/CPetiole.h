// What Swift cannot say: futexes, process handles, spawn attributes, checksum instructions.
#ifndef CPETIOLE_H
#define CPETIOLE_H
#include "atomics.h"
#include "checksum.h"
#include "crash.h"
#include "files.h"
#include "futex.h"
#include "pipes.h"
#include "process.h"
#include "threads.h"
#endif
