/* faulty_disk.c - see the header. What is durable is kept in memory: a file's bytes at its last sync, a directory's names
 * at its own. */
#include "tests/billing/faulty_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK       4096
#define FILE_BLOCKS 4096
#define FILES_MAX   512
#define NAMES_MAX   512
#define BROKEN_EXIT 77 /* the test itself cannot go on */

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __real_pwrite(int fd, const void *bytes, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_posix_fallocate(int fd, off_t from, off_t n);
int __wrap_posix_fallocate(int fd, off_t from, off_t n);
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t count, size_t n);
void *__wrap_reallocarray(void *p, size_t count, size_t n);

struct durable_file {
    ino_t inode;
    char *bytes;
    size_t len;
    char *given_up; /* what a failed sync left behind, of given_up_len bytes */
    size_t given_up_len;
    bool written_since[FILE_BLOCKS]; /* of its blocks: seen to differ from that at a later sync */
};
struct durable_name {
    char *dir, *name;
    ino_t inode;
};

static enum fault armed;
static unsigned fail_at, also_fail_at, operations, chance;
static char root_path[PATH_MAX], after_path[PATH_MAX];
static struct durable_file files[FILES_MAX];
static size_t file_count;
static struct durable_name names[NAMES_MAX];
static size_t name_count;

static void remember_tree(const char *path);
static void remember_file(int fd, const struct stat *st, bool failed);
static void remember_names_of(int fd);
static void remember_names(const char *dir);
static void give_up(struct durable_file *f, char *now, size_t len);
static void make_durable(struct durable_file *f, char *now, size_t len);

void disk_arm(enum fault fault, unsigned n, const char *root, const char *after, unsigned seed)
{
    armed = fault;
    fail_at = n;
    operations = also_fail_at = 0;
    chance = seed;
    file_count = name_count = 0;
    snprintf(root_path, sizeof root_path, "%s", root ? root : "");
    snprintf(after_path, sizeof after_path, "%s", after ? after : "");
    if (fault == FAULT_POWER)
        remember_tree(root_path);
}

void disk_also_fail(unsigned n)
{
    also_fail_at = n;
}

unsigned disk_count(void)
{
    return operations;
}

void disk_report(int fd, const void *bytes, size_t n)
{
    if (__real_write(fd, bytes, n) != (ssize_t)n)
        _exit(1);
}

/* True when this operation is to fail with an error. */
static bool strikes(void)
{
    unsigned now;

    if (armed == FAULT_NONE || armed == FAULT_MEMORY)
        return false;
    now = __atomic_add_fetch(&operations, 1, __ATOMIC_SEQ_CST);
    if (now != fail_at && now != also_fail_at)
        return false;
    if (now == fail_at && armed == FAULT_POWER)
        disk_lose_power();
    if (now == fail_at && armed == FAULT_DIES)
        _exit(DISK_EXIT);
    errno = armed == FAULT_ENOSPC ? ENOSPC : EIO;
    return true;
}

static bool is_last_write(void)
{
    return armed == FAULT_DIES && operations + 1 == fail_at;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    if (is_last_write() && __real_write(fd, bytes, n / 2) < 0)
        _exit(1);
    return strikes() ? -1 : __real_write(fd, bytes, n);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (is_last_write() && __real_pwrite(fd, bytes, n / 2, at) < 0)
        _exit(1);
    return strikes() ? -1 : __real_pwrite(fd, bytes, n, at);
}

static int sync_fd(int fd)
{
    bool failed = strikes();
    int why = errno;
    struct stat st;

    if (armed == FAULT_POWER && fstat(fd, &st) == 0) {
        if (S_ISREG(st.st_mode))
            remember_file(fd, &st, failed);
        else if (S_ISDIR(st.st_mode) && !failed)
            remember_names_of(fd);
    }
    errno = why;
    return failed ? -1 : 0;
}

static void remember_names_of(int fd)
{
    char link_path[64], path[PATH_MAX];
    ssize_t n;

    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    n = readlink(link_path, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    remember_names(path);
}

int __wrap_fdatasync(int fd)
{
    return sync_fd(fd);
}

int __wrap_fsync(int fd)
{
    return sync_fd(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return strikes() ? -1 : __real_rename(from, to);
}

int __wrap_link(const char *from, const char *to)
{
    return strikes() ? -1 : __real_link(from, to);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return strikes() ? -1 : __real_ftruncate(fd, size);
}

int __wrap_posix_fallocate(int fd, off_t from, off_t n)
{
    return strikes() ? errno : __real_posix_fallocate(fd, from, n);
}

static bool memory_strikes(void)
{
    return armed == FAULT_MEMORY && __atomic_add_fetch(&operations, 1, __ATOMIC_SEQ_CST) == fail_at;
}

void *__wrap_malloc(size_t n)
{
    return memory_strikes() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return memory_strikes() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return memory_strikes() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t count, size_t n)
{
    return memory_strikes() ? NULL : __real_reallocarray(p, count, n);
}

/* What stands when the disk is armed was synced long ago. */
static void remember_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir)
        return;
    remember_names(path);
    while ((entry = readdir(dir))) {
        char inner[PATH_MAX];
        struct stat st;
        int fd;

        if (entry->d_name[0] == '.' && strspn(entry->d_name, ".") == strlen(entry->d_name))
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        fd = open(inner, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0)
            _exit(BROKEN_EXIT);
        if (S_ISDIR(st.st_mode))
            remember_tree(inner);
        else
            remember_file(fd, &st, false);
        close(fd);
    }
    closedir(dir);
}

