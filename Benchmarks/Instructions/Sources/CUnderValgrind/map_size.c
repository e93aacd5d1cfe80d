#include <stddef.h>

int __real_mdb_env_set_mapsize(void *environment, size_t size);

// Valgrind has 128 GiB for all that a program maps; a store's map is 1 TiB unless the system refuses. 8 GiB are more than the
// byte limit of the store at hand.
int __wrap_mdb_env_set_mapsize(void *environment, size_t size) {
    size_t most = (size_t)8 << 30;
    return __real_mdb_env_set_mapsize(environment, size < most ? size : most);
}
