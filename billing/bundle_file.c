/* bundle_file.c - files of a directory that gets its name only when all of them are whole, so no
 * name is linked here. */
#include "billing/bundle_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define FILE_MODE   0644
#define PIECE_BYTES 65536

static bool write_and_sync(int fd, const char *path, struct span bytes, struct err *err);
static bool hash_all(int fd, const char *path, struct sha256_stream *hash, uint64_t *bytes,
                     struct err *err);

bool bundle_file_write(const char *dir, const char *name, struct span bytes,
                       struct file_digest *digest, struct err *err)
{
    AUTO_STRING path = path_join(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot create %s", path);
    ok = write_and_sync(fd, path, bytes, err);
    if (close(fd) != 0 && ok)
        ok = err_sys(err, "cannot close %s", path);
    digest->bytes = bytes.len;
    sha256_hex(bytes.data, bytes.len, digest->sha256);
    memcpy(digest->uncompressed_sha256, digest->sha256, SHA256_HEX);
    return ok;
}

static bool write_and_sync(int fd, const char *path, struct span bytes, struct err *err)
{
    if (!fd_write_all(fd, bytes.data, bytes.len, err))
        return err_context(err, "%s", path);
    return fsync(fd) == 0 || err_sys(err, "cannot sync %s", path);
}

bool bundle_file_digest(const char *dir, const char *name, struct file_digest *digest,
                        struct err *err)
{
    AUTO_STRING path = path_join(dir, name);
    AUTO(sha256_stream) hash = sha256_stream_new();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    ok = hash_all(fd, path, hash, &digest->bytes, err);
    close(fd);
    sha256_stream_hex(hash, digest->sha256);
    memcpy(digest->uncompressed_sha256, digest->sha256, SHA256_HEX);
    return ok;
}

static bool hash_all(int fd, const char *path, struct sha256_stream *hash, uint64_t *bytes,
                     struct err *err)
{
    char piece[PIECE_BYTES];
    ssize_t got;

    *bytes = 0;
    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read %s", path);
        sha256_stream_add(hash, piece, (size_t)got);
        *bytes += (uint64_t)got;
    }
    return true;
}
