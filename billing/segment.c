/* segment.c - frames, and the record that begins a segment: everything a writer needs to know to go on from there,
 * so that no reader has to start at the beginning of time. */
#include "billing/segment.h"

#include <assert.h>
#include <endian.h>

#include "lib/base/crc32c.h"
#include "lib/base/text.h"

#define OFFSET_CRC      4
#define OFFSET_POSITION 8

static uint32_t load32(const char *from);
static int bad_frame(struct err *err, const char *what);
static bool read_numbers(const json_t *object, struct segment_header *h, struct err *err);
static bool read_names(const json_t *object, struct segment_header *h, struct err *err);
static bool get_count(const json_t *object, const char *name, uint64_t *out, struct err *err);
static bool get_time(const json_t *object, const char *name, int64_t *out, struct err *err);
static bool find_currency(struct writer_totals *t, const char *currency, size_t *out,
                          struct err *err);
static bool read_sums(json_t *sums, const json_t *refunded, struct writer_totals *t,
                      struct err *err);
static bool read_sum(const char *currency, const json_t *nanos, const json_t *refunded,
                     struct writer_totals *t);
static bool parse_total(struct span text, int128 *out);

bool frame_add(struct buf *out, struct span json)
{
    char head[FRAME_HEAD] = {0};
    uint32_t size = htole32((uint32_t)json.len), crc = htole32(crc32c(0, json.data, json.len));

    assert(json.len > 0 && json.len <= RECORD_BYTES_MAX);
    memcpy(head, &size, sizeof size);
    memcpy(head + OFFSET_CRC, &crc, sizeof crc);
    buf_add(out, head, sizeof head);
    return buf_add_span(out, json);
}

void frame_place(char *frame, uint64_t position)
{
    uint64_t little = htole64(position);

    memcpy(frame + OFFSET_POSITION, &little, sizeof little);
}

uint64_t frame_position(const char *frame)
{
    uint64_t little;

    memcpy(&little, frame + OFFSET_POSITION, sizeof little);
    return le64toh(little);
}

uint32_t frame_crc(const char *frame)
{
    return load32(frame + OFFSET_CRC);
}

int frame_read(struct span bytes, uint64_t expected_position, struct frame *out, size_t *size,
               bool *ended, struct err *err)
{
    uint32_t length;

    *ended = false;
    if (bytes.len < sizeof length)
        return 0;
    length = load32(bytes.data);
    *ended = length == 0;
    if (length == 0)
        return 0;
    if (length > RECORD_BYTES_MAX)
        return bad_frame(err, "is longer than any record");
    if (bytes.len < FRAME_HEAD)
        return 0;
    if (frame_position(bytes.data) != expected_position)
        return bad_frame(err, "has another position");
    if (bytes.len - FRAME_HEAD < length)
        return 0;
    *out =
        (struct frame){expected_position, frame_crc(bytes.data), {bytes.data + FRAME_HEAD, length}};
    if (crc32c(0, out->json.data, length) != out->crc)
        return bad_frame(err, "does not match its checksum");
    *size = FRAME_HEAD + length;
    return 1;
}

static uint32_t load32(const char *from)
{
    uint32_t little;

    memcpy(&little, from, sizeof little);
    return le32toh(little);
}

static int bad_frame(struct err *err, const char *what)
{
    err_set(err, ERR_CORRUPT, "what stands here %s", what);
    return -1;
}

bool segment_header_write(const struct segment_header *h, struct buf *json)
{
    struct jw w;

    jw_init(&w, json);
    jw_object(&w);
    jw_string_member(&w, "kind", record_kind_name(RECORD_SEGMENT));
    jw_int_member(&w, "format", SEGMENT_FORMAT);
    jw_string_member(&w, "installation", h->installation);
    jw_string_member(&w, "writer", h->writer);
    jw_int_member(&w, "segment", (int64_t)h->segment);
    jw_int_member(&w, "position", (int64_t)h->position);
    jw_int_member(&w, "open_position", (int64_t)h->open_position);
    jw_time_member(&w, "at", h->at);
    jw_string_member(&w, "period", h->totals.period.text);
    jw_key(&w, "totals");
    jw_object(&w);
    writer_totals_write(&h->totals, &w);
    jw_object_end(&w);
    jw_key(&w, "heads");
    record_heads_write(&h->heads, &w);
    jw_object_end(&w);
    return !json->failed;
}

