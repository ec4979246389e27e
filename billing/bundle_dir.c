/* bundle_dir.c - bundles as directories: copied, examined, removed, and nothing else in them. */
#include "billing/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define PIECE_BYTES 65536
#define FILE_MODE   0644
#define DIR_MODE    0755

static bool may_lose(const char *dir, char **names, size_t count, struct err *err);
static bool is_of(const char *dir, struct period p, bool is_preview, struct err *err);
static const char *kind_name(bool is_preview);
static bool has_no_others(const char *dir, struct err *err);
static bool copy_file(const char *from, const char *to, const char *name, struct err *err);
static bool copy_bytes(int in, int out, const char *path, struct err *err);
static bool check_listed(const char *dir, char **names, size_t count, struct err *err);

/* In the order in which they are copied: the manifest says from the first moment whose files these
 * are, and whole, a bundle has its signature. */
const char *const bundle_names[] = {
    MANIFEST_NAME,      "statements.csv", "statements.jsonl", "lines.csv", "accounts.csv",
    "events.jsonl.zst", "terms.json",     SIGNATURE_NAME,     NULL,
};

bool bundle_check_names(const char *dir, struct err *err)
{
    char **names;
    size_t count;
    bool ok;

    if (!dir_list_all(dir, &names, &count, err))
        return false;
    ok = check_listed(dir, names, count, err);
    dir_names_free(names, count);
    for (size_t i = 0; ok && bundle_names[i]; i++) {
        AUTO_STRING path = path_join(dir, bundle_names[i]);

        ok = file_exists(path) || err_set(err, ERR_NOT_FOUND, "%s is missing", path);
    }
    return ok;
}

static bool check_listed(const char *dir, char **names, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!bundle_has_name(names[i]))
            return err_set(err, ERR_EXISTS, "%s/%s is no file of a bundle", dir, names[i]);
    return true;
}

bool bundle_has_name(const char *name)
{
    for (size_t i = 0; bundle_names[i]; i++)
        if (strcmp(bundle_names[i], name) == 0)
            return true;
    return false;
}

bool bundle_may_go_to(const char *dir, struct period p, bool is_preview, struct err *err)
{
    char **names = NULL;
    size_t count = 0;
    bool ok;

    if (!file_exists(dir))
        return true;
    if (!dir_list(dir, &names, &count, err))
        return false;
    ok = count == 0 || (may_lose(dir, names, count, err) && is_of(dir, p, is_preview, err));
    dir_names_free(names, count);
    return ok;
}

/* Files that somebody keeps there are not ours to replace. */
static bool may_lose(const char *dir, char **names, size_t count, struct err *err)
{
    return check_listed(dir, names, count, err) ||
           err_set(err, ERR_EXISTS, "%s: give another directory", err->text);
}

static bool is_of(const char *dir, struct period p, bool is_preview, struct err *err)
{
    AUTO_STRING path = path_join(dir, MANIFEST_NAME);
    AUTO_CLEAR(buf) text = {.max = MANIFEST_BYTES_MAX};
    AUTO_CLEAR(manifest) there;

    manifest_init(&there);
    if (!file_read(path, &text, err) || !manifest_parse(buf_span(&text), &there, err))
        return err_set(err, ERR_EXISTS,
                       "%s has files of a bundle, but no manifest that can be "
                       "read: give another directory",
                       dir);
    return (there.is_preview == is_preview && period_compare(there.period, p) == 0) ||
           err_set(err, ERR_EXISTS,
                   "%s holds the %s of %s, which is not replaced by the %s of %s: give another "
                   "directory",
                   dir, kind_name(there.is_preview), there.period.text, kind_name(is_preview),
                   p.text);
}

static const char *kind_name(bool is_preview)
{
    return is_preview ? "preview" : "close";
}

bool bundle_copy(const char *from, const char *to, struct err *err)
{
    AUTO_STRING signature = path_join(to, SIGNATURE_NAME);

    if (!dir_ensure(to, DIR_MODE, err) || !has_no_others(to, err))
        return false;
    if (unlink(signature) != 0 && errno != ENOENT)
        return err_sys(err, "cannot replace %s", signature);
    for (size_t i = 0; bundle_names[i]; i++)
        if (!copy_file(from, to, bundle_names[i], err))
            return false;
    return dir_sync(to, err);
}

/* What is hidden there may be a copy that was cut off, and is written anew. */
static bool has_no_others(const char *dir, struct err *err)
{
    char **names;
    size_t count;
    bool ok;

    if (!dir_list(dir, &names, &count, err))
        return false;
    ok = check_listed(dir, names, count, err);
    dir_names_free(names, count);
    return ok;
}

/* Written aside and renamed, so that a name in `to` always has whole bytes. */
static bool copy_file(const char *from, const char *to, const char *name, struct err *err)
{
    AUTO_STRING source = path_join(from, name);
    AUTO_STRING target = path_join(to, name);
    AUTO_STRING aside = xasprintf("%s/.%s.new", to, name);
    int in = open(source, O_RDONLY | O_CLOEXEC);
    int out = in < 0 ? -1 : open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    bool ok = out >= 0 ? copy_bytes(in, out, aside, err)
                       : err_sys(err, "cannot copy %s to %s", source, aside);

    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) != 0 && ok)
        ok = err_sys(err, "cannot close %s", aside);
    if (ok && rename(aside, target) != 0)
        ok = err_sys(err, "cannot rename %s", aside);
    if (!ok)
        unlink(aside);
    return ok;
}

static bool copy_bytes(int in, int out, const char *path, struct err *err)
{
    char piece[PIECE_BYTES];
    ssize_t got;

    while ((got = read(in, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read what becomes %s", path);
        if (!fd_write_all(out, piece, (size_t)got, err))
            return err_context(err, "%s", path);
    }
    return fsync(out) == 0 || err_sys(err, "cannot sync %s", path);
}

void bundle_remove(const char *dir)
{
    for (size_t i = 0; bundle_names[i]; i++) {
        AUTO_STRING path = path_join(dir, bundle_names[i]);

        unlink(path);
    }
    rmdir(dir);
}
