/* manifest.c - the one file of a bundle that vouches for the others. It is read strictly:
 * whatever it says in another way than manifest_write() would is refused, so that its bytes mean
 * one thing. */
#include "billing/manifest.h"

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

static void write_file(const struct manifest_file *f, const char *name, struct jw *w);
static void write_sums(struct sum_table *sums, struct jw *w);
static void text_or_null(struct jw *w, const char *name, const char *text);
static bool parse_head(const json_t *object, struct manifest *m, struct err *err);
static bool parse_names(const json_t *object, struct manifest *m, struct err *err);
static bool parse_files(const json_t *object, struct manifest *m, struct err *err);
static bool parse_file(const json_t *item, struct manifest *m, enum bundle_file f, struct err *err);
static bool parse_sums(const json_t *object, struct sum_table *sums, struct err *err);
static bool parse_writers(const json_t *object, struct manifest *m, struct err *err);
static bool parse_writer(const json_t *item, struct manifest_writer *out, struct err *err);
static char *text_of(const json_t *object);
static bool parse_time_or_null(const json_t *object, const char *name, int64_t *out,
                               struct err *err);
static bool copy_digest(const json_t *object, const char *name, bool may_be_null,
                        char out[SHA256_HEX], struct err *err);
static bool is_as_written(const struct manifest *m, struct span text, struct err *err);

static const char what[] = "the manifest";
static const char *const file_names[BUNDLE_FILES] = {
    [BUNDLE_STATEMENTS_CSV] = "statements.csv",
    [BUNDLE_STATEMENTS_JSONL] = "statements.jsonl",
    [BUNDLE_LINES_CSV] = "lines.csv",
    [BUNDLE_ACCOUNTS_CSV] = "accounts.csv",
    [BUNDLE_EVENTS] = "events.jsonl.zst",
    [BUNDLE_TERMS] = "terms.json",
};

const char *bundle_file_name(enum bundle_file f)
{
    return file_names[f];
}

void manifest_init(struct manifest *m)
{
    *m = (struct manifest){0};
    for (int f = 0; f < BUNDLE_FILES; f++) {
        m->files[f].sums = sum_table_new();
        m->files[f].refunds = sum_table_new();
    }
}

void manifest_clear(struct manifest *m)
{
    for (int f = 0; f < BUNDLE_FILES; f++) {
        sum_table_free(m->files[f].sums);
        sum_table_free(m->files[f].refunds);
    }
    manifest_writers_free(m->writers, m->writer_count);
    *m = (struct manifest){0};
}

void manifest_writers_free(struct manifest_writer *writers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(writers[i].retired);
    free(writers);
}

bool manifest_write(const struct manifest *m, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_int_member(&w, "format", MANIFEST_FORMAT);
    jw_string_member(&w, "kind", m->is_preview ? "preview" : "close");
    jw_string_member(&w, "installation", m->installation);
    jw_string_member(&w, "period", m->period.text);
    jw_string_member(&w, "zone", m->zone);
    jw_time_member(&w, "created_at", m->created_at);
    jw_bool_member(&w, "testing", m->testing);
    jw_key(&w, "files");
    jw_array(&w);
    for (int f = 0; f < BUNDLE_FILES; f++)
        write_file(&m->files[f], file_names[f], &w);
    jw_array_end(&w);
    jw_key(&w, "writers");
    jw_array(&w);
    for (size_t i = 0; i < m->writer_count; i++)
        manifest_writer_write(&m->writers[i], &w);
    jw_array_end(&w);
    text_or_null(&w, "previous", m->previous);
    jw_string_member(&w, "key_id", m->key_id);
    jw_object_end(&w);
    return buf_add_char(out, '\n');
}

static void write_file(const struct manifest_file *f, const char *name, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "name", name);
    jw_int_member(w, "bytes", (int64_t)f->digest.bytes);
    jw_string_member(w, "sha256", f->digest.sha256);
    jw_string_member(w, "uncompressed_sha256", f->digest.uncompressed_sha256);
    jw_int_member(w, "rows", f->rows);
    jw_key(w, "sums");
    write_sums(f->sums, w);
    jw_key(w, "refunds");
    write_sums(f->refunds, w);
    jw_object_end(w);
}

static void write_sums(struct sum_table *sums, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    sum_table_sort(sums);
    jw_object(w);
    for (size_t i = 0; i < sum_table_count(sums); i++)
        jw_string_member(w, sum_table_at(sums, i)->name,
                         decimal_format(sum_table_at(sums, i)->nanos, decimal));
    jw_object_end(w);
}

