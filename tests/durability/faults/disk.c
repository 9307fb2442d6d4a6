// Faults of a disk, put in front of libc's calls (LD_PRELOAD) in the process of a test.
//
// FAULT_SYNC=path   while this file exists, the next sync of a file that ends in -wal fails with EIO, and takes it away
// FAULT_DISK=path   its size is the size of the disk: what would make database and log larger together fails with ENOSPC
// FAULT_STORE=path  the database
// FAULT_CLOCK=n     the machine's clock shows this Unix second
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 4) return 0;
    path[length] = 0;
    return strcmp(path + length - 4, "-wal") == 0;
}

static int sync_fails(int fd) {
    const char *fault = getenv("FAULT_SYNC");
    if (!fault || access(fault, F_OK) != 0 || !is_log(fd)) return 0;
    unlink(fault);
    errno = EIO;
    return 1;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return sync_fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return sync_fails(fd) ? -1 : real(fd);
}

static long long size_of(const char *path, const char *suffix) {
    char name[4096];
    struct stat found;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &found) == 0 ? (long long)found.st_size : 0;
}

static int is_full(int fd, long long end) {
    const char *disk = getenv("FAULT_DISK"), *store = getenv("FAULT_STORE");
    struct stat found, database;
    if (!disk || !store || access(disk, F_OK) != 0 || fstat(fd, &found) != 0 || end <= found.st_size) return 0;
    int is_database = stat(store, &database) == 0 && database.st_ino == found.st_ino;
    if (!is_database && !is_log(fd)) return 0;
    long long used = size_of(store, "") + size_of(store, "-wal");
    if (used + end - found.st_size <= size_of(disk, "")) return 0;
    errno = ENOSPC;
    return 1;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *fault = getenv("FAULT_CLOCK");
    int result = real(clock, time);
    if (fault && *fault && clock == CLOCK_REALTIME) time->tv_sec = atoll(fault);
    return result;
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0 && is_full(fd, (long long)at + (long long)size)) return -1;
    return real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    return is_full(fd, (long long)at + (long long)size) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    return is_full(fd, (long long)at + (long long)size) ? -1 : real(fd, data, size, at);
}
