/* What a failing disk is to a program: loaded before the C library (LD_PRELOAD), it counts what the program does to files
 * below the folder FAULT_FOLDER, and from the operation FAULT_AT on (1 is the first) answers with the error FAULT_ERROR:
 *   ENOSPC  every later one that takes room fails too;
 *   EROFS   every later one fails, removing files too;
 *   EIO     only that one fails;
 *   0       the process is killed there, as by kill -9.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS 1024
/* Descriptors of files and folders below FAULT_FOLDER. */
static char ours[DESCRIPTORS];
static long done;

static int below(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_ours(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS && ours[descriptor];
}

/* Whether the operation at hand fails. */
static int fails(int takes_room) {
    long at = atol(getenv("FAULT_AT"));
    int error = atoi(getenv("FAULT_ERROR"));
    long now = takes_room ? __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST) : done;
    if (now < at || (error == EIO && now > at) || (!takes_room && error != EROFS)) return 0;
    if (error == 0) kill(getpid(), SIGKILL);
    errno = error;
    return 1;
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int counts = below(path);
    if (counts && flags & (O_WRONLY | O_RDWR) && fails(1)) return -1;
    int descriptor = REAL(int, open64, const char *, int, ...)(path, flags, mode);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) ours[descriptor] = counts;
    return descriptor;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (is_ours(descriptor)) {
        if (fails(1)) return -1;
        /* A disk fills up in the middle of a file. */
        if (count > 1 << 16) count /= 2;
    }
    return REAL(ssize_t, write, int, const void *, size_t)(descriptor, bytes, count);
}

int ftruncate64(int descriptor, off64_t length) {
    if (is_ours(descriptor) && fails(1)) return -1;
    return REAL(int, ftruncate64, int, off64_t)(descriptor, length);
}

int fsync(int descriptor) {
    if (is_ours(descriptor) && fails(1)) return -1;
    return REAL(int, fsync, int)(descriptor);
}

int fdatasync(int descriptor) {
    if (is_ours(descriptor) && fails(1)) return -1;
    return REAL(int, fdatasync, int)(descriptor);
}

int mkdir(const char *path, mode_t mode) {
    if (below(path) && fails(1)) return -1;
    return REAL(int, mkdir, const char *, mode_t)(path, mode);
}

int rename(const char *from, const char *to) {
    if (below(to) && fails(1)) return -1;
    return REAL(int, rename, const char *, const char *)(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    if (below(to) && fails(1)) return -1;
    return REAL(int, linkat, int, const char *, int, const char *, int)(from_folder, from, to_folder, to, flags);
}

int unlink(const char *path) {
    if (below(path) && fails(0)) return -1;
    return REAL(int, unlink, const char *)(path);
}
