/* journal_home.c - making and taking a directory. Each step of making one can be cut off and is then done by whoever
 * comes next: before `registered` stands there are no records to lose. */
#include "billing/journal_home.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"

#define HOME_FORMAT    1
#define IDENTITY_MAX   4096
#define NAME_DIGITS    4
#define DIRECTORY_MODE 0700
#define FILE_MODE      0600
#define TURN_MAX       32

static bool lock(struct journal_home *h, struct err *err);
static bool refuse_damaged(const struct journal_home *h, struct err *err);
static bool mint(struct journal_home *h, const char *installation, struct err *err);
static bool refuse_copy(const struct journal_home *h, struct err *err);
static bool is_copy(const struct journal_home *h, const char *sibling);
static bool parse_identity(struct span text, struct journal_home *h, struct err *err);
static uint64_t next_turn(const char *path);
static bool has_file(const char *dir, const char *name);
static bool write_file(const char *dir, const char *name, struct span text, struct err *err);

char *journal_home_path(const char *root, unsigned number)
{
    return xasprintf("%s/%0*u", root, NAME_DIGITS, number);
}

bool journal_home_is_name(const char *name)
{
    uint64_t number;

    return strlen(name) >= NAME_DIGITS && digits_parse(span_of(name), UINT32_MAX, &number);
}

bool journal_home_take(const char *path, const char *installation, struct journal_home *out,
                       struct err *err)
{
    AUTO_CLEAR(journal_home) h = {.path = xstrdup(path)};

    if (!dir_ensure(path, DIRECTORY_MODE, err) || !lock(&h, err) || !refuse_damaged(&h, err))
        return false;
    if (!has_file(path, "writer") && !mint(&h, installation, err))
        return false;
    if (!journal_home_identity(path, &h, err))
        return false;
    if (strcmp(h.installation, installation) != 0)
        return err_set(err, ERR_INPUT, "%s belongs to installation %s, not to %s", path,
                       h.installation, installation);
    if (!refuse_copy(&h, err))
        return false;
    h.registered = has_file(path, "registered");
    h.turn = next_turn(path);
    *out = h;
    h = (struct journal_home){0};
    return true;
}

static bool lock(struct journal_home *h, struct err *err)
{
    AUTO_STRING path = path_join(h->path, "lock");

    h->lock = file_lock_take(path, err);
    return h->lock != NULL;
}

static bool refuse_damaged(const struct journal_home *h, struct err *err)
{
    AUTO_STRING path = path_join(h->path, "damaged");
    AUTO_CLEAR(buf) sentence;

    buf_init(&sentence, ERR_TEXT_MAX);
    if (!file_exists(path))
        return true;
    if (!file_read(path, &sentence, NULL))
        buf_add_string(&sentence, "see there");
    while (sentence.len > 0 && sentence.data[sentence.len - 1] == '\n')
        buf_truncate(&sentence, sentence.len - 1);
    return err_set(err, ERR_CORRUPT, "%s is marked as damaged: %.*s", h->path,
                   SPAN_FMT(buf_span(&sentence)));
}

static bool mint(struct journal_home *h, const char *installation, struct err *err)
{
    char writer[WRITER_TEXT] = "w-";
    AUTO_CLEAR(buf) text;
    struct jw w;

    rand_text(writer + 2, 16);
    buf_init(&text, IDENTITY_MAX);
    jw_init(&w, &text);
    jw_object(&w);
    jw_int_member(&w, "format", HOME_FORMAT);
    jw_string_member(&w, "writer", writer);
    jw_string_member(&w, "installation", installation);
    jw_time_member(&w, "created_at", clock_now());
    jw_object_end(&w);
    buf_add_char(&text, '\n');
    return buf_ok(&text, "the writer's file", err) &&
           write_file(h->path, "writer", buf_span(&text), err);
}

