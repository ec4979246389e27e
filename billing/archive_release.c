/* archive_release.c - makes room in the journal: what the archive has, settlement has closed, and nobody may need again. */
#include <errno.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/journal_home.h"
#include "billing/retirement.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define KEPT_ALWAYS 2

static bool release_directory(const char *archive, const char *dir, int64_t before, size_t *removed,
                              struct err *err);
static bool release_oldest(const char *archive, const char *writer,
                           const struct segment_file *files, size_t count, int64_t before,
                           size_t *removed, struct err *err);
static bool may_go(const char *archive, const char *writer, const struct segment_file *f,
                   int64_t before, bool *may, struct err *err);
static bool is_closed(const char *archive, int64_t at);

bool archive_release_segments(const char *archive, const char *journal_root, int64_t age_ns,
                              size_t *removed, struct err *err)
{
    struct err why, first = {0};
    char **names;
    size_t count;

    *removed = 0;
    if (!dir_list(journal_root, &names, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING dir = path_join(journal_root, names[i]);

        if (journal_home_is_name(names[i]) &&
            !release_directory(archive, dir, clock_now() - age_ns, removed, &why) &&
            first.code == ERR_NONE)
            first = why;
    }
    dir_names_free(names, count);
    return first.code == ERR_NONE || err_set(err, first.code, "%s", first.text);
}

static bool release_directory(const char *archive, const char *dir, int64_t before, size_t *removed,
                              struct err *err)
{
    struct journal_home home = {0};
    struct segment_file *files;
    struct err why;
    size_t count;
    bool ok;

    if (!journal_home_identity(dir, &home, &why))
        return why.code == ERR_NOT_FOUND || err_set(err, why.code, "%s", why.text);
    if (retirement_is_final(archive, home.writer))
        return true;
    if (!segment_list(dir, &files, &count, err))
        return false;
    ok = release_oldest(archive, home.writer, files, count, before, removed, err);
    segment_list_free(files, count);
    return ok;
}

/* Stops at the first that must stay, so that what is left has no gaps. */
static bool release_oldest(const char *archive, const char *writer,
                           const struct segment_file *files, size_t count, int64_t before,
                           size_t *removed, struct err *err)
{
    struct segment_header last;

    if (count <= KEPT_ALWAYS)
        return true;
    if (!segment_header_read(files[count - 1].path, &last, err))
        return false;
    for (size_t i = 0; i + KEPT_ALWAYS < count; i++) {
        bool may = files[i].sealed && files[i + 1].position <= last.open_position;

        if (may && !may_go(archive, writer, &files[i], before, &may, err))
            return false;
        if (!may)
            return true;
        if (unlink(files[i].path) != 0 && errno != ENOENT)
            return err_sys(err, "cannot remove %s", files[i].path);
        ++*removed;
    }
    return true;
}

/* A segment without records is as old as its header. */
static bool may_go(const char *archive, const char *writer, const struct segment_file *f,
                   int64_t before, bool *may, struct err *err)
{
    AUTO_STRING path = archive_path(archive, writer, f->number);
    struct archive_header archived;
    struct segment_header h;
    int64_t at;

    *may = false;
    if (!file_exists(path))
        return true;
    if (!archive_file_header(path, &archived, err) || !segment_header_read(f->path, &h, err))
        return false;
    at = archived.records > 0 ? archived.last_at : h.at;
    *may = at < before && is_closed(archive, at);
    return true;
}

static bool is_closed(const char *archive, int64_t at)
{
    AUTO_STRING path = xasprintf("%s/closes/%s", archive, period_of(at).text);

    return file_exists(path);
}
