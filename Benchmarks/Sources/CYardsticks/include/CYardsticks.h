// What Petiole is measured against, in C and bare of everything but the thing itself. Each function
// returns 0 or an error: errno's number, or LMDB's (negative). Folders and files that are named must
// not exist; the caller removes them. Latencies are in nanoseconds, in the order in which they came.
#ifndef CYARDSTICKS_H
#define CYARDSTICKS_H
#include <stddef.h>
#include <stdint.h>

struct loop_cost {
    double seconds;
    /// Processor time over all threads of the process while the loop ran.
    double cpu_seconds;
};

/// The record loop: raw LMDB, one put a job and one an outcome, one synced transaction every `batch`
/// jobs. What a good engineer would write over LMDB.
int record_loop(const char *_Nonnull folder, uint64_t jobs, uint64_t batch, size_t payload,
                size_t result, struct loop_cost *_Nonnull cost);

/// Unique keys: raw LMDB, one synced transaction every `batch` jobs, with the jobs' bytes in values of `block` jobs each and one
/// row a job, put under a key of 16 bytes unless it is there. The keys come in order, or scattered over all of them.
int unique_loop(const char *_Nonnull folder, uint64_t jobs, uint64_t batch, uint64_t block, size_t bytes_per_job,
                size_t row, int scattered, struct loop_cost *_Nonnull cost);
/// Where the job at a place has its number, if they are scattered: each number below 2⁴⁰ once.
uint64_t scattered_number(uint64_t place);

/// The byte loop: `write` and `fdatasync` of the same bytes in the same batches, appended to one file.
/// What the disk allows.
int byte_loop(const char *_Nonnull file, uint64_t jobs, uint64_t batch, size_t bytes_per_job,
              struct loop_cost *_Nonnull cost);

/// One caller, one record, one synced commit, `count` times over.
int commit_latency(const char *_Nonnull folder, size_t count, size_t payload,
                   uint64_t *_Nonnull nanoseconds);

/// Group commit: `callers` threads in a closed loop hand a record each to one writer thread, which
/// commits all that has gathered and wakes those it served. Room for `callers * rounds` latencies.
int group_commit(const char *_Nonnull folder, size_t callers, size_t rounds, size_t payload,
                 struct loop_cost *_Nonnull cost, uint64_t *_Nonnull nanoseconds);

/// From just before a wake to the first instruction of the thread that slept in a futex, and in `calls`
/// what the call itself took who woke it.
int wake_latency(size_t count, uint64_t *_Nonnull nanoseconds, uint64_t *_Nonnull calls);

/// From just before a question of 24 bytes to the answer of 40, by a socket to another process, which waits for it.
int process_round_trip(size_t count, uint64_t *_Nonnull nanoseconds);

/// An LMDB store that appends records and never syncs, for counting what one record costs.
struct unsynced_log;
int unsynced_log_open(const char *_Nonnull folder, struct unsynced_log *_Nullable *_Nonnull log);
int unsynced_log_append(struct unsynced_log *_Nonnull log, size_t records, size_t payload);
void unsynced_log_close(struct unsynced_log *_Nonnull log);

/// Runs a program to its end: its input is the file `input`, its output thrown away. `status` is what
/// `waitpid` gives.
int run_program(const char *_Nonnull program, char *_Nullable const *_Nonnull arguments,
                const char *_Nonnull input, uint64_t *_Nonnull nanoseconds, int *_Nonnull status);

/// Nanoseconds of a clock that only goes forward, the same for all processes of the machine.
uint64_t now_nanoseconds(void);
/// Processor seconds of this process, all threads, user and system.
double cpu_seconds(void);
/// Bytes that this process has from `malloc` and has not given back.
size_t allocated_bytes(void);

/// LMDB's version as text, such as "LMDB 0.9.24: (July 24, 2019)".
const char *_Nonnull lmdb_version_text(void);
#endif
