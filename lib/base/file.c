/* file.c - durable files. A name appears only when its bytes are on disk, and is itself on disk before we say so;
 * temporary names begin with '.', so that a directory listing never shows what a crash left half-written. */
#include "lib/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"

#define READ_BYTES 65536

enum publish { REPLACE, ONLY_NEW };

struct file_lock {
    int fd;
    pid_t owner;
};

static bool read_more(int fd, struct buf *out, const char *what, struct err *err);
static bool write_beside(const char *path, mode_t mode, struct span bytes, enum publish how,
                         struct err *err);
static char *temporary_name(const char *path);
static char *parent_of(const char *path);
static bool write_durably(const char *path, mode_t mode, struct span bytes, struct err *err);
static bool publish(const char *temporary, const char *path, enum publish how, struct err *err);
static bool is_dir(const char *path);
static bool make_dir(const char *path, mode_t mode, struct err *err);
static bool is_visible(const char *name);
static bool is_entry(const char *name);
static bool list(const char *path, bool (*is_wanted)(const char *name), char ***names,
                 size_t *count, struct err *err);
static int compare_names(const void *a, const void *b);
static int lock_fd(int fd, int command, short type, short *found);
static bool write_owner(const struct file_lock *lock, const char *path, struct err *err);
static pid_t read_owner(int fd);

bool file_read(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    ok = fd_read_all(fd, out, path, err);
    close(fd);
    return ok;
}

bool fd_read_all(int fd, struct buf *out, const char *what, struct err *err)
{
    size_t before = out->len;

    if (read_more(fd, out, what, err))
        return true;
    buf_truncate(out, before);
    return false;
}

/* A full buffer asks for one byte more, so that a file of exactly the maximum is still taken. */
static bool read_more(int fd, struct buf *out, const char *what, struct err *err)
{
    for (;;) {
        size_t left = out->max - out->len;
        size_t want = left < READ_BYTES ? left : READ_BYTES;
        char one_more, *room = want ? buf_room(out, want) : &one_more;
        ssize_t got;

        if (!room)
            return buf_ok(out, what, err);
        got = read(fd, room, want ? want : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read %s", what);
        if (got == 0)
            return true;
        if (!want)
            return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", what, out->max);
        buf_added(out, (size_t)got);
    }
}

int file_open_private(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        err_sys(err, "cannot open %s", path);
        return -1;
    }
    if (fstat(fd, &st) != 0)
        err_sys(err, "cannot examine %s", path);
    else if (!S_ISREG(st.st_mode))
        err_set(err, ERR_INPUT, "%s is not a regular file", path);
    else if (st.st_mode & 077)
        err_set(err, ERR_DENIED, "%s holds a secret but has mode %04o: run chmod 600 %s", path,
                (unsigned)st.st_mode & 07777, path);
    else
        return fd;
    close(fd);
    return -1;
}

bool file_write_atomic(const char *path, mode_t mode, struct span bytes, struct err *err)
{
    return write_beside(path, mode, bytes, REPLACE, err);
}

bool file_write_new(const char *path, mode_t mode, struct span bytes, struct err *err)
{
    return write_beside(path, mode, bytes, ONLY_NEW, err);
}

static bool write_beside(const char *path, mode_t mode, struct span bytes, enum publish how,
                         struct err *err)
{
    AUTO_STRING temporary = temporary_name(path);
    AUTO_STRING parent = parent_of(path);

    if (write_durably(temporary, mode, bytes, err) && publish(temporary, path, how, err))
        return dir_sync(parent, err);
    unlink(temporary);
    return false;
}

