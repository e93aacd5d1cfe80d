#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "include/CYardsticks.h"
#include "support.h"

/// Puts the records from `first` up to, not including, `end` into one log.
static int append_run(MDB_txn *txn, MDB_dbi log, uint64_t first, uint64_t end, const char *bytes,
                      size_t length) {
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, log, &cursor);
    if (code) return code;
    for (uint64_t id = first; code == 0 && id < end; id++)
        code = append_record(cursor, id, bytes, length);
    mdb_cursor_close(cursor);
    return code;
}

static int commit_runs(MDB_env *env, const MDB_dbi logs[2], const size_t lengths[2], uint64_t first,
                       uint64_t end, const char *bytes) {
    MDB_txn *txn;
    int code = mdb_txn_begin(env, NULL, 0, &txn);
    if (code) return code;
    for (int log = 0; code == 0 && log < 2; log++)
        code = append_run(txn, logs[log], first, end, bytes, lengths[log]);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

int record_loop(const char *folder, uint64_t jobs, uint64_t batch, size_t payload, size_t result,
                struct loop_cost *cost) {
    const size_t lengths[2] = {payload, result};
    MDB_dbi logs[2];
    MDB_env *env;
    int code = make_environment(folder, 0, &env);
    if (code) return code;
    char *bytes = calloc(1, payload > result ? payload : result);
    if (bytes == NULL) code = ENOMEM;
    if (code == 0) code = make_log(env, "jobs", &logs[0]);
    if (code == 0) code = make_log(env, "outcomes", &logs[1]);

    double cpu = cpu_seconds();
    uint64_t start = now_nanoseconds();
    for (uint64_t first = 0; code == 0 && first < jobs; first += batch) {
        uint64_t end = first + batch < jobs ? first + batch : jobs;
        code = commit_runs(env, logs, lengths, first, end, bytes);
    }
    cost->seconds = (double)(now_nanoseconds() - start) * 1e-9;
    cost->cpu_seconds = cpu_seconds() - cpu;
    free(bytes);
    mdb_env_close(env);
    return code;
}

uint64_t scattered_number(uint64_t place) {
    // Odd: it has an inverse, so no two places have one number.
    return (place * 0x9E3779B97FULL) & 0xFFFFFFFFFFULL;
}

/// Twelve digits of a number behind four bytes, as a name's number would lie there.
static void write_key(char *key, uint64_t number) {
    for (int i = 0; i < 4; i++) key[i] = 1;
    for (int i = 15; i >= 4; i--) {
        key[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

static int put_unique(MDB_txn *txn, const MDB_dbi dbis[2], uint64_t first, uint64_t end, uint64_t block,
                      const char *bytes, size_t bytes_per_job, size_t row, int scattered) {
    MDB_cursor *log = NULL, *rows = NULL;
    int code = mdb_cursor_open(txn, dbis[0], &log);
    if (code == 0) code = mdb_cursor_open(txn, dbis[1], &rows);
    for (uint64_t id = first; code == 0 && id < end; id += block) {
        uint64_t count = end - id < block ? end - id : block;
        MDB_val key = {sizeof id, &id}, value = {count * bytes_per_job, NULL};
        code = mdb_cursor_put(log, &key, &value, MDB_APPEND | MDB_RESERVE);
        for (uint64_t i = 0; code == 0 && i < count; i++)
            memcpy((char *)value.mv_data + i * bytes_per_job, bytes, bytes_per_job);
    }
    for (uint64_t id = first; code == 0 && id < end; id++) {
        char text[16];
        write_key(text, scattered ? scattered_number(id) : id);
        MDB_val key = {sizeof text, text}, value = {row, NULL};
        code = mdb_cursor_put(rows, &key, &value, MDB_NOOVERWRITE | MDB_RESERVE);
        if (code == 0) memcpy(value.mv_data, bytes, row);
    }
    if (rows) mdb_cursor_close(rows);
    if (log) mdb_cursor_close(log);
    return code;
}

int unique_loop(const char *folder, uint64_t jobs, uint64_t batch, uint64_t block, size_t bytes_per_job,
                size_t row, int scattered, struct loop_cost *cost) {
    MDB_dbi dbis[2];
    MDB_env *env;
    int code = make_environment(folder, 0, &env);
    if (code) return code;
    char *bytes = calloc(1, bytes_per_job > row ? bytes_per_job : row);
    if (bytes == NULL) code = ENOMEM;
    if (code == 0) code = make_log(env, "jobs", &dbis[0]);
    if (code == 0) code = make_table(env, "unique", 0, &dbis[1]);

    double cpu = cpu_seconds();
    uint64_t start = now_nanoseconds();
    for (uint64_t first = 0; code == 0 && first < jobs; first += batch) {
        uint64_t end = first + batch < jobs ? first + batch : jobs;
        MDB_txn *txn;
        if ((code = mdb_txn_begin(env, NULL, 0, &txn))) break;
        code = put_unique(txn, dbis, first, end, block, bytes, bytes_per_job, row, scattered);
        if (code)
            mdb_txn_abort(txn);
        else
            code = mdb_txn_commit(txn);
    }
    cost->seconds = (double)(now_nanoseconds() - start) * 1e-9;
    cost->cpu_seconds = cpu_seconds() - cpu;
    free(bytes);
    mdb_env_close(env);
    return code;
}

int byte_loop(const char *file, uint64_t jobs, uint64_t batch, size_t bytes_per_job,
              struct loop_cost *cost) {
    size_t size = (size_t)batch * bytes_per_job;
    char *bytes = malloc(size);
    if (bytes == NULL) return ENOMEM;
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(i * 7);
    int descriptor = open(file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        free(bytes);
        return errno;
    }
    int code = 0;
    double cpu = cpu_seconds();
    uint64_t start = now_nanoseconds();
    for (uint64_t first = 0; code == 0 && first < jobs; first += batch) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0) {
            code = errno;
        } else if ((size_t)written != size) {
            code = ENOSPC;
        } else {
#ifdef __APPLE__
            // Darwin's fdatasync leaves the bytes in the drive's cache.
            if (fcntl(descriptor, F_FULLFSYNC)) code = errno;
#else
            if (fdatasync(descriptor)) code = errno;
#endif
        }
    }
    cost->seconds = (double)(now_nanoseconds() - start) * 1e-9;
    cost->cpu_seconds = cpu_seconds() - cpu;
    close(descriptor);
    free(bytes);
    return code;
}

int commit_latency(const char *folder, size_t count, size_t payload, uint64_t *nanoseconds) {
    MDB_env *env;
    MDB_dbi log;
    int code = make_environment(folder, 0, &env);
    if (code) return code;
    char *bytes = calloc(1, payload);
    if (bytes == NULL) code = ENOMEM;
    if (code == 0) code = make_log(env, "jobs", &log);
    for (uint64_t id = 0; code == 0 && id < count; id++) {
        uint64_t start = now_nanoseconds();
        MDB_txn *txn;
        if ((code = mdb_txn_begin(env, NULL, 0, &txn))) break;
        if ((code = append_run(txn, log, id, id + 1, bytes, payload))) {
            mdb_txn_abort(txn);
            break;
        }
        code = mdb_txn_commit(txn);
        nanoseconds[id] = now_nanoseconds() - start;
    }
    free(bytes);
    mdb_env_close(env);
    return code;
}

struct unsynced_log {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t next_id;
};

int unsynced_log_open(const char *folder, struct unsynced_log **log) {
    struct unsynced_log *opened = calloc(1, sizeof *opened);
    if (opened == NULL) return ENOMEM;
    int code = make_environment(folder, MDB_NOSYNC, &opened->env);
    if (code == 0) code = make_log(opened->env, "jobs", &opened->dbi);
    if (code) {
        if (opened->env) mdb_env_close(opened->env);
        free(opened);
        return code;
    }
    *log = opened;
    return 0;
}

int unsynced_log_append(struct unsynced_log *log, size_t records, size_t payload) {
    MDB_txn *txn;
    char *bytes = calloc(1, payload);
    if (bytes == NULL) return ENOMEM;
    int code = mdb_txn_begin(log->env, NULL, 0, &txn);
    if (code == 0) {
        code = append_run(txn, log->dbi, log->next_id, log->next_id + records, bytes, payload);
        if (code)
            mdb_txn_abort(txn);
        else
            code = mdb_txn_commit(txn);
    }
    if (code == 0) log->next_id += records;
    free(bytes);
    return code;
}

void unsynced_log_close(struct unsynced_log *log) {
    mdb_env_close(log->env);
    free(log);
}
