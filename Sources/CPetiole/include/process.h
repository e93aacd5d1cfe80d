// Starting child processes and waiting for their end.
#ifndef CPETIOLE_PROCESS_H
#define CPETIOLE_PROCESS_H
#endif
