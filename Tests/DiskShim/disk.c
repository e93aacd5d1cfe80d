/* Loaded in front of the C library by children of the tests (LD_PRELOAD; Linux): notes what is done to a store's
 * `data.mdb`, and what the process says on its standard output, in one order, or makes a call on the file fail.
 *
 * PETIOLE_DISK_LOG=FILE
 *     appends one entry a call: 24 bytes {kind, 0, offset, length}, then `length` bytes:
 *     'w'  bytes are about to be written at an offset of the file
 *     'p'  a write through a descriptor opened with O_DSYNC has come back: its bytes are durable
 *     's'  a sync of the file has come back with success: all that was written before it is durable
 *     'a'  bytes that are about to go to the standard output
 *     'm'  a directory `*.petiole` was renamed into place
 *     'd'  a directory was synced; its path
 *
 * PETIOLE_DISK_FAIL=CALL:N or CALL:N+
 *     the N-th call (or each from the N-th on) of `sync`, `write` or `root` (a write through O_DSYNC) on the file fails
 *     with EIO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
    uint64_t kind, offset, length;
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;
static char failing[16];
static long fails_at, passed;
static int fails_on;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void start(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    const char *path = getenv("PETIOLE_DISK_LOG");
    if (path) log_file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    const char *fault = getenv("PETIOLE_DISK_FAIL");
    if (fault) {
        char plus = 0;
        if (sscanf(fault, "%15[a-z]:%ld%c", failing, &fails_at, &plus) < 2) abort();
        fails_on = plus == '+';
    }
}

static int path_of(int file, char *path) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int ends_in(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

static int is_data(int file) {
    int before = errno;
    char path[PATH_MAX];
    int is = path_of(file, path) && ends_in(path, "/data.mdb");
    errno = before;
    return is;
}

static int is_root(int file) { return (fcntl(file, F_GETFL) & O_DSYNC) != 0; }

/* One call of write, so that entries of several processes do not mix. */
static void note(char kind, uint64_t offset, const struct iovec *parts, int count) {
    if (log_file < 0) return;
    int before = errno;
    entry head = {(uint64_t)kind, offset, 0};
    for (int i = 0; i < count; i++) head.length += parts[i].iov_len;
    char *bytes = malloc(sizeof head + head.length), *at = bytes + sizeof head;
    memcpy(bytes, &head, sizeof head);
    for (int i = 0; i < count; i++) {
        memcpy(at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    if (real_write(log_file, bytes, sizeof head + head.length) < 0) abort();
    free(bytes);
    errno = before;
}

static void note_one(char kind, uint64_t offset, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    note(kind, offset, &part, 1);
}

static int fails(const char *call) {
    if (strcmp(call, failing) != 0) return 0;
    pthread_mutex_lock(&lock);
    long now = ++passed;
    pthread_mutex_unlock(&lock);
    if (now != fails_at && !(fails_on && now > fails_at)) return 0;
    errno = EIO;
    return 1;
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
    if (!is_data(file)) return real_pwrite(file, bytes, length, offset);
    int root = is_root(file);
    if (fails(root ? "root" : "write")) return -1;
    note_one('w', (uint64_t)offset, bytes, length);
    ssize_t done = real_pwrite(file, bytes, length, offset);
    if (root && done == (ssize_t)length) note_one('p', (uint64_t)offset, bytes, length);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t offset) {
    return pwrite(file, bytes, length, offset);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!is_data(file)) return real_writev(file, parts, count);
    if (fails("write")) return -1;
    note('w', (uint64_t)lseek(file, 0, SEEK_CUR), parts, count);
    return real_writev(file, parts, count);
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (file == STDOUT_FILENO) {
        note_one('a', 0, bytes, length);
    } else if (is_data(file)) {
        if (fails("write")) return -1;
        note_one('w', (uint64_t)lseek(file, 0, SEEK_CUR), bytes, length);
    }
    return real_write(file, bytes, length);
}

static int synced(int file, int (*call)(int)) {
    char path[PATH_MAX];
    struct stat info;
    if (is_data(file)) {
        if (fails("sync")) return -1;
        int code = call(file);
        if (code == 0) note('s', 0, NULL, 0);
        return code;
    }
    int code = call(file);
    if (code == 0 && fstat(file, &info) == 0 && S_ISDIR(info.st_mode) && path_of(file, path))
        note_one('d', 0, path, strlen(path));
    return code;
}

int fdatasync(int file) { return synced(file, real_fdatasync); }
int fsync(int file) { return synced(file, real_fsync); }

int rename(const char *from, const char *to) {
    int code = real_rename(from, to);
    if (code == 0 && ends_in(to, ".petiole")) note_one('m', 0, to, strlen(to));
    return code;
}
