/* segment_writer.c - every step that makes a file of the journal appear, grow or end. Their order is what recovery
 * relies on, so they stand together. */
#include "billing/segment_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define FILE_MODE  0600
#define ZERO_BYTES 65536

static char *spare_path(const struct segment_writer *w, unsigned number);
static char *new_path(const struct segment_writer *w);
static bool count_spares(struct segment_writer *w, struct err *err);
static bool clean_unfinished(struct segment_writer *w, struct err *err);
static bool write_zeros(const char *path, struct err *err);
static bool allocate(const char *path, uint64_t bytes, struct err *err);
static bool pwrite_all(int fd, struct span bytes, uint64_t offset, struct err *err);
static void close_segment(struct segment_writer *w);
static bool cut(const char *path, uint64_t size, struct err *err);

bool segment_writer_init(struct segment_writer *w, const char *dir, uint64_t segment_bytes,
                         struct err *err)
{
    *w = (struct segment_writer){.dir = dir, .segment_bytes = segment_bytes, .fd = -1};
    return count_spares(w, err) && clean_unfinished(w, err);
}

/* Allocating again what is allocated costs nothing, and completes one that a crash or another size left short. */
static bool count_spares(struct segment_writer *w, struct err *err)
{
    for (;;) {
        AUTO_STRING path = spare_path(w, w->spares + 1);

        if (w->spares == SPARES_MAX || !file_exists(path))
            return true;
        if (!allocate(path, w->segment_bytes, NULL))
            return unlink(path) == 0 || err_sys(err, "cannot remove %s", path);
        w->spares++;
    }
}

/* Stale frames in a segment could be taken for records once it has grown up to them. */
static bool clean_unfinished(struct segment_writer *w, struct err *err)
{
    AUTO_STRING path = new_path(w);
    AUTO_STRING spare = spare_path(w, w->spares + 1);

    if (!file_exists(path))
        return true;
    if (w->spares == SPARES_MAX || !write_zeros(path, NULL) ||
        !allocate(path, w->segment_bytes, NULL))
        return unlink(path) == 0 || err_sys(err, "cannot remove %s", path);
    if (rename(path, spare) != 0)
        return err_sys(err, "cannot rename %s", path);
    w->spares++;
    return true;
}

static bool write_zeros(const char *path, struct err *err)
{
    static const char zeros[ZERO_BYTES];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    struct stat st;
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    ok = fstat(fd, &st) == 0;
    for (uint64_t at = 0; ok && at < (uint64_t)st.st_size; at += ZERO_BYTES) {
        uint64_t left = (uint64_t)st.st_size - at;

        ok = pwrite_all(fd, (struct span){zeros, left < ZERO_BYTES ? left : ZERO_BYTES}, at, err);
    }
    ok = ok && (fdatasync(fd) == 0 || err_sys(err, "cannot sync %s", path));
    close(fd);
    return ok;
}

static char *spare_path(const struct segment_writer *w, unsigned number)
{
    return xasprintf("%s/spare-%u", w->dir, number);
}

static char *new_path(const struct segment_writer *w)
{
    return path_join(w->dir, "new");
}

void segment_writer_clear(struct segment_writer *w)
{
    close_segment(w);
}

static void close_segment(struct segment_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

bool segment_writer_add_spare(struct segment_writer *w, struct err *err)
{
    AUTO_STRING path = spare_path(w, w->spares + 1);

    if (w->spares == SPARES_MAX)
        return err_set(err, ERR_LIMIT, "%s has %d spare segments already", w->dir, SPARES_MAX);
    if (!allocate(path, w->segment_bytes, err)) {
        unlink(path);
        return false;
    }
    w->spares++;
    return true;
}

static bool allocate(const char *path, uint64_t bytes, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, FILE_MODE);
    int refused;

    if (fd < 0)
        return err_sys(err, "cannot create %s", path);
    refused = posix_fallocate(fd, 0, (off_t)bytes);
    close(fd);
    errno = refused;
    return refused == 0 ||
           err_sys(err, "cannot allocate %llu bytes for %s", (unsigned long long)bytes, path);
}

bool segment_writer_resume(struct segment_writer *w, const char *path, uint64_t number,
                           uint64_t base, uint64_t position, struct err *err)
{
    assert(w->fd < 0 && position > base);
    if (!allocate(path, w->segment_bytes, err))
        return false;
    w->fd = open(path, O_WRONLY | O_CLOEXEC);
    w->number = number;
    w->base = base;
    w->position = position;
    return w->fd >= 0 || err_sys(err, "cannot open %s", path);
}

bool segment_writer_begin(struct segment_writer *w, uint64_t number, uint64_t base, struct err *err)
{
    AUTO_STRING path = new_path(w);
    AUTO_STRING spare = NULL;

    if (w->spares == 0 && !segment_writer_add_spare(w, err))
        return false;
    spare = spare_path(w, w->spares);
    if (rename(spare, path) != 0)
        return err_sys(err, "cannot rename %s", spare);
    w->spares--;
    close_segment(w);
    w->number = number;
    w->base = w->position = base;
    w->fd = open(path, O_WRONLY | O_CLOEXEC);
    return w->fd >= 0 || err_sys(err, "cannot open %s", path);
}

bool segment_writer_append(struct segment_writer *w, struct span bytes, struct err *err)
{
    if (!pwrite_all(w->fd, bytes, w->position - w->base, err))
        return err_context(err, "%s, segment %llu", w->dir, (unsigned long long)w->number);
    w->position += bytes.len;
    return true;
}

static bool pwrite_all(int fd, struct span bytes, uint64_t offset, struct err *err)
{
    while (bytes.len > 0) {
        ssize_t written = pwrite(fd, bytes.data, bytes.len, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_sys(err, "cannot write");
        bytes.data += written;
        bytes.len -= (size_t)written;
        offset += (uint64_t)written;
    }
    return true;
}

bool segment_writer_sync(struct segment_writer *w, struct err *err)
{
    return fdatasync(w->fd) == 0 ||
           err_sys(err, "cannot sync %s, segment %llu", w->dir, (unsigned long long)w->number);
}

bool segment_writer_publish(struct segment_writer *w, struct err *err)
{
    AUTO_STRING from = new_path(w);
    AUTO_STRING to = segment_path(w->dir, w->number, false);

    if (!segment_writer_sync(w, err))
        return false;
    if (rename(from, to) != 0)
        return err_sys(err, "cannot rename to %s", to);
    return dir_sync(w->dir, err);
}

uint64_t segment_writer_free_bytes(const struct segment_writer *w)
{
    uint64_t used = w->position - w->base;

    return used < w->segment_bytes ? w->segment_bytes - used : 0;
}

bool segment_seal(const char *dir, uint64_t number, uint64_t size, struct err *err)
{
    AUTO_STRING from = segment_path(dir, number, false);
    AUTO_STRING to = segment_path(dir, number, true);

    if (!cut(from, size, err))
        return false;
    if (rename(from, to) != 0)
        return err_sys(err, "cannot rename to %s", to);
    return dir_sync(dir, err);
}

static bool cut(const char *path, uint64_t size, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    ok = ftruncate(fd, (off_t)size) == 0 || err_sys(err, "cannot cut %s", path);
    ok = ok && (fsync(fd) == 0 || err_sys(err, "cannot sync %s", path));
    close(fd);
    return ok;
}
