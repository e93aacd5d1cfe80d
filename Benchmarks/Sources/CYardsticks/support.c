#include "support.h"
#include <errno.h>
#ifdef __APPLE__
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#ifdef __APPLE__
#include <os/os_sync_wait_on_address.h>
#else
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include "include/CYardsticks.h"

uint64_t now_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec)
        + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

size_t allocated_bytes(void) {
#ifdef __APPLE__
    malloc_statistics_t statistics;
    malloc_zone_statistics(NULL, &statistics);
    return statistics.size_in_use;
#else
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

int make_environment(const char *folder, unsigned flags, MDB_env **env) {
    *env = NULL;
    if (mkdir(folder, 0700)) return errno;
    int code = mdb_env_create(env);
    if (code) return code;
    if ((code = mdb_env_set_mapsize(*env, (size_t)64 << 30)) == 0
        && (code = mdb_env_set_maxdbs(*env, 4)) == 0
        && (code = mdb_env_open(*env, folder, MDB_NOTLS | flags, 0600)) == 0)
        return 0;
    mdb_env_close(*env);
    *env = NULL;
    return code;
}

int make_log(MDB_env *env, const char *name, MDB_dbi *log) {
    return make_table(env, name, MDB_INTEGERKEY, log);
}

int make_table(MDB_env *env, const char *name, unsigned flags, MDB_dbi *table) {
    MDB_txn *txn;
    int code = mdb_txn_begin(env, NULL, 0, &txn);
    if (code) return code;
    code = mdb_dbi_open(txn, name, MDB_CREATE | flags, table);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

int append_record(MDB_cursor *cursor, uint64_t id, const char *bytes, size_t length) {
    MDB_val key = {sizeof id, &id}, value = {length, NULL};
    int code = mdb_cursor_put(cursor, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (code == 0) memcpy(value.mv_data, bytes, length);
    return code;
}

#ifdef __APPLE__
void wait_while(uint32_t *word, uint32_t expected) {
    os_sync_wait_on_address(word, expected, sizeof *word, OS_SYNC_WAIT_ON_ADDRESS_NONE);
}

void wake_one(uint32_t *word) {
    os_sync_wake_by_address_any(word, sizeof *word, OS_SYNC_WAKE_BY_ADDRESS_NONE);
}
#else
void wait_while(uint32_t *word, uint32_t expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void wake_one(uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
#endif

const char *lmdb_version_text(void) { return mdb_version(NULL, NULL, NULL); }