static struct durable_file *file_of(ino_t inode)
{
    for (size_t i = 0; i < file_count; i++)
        if (files[i].inode == inode)
            return &files[i];
    return NULL;
}

static char *read_fd(int fd, size_t len)
{
    char *bytes = __real_malloc(len + 1);

    if (!bytes || pread(fd, bytes, len, 0) != (ssize_t)len)
        _exit(BROKEN_EXIT);
    return bytes;
}

/* The descriptor may be for writing only: the file is opened again through it. */
static void remember_file(int fd, const struct stat *st, bool failed)
{
    struct durable_file *f = file_of(st->st_ino);
    size_t len = (size_t)st->st_size;
    char path[64], *now;
    int readable;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    readable = open(path, O_RDONLY | O_CLOEXEC);
    if (readable < 0 || len > FILE_BLOCKS * BLOCK || (!f && file_count == FILES_MAX))
        _exit(BROKEN_EXIT);
    now = read_fd(readable, len);
    close(readable);
    if (!f) {
        f = &files[file_count++];
        memset(f, 0, sizeof *f);
        f->inode = st->st_ino;
    }
    if (failed)
        give_up(f, now, len);
    else
        make_durable(f, now, len);
}

static void give_up(struct durable_file *f, char *now, size_t len)
{
    free(f->given_up);
    f->given_up = now;
    f->given_up_len = len;
    memset(f->written_since, 0, sizeof f->written_since);
}

/* What is as it was when a sync of it failed stays what it was before. */
static void make_durable(struct durable_file *f, char *now, size_t len)
{
    for (size_t at = 0; at < len; at += BLOCK) {
        size_t n = len - at < BLOCK ? len - at : BLOCK;

        if (at + n > f->given_up_len || memcmp(now + at, f->given_up + at, n) != 0)
            f->written_since[at / BLOCK] = true;
        if (f->written_since[at / BLOCK])
            continue;
        if (at + n <= f->len)
            memcpy(now + at, f->bytes + at, n);
        else
            memset(now + at, 0, n);
    }
    free(f->bytes);
    f->bytes = now;
    f->len = len;
}

static void remember_names(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t kept = 0;

    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].dir, path) != 0)
            names[kept++] = names[i];
    name_count = kept;
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (name_count == NAMES_MAX)
            _exit(BROKEN_EXIT);
        names[name_count++] =
            (struct durable_name){strdup(path), strdup(entry->d_name), entry->d_ino};
    }
    if (dir)
        closedir(dir);
}

static bool flip(void)
{
    chance = chance * 1103515245u + 12345u;
    return chance >> 16 & 1;
}

/* Of each block that differs, one or the other. */
static void write_survivor(const char *to, const struct durable_file *durable, const char *now,
                           size_t now_len)
{
    size_t durable_len = durable ? durable->len : 0;
    size_t len = flip() ? now_len : durable_len;
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    for (size_t at = 0; at < len; at += BLOCK) {
        static const char zeros[BLOCK];
        size_t n = len - at < BLOCK ? len - at : BLOCK;
        bool has_now = at + n <= now_len, has_durable = at + n <= durable_len;
        const char *from = zeros;

        if (has_now && (!has_durable || flip()))
            from = now + at;
        else if (has_durable)
            from = durable->bytes + at;
        if (__real_pwrite(fd, from, n, (off_t)at) != (ssize_t)n)
            _exit(BROKEN_EXIT);
    }
    close(fd);
}

static void restore_name(const char *from_dir, const char *to_dir, const char *name, ino_t inode);

/* A directory's names are those of its last sync or those of now. Restoring one changes the list: it is copied first. */
static void restore_dir(const char *from, const char *to)
{
    struct durable_name here[NAMES_MAX];
    size_t count = 0;

    if (mkdir(to, 0700) != 0)
        _exit(BROKEN_EXIT);
    if (flip())
        remember_names(from);
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].dir, from) == 0)
            here[count++] = names[i];
    for (size_t i = 0; i < count; i++)
        restore_name(from, to, here[i].name, here[i].inode);
}

static void restore_name(const char *from_dir, const char *to_dir, const char *name, ino_t inode)
{
    char path[PATH_MAX], to[PATH_MAX], *now = NULL;
    struct stat st = {0};
    DIR *dir = opendir(from_dir);
    struct dirent *entry;

    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    path[0] = '\0';
    while ((entry = readdir(dir)))
        if (entry->d_ino == inode)
            snprintf(path, sizeof path, "%s/%s", from_dir, entry->d_name);
    closedir(dir);
    if (path[0] && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        restore_dir(path, to);
        return;
    }
    if (path[0]) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        now = read_fd(fd, (size_t)st.st_size);
        close(fd);
    }
    write_survivor(to, file_of(inode), now, (size_t)st.st_size);
    free(now);
}

void disk_lose_power(void)
{
    restore_dir(root_path, after_path);
    _exit(DISK_EXIT);
}
