/* archive_file.c - names and first lines. A file's number and its header must agree, so that moving files about is found. */
#include "billing/archive_file.h"

#include <stdio.h>

#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define NUMBER_DIGITS 8
#define SUFFIX        ".jsonl.zst"
#define KIND          "archive"

static void write_time(struct jw *w, const char *name, int64_t at);
static bool read_texts(const json_t *object, struct archive_header *h, struct err *err);
static bool read_time(const json_t *object, const char *name, int64_t *out, struct err *err);

char *archive_dir(const char *archive, const char *writer)
{
    return path_join(archive, writer);
}

char *archive_path(const char *archive, const char *writer, uint64_t segment)
{
    return xasprintf("%s/%s/%0*llu" SUFFIX, archive, writer, NUMBER_DIGITS,
                     (unsigned long long)segment);
}

bool archive_name_parse(const char *name, uint64_t *segment)
{
    return strlen(name) == NUMBER_DIGITS + sizeof SUFFIX - 1 &&
           strcmp(name + NUMBER_DIGITS, SUFFIX) == 0 &&
           digits_parse((struct span){name, NUMBER_DIGITS}, UINT32_MAX, segment);
}

bool archive_last_segment(const char *archive, const char *writer, uint64_t *last, struct err *err)
{
    AUTO_STRING dir = archive_dir(archive, writer);
    uint64_t highest = 0, found = 0, segment;
    char **names;
    size_t count;

    *last = 0;
    if (!file_exists(dir))
        return true;
    if (!dir_list(dir, &names, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!archive_name_parse(names[i], &segment))
            continue;
        found++;
        highest = segment; /* names are sorted */
    }
    dir_names_free(names, count);
    if (found != highest)
        return err_set(err, ERR_CORRUPT, "%s has %llu files, but the last is number %llu", dir,
                       (unsigned long long)found, (unsigned long long)highest);
    *last = highest;
    return true;
}

bool archive_header_write(const struct archive_header *h, struct buf *line)
{
    struct jw w;

    jw_init(&w, line);
    jw_object(&w);
    jw_string_member(&w, "kind", KIND);
    jw_int_member(&w, "format", ARCHIVE_FORMAT);
    jw_string_member(&w, "installation", h->installation);
    jw_string_member(&w, "writer", h->writer);
    jw_int_member(&w, "segment", (int64_t)h->segment);
    jw_key(&w, "previous");
    if (h->previous[0])
        jw_string(&w, h->previous);
    else
        jw_null(&w);
    jw_int_member(&w, "records", (int64_t)h->records);
    write_time(&w, "first_at", h->first_at);
    write_time(&w, "last_at", h->last_at);
    jw_object_end(&w);
    return !line->failed;
}

static void write_time(struct jw *w, const char *name, int64_t at)
{
    if (at) {
        jw_time_member(w, name, at);
        return;
    }
    jw_key(w, name);
    jw_null(w);
}

bool archive_header_parse(struct span line, struct archive_header *out, struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    int64_t format, segment, records;
    struct archive_header h = {0};

    if (!object || !json_get_int(object, "format", &format, "archive", err))
        return false;
    if (format != ARCHIVE_FORMAT)
        return err_set(err, ERR_INPUT, "archive format %lld is not known to this version",
                       (long long)format);
    if (!json_get_int(object, "segment", &segment, "archive", err) ||
        !json_get_int(object, "records", &records, "archive", err) ||
        !read_texts(object, &h, err) || !read_time(object, "first_at", &h.first_at, err) ||
        !read_time(object, "last_at", &h.last_at, err))
        return false;
    if (segment < 1 || records < 0)
        return err_set(err, ERR_CORRUPT, "its numbers are malformed");
    h.segment = (uint64_t)segment;
    h.records = (uint64_t)records;
    *out = h;
    return true;
}

static bool read_texts(const json_t *object, struct archive_header *h, struct err *err)
{
    const char *kind, *installation, *writer, *previous = "";

    if (!json_get_string(object, "kind", &kind, "archive", err) ||
        !json_get_string(object, "installation", &installation, "archive", err) ||
        !json_get_string(object, "writer", &writer, "archive", err))
        return false;
    if (!json_is_null(json_object_get(object, "previous")) &&
        !json_get_string(object, "previous", &previous, "archive", err))
        return false;
    if (strcmp(kind, KIND) != 0 || !writer_is_valid(span_of(writer)) ||
        !span_copy(span_of(writer), h->writer, WRITER_TEXT) ||
        !span_copy(span_of(installation), h->installation, INSTALLATION_TEXT) ||
        !span_copy(span_of(previous), h->previous, SHA256_HEX))
        return err_set(err, ERR_CORRUPT, "its names are malformed");
    return true;
}

static bool read_time(const json_t *object, const char *name, int64_t *out, struct err *err)
{
    const char *text;

    if (json_is_null(json_object_get(object, name)))
        return true;
    return json_get_string(object, name, &text, "archive", err) &&
           clock_parse(span_of(text), out, err);
}

bool archive_file_header(const char *path, struct archive_header *header, struct err *err)
{
    AUTO(zstd_reader) r = zstd_reader_open(path, err);
    struct span line;
    int got = r ? zstd_reader_line(r, RECORD_BYTES_MAX, &line, err) : -1;

    if (got == 0)
        return err_set(err, ERR_CORRUPT, "%s is empty", path);
    return got == 1 &&
           (archive_header_parse(line, header, err) || err_context(err, "%s, line 1", path));
}

bool archive_file_digest(const char *path, struct archive_header *header, char sha256[SHA256_HEX],
                         struct err *err)
{
    AUTO(zstd_reader) r = zstd_reader_open(path, err);
    struct span line;
    int got;

    if (!r || !archive_file_header(path, header, err))
        return false;
    while ((got = zstd_reader_line(r, RECORD_BYTES_MAX, &line, err)) == 1)
        ;
    if (got == 0)
        zstd_reader_sha256(r, sha256);
    return got == 0;
}