void manifest_writer_write(const struct manifest_writer *writer, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "writer", writer->writer);
    jw_string_member(w, "first_period", writer->first_period.text);
    jw_int_member(w, "segments", (int64_t)writer->segments);
    text_or_null(w, "sha256", writer->sha256);
    writer_totals_write(&writer->totals, w);
    jw_key(w, "sealed_at");
    if (writer->sealed_at)
        jw_string(w, clock_format(writer->sealed_at, (char[CLOCK_TEXT]){0}));
    else
        jw_null(w);
    jw_key(w, "heads");
    record_heads_write(&writer->heads, w);
    jw_key(w, "retired");
    if (writer->retired)
        jw_raw(w, span_of(writer->retired));
    else
        jw_null(w);
    jw_object_end(w);
}

static void text_or_null(struct jw *w, const char *name, const char *text)
{
    jw_key(w, name);
    if (text[0])
        jw_string(w, text);
    else
        jw_null(w);
}

bool manifest_parse(struct span text, struct manifest *out, struct err *err)
{
    AUTO_JSON object = json_parse(text, err);

    if (!object || !parse_head(object, out, err) || !parse_names(object, out, err) ||
        !parse_files(object, out, err) || !parse_writers(object, out, err) ||
        !copy_digest(object, "previous", true, out->previous, err))
        return err_context(err, MANIFEST_NAME);
    return is_as_written(out, text, err);
}

