#ifndef SUPPORT_H
#define SUPPORT_H
#include <lmdb.h>
#include <stdint.h>
#include "include/CYardsticks.h"

/// Makes `folder` and opens an environment in it with a map of 64 GiB; leaves `*env` null on error.
int make_environment(const char *folder, unsigned flags, MDB_env **env);
/// Opens, and makes, a database of integer keys in a transaction of its own.
int make_log(MDB_env *env, const char *name, MDB_dbi *log);
/// The same for a database of any keys, with LMDB's flags.
int make_table(MDB_env *env, const char *name, unsigned flags, MDB_dbi *table);
/// Appends a record under `id`, its bytes copied from `bytes` into the page that LMDB reserves.
int append_record(MDB_cursor *cursor, uint64_t id, const char *bytes, size_t length);

/// Sleeps while `*word` is `expected`; may return for no reason.
void wait_while(uint32_t *word, uint32_t expected);
/// Wakes one thread that sleeps on `word`.
void wake_one(uint32_t *word);
#endif
