/* retirement.c - two files in the archive, each written once: the second can't be taken back. */
#include "billing/retirement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define FORMAT         1
#define FILE_MAX       4096
#define DIRECTORY_MODE 0755
#define FILE_MODE      0644
#define VALID_NANOS    (24 * 3600 * NANOS_PER_SECOND)

static const char what[] = "the retirement";

static bool check(const char *archive, const struct retirement *wanted, struct err *err);
static bool reason_is_valid(const char *reason);
static char *path_of(const char *archive, const char *writer, const char *suffix);
static bool propose(const char *archive, const struct retirement *r, struct err *err);
static bool confirm(const char *archive, const struct retirement *r, struct err *err);
static bool compose(const struct retirement *r, struct buf *out, struct err *err);
static bool load(const char *path, struct retirement *out, struct err *err);
static bool parse(const json_t *object, struct retirement *out, struct err *err);

bool retirement_ask(const char *archive, const struct retirement *wanted, struct retirement *out,
                    struct err *err)
{
    AUTO_STRING final = path_of(archive, wanted->writer, "");
    AUTO_STRING proposal = path_of(archive, wanted->writer, ".proposed");
    struct retirement r;

    if (!check(archive, wanted, err))
        return false;
    if (file_exists(final))
        return load(final, out, err);
    if (!file_exists(proposal) || !load(proposal, &r, err) ||
        clock_now() - r.proposed_at > VALID_NANOS) {
        r = *wanted;
        memcpy(r.proposed_by, wanted->by, sizeof r.proposed_by);
        r.by[0] = '\0';
        r.proposed_at = clock_now();
        r.at = 0;
        *out = r;
        return propose(archive, &r, err);
    }
    if (strcmp(r.proposed_by, wanted->by) == 0)
        return err_set(err, ERR_EXISTS,
                       "%s has proposed it; it takes another person to confirm it within a day",
                       r.proposed_by);
    memcpy(r.by, wanted->by, sizeof r.by);
    r.at = clock_now();
    if (!confirm(archive, &r, err))
        return false;
    unlink(proposal);
    return load(final, out, err);
}

static bool check(const char *archive, const struct retirement *wanted, struct err *err)
{
    AUTO_STRING registration = xasprintf("%s/writers/%s.json", archive, wanted->writer);

    if (!writer_is_valid(span_of(wanted->writer)) || !file_exists(registration))
        return err_set(err, ERR_NOT_FOUND, "the archive knows no writer '%.40s'", wanted->writer);
    if (!id_is_valid(span_of(wanted->by)))
        return err_set(err, ERR_INPUT, "a name must be 1 to 64 of A-Z a-z 0-9 . _ -");
    return reason_is_valid(wanted->reason) ||
           err_set(err, ERR_INPUT,
                   "a reason must have 1 to %d printable characters, without \" and \\",
                   RETIREMENT_REASON_MAX);
}

/* It is spelled the same in every file that repeats it. */
static bool reason_is_valid(const char *reason)
{
    for (const char *p = reason; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '"' || *p == '\\')
            return false;
    return reason[0] != '\0';
}

bool retirement_is_final(const char *archive, const char *writer)
{
    AUTO_STRING path = path_of(archive, writer, "");

    return file_exists(path);
}

bool retirement_list(const char *archive, char ***writers, size_t *count, struct err *err)
{
    AUTO_STRING dir = path_join(archive, "retired");
    size_t all = 0, kept = 0;
    char **names = NULL;

    if (file_exists(dir) && !dir_list(dir, &names, &all, err))
        return false;
    for (size_t i = 0; i < all; i++) {
        char *dot = strchr(names[i], '.');

        if (dot && strcmp(dot, ".json") == 0)
            *dot = '\0';
        if (writer_is_valid(span_of(names[i])))
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    *writers = names;
    *count = kept;
    return true;
}

static char *path_of(const char *archive, const char *writer, const char *suffix)
{
    return xasprintf("%s/retired/%s%s.json", archive, writer, suffix);
}

/* An older proposal lapsed. */
static bool propose(const char *archive, const struct retirement *r, struct err *err)
{
    AUTO_STRING dir = path_join(archive, "retired");
    AUTO_STRING path = path_of(archive, r->writer, ".proposed");
    AUTO_CLEAR(buf) text = {.max = FILE_MAX};

    return dir_ensure(dir, DIRECTORY_MODE, err) && compose(r, &text, err) &&
           file_write_atomic(path, FILE_MODE, buf_span(&text), err);
}

/* Of two who confirm at once, the first did. */
static bool confirm(const char *archive, const struct retirement *r, struct err *err)
{
    AUTO_STRING path = path_of(archive, r->writer, "");
    AUTO_CLEAR(buf) text = {.max = FILE_MAX};
    struct err why;

    if (!compose(r, &text, err))
        return false;
    return file_write_new(path, FILE_MODE, buf_span(&text), &why) || why.code == ERR_EXISTS ||
           err_set(err, why.code, "%s", why.text);
}

static bool compose(const struct retirement *r, struct buf *out, struct err *err)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_int_member(&w, "format", FORMAT);
    jw_string_member(&w, "writer", r->writer);
    jw_string_member(&w, "installation", r->installation);
    jw_string_member(&w, "reason", r->reason);
    jw_string_member(&w, "proposed_by", r->proposed_by);
    jw_time_member(&w, "proposed_at", r->proposed_at);
    if (r->by[0]) {
        jw_string_member(&w, "by", r->by);
        jw_time_member(&w, "at", r->at);
    }
    jw_object_end(&w);
    buf_add_char(out, '\n');
    return buf_ok(out, what, err);
}

static bool load(const char *path, struct retirement *out, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = FILE_MAX};
    AUTO_JSON object = NULL;

    if (!file_read(path, &text, err))
        return false;
    object = json_parse(buf_span(&text), err);
    return (object && parse(object, out, err)) || err_context(err, "%s", path);
}

static bool parse(const json_t *object, struct retirement *out, struct err *err)
{
    const char *writer, *installation, *reason, *proposed_by, *proposed_at, *by = "", *at = NULL;
    struct retirement r = {.at = 0};
    int64_t format;

    if (!json_get_int(object, "format", &format, what, err) ||
        !json_get_string(object, "writer", &writer, what, err) ||
        !json_get_string(object, "installation", &installation, what, err) ||
        !json_get_string(object, "reason", &reason, what, err) ||
        !json_get_string(object, "proposed_by", &proposed_by, what, err) ||
        !json_get_string(object, "proposed_at", &proposed_at, what, err) ||
        !json_get_string_or(object, "by", &by, what, err) ||
        !json_get_string_or(object, "at", &at, what, err) ||
        !clock_parse(span_of(proposed_at), &r.proposed_at, err) ||
        (at && !clock_parse(span_of(at), &r.at, err)))
        return false;
    if (format != FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    if (!span_copy(span_of(writer), r.writer, sizeof r.writer) ||
        !span_copy(span_of(installation), r.installation, sizeof r.installation) ||
        !span_copy(span_of(reason), r.reason, sizeof r.reason) ||
        !span_copy(span_of(proposed_by), r.proposed_by, sizeof r.proposed_by) ||
        !span_copy(span_of(by), r.by, sizeof r.by))
        return err_set(err, ERR_CORRUPT, "a member of it is too long");
    *out = r;
    return true;
}
