/* archive.c - which writers there are, and since when: settlement asks for a SEAL of each of them. */
#include "billing/archive.h"

#include <stdio.h>

#include "billing/archive_file.h"
#include "billing/segment.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define WRITER_FORMAT    1
#define REGISTRATION_MAX 4096
#define DIRECTORY_MODE   0755
#define FILE_MODE        0644

static char *writers_dir(const char *archive);
static bool compose(const char *installation, const char *writer, struct period first,
                    struct buf *out, struct err *err);
static bool read_registration(const char *path, struct archive_writer *out,
                              char installation[INSTALLATION_TEXT], struct err *err);
static bool parse_registration(const json_t *object, struct archive_writer *out,
                               char installation[INSTALLATION_TEXT], struct err *err);
static bool read_writers(const char *archive, const char *dir, char **names, size_t count,
                         struct archive_writer *out, struct err *err);

bool archive_register(const char *archive, const char *installation, const char *writer,
                      struct period first, struct err *err)
{
    AUTO_STRING dir = writers_dir(archive);
    AUTO_STRING path = xasprintf("%s/%s.json", dir, writer);
    char known_installation[INSTALLATION_TEXT];
    struct archive_writer known;
    AUTO_CLEAR(buf) text;
    struct err why;

    buf_init(&text, REGISTRATION_MAX);
    if (!dir_ensure(dir, DIRECTORY_MODE, err) || !compose(installation, writer, first, &text, err))
        return false;
    if (file_write_new(path, FILE_MODE, buf_span(&text), &why))
        return true;
    if (why.code != ERR_EXISTS)
        return err_set(err, why.code, "%s", why.text);
    if (!read_registration(path, &known, known_installation, err))
        return false;
    if (strcmp(known.writer, writer) != 0 || strcmp(known_installation, installation) != 0)
        return err_set(err, ERR_CORRUPT, "%s is of writer %s of installation %s", path,
                       known.writer, known_installation);
    return dir_sync(dir, err);
}

static char *writers_dir(const char *archive)
{
    return path_join(archive, "writers");
}

static bool compose(const char *installation, const char *writer, struct period first,
                    struct buf *out, struct err *err)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_int_member(&w, "format", WRITER_FORMAT);
    jw_string_member(&w, "writer", writer);
    jw_string_member(&w, "installation", installation);
    jw_string_member(&w, "first_period", first.text);
    jw_time_member(&w, "registered_at", clock_now());
    jw_object_end(&w);
    buf_add_char(out, '\n');
    return buf_ok(out, "a writer's registration", err);
}

static bool read_registration(const char *path, struct archive_writer *out,
                              char installation[INSTALLATION_TEXT], struct err *err)
{
    AUTO_CLEAR(buf) text;
    AUTO_JSON object = NULL;

    buf_init(&text, REGISTRATION_MAX);
    if (!file_read(path, &text, err))
        return false;
    object = json_parse(buf_span(&text), err);
    if (!object || !parse_registration(object, out, installation, err))
        return err_context(err, "%s", path);
    return true;
}

static bool parse_registration(const json_t *object, struct archive_writer *out,
                               char installation[INSTALLATION_TEXT], struct err *err)
{
    struct archive_writer w = {0};
    const char *writer, *of, *period;
    int64_t format;

    if (!json_get_int(object, "format", &format, "writer", err) ||
        !json_get_string(object, "writer", &writer, "writer", err) ||
        !json_get_string(object, "installation", &of, "writer", err) ||
        !json_get_string(object, "first_period", &period, "writer", err) ||
        !period_parse(span_of(period), &w.first_period, err))
        return false;
    if (format != WRITER_FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    if (!writer_is_valid(span_of(writer)) || !span_copy(span_of(writer), w.writer, WRITER_TEXT) ||
        !span_copy(span_of(of), installation, INSTALLATION_TEXT))
        return err_set(err, ERR_CORRUPT, "its writer or installation is malformed");
    *out = w;
    return true;
}

bool archive_installation(const char *archive, char installation[INSTALLATION_TEXT],
                          struct err *err)
{
    AUTO_STRING dir = writers_dir(archive);
    struct archive_writer first;
    char **names;
    size_t count;
    bool ok = true;

    installation[0] = '\0';
    if (!file_exists(dir))
        return true;
    if (!dir_list(dir, &names, &count, err))
        return false;
    if (count > 0) {
        AUTO_STRING path = path_join(dir, names[0]);

        ok = read_registration(path, &first, installation, err);
    }
    dir_names_free(names, count);
    return ok;
}

bool archive_writers(const char *archive, struct archive_writer **writers, size_t *count,
                     struct err *err)
{
    AUTO_STRING dir = writers_dir(archive);
    struct archive_writer *list;
    size_t names_count = 0;
    char **names = NULL;
    bool ok;

    if (file_exists(dir) && !dir_list(dir, &names, &names_count, err))
        return false;
    list = xcalloc(names_count, sizeof *list);
    ok = read_writers(archive, dir, names, names_count, list, err);
    dir_names_free(names, names_count);
    if (!ok) {
        free(list);
        return false;
    }
    *writers = list;
    *count = names_count;
    return true;
}

static bool read_writers(const char *archive, const char *dir, char **names, size_t count,
                         struct archive_writer *out, struct err *err)
{
    char installation[INSTALLATION_TEXT];

    for (size_t i = 0; i < count; i++) {
        AUTO_STRING path = path_join(dir, names[i]);

        if (!read_registration(path, &out[i], installation, err) ||
            !archive_last_segment(archive, out[i].writer, &out[i].segments, err))
            return false;
    }
    return true;
}

bool archive_has_history(const char *archive)
{
    struct archive_writer *writers = NULL;
    size_t count = 0;
    bool found = false;

    if (archive_writers(archive, &writers, &count, NULL))
        for (size_t i = 0; i < count; i++)
            found |= writers[i].segments > 0;
    free(writers);
    return found;
}