/* Two directories of one writer would both count on from the same number. Locks are per directory and do not see it. */
static bool refuse_copy(const struct journal_home *h, struct err *err)
{
    AUTO_STRING root =
        xstrndup(h->path, strrchr(h->path, '/') ? (size_t)(strrchr(h->path, '/') - h->path) : 0);
    char **names;
    size_t count;
    bool ok = true;

    if (!dir_list(*root ? root : ".", &names, &count, err))
        return false;
    for (size_t i = 0; ok && i < count; i++) {
        AUTO_STRING sibling = path_join(*root ? root : ".", names[i]);

        if (journal_home_is_name(names[i]) && strcmp(sibling, h->path) != 0 && is_copy(h, sibling))
            ok = err_set(err, ERR_CORRUPT,
                         "%s and %s both hold writer %s: one is a copy, and must be taken away",
                         h->path, sibling, h->writer);
    }
    dir_names_free(names, count);
    return ok;
}

/* A full disk may refuse it, and still a journal must open to resolve what is in it. */
static uint64_t next_turn(const char *path)
{
    AUTO_STRING file = path_join(path, "turns");
    AUTO_CLEAR(buf) text = {.max = TURN_MAX};
    char digits[INT64_TEXT];
    uint64_t turn = 0;

    if (file_exists(file) &&
        (!file_read(file, &text, NULL) || !digits_parse(buf_span(&text), INT64_MAX - 1, &turn)))
        return 0;
    turn++;
    return file_write_atomic(file, FILE_MODE, uint64_text(turn, digits), NULL) ? turn : 0;
}

static bool is_copy(const struct journal_home *h, const char *sibling)
{
    AUTO_CLEAR(journal_home) other = {0};

    return !has_file(sibling, "damaged") && journal_home_identity(sibling, &other, NULL) &&
           strcmp(other.writer, h->writer) == 0;
}

void journal_home_clear(struct journal_home *h)
{
    file_lock_free(h->lock);
    free(h->path);
    *h = (struct journal_home){0};
}

bool journal_home_identity(const char *path, struct journal_home *out, struct err *err)
{
    AUTO_STRING file = path_join(path, "writer");
    AUTO_CLEAR(buf) text = {.max = IDENTITY_MAX};

    if (!file_exists(file))
        return err_set(err, ERR_NOT_FOUND, "%s is no writer's directory: it has no file 'writer'",
                       path);
    return file_read(file, &text, err) &&
           (parse_identity(buf_span(&text), out, err) || err_context(err, "%s", file));
}

static bool parse_identity(struct span text, struct journal_home *h, struct err *err)
{
    AUTO_JSON object = json_parse(text, err);
    const char *writer, *installation;
    int64_t format;

    if (!object || !json_get_int(object, "format", &format, "writer", err) ||
        !json_get_string(object, "writer", &writer, "writer", err) ||
        !json_get_string(object, "installation", &installation, "writer", err))
        return err_set(err, ERR_CORRUPT, "is not a writer's identity");
    if (format != HOME_FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    if (!writer_is_valid(span_of(writer)) || !span_copy(span_of(writer), h->writer, WRITER_TEXT) ||
        !span_copy(span_of(installation), h->installation, INSTALLATION_TEXT))
        return err_set(err, ERR_CORRUPT, "its writer or installation is malformed");
    return true;
}

bool journal_home_set_registered(struct journal_home *h, struct err *err)
{
    h->registered = write_file(h->path, "registered", SPAN("\n"), err);
    return h->registered;
}

bool journal_home_set_damaged(const char *path, const char *sentence, struct err *err)
{
    AUTO_STRING line = xasprintf("%s\n", sentence);

    return write_file(path, "damaged", span_of(line), err);
}

static bool has_file(const char *dir, const char *name)
{
    AUTO_STRING path = path_join(dir, name);

    return file_exists(path);
}

static bool write_file(const char *dir, const char *name, struct span text, struct err *err)
{
    AUTO_STRING path = path_join(dir, name);

    return file_write_atomic(path, FILE_MODE, text, err);
}
