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
static void write_end(struct jw *w, const struct archive_header *h);
static bool read_counts(const json_t *object, struct archive_header *h, struct err *err);
static bool read_end(const json_t *object, struct archive_header *h, struct err *err);
static void take_call(struct archive_header *h, const struct record_effect *e);
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
    jw_int_member(&w, "calls", (int64_t)h->calls);
    jw_int_member(&w, "refunds", (int64_t)h->refunds);
    jw_int_member(&w, "funds", (int64_t)h->funds);
    jw_int_member(&w, "catalogue", (int64_t)h->catalogue);
    jw_int_member(&w, "retired", (int64_t)h->retired);
    jw_int_member(&w, "first_request_ms", h->first_request_ms);
    jw_int_member(&w, "last_request_ms", h->last_request_ms);
    write_end(&w, h);
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

static void write_end(struct jw *w, const struct archive_header *h)
{
    jw_string_member(w, "period", h->totals.period.text);
    jw_key(w, "totals");
    jw_object(w);
    writer_totals_write(&h->totals, w);
    jw_object_end(w);
    jw_key(w, "heads");
    record_heads_write(&h->heads, w);
}

bool archive_header_parse(struct span line, struct archive_header *out, struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    struct archive_header h = {0};
    int64_t format;

    if (!object || !json_get_int(object, "format", &format, "archive", err))
        return false;
    if (format != ARCHIVE_FORMAT)
        return err_set(err, ERR_INPUT, "archive format %lld is not known to this version",
                       (long long)format);
    if (!read_counts(object, &h, err) || !read_texts(object, &h, err) ||
        !read_time(object, "first_at", &h.first_at, err) ||
        !read_time(object, "last_at", &h.last_at, err) || !read_end(object, &h, err))
        return false;
    *out = h;
    return true;
}

static bool read_counts(const json_t *object, struct archive_header *h, struct err *err)
{
    const struct {
        const char *name;
        uint64_t *count;
    } counts[] = {{"segment", &h->segment},
                  {"records", &h->records},
                  {"calls", &h->calls},
                  {"refunds", &h->refunds},
                  {"funds", &h->funds},
                  {"catalogue", &h->catalogue},
                  {"retired", &h->retired}};

    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        int64_t n;

        if (!json_get_int(object, counts[i].name, &n, "archive", err))
            return false;
        if (n < 0)
            return err_set(err, ERR_CORRUPT, "its numbers are malformed");
        *counts[i].count = (uint64_t)n;
    }
    if (h->segment < 1)
        return err_set(err, ERR_CORRUPT, "its numbers are malformed");
    return json_get_int(object, "first_request_ms", &h->first_request_ms, "archive", err) &&
           json_get_int(object, "last_request_ms", &h->last_request_ms, "archive", err);
}

static bool read_end(const json_t *object, struct archive_header *h, struct err *err)
{
    const char *period;

    return json_get_string(object, "period", &period, "archive", err) &&
           period_parse(span_of(period), &h->totals.period, err) &&
           writer_totals_parse(json_object_get(object, "totals"), &h->totals, err) &&
           record_heads_parse(json_object_get(object, "heads"), &h->heads, err);
}

bool archive_header_take(struct archive_header *h, const struct record_effect *e, struct err *err)
{
    if (h->records++ == 0)
        h->first_at = e->at;
    h->last_at = e->at;
    if (e->kind == RECORD_SEAL) {
        h->totals = (struct writer_totals){.period = period_next(e->period)};
        return true;
    }
    h->retired += e->kind == RECORD_RETIRE;
    if (e->kind == RECORD_RETIRE)
        return true;
    h->refunds += e->kind == RECORD_REFUND;
    h->funds += record_is_funds(e->kind);
    h->catalogue += e->kind == RECORD_CATALOGUE;
    if (e->kind == RECORD_CALL)
        take_call(h, e);
    return record_heads_advance(&h->heads, &e->place, e->crc, err) &&
           writer_totals_take(&h->totals, e->kind, &e->amount, err);
}

static void take_call(struct archive_header *h, const struct record_effect *e)
{
    int64_t ms = request_id_ms(e->request_id);

    if (h->calls == 0 || ms < h->first_request_ms)
        h->first_request_ms = ms;
    if (h->calls == 0 || ms > h->last_request_ms)
        h->last_request_ms = ms;
    h->calls++;
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