bool segment_header_parse(struct span json, struct segment_header *out, struct err *err)
{
    AUTO_JSON object = NULL;
    struct segment_header h = {0};
    struct record_head head;
    int64_t format = 0;

    if (!record_head_parse(json, &head, err) || !(object = json_parse(json, err)))
        return err_context(err, "segment record");
    if (head.kind != RECORD_SEGMENT)
        return err_set(err, ERR_CORRUPT, "a %s record stands where a segment begins",
                       record_kind_name(head.kind));
    if (!json_get_int(object, "format", &format, "segment record", err))
        return false;
    if (format != SEGMENT_FORMAT)
        return err_set(err, ERR_INPUT, "segment format %lld is not known to this version",
                       (long long)format);
    if (!read_numbers(object, &h, err) || !read_names(object, &h, err) ||
        !writer_totals_parse(json_object_get(object, "totals"), &h.totals, err) ||
        !record_heads_parse(json_object_get(object, "heads"), &h.heads, err))
        return err_context(err, "segment record");
    *out = h;
    return true;
}

static bool read_numbers(const json_t *object, struct segment_header *h, struct err *err)
{
    return get_count(object, "segment", &h->segment, err) &&
           get_count(object, "position", &h->position, err) &&
           get_count(object, "open_position", &h->open_position, err) &&
           get_time(object, "at", &h->at, err);
}

static bool read_names(const json_t *object, struct segment_header *h, struct err *err)
{
    const char *installation, *writer, *period;

    if (!json_get_string(object, "installation", &installation, "segment record", err) ||
        !json_get_string(object, "writer", &writer, "segment record", err) ||
        !json_get_string(object, "period", &period, "segment record", err) ||
        !period_parse(span_of(period), &h->totals.period, err))
        return false;
    if (!writer_is_valid(span_of(writer)) || !span_copy(span_of(writer), h->writer, WRITER_TEXT) ||
        !span_copy(span_of(installation), h->installation, INSTALLATION_TEXT))
        return err_set(err, ERR_CORRUPT, "its writer or installation is malformed");
    return true;
}

static bool get_count(const json_t *object, const char *name, uint64_t *out, struct err *err)
{
    int64_t n;

    if (!json_get_int(object, name, &n, "record", err))
        return false;
    if (n < 0)
        return err_set(err, ERR_CORRUPT, "\"%s\" is negative", name);
    *out = (uint64_t)n;
    return true;
}

static bool get_time(const json_t *object, const char *name, int64_t *out, struct err *err)
{
    const char *text;

    return json_get_string(object, name, &text, "record", err) &&
           clock_parse(span_of(text), out, err);
}

bool writer_totals_add(struct writer_totals *t, const struct money *amount, struct err *err)
{
    size_t i;

    if (!find_currency(t, amount->currency, &i, err))
        return false;
    t->sum[i].nanos += amount->nanos;
    return true;
}

bool writer_totals_add_refund(struct writer_totals *t, const struct money *amount, struct err *err)
{
    size_t i;

    if (!find_currency(t, amount->currency, &i, err))
        return false;
    t->sum[i].refunded += amount->nanos;
    return true;
}

bool writer_totals_take(struct writer_totals *t, enum record_kind kind, const struct money *amount,
                        struct err *err)
{
    t->records++;
    t->events += kind == RECORD_CALL;
    t->refunds += kind == RECORD_REFUND;
    if (kind == RECORD_REFUND)
        return writer_totals_add_refund(t, amount, err);
    return kind != RECORD_CALL || writer_totals_add(t, amount, err);
}

/* The currency's place, made when it is the first of its currency. */
static bool find_currency(struct writer_totals *t, const char *currency, size_t *out,
                          struct err *err)
{
    size_t i = 0;

    while (i < t->currency_count && strcmp(t->sum[i].currency, currency) != 0)
        i++;
    if (i == TOTALS_CURRENCIES)
        return err_set(err, ERR_LIMIT, "more than %d currencies in one period", TOTALS_CURRENCIES);
    if (i == t->currency_count) {
        t->sum[i].nanos = t->sum[i].refunded = 0;
        memcpy(t->sum[i].currency, currency, CURRENCY_TEXT);
        t->currency_count++;
    }
    *out = i;
    return true;
}