static char *temporary_name(const char *path)
{
    AUTO_STRING parent = parent_of(path);
    const char *slash = strrchr(path, '/');
    char unique[13];

    rand_text(unique, sizeof unique - 1);
    return xasprintf("%s/.%s.%s", parent, slash ? slash + 1 : path, unique);
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static bool write_durably(const char *path, mode_t mode, struct span bytes, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot create %s", path);
    ok = fd_write_all(fd, bytes.data, bytes.len, err) || err_context(err, "%s", path);
    if (ok && fchmod(fd, mode) != 0)
        ok = err_sys(err, "cannot set the mode of %s", path);
    if (ok && fsync(fd) != 0)
        ok = err_sys(err, "cannot sync %s", path);
    if (close(fd) != 0 && ok)
        ok = err_sys(err, "cannot close %s", path);
    return ok;
}

static bool publish(const char *temporary, const char *path, enum publish how, struct err *err)
{
    if (how == REPLACE)
        return rename(temporary, path) == 0 || err_sys(err, "cannot rename to %s", path);
    if (link(temporary, path) != 0)
        return errno == EEXIST ? err_set(err, ERR_EXISTS, "%s exists already", path)
                               : err_sys(err, "cannot link %s", path);
    unlink(temporary);
    return true;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool fd_write_all(int fd, const void *bytes, size_t n, struct err *err)
{
    const char *at = bytes;

    while (n > 0) {
        ssize_t written = write(fd, at, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_sys(err, "cannot write");
        at += written;
        n -= (size_t)written;
    }
    return true;
}

/* Climbs until a directory stands, then makes the rest on the way down. */
bool dir_ensure(const char *path, mode_t mode, struct err *err)
{
    AUTO_STRING parent = NULL;

    if (is_dir(path))
        return true;
    parent = parent_of(path);
    if (strcmp(parent, path) != 0 && !dir_ensure(parent, mode, err))
        return false;
    return make_dir(path, mode, err) && dir_sync(parent, err);
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Another process may make it at the same moment; "a//b" and "a/" name what stands already. */
static bool make_dir(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0 || is_dir(path))
        return true;
    return err_sys(err, "cannot make directory %s", path);
}

bool dir_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot open directory %s", path);
    ok = fsync(fd) == 0 || err_sys(err, "cannot sync directory %s", path);
    close(fd);
    return ok;
}

bool dir_list(const char *path, char ***names, size_t *count, struct err *err)
{
    return list(path, is_visible, names, count, err);
}

bool dir_list_all(const char *path, char ***names, size_t *count, struct err *err)
{
    return list(path, is_entry, names, count, err);
}

static bool is_visible(const char *name)
{
    return name[0] != '.';
}

static bool is_entry(const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool list(const char *path, bool (*is_wanted)(const char *name), char ***names,
                 size_t *count, struct err *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char **list = NULL;
    size_t n = 0;

    if (!dir)
        return err_sys(err, "cannot open directory %s", path);
    for (errno = 0; (entry = readdir(dir)); errno = 0) {
        if (!is_wanted(entry->d_name))
            continue;
        if ((n & (n - 1)) == 0)
            list = xrealloc_array(list, n ? n * 2 : 1, sizeof *list);
        list[n++] = xstrdup(entry->d_name);
    }
    if (errno != 0) {
        err_sys(err, "cannot read directory %s", path);
        closedir(dir);
        dir_names_free(list, n);
        return false;
    }
    closedir(dir);
    if (n)
        qsort(list, n, sizeof *list, compare_names);
    *names = list;
    *count = n;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void dir_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

struct file_lock *file_lock_take(const char *path, struct err *err)
{
    AUTO(file_lock) lock = xcalloc(1, sizeof *lock);

    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock->fd < 0) {
        err_sys(err, "cannot open %s", path);
        return NULL;
    }
    if (lock_fd(lock->fd, F_OFD_SETLK, F_WRLCK, NULL) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            err_set(err, ERR_EXISTS, "%s is held by process %ld", path, (long)read_owner(lock->fd));
        else
            err_sys(err, "cannot lock %s", path);
        return NULL;
    }
    lock->owner = getpid();
    if (!write_owner(lock, path, err))
        return NULL;
    return KEEP(lock);
}

static int lock_fd(int fd, int command, short type, short *found)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    int rc;

    do
        rc = fcntl(fd, command, &whole);
    while (rc != 0 && errno == EINTR);
    if (found)
        *found = whole.l_type;
    return rc;
}

static bool write_owner(const struct file_lock *lock, const char *path, struct err *err)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%ld\n", (long)lock->owner);

    if (ftruncate(lock->fd, 0) != 0 || pwrite(lock->fd, text, (size_t)n, 0) != n)
        return err_sys(err, "cannot write the owner into %s", path);
    return true;
}

/* Closing ends the lock only with the last copy: a child that frees its own takes nothing from its parent. */
void file_lock_free(struct file_lock *lock)
{
    if (!lock)
        return;
    if (lock->fd >= 0)
        close(lock->fd);
    free(lock);
}

pid_t file_lock_owner(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    short found = F_UNLCK;
    pid_t owner = 0;

    if (fd < 0)
        return 0;
    if (lock_fd(fd, F_OFD_GETLK, F_WRLCK, &found) == 0 && found != F_UNLCK)
        owner = read_owner(fd);
    close(fd);
    return owner;
}

/* The owner writes its pid just after it took the lock: give it a moment. */
static pid_t read_owner(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int tries = 0; tries < 100; tries++) {
        char text[24];
        ssize_t n = pread(fd, text, sizeof text, 0);
        uint64_t pid;

        if (n > 1 && text[n - 1] == '\n' &&
            digits_parse((struct span){text, (size_t)n - 1}, INT32_MAX, &pid))
            return (pid_t)pid;
        nanosleep(&pause, NULL);
    }
    return 0;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return xasprintf(n > 0 && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}
