/* shim: what a process does to files under one folder, counted, recorded, and ended or refused at a chosen one.

Loaded with LD_PRELOAD, so that SQLite's own calls are seen too. Armed by the functions at the end, through ctypes:
a forked child arms itself. Every call that changes what is on disk is one operation: open that creates or
truncates, write, fsync, rename, unlink, truncate, mkdir, rmdir. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, BEFORE, MIDDLE, FULL };

static char under[4096];
static size_t under_length;
static long chosen = -1, done;
static int how = NOTHING;
static int record = -1; /* where operations are written to */
static int depth;       /* no recursion into ourselves */

#define REAL(name) static typeof(&name) real; if (!real) real = (typeof(&name))dlsym(RTLD_NEXT, #name)

static ssize_t plain_write(int fd, const void *data, size_t size) { REAL(write); return real(fd, data, size); }

/* The absolute path of a file, as the kernel names it. */
static void path_of_fd(int fd, char *out) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, out, 4095);
  out[size < 0 ? 0 : size] = 0;
}

static void path_at(int folder, const char *path, char *out) {
  if (path[0] == '/') { snprintf(out, 4096, "%s", path); return; }
  char base[4096];
  if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; }
  else path_of_fd(folder, base);
  snprintf(out, 4096, "%.2000s/%.2000s", base, path);
}

static int is_watched(const char *path) {
  return under_length && !strncmp(path, under, under_length) && (path[under_length] == '/' || !path[under_length]);
}

static unsigned long inode_of(const char *path, int fd) {
  struct stat facts;
  int failed = fd >= 0 ? fstat(fd, &facts) : lstat(path, &facts);
  return failed ? 0 : (unsigned long)facts.st_ino;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* Counts one operation that is about to happen; tells whether it is the chosen one, which may be the last. */
static int comes(void) {
  long number = __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
  if (how == FULL) return number >= chosen;
  if (number != chosen) return 0;
  if (how == BEFORE) die();
  return how == MIDDLE;
}

/* One line of the record: op inode offset size path [path2], then the bytes of a write. */
static void note(const char *op, unsigned long inode, long offset, const void *data, size_t size,
                 const char *path, const char *other) {
  if (record < 0) return;
  char line[9000];
  int length = snprintf(line, sizeof line, "%s\t%lu\t%ld\t%zu\t%s\t%s\n", op, inode, offset, size, path, other);
  plain_write(record, line, (size_t)length);
  if (data && size) plain_write(record, data, size);
}

static int opened(int folder, const char *path, int flags, mode_t mode,
                  int (*real)(int, const char *, int, ...)) {
  char whole[4096];
  if (depth || !under_length || !(flags & (O_CREAT | O_TRUNC))) return real(folder, path, flags, mode);
  depth++;
  path_at(folder, path, whole);
  struct stat facts;
  int is_there = !lstat(whole, &facts);
  int changes = is_watched(whole) && (!is_there || ((flags & O_TRUNC) && facts.st_size));
  if (changes && comes()) {
    if (how == FULL) { depth--; errno = ENOSPC; return -1; }
    real(folder, path, flags, mode);
    die();
  }
  int fd = real(folder, path, flags, mode);
  if (changes && fd >= 0) note(is_there ? "truncate" : "create", inode_of(whole, fd), 0, NULL, 0, whole, "");
  depth--;
  return fd;
}

static int real_openat(int folder, const char *path, int flags, ...) {
  va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list);
  REAL(openat);
  return real(folder, path, flags, mode);
}

#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { \
  va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode, real_openat); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode, real_openat); }
int openat(int at, const char *path, int flags, ...) { MODE return opened(at, path, flags, mode, real_openat); }
int openat64(int at, const char *path, int flags, ...) { MODE return opened(at, path, flags, mode, real_openat); }

typedef ssize_t (*Writer)(int fd, const void *data, size_t size, off_t offset);

