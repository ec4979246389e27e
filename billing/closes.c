/* closes.c - a close exists or it does not: its bundle is written and synced under a hidden
 * name, and one rename makes it. */
#include "billing/closes.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "billing/bundle.h"
#include "lib/base/mem.h"

#define DIR_MODE 0755

struct closing {
    char *archive, *closes, *dir;
    struct file_lock *lock;
};

static char *closes_dir(const char *archive);
static bool check_listed(const char *dir, struct span manifest, enum bundle_file f,
                         struct span text, struct err *err);
static bool take_statement(struct span line, struct sum_table *openings, struct err *err);

char *close_dir(const char *archive, struct period p)
{
    return xasprintf("%s/closes/%s", archive, p.text);
}

static char *closes_dir(const char *archive)
{
    return path_join(archive, "closes");
}

bool close_exists(const char *archive, struct period p)
{
    AUTO_STRING dir = close_dir(archive, p);

    return file_exists(dir);
}

bool closes_list(const char *archive, struct period **periods, size_t *count, struct err *err)
{
    AUTO_STRING dir = closes_dir(archive);
    size_t name_count = 0, n = 0;
    char **names = NULL;
    struct period *list;

    if (file_exists(dir) && !dir_list(dir, &names, &name_count, err))
        return false;
    list = xcalloc(name_count, sizeof *list);
    for (size_t i = 0; i < name_count; i++)
        n += period_parse(span_of(names[i]), &list[n], NULL);
    dir_names_free(names, name_count);
    *periods = list;
    *count = n;
    return true;
}

bool close_carry(const char *archive, struct period p, char manifest_sha256[SHA256_HEX],
                 struct sum_table *openings, struct err *err)
{
    AUTO_STRING dir = NULL;
    struct period *closed;
    size_t count;

    if (!closes_list(archive, &closed, &count, err))
        return false;
    for (size_t i = 0; i < count && period_compare(closed[i], p) < 0; i++) {
        free(dir);
        dir = close_dir(archive, closed[i]);
    }
    free(closed);
    manifest_sha256[0] = '\0';
    return !dir || bundle_carry(dir, manifest_sha256, openings, err);
}

bool bundle_carry(const char *dir, char manifest_sha256[SHA256_HEX], struct sum_table *openings,
                  struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = BUNDLE_TEXT_MAX};
    struct span rest;

    if (!bundle_read_listed(dir, BUNDLE_STATEMENTS_JSONL, &text, manifest_sha256, err))
        return false;
    for (rest = buf_span(&text); rest.len > 0;) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t n = end ? (size_t)(end - rest.data) : rest.len;

        if (!take_statement((struct span){rest.data, n}, openings, err))
            return err_context(err, "%s/%s", dir, bundle_file_name(BUNDLE_STATEMENTS_JSONL));
        n += end != NULL;
        rest = (struct span){rest.data + n, rest.len - n};
    }
    return true;
}

bool bundle_read_listed(const char *dir, enum bundle_file f, struct buf *text,
                        char manifest_sha256[SHA256_HEX], struct err *err)
{
    AUTO_STRING manifest_path = path_join(dir, MANIFEST_NAME);
    AUTO_STRING path = path_join(dir, bundle_file_name(f));
    AUTO_CLEAR(buf) manifest = {.max = MANIFEST_BYTES_MAX};

    if (!file_read(manifest_path, &manifest, err) || !file_read(path, text, err) ||
        !check_listed(dir, buf_span(&manifest), f, buf_span(text), err))
        return false;
    sha256_hex(manifest.data, manifest.len, manifest_sha256);
    return true;
}

static bool check_listed(const char *dir, struct span manifest, enum bundle_file f,
                         struct span text, struct err *err)
{
    AUTO_CLEAR(manifest) m;
    char sha256[SHA256_HEX];

    manifest_init(&m);
    if (!manifest_parse(manifest, &m, err))
        return err_context(err, "%s", dir);
    sha256_hex(text.data, text.len, sha256);
    return strcmp(sha256, m.files[f].digest.sha256) == 0 ||
           err_set(err, ERR_CORRUPT, "%s: %s is not the file that its manifest lists", dir,
                   bundle_file_name(f));
}

/* The trailer is no statement. */
static bool take_statement(struct span line, struct sum_table *openings, struct err *err)
{
    AUTO_JSON row = json_parse(line, err);
    const char *creator, *currency, *closing;
    AUTO_CLEAR(buf) name = {.max = 2 * ID_TEXT};
    int64_t nanos;

    if (!row)
        return false;
    if (!json_object_get(row, "statement"))
        return true;
    if (!json_get_string(row, "creator", &creator, "statement", err) ||
        !json_get_string(row, "currency", &currency, "statement", err) ||
        !json_get_string(row, "closing", &closing, "statement", err) ||
        !decimal_parse(span_of(closing), &nanos, err))
        return false;
    buf_printf(&name, "%s %s", creator, currency);
    if (nanos != 0)
        sum_table_row(openings, buf_span(&name))->nanos = nanos;
    return buf_ok(&name, "a creator's name", err);
}

struct closing *closing_begin(const char *archive, struct err *err)
{
    AUTO_STRING closes = closes_dir(archive);
    AUTO_STRING lock_path = path_join(closes, ".lock");
    AUTO(closing) c = NULL;
    struct file_lock *lock;

    if (!dir_ensure(closes, DIR_MODE, err))
        return NULL;
    lock = file_lock_take(lock_path, err);
    if (!lock) {
        if (err && err->code == ERR_EXISTS)
            err_context(err, "another close is running");
        return NULL;
    }
    c = xcalloc(1, sizeof *c);
    c->lock = lock;
    c->archive = xstrdup(archive);
    c->closes = xstrdup(closes);
    c->dir = path_join(closes, ".closing");
    bundle_remove(c->dir);
    if (mkdir(c->dir, DIR_MODE) != 0) {
        err_sys(err, "cannot create %s", c->dir);
        return NULL;
    }
    return KEEP(c);
}

const char *closing_dir(const struct closing *c)
{
    return c->dir;
}

bool closing_commit(struct closing *c, struct period p, struct err *err)
{
    AUTO_STRING target = close_dir(c->archive, p);

    if (rename(c->dir, target) != 0)
        return err_sys(err, "cannot rename %s to %s", c->dir, target);
    return dir_sync(c->closes, err);
}

void closing_free(struct closing *c)
{
    if (!c)
        return;
    bundle_remove(c->dir);
    file_lock_free(c->lock);
    free(c->archive);
    free(c->closes);
    free(c->dir);
    free(c);
}
