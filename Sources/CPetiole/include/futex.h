// Waiting for a 32-bit word to change: futex on Linux, os_sync_wait_on_address on macOS.
#ifndef CPETIOLE_FUTEX_H
#define CPETIOLE_FUTEX_H
#endif