static ssize_t wrote(int fd, const void *data, size_t size, off_t offset, Writer real) {
  char path[4096];
  if (depth || !under_length || !size) return real(fd, data, size, offset);
  depth++;
  path_of_fd(fd, path);
  if (!is_watched(path)) { depth--; return real(fd, data, size, offset); }
  if (comes()) {
    if (how == FULL) { depth--; errno = ENOSPC; return -1; }
    real(fd, data, size > 1 ? size / 2 : 0, offset);
    die();
  }
  off_t start = offset;
  if (offset < 0) start = (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
  ssize_t written = real(fd, data, size, offset);
  if (written > 0) note("write", inode_of(path, fd), (long)start, data, (size_t)written, path, "");
  depth--;
  return written;
}

static ssize_t to_write(int fd, const void *data, size_t size, off_t offset) {
  (void)offset; REAL(write); return real(fd, data, size);
}
static ssize_t to_pwrite(int fd, const void *data, size_t size, off_t offset) {
  REAL(pwrite); return real(fd, data, size, offset);
}
ssize_t write(int fd, const void *data, size_t size) { return wrote(fd, data, size, -1, to_write); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return wrote(fd, data, size, at, to_pwrite); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return wrote(fd, data, size, at, to_pwrite); }

static int synced(int fd, int (*real)(int)) {
  char path[4096];
  if (depth || !under_length) return real(fd);
  depth++;
  path_of_fd(fd, path);
  int result = 0; /* of a watched file: nobody cuts the power, so nobody waits for the disk */
  if (is_watched(path)) {
    if (comes()) {
      if (how == FULL) { depth--; errno = ENOSPC; return -1; }
      die();
    }
    note("fsync", inode_of(path, fd), 0, NULL, 0, path, "");
  } else result = real(fd);
  depth--;
  return result;
}
static int to_fsync(int fd) { REAL(fsync); return real(fd); }
static int to_fdatasync(int fd) { REAL(fdatasync); return real(fd); }
int fsync(int fd) { return synced(fd, to_fsync); }
int fdatasync(int fd) { return synced(fd, to_fdatasync); }

/* What takes effect whole or not at all: its middle is its end. */
#define WHOLE(op, path, other, inode, call) do { \
    if (depth || !under_length || !is_watched(path)) return call; \
    depth++; \
    unsigned long number = inode; \
    int is_last = comes(); \
    int result = call; \
    if (is_last && how == MIDDLE) die(); \
    if (!result) note(op, number, 0, NULL, 0, path, other); \
    depth--; \
    return result; \
  } while (0)

static int moved(int from_at, const char *from, int to_at, const char *to) {
  char source[4096], target[4096];
  REAL(renameat);
  path_at(from_at, from, source); path_at(to_at, to, target);
  WHOLE("rename", source, target, inode_of(source, -1), real(from_at, from, to_at, to));
}
int rename(const char *from, const char *to) { return moved(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int a, const char *from, int b, const char *to) { return moved(a, from, b, to); }

static int removed(int at, const char *path, int flags) {
  char whole[4096];
  REAL(unlinkat);
  path_at(at, path, whole);
  WHOLE(flags ? "rmdir" : "unlink", whole, "", inode_of(whole, -1), real(at, path, flags));
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int at, const char *path, mode_t mode) {
  char whole[4096];
  REAL(mkdirat);
  path_at(at, path, whole);
  if (how == FULL && !depth && is_watched(whole) && done + 1 >= chosen) { comes(); errno = ENOSPC; return -1; }
  WHOLE("mkdir", whole, "", 0, real(at, path, mode));
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return made(at, path, mode); }

static int cut(int fd, off_t size) {
  char path[4096];
  REAL(ftruncate);
  path_of_fd(fd, path);
  if (depth || !under_length || !is_watched(path)) return real(fd, size);
  depth++;
  int is_last = comes();
  int result = real(fd, size);
  if (is_last && how == MIDDLE) die();
  if (!result) note("cut", inode_of(path, fd), (long)size, NULL, 0, path, "");
  depth--;
  return result;
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }

/* Watches a folder from now on, and ends or refuses the chosen operation, counted from 1. */
void shim_arm(const char *folder, long number, int what, int to) {
  depth++;
  snprintf(under, sizeof under, "%s", folder);
  under_length = strlen(under);
  chosen = number; how = what; record = to; done = 0;
  depth--;
}
long shim_done(void) { return done; }
/* A line of one's own in the record: what the program has promised by now. */
void shim_mark(const char *text) { note("mark", 0, 0, NULL, 0, text, ""); }