static bool parse_head(const json_t *object, struct manifest *m, struct err *err)
{
    const char *kind;
    int64_t format;

    if (!json_get_int(object, "format", &format, what, err) ||
        !json_get_string(object, "kind", &kind, what, err) ||
        !parse_time_or_null(object, "created_at", &m->created_at, err) ||
        !json_get_bool_or(object, "testing", &m->testing, what, err))
        return false;
    if (format != MANIFEST_FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    m->is_preview = strcmp(kind, "preview") == 0;
    return m->is_preview || strcmp(kind, "close") == 0 ||
           err_set(err, ERR_CORRUPT, "\"%.20s\" is no kind of bundle", kind);
}

static bool parse_names(const json_t *object, struct manifest *m, struct err *err)
{
    const char *installation, *period, *zone, *key_id;

    if (!json_get_string(object, "installation", &installation, what, err) ||
        !json_get_string(object, "period", &period, what, err) ||
        !json_get_string(object, "zone", &zone, what, err) ||
        !json_get_string(object, "key_id", &key_id, what, err) ||
        !period_parse(span_of(period), &m->period, err))
        return false;
    return (span_copy(span_of(installation), m->installation, sizeof m->installation) &&
            span_copy(span_of(zone), m->zone, sizeof m->zone) &&
            span_copy(span_of(key_id), m->key_id, sizeof m->key_id)) ||
           err_set(err, ERR_CORRUPT, "a name is too long");
}

static bool parse_files(const json_t *object, struct manifest *m, struct err *err)
{
    json_t *list = NULL;

    if (!json_get_array_or(object, "files", &list, what, err))
        return false;
    if (json_array_size(list) != BUNDLE_FILES)
        return err_set(err, ERR_CORRUPT, "it must list %d files", BUNDLE_FILES);
    for (int f = 0; f < BUNDLE_FILES; f++)
        if (!parse_file(json_array_get(list, (size_t)f), m, (enum bundle_file)f, err))
            return false;
    return true;
}

static bool parse_file(const json_t *item, struct manifest *m, enum bundle_file f, struct err *err)
{
    struct manifest_file *file = &m->files[f];
    const char *name;
    int64_t bytes;

    if (!json_get_string(item, "name", &name, "file", err) ||
        !json_get_int(item, "bytes", &bytes, "file", err) ||
        !json_get_int(item, "rows", &file->rows, "file", err) ||
        !copy_digest(item, "sha256", false, file->digest.sha256, err) ||
        !copy_digest(item, "uncompressed_sha256", false, file->digest.uncompressed_sha256, err))
        return false;
    if (strcmp(name, file_names[f]) != 0 || bytes < 0)
        return err_set(err, ERR_CORRUPT, "file \"%.40s\" stands where %s must", name,
                       file_names[f]);
    file->digest.bytes = (uint64_t)bytes;
    return parse_sums(json_object_get(item, "sums"), file->sums, err) &&
           parse_sums(json_object_get(item, "refunds"), file->refunds, err);
}

static bool parse_sums(const json_t *object, struct sum_table *sums, struct err *err)
{
    struct writer_totals totals = {0};
    AUTO_JSON wrapped = json_pack("{s:i,s:i,s:i,s:O,s:O}", "records", 0, "events", 0, "refunds", 0,
                                  "sums", object, "refunded", object);

    if (!wrapped || !writer_totals_parse(wrapped, &totals, err))
        return err_set(err, ERR_CORRUPT, "a file's sums are malformed");
    for (size_t i = 0; i < totals.currency_count; i++)
        sum_table_row(sums, span_of(totals.sum[i].currency))->nanos = totals.sum[i].nanos;
    return true;
}

static bool parse_writers(const json_t *object, struct manifest *m, struct err *err)
{
    json_t *list = NULL;

    if (!json_get_array_or(object, "writers", &list, what, err))
        return false;
    m->writer_count = json_array_size(list);
    m->writers = xcalloc(m->writer_count, sizeof *m->writers);
    for (size_t i = 0; i < m->writer_count; i++)
        if (!parse_writer(json_array_get(list, i), &m->writers[i], err))
            return false;
    return true;
}

static bool parse_writer(const json_t *item, struct manifest_writer *out, struct err *err)
{
    const char *writer, *first;
    int64_t segments;

    if (!json_get_string(item, "writer", &writer, "writer", err) ||
        !json_get_string(item, "first_period", &first, "writer", err) ||
        !json_get_int(item, "segments", &segments, "writer", err) ||
        !copy_digest(item, "sha256", true, out->sha256, err) ||
        !parse_time_or_null(item, "sealed_at", &out->sealed_at, err) ||
        !period_parse(span_of(first), &out->first_period, err) ||
        !writer_totals_parse(item, &out->totals, err) ||
        !record_heads_parse(json_object_get(item, "heads"), &out->heads, err))
        return false;
    out->segments = (uint64_t)segments;
    out->retired = text_of(json_object_get(item, "retired"));
    return (segments >= 0 && writer_is_valid(span_of(writer)) &&
            span_copy(span_of(writer), out->writer, sizeof out->writer)) ||
           err_set(err, ERR_CORRUPT, "a writer is malformed");
}

/* Null when there is none. Caller frees. */
static char *text_of(const json_t *object)
{
    AUTO_CLEAR(buf) text = {.max = RECORD_BYTES_MAX};

    if (!json_is_object(object) || !json_dump(object, &text))
        return NULL;
    return xstrndup(text.data, text.len);
}

static bool parse_time_or_null(const json_t *object, const char *name, int64_t *out,
                               struct err *err)
{
    const char *text;

    if (json_is_null(json_object_get(object, name)))
        return true;
    return json_get_string(object, name, &text, what, err) && clock_parse(span_of(text), out, err);
}

static bool copy_digest(const json_t *object, const char *name, bool may_be_null,
                        char out[SHA256_HEX], struct err *err)
{
    unsigned char bytes[SHA256_LEN];
    const char *text;

    if (may_be_null && json_is_null(json_object_get(object, name)))
        return true;
    if (!json_get_string(object, name, &text, what, err))
        return false;
    return (hex_decode(span_of(text), bytes, sizeof bytes) &&
            span_copy(span_of(text), out, SHA256_HEX)) ||
           err_set(err, ERR_CORRUPT, "\"%s\" is no SHA-256", name);
}

static bool is_as_written(const struct manifest *m, struct span text, struct err *err)
{
    AUTO_CLEAR(buf) again = {.max = MANIFEST_BYTES_MAX};

    manifest_write(m, &again);
    if (!buf_ok(&again, what, err))
        return false;
    return span_equal(buf_span(&again), text) ||
           err_set(err, ERR_CORRUPT, "%s is not spelled as this program writes it", MANIFEST_NAME);
}

bool manifest_publish(const struct manifest *m, const struct signing_key *key, const char *dir,
                      struct err *err)
{
    unsigned char signature[ED25519_SIGNATURE_LEN];
    AUTO_CLEAR(buf) text = {.max = MANIFEST_BYTES_MAX};
    struct file_digest unused;

    manifest_write(m, &text);
    return buf_ok(&text, what, err) && signing_key_sign(key, buf_span(&text), signature, err) &&
           bundle_file_write(dir, MANIFEST_NAME, buf_span(&text), &unused, err) &&
           bundle_file_write(dir, SIGNATURE_NAME,
                             (struct span){(const char *)signature, sizeof signature}, &unused,
                             err);
}

bool manifest_read(const char *dir, struct manifest *out, struct buf *text,
                   unsigned char signature[ED25519_SIGNATURE_LEN], struct err *err)
{
    AUTO_STRING path = path_join(dir, MANIFEST_NAME);
    AUTO_STRING signature_path = path_join(dir, SIGNATURE_NAME);
    AUTO_CLEAR(buf) bytes = {.max = ED25519_SIGNATURE_LEN};

    if (!file_read(path, text, err) || !file_read(signature_path, &bytes, err))
        return false;
    if (bytes.len != ED25519_SIGNATURE_LEN)
        return err_set(err, ERR_CORRUPT, "%s has %zu bytes instead of %d", SIGNATURE_NAME,
                       bytes.len, ED25519_SIGNATURE_LEN);
    memcpy(signature, bytes.data, ED25519_SIGNATURE_LEN);
    return manifest_parse(buf_span(text), out, err);
}
