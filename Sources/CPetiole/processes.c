// Looking at other processes
#include "process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifndef __linux__
#include <libproc.h>
#include <sys/sysctl.h>
#endif

#ifdef __linux__
static ssize_t read_whole(pid_t pid, const char *name, char *bytes, size_t capacity) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    size_t length = 0;
    while (length < capacity) {
        ssize_t count = read(file, bytes + length, capacity - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            int error = errno;
            close(file);
            return -error;
        }
        if (count == 0)
            break;
        length += (size_t)count;
    }
    close(file);
    return (ssize_t)length;
}

int petiole_process_info(pid_t pid, struct petiole_process_info *info) {
    char text[1024];
    ssize_t length = read_whole(pid, "stat", text, sizeof text - 1);
    if (length < 0)
        return (int)-length;
    text[length] = 0;
    // The name, field 2, may hold spaces and brackets: the fields are counted from its last
    // bracket.
    const char *rest = strrchr(text, ')');
    const char *name = strchr(text, '(');
    char state;
    int parent, group, session;
    unsigned long long start_time;
    if (!rest ||
        sscanf(rest + 1,
               " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &parent, &group, &session, &start_time) != 5)
        return ESRCH;
    size_t name_length = name && name < rest ? (size_t)(rest - name - 1) : 0;
    if (name_length > sizeof info->name - 1)
        name_length = sizeof info->name - 1;
    if (name_length)
        memcpy(info->name, name + 1, name_length);
    info->name[name_length] = 0;
    info->start_time = start_time;
    info->parent = parent;
    info->group = group;
    info->session = session;
    info->has_ended = state == 'Z' || state == 'X' || state == 'x';
    info->is_suspended = state == 'T' || state == 't';
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    struct stat owner;
    if (stat(path, &owner))
        return ESRCH;
    info->user = owner.st_uid;
    return 0;
}

uint64_t petiole_resident_bytes(pid_t pid) {
    char text[256];
    ssize_t length = read_whole(pid, "statm", text, sizeof text - 1);
    if (length < 0)
        return 0;
    text[length] = 0;
    unsigned long long pages;
    return sscanf(text, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

ssize_t petiole_list_processes(pid_t *pids, size_t capacity) {
    DIR *directory = opendir("/proc");
    if (!directory)
        return -errno;
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        char *end;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end || pid > INT_MAX)
            continue;
        if (count < capacity)
            pids[count] = (pid_t)pid;
        count++;
    }
    closedir(directory);
    return (ssize_t)count;
}

ssize_t petiole_process_environment(pid_t pid, char *bytes, size_t capacity) {
    ssize_t length = read_whole(pid, "environ", bytes, capacity);
    if (length != 0)
        return length;
    // Nothing: an empty environment, a thread of the kernel's, one that has ended, or a process in
    // the middle of `exec`, whose new memory has no environment yet, then an empty one that grows.
    // The loader sets the start of the code (field 26) after that. A thread of the kernel says so
    // in its flags (field 9).
    // Source: Linux, fs/binfmt_elf.c, create_elf_tables and load_elf_binary; fs/proc/base.c,
    // environ_read.
    char text[1024];
    ssize_t stat_length = read_whole(pid, "stat", text, sizeof text - 1);
    if (stat_length < 0)
        return stat_length;
    text[stat_length] = 0;
    char *field = strrchr(text, ')');
    unsigned long long flags = 0, start_code = 1;
    char state = 'Z';
    for (int number = 2; field && number <= 26; number++) {
        if (number == 3)
            state = *field;
        if (number == 9)
            flags = strtoull(field, NULL, 10);
        if (number == 26)
            start_code = strtoull(field, NULL, 10);
        field = strchr(field, ' ');
        if (field)
            field++;
    }
    int has_ended = state == 'Z' || state == 'X' || state == 'x';
    if (has_ended || flags & 0x00200000)
        return 0;
    // The loader may have finished between the two looks: what is empty now is so.
    return start_code == 0 ? -EAGAIN : read_whole(pid, "environ", bytes, capacity);
}
#else
int petiole_process_info(pid_t pid, struct petiole_process_info *info) {
    struct proc_bsdinfo bsd;
    int length = proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &bsd, sizeof bsd);
    if (length != (int)sizeof bsd)
        return ESRCH;
    info->start_time = bsd.pbi_start_tvsec * 1000000 + bsd.pbi_start_tvusec;
    info->parent = (pid_t)bsd.pbi_ppid;
    info->group = (pid_t)bsd.pbi_pgid;
    info->session = getsid(pid);
    info->user = bsd.pbi_uid;
    info->has_ended = bsd.pbi_status == SZOMB;
    info->is_suspended = bsd.pbi_status == SSTOP;
    info->name[0] = 0;
    return 0;
}

uint64_t petiole_resident_bytes(pid_t pid) {
    struct proc_taskinfo task;
    int length = proc_pidinfo(pid, PROC_PIDTASKINFO, 0, &task, sizeof task);
    return length == (int)sizeof task ? task.pti_resident_size : 0;
}

ssize_t petiole_list_processes(pid_t *pids, size_t capacity) {
    int count = proc_listallpids(pids, (int)(capacity * sizeof *pids));
    return count < 0 ? -errno : count;
}

ssize_t petiole_process_environment(pid_t pid, char *bytes, size_t capacity) {
    // KERN_PROCARGS2: the count of arguments, the path of the program, zeroes, the arguments, the
    // environment.
    int name[3] = {CTL_KERN, KERN_PROCARGS2, pid};
    size_t length = capacity;
    if (sysctl(name, 3, bytes, &length, NULL, 0))
        return -errno;
    if (length < sizeof(int))
        return 0;
    int count;
    memcpy(&count, bytes, sizeof count);
    size_t at = sizeof count;
    at += strnlen(bytes + at, length - at);
    while (at < length && !bytes[at])
        at++;
    for (; count > 0 && at < length; count--)
        at += strnlen(bytes + at, length - at) + 1;
    if (at >= length)
        return 0;
    memmove(bytes, bytes + at, length - at);
    return (ssize_t)(length - at);
}
#endif
