/* archive_put.c - a file into the archive. Several hosts may do this for one archive, and one may be cut off anywhere: a
 * name is linked once, to bytes that are on disk, and who comes second finds that they are the same. */
#include "billing/archive_put.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

static bool write_file(const struct archive_header *h, archive_next_line *next, void *arg,
                       const char *path, char sha256[SHA256_HEX], struct err *err);
static bool link_new(const char *temporary, const char *path, const char *sha256, struct err *err);
static bool is_same(const char *path, const char *sha256, struct err *err);
static void remove_leftovers(const char *dir, uint64_t segment);

bool archive_put(const char *archive, const struct archive_header *h, archive_next_line *next,
                 void *arg, char sha256[SHA256_HEX], struct err *err)
{
    AUTO_STRING dir = archive_dir(archive, h->writer);
    AUTO_STRING path = archive_path(archive, h->writer, h->segment);
    AUTO_STRING temporary = NULL;
    char unique[9];
    bool ok;

    rand_text(unique, sizeof unique - 1);
    temporary = xasprintf("%s.new-%s", path, unique);
    ok = write_file(h, next, arg, temporary, sha256, err) &&
         link_new(temporary, path, sha256, err) && dir_sync(dir, err);
    unlink(temporary);
    if (ok)
        remove_leftovers(dir, h->segment);
    return ok;
}

static bool write_file(const struct archive_header *h, archive_next_line *next, void *arg,
                       const char *path, char sha256[SHA256_HEX], struct err *err)
{
    AUTO(zstd_writer) w = zstd_writer_open(path, err);
    AUTO_CLEAR(buf) first;
    struct span line;
    int got;

    buf_init(&first, RECORD_BYTES_MAX);
    archive_header_write(h, &first);
    buf_add_char(&first, '\n');
    if (!w || !buf_ok(&first, "an archive's header", err) ||
        !zstd_writer_add(w, buf_span(&first), err))
        return false;
    while ((got = next(arg, &line, err)) == 1)
        if (!zstd_writer_add(w, line, err) || !zstd_writer_add(w, SPAN("\n"), err))
            return false;
    return got == 0 && zstd_writer_finish(w, sha256, err);
}

/* A rival that was faster has removed our temporary name, too: what counts is the name that stands. */
static bool link_new(const char *temporary, const char *path, const char *sha256, struct err *err)
{
    if (link(temporary, path) == 0)
        return true;
    if (errno != EEXIST && errno != ENOENT)
        return err_sys(err, "cannot link %s", path);
    return is_same(path, sha256, err);
}

static bool is_same(const char *path, const char *sha256, struct err *err)
{
    struct archive_header h;
    char found[SHA256_HEX];

    if (!archive_file_digest(path, &h, found, err))
        return false;
    return strcmp(found, sha256) == 0 ||
           err_set(err, ERR_CORRUPT, "%s stands there already with other content", path);
}

/* Temporary names of this segment, of whoever was cut off. */
static void remove_leftovers(const char *dir, uint64_t segment)
{
    AUTO_STRING prefix = xasprintf("%08llu.jsonl.zst.new-", (unsigned long long)segment);
    char **names;
    size_t count;

    if (!dir_list(dir, &names, &count, NULL))
        return;
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING path = path_join(dir, names[i]);

        if (strncmp(names[i], prefix, strlen(prefix)) == 0)
            unlink(path);
    }
    dir_names_free(names, count);
}
