/* scratch_file.c - unlinked as soon as it is open, so that nothing is left behind by whoever is killed. */
#include "billing/scratch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define WRITE_BYTES (1024 * 1024)

struct scratch_file {
    int fd;
    uint64_t size;
    struct buf unwritten; /* its last bytes */
};

static int open_unnamed(const char *dir, struct err *err);

struct scratch_file *scratch_file_new(const char *dir, struct err *err)
{
    const char *temporary = getenv("TMPDIR");
    struct scratch_file *f;
    int fd = open_unnamed(dir ? dir : temporary ? temporary : "/tmp", err);

    if (fd < 0)
        return NULL;
    f = xcalloc(1, sizeof *f);
    f->fd = fd;
    buf_init(&f->unwritten, 2 * WRITE_BYTES);
    return f;
}

static int open_unnamed(const char *dir, struct err *err)
{
    AUTO_STRING path = path_join(dir, ".scratch-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0)
        err_sys(err, "cannot create a file in %s", dir);
    else
        unlink(path);
    return fd;
}

void scratch_file_free(struct scratch_file *f)
{
    if (!f)
        return;
    close(f->fd);
    buf_clear(&f->unwritten);
    free(f);
}

bool scratch_file_add(struct scratch_file *f, struct span bytes, struct err *err)
{
    if (f->unwritten.len + bytes.len > WRITE_BYTES && !scratch_file_flush(f, err))
        return false;
    buf_add_span(&f->unwritten, bytes);
    f->size += bytes.len;
    return buf_ok(&f->unwritten, "a scratch file", err);
}

uint64_t scratch_file_size(const struct scratch_file *f)
{
    return f->size;
}

bool scratch_file_flush(struct scratch_file *f, struct err *err)
{
    if (!fd_write_all(f->fd, buf_span(&f->unwritten).data, f->unwritten.len, err))
        return err_context(err, "a scratch file");
    buf_truncate(&f->unwritten, 0);
    return true;
}

bool scratch_file_read(const struct scratch_file *f, uint64_t offset, void *bytes, size_t n,
                       struct err *err)
{
    char *at = bytes;

    while (n > 0) {
        ssize_t got = pread(f->fd, at, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read a scratch file");
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "a scratch file is shorter than what was written");
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}