bool writer_totals_equal(const struct writer_totals *a, const struct writer_totals *b)
{
    bool equal = a->records == b->records && a->events == b->events && a->refunds == b->refunds &&
                 a->currency_count == b->currency_count;

    for (size_t i = 0; equal && i < a->currency_count; i++)
        equal = strcmp(a->sum[i].currency, b->sum[i].currency) == 0 &&
                a->sum[i].nanos == b->sum[i].nanos && a->sum[i].refunded == b->sum[i].refunded;
    return equal;
}

void writer_totals_write(const struct writer_totals *t, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_int_member(w, "records", (int64_t)t->records);
    jw_int_member(w, "events", (int64_t)t->events);
    jw_int_member(w, "refunds", (int64_t)t->refunds);
    jw_key(w, "sums");
    jw_object(w);
    for (size_t i = 0; i < t->currency_count; i++)
        jw_string_member(w, t->sum[i].currency, decimal_format(t->sum[i].nanos, decimal));
    jw_object_end(w);
    jw_key(w, "refunded");
    jw_object(w);
    for (size_t i = 0; i < t->currency_count; i++)
        jw_string_member(w, t->sum[i].currency, decimal_format(t->sum[i].refunded, decimal));
    jw_object_end(w);
}

/* Leaves the period as it is. */
bool writer_totals_parse(const json_t *object, struct writer_totals *out, struct err *err)
{
    struct writer_totals t = {.period = out->period};
    const json_t *sums, *refunded;

    if (!json_is_object(object))
        return err_set(err, ERR_CORRUPT, "totals are missing");
    sums = json_object_get(object, "sums");
    refunded = json_object_get(object, "refunded");
    if (!get_count(object, "records", &t.records, err) ||
        !get_count(object, "events", &t.events, err) ||
        !get_count(object, "refunds", &t.refunds, err))
        return false;
    if (!json_is_object(sums) || json_object_size(sums) != json_object_size(refunded))
        return err_set(err, ERR_CORRUPT, "sums are missing");
    if (!read_sums((json_t *)sums, refunded, &t, err))
        return false;
    *out = t;
    return true;
}

static bool read_sums(json_t *sums, const json_t *refunded, struct writer_totals *t,
                      struct err *err)
{
    const char *currency;
    json_t *value;

    json_object_foreach(sums, currency, value)
    {
        if (!read_sum(currency, value, json_object_get(refunded, currency), t))
            return err_set(err, ERR_CORRUPT, "the sum of \"%.8s\" is malformed", currency);
    }
    return true;
}

static bool read_sum(const char *currency, const json_t *nanos, const json_t *refunded,
                     struct writer_totals *t)
{
    size_t i;

    return json_is_string(nanos) && json_is_string(refunded) &&
           currency_is_known(span_of(currency)) && find_currency(t, currency, &i, NULL) &&
           parse_total(span_of(json_string_value(nanos)), &t->sum[i].nanos) &&
           parse_total(span_of(json_string_value(refunded)), &t->sum[i].refunded);
}

/* A total may be beyond int64: the whole part is read by itself, the rest as "0.…". */
static bool parse_total(struct span text, int128 *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    struct span whole = {text.data + negative, 0};
    char rest[16] = "0";
    uint64_t units;
    int64_t nanos;
    size_t left;

    while (whole.len < text.len - negative && whole.data[whole.len] != '.')
        whole.len++;
    left = text.len - negative - whole.len;
    if (left > 10 || !digits_parse(whole, INT64_MAX, &units))
        return false;
    memcpy(rest + 1, whole.data + whole.len, left);
    if (!decimal_parse(span_of(rest), &nanos, NULL))
        return false;
    *out = (int128)units * NANOS_PER_UNIT + nanos;
    if (negative)
        *out = -*out;
    return true;
}

bool sync_record_write(uint64_t synced, struct buf *json)
{
    return buf_printf(json, "{\"kind\":\"%s\",\"synced\":%llu}", record_kind_name(RECORD_SYNC),
                      (unsigned long long)synced);
}

bool sync_record_parse(struct span json, uint64_t *synced, struct err *err)
{
    struct span open = SPAN("{\"kind\":\"sync\",\"synced\":");

    if (!span_starts(json, open) || json.data[json.len - 1] != '}' ||
        !digits_parse((struct span){json.data + open.len, json.len - open.len - 1}, INT64_MAX,
                      synced))
        return err_set(err, ERR_CORRUPT, "a malformed sync record");
    return true;
}
