#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#else
#include <sys/mount.h>
#include <sys/param.h>
#endif

static struct flock byte_at(int64_t offset, short type) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = offset;
    lock.l_len = 1;
    return lock;
}

static int take_byte(int file, int64_t offset, short type, int wait) {
    struct flock lock = byte_at(offset, type);
    while (fcntl(file, wait ? F_SETLKW : F_SETLK, &lock)) {
        if (errno == EINTR)
            continue;
        // POSIX lets a system answer either way when the byte is held.
        return errno == EACCES ? EAGAIN : errno;
    }
    return 0;
}

int petiole_lock_byte(int file, int64_t offset, int wait) {
    return take_byte(file, offset, F_WRLCK, wait);
}

int petiole_share_byte(int file, int64_t offset) { return take_byte(file, offset, F_RDLCK, 0); }

int petiole_await_byte(int file, int64_t offset) {
#ifdef F_OFD_SETLKW
    struct flock lock = byte_at(offset, F_RDLCK);
    while (fcntl(file, F_OFD_SETLKW, &lock)) {
        if (errno != EINTR)
            return errno;
    }
    lock.l_type = F_UNLCK;
    return fcntl(file, F_OFD_SETLK, &lock) ? errno : 0;
#else
    // No other wait in the kernel: looked at again a hundredth of a second later.
    (void)file;
    (void)offset;
    struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
    return 0;
#endif
}

int petiole_unlock_byte(int file, int64_t offset) {
    struct flock lock = byte_at(offset, F_UNLCK);
    return fcntl(file, F_SETLK, &lock) ? errno : 0;
}

int64_t petiole_byte_holder(int file, int64_t offset) {
    return petiole_range_holder(file, offset, 1);
}

int64_t petiole_range_holder(int file, int64_t offset, int64_t length) {
    struct flock lock = byte_at(offset, F_WRLCK);
    lock.l_len = length;
    if (fcntl(file, F_GETLK, &lock))
        return -errno;
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

int petiole_close_on_exec(int file) { return fcntl(file, F_SETFD, FD_CLOEXEC) ? errno : 0; }

#ifdef __linux__
int petiole_reserve(int file, int64_t offset, int64_t length, int grow) {
    while (fallocate(file, grow ? 0 : FALLOC_FL_KEEP_SIZE, offset, length)) {
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

int petiole_is_remote(const char *path) {
    struct statfs info;
    if (statfs(path, &info))
        return -errno;
    switch ((uint32_t)info.f_type) {
    case 0x6969:     // NFS
    case 0x517B:     // SMB
    case 0xFF534D42: // CIFS
    case 0xFE534D42: // SMB2
    case 0x01021997: // 9p
    case 0x65735546: // FUSE
    case 0x5346414F: // AFS
    case 0x00C36400: // Ceph
        return 1;
    default:
        return 0;
    }
}

int petiole_is_memory(const char *path) {
    struct statfs info;
    if (statfs(path, &info))
        return -errno;
    return (uint32_t)info.f_type == 0x01021994 || (uint32_t)info.f_type == 0x858458F6;
}
#else
int petiole_reserve(int file, int64_t offset, int64_t length, int grow) {
    // F_PREALLOCATE counts from the end of what the file has; it never shrinks it.
    fstore_t want = {F_ALLOCATEALL, F_PEOFPOSMODE, 0, length, 0};
    if (fcntl(file, F_PREALLOCATE, &want) == -1)
        return errno;
    if (grow && ftruncate(file, offset + length))
        return errno;
    return 0;
}

int petiole_is_remote(const char *path) {
    struct statfs info;
    if (statfs(path, &info))
        return -errno;
    return (info.f_flags & MNT_LOCAL) ? 0 : 1;
}

int petiole_is_memory(const char *path) {
    (void)path;
    return 0;
}
#endif
