/* receipt.c - the payload is a function of the call's record alone, so a receipt can be made
 * again and compared byte by byte. */
#include "billing/receipt.h"

#include "billing/archive.h"
#include "lib/base/text.h"

#define TYPE     "tollgate-receipt-v1"
#define HEAD_MAX 256

/* The three parts of a compact JWS, as they stand in the text. */
struct parts {
    struct span signed_text; /* head "." payload */
    struct span head, payload, signature;
};

static bool write_payload(struct span line, struct buf *out, struct err *err);
static void write_head(const char *key_id, struct buf *out);
static struct span trim(struct span text);
static bool find_parts(struct span text, struct parts *out);
static bool check_signature(const struct parts *p, const struct public_keys *keys,
                            struct receipt *out, struct err *err);
static bool read_key_id(struct span head, char out[KEY_ID_TEXT], struct err *err);
static bool parse_payload(struct span payload, struct receipt *out, struct err *err);
static bool parse_names(const json_t *object, struct receipt *out, struct err *err);
static bool parse_numbers(const json_t *object, struct receipt *out, struct err *err);
static bool parse_used(const json_t *object, struct used *used, struct err *err);
static bool find_archived(const char *archive, struct span payload, struct receipt *out,
                          struct err *err);
static bool compare_archived(struct span line, struct span payload, struct receipt *out,
                             struct err *err);

static void write_used(const struct used *used, struct jw *w);

/* Members of the call's record, in this order; "writer" and "n" follow. */
static const char *const copied[] = {"request_id", "account",    "model",   "units",
                                     "provenance", "price",      "amount",  "currency",
                                     "outcome",    "started_at", "ended_at"};

bool receipt_sign(struct span line, const struct signing_key *key, struct buf *out, struct err *err)
{
    AUTO_CLEAR(buf) payload = {.max = RECEIPT_BYTES_MAX};
    AUTO_CLEAR(buf) text = {.max = 2 * RECEIPT_BYTES_MAX};
    AUTO_CLEAR(buf) head = {.max = HEAD_MAX};
    unsigned char signature[ED25519_SIGNATURE_LEN];
    char key_id[KEY_ID_TEXT];

    if (!write_payload(line, &payload, err))
        return false;
    signing_key_id(key, key_id);
    write_head(key_id, &head);
    base64url_encode(&text, head.data, head.len);
    buf_add_char(&text, '.');
    base64url_encode(&text, payload.data, payload.len);
    if (!buf_ok(&text, "a receipt", err) || !signing_key_sign(key, buf_span(&text), signature, err))
        return false;
    buf_add_span(out, buf_span(&text));
    buf_add_char(out, '.');
    base64url_encode(out, signature, sizeof signature);
    return buf_ok(out, "a receipt", err);
}

static void write_head(const char *key_id, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "alg", "EdDSA");
    jw_string_member(&w, "kid", key_id);
    jw_string_member(&w, "typ", TYPE);
    jw_object_end(&w);
}

/* Members are copied as the record has them: they were checked when it was written, and nothing
 * here depends on the platform's zone, so that anybody can make it again. */
static bool write_payload(struct span line, struct buf *out, struct err *err)
{
    AUTO_JSON payload = json_object();
    AUTO_JSON record = NULL;
    struct record_head head;

    if (!record_head_parse(line, &head, err))
        return false;
    if (head.kind != RECORD_CALL)
        return err_set(err, ERR_INPUT, "a %s record has no receipt", record_kind_name(head.kind));
    record = json_parse(line, err);
    if (!record)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_object_get(record, copied[i]);

        if (!value || json_object_set(payload, copied[i], value) != 0)
            return err_set(err, ERR_CORRUPT, "a call record without \"%s\"", copied[i]);
    }
    if (json_object_set_new(payload, "writer", json_string(head.writer)) != 0 ||
        json_object_set_new(payload, "n", json_integer((json_int_t)head.place.n[SIDE_ACCOUNT])) !=
            0)
        return err_set(err, ERR_MEMORY, "no memory for a receipt");
    json_dump(payload, out);
    return buf_ok(out, "a receipt", err);
}

bool receipt_verify(struct span text, const struct public_keys *keys, const char *archive,
                    struct receipt *out, struct err *err)
{
    AUTO_CLEAR(buf) payload = {.max = RECEIPT_BYTES_MAX};
    struct receipt r = {0};
    struct parts p;

    if (!find_parts(trim(text), &p))
        return err_set(err, ERR_INPUT,
                       "this is no receipt: three parts joined by dots are expected");
    if (!check_signature(&p, keys, &r, err))
        return false;
    if (!base64url_decode(&payload, p.payload))
        return err_set(err, ERR_INPUT, "the receipt is damaged: its payload is not base64url");
    if (!parse_payload(buf_span(&payload), &r, err) ||
        (archive && !find_archived(archive, buf_span(&payload), &r, err)))
        return false;
    *out = r;
    return true;
}

static struct span trim(struct span text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.data[0]))
        text = (struct span){text.data + 1, text.len - 1};
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]))
        text.len--;
    return text;
}

static bool find_parts(struct span text, struct parts *out)
{
    const char *end = text.data + text.len;
    const char *first = text.len ? memchr(text.data, '.', text.len) : NULL;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;

    if (!second || text.len > 2 * RECEIPT_BYTES_MAX)
        return false;
    out->signed_text = (struct span){text.data, (size_t)(second - text.data)};
    out->head = (struct span){text.data, (size_t)(first - text.data)};
    out->payload = (struct span){first + 1, (size_t)(second - first - 1)};
    out->signature = (struct span){second + 1, (size_t)(end - second - 1)};
    return true;
}

static bool check_signature(const struct parts *p, const struct public_keys *keys,
                            struct receipt *out, struct err *err)
{
    AUTO_CLEAR(buf) signature = {.max = 2 * ED25519_SIGNATURE_LEN};
    AUTO_CLEAR(buf) head = {.max = HEAD_MAX};
    const struct signing_key *key;

    if (!base64url_decode(&head, p->head) || !base64url_decode(&signature, p->signature) ||
        signature.len != ED25519_SIGNATURE_LEN)
        return err_set(err, ERR_INPUT,
                       "the receipt is damaged: its head or signature is malformed");
    if (!read_key_id(buf_span(&head), out->key_id, err))
        return false;
    key = public_keys_find(keys, out->key_id);
    if (!key)
        return err_set(err, ERR_DENIED,
                       "the receipt is signed by key %s, which is not among those given",
                       out->key_id);
    return signing_key_verify(key, p->signed_text, (const unsigned char *)signature.data) ||
           err_set(err, ERR_DENIED,
                   "the receipt is damaged or forged: its signature is not by key %s over these "
                   "bytes",
                   out->key_id);
}

/* The head must be exactly what receipt_sign() writes: no other algorithm is ever tried. */
static bool read_key_id(struct span head, char out[KEY_ID_TEXT], struct err *err)
{
    AUTO_JSON object = json_parse(head, err);
    AUTO_CLEAR(buf) again = {.max = HEAD_MAX};
    const char *key_id;

    if (!object || !json_get_string(object, "kid", &key_id, "the receipt's head", err))
        return err_set(err, ERR_INPUT, "the receipt is damaged: its head cannot be read");
    write_head(key_id, &again);
    return (span_equal(buf_span(&again), head) && span_copy(span_of(key_id), out, KEY_ID_TEXT)) ||
           err_set(err, ERR_INPUT, "the receipt's head is not that of a %s", TYPE);
}

static bool parse_payload(struct span payload, struct receipt *out, struct err *err)
{
    AUTO_JSON object = json_parse(payload, err);

    if (!object || !parse_names(object, out, err) || !parse_numbers(object, out, err) ||
        !parse_used(object, &out->used, err))
        return err_context(err, "the receipt's payload");
    return true;
}

static bool parse_names(const json_t *object, struct receipt *out, struct err *err)
{
    const struct {
        const char *name;
        char *at;
        size_t size;
    } texts[] = {
        {"request_id", out->request_id, sizeof out->request_id},
        {"account", out->account, sizeof out->account},
        {"model", out->model, sizeof out->model},
        {"price", out->price, sizeof out->price},
        {"currency", out->amount.currency, sizeof out->amount.currency},
        {"writer", out->writer, sizeof out->writer},
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *text;

        if (!json_get_string(object, texts[i].name, &text, "payload", err))
            return false;
        if (!span_copy(span_of(text), texts[i].at, texts[i].size))
            return err_set(err, ERR_INPUT, "\"%s\" is too long", texts[i].name);
    }
    return writer_is_valid(span_of(out->writer)) ||
           err_set(err, ERR_INPUT, "\"%s\" is no writer", out->writer);
}

static bool parse_numbers(const json_t *object, struct receipt *out, struct err *err)
{
    const char *amount, *outcome, *started, *ended;
    int64_t n;

    if (!json_get_string(object, "amount", &amount, "payload", err) ||
        !json_get_string(object, "outcome", &outcome, "payload", err) ||
        !json_get_string(object, "started_at", &started, "payload", err) ||
        !json_get_string(object, "ended_at", &ended, "payload", err) ||
        !json_get_int(object, "n", &n, "payload", err) ||
        !decimal_parse(span_of(amount), &out->amount.nanos, err) ||
        !clock_parse(span_of(started), &out->started_at, err) ||
        !clock_parse(span_of(ended), &out->ended_at, err))
        return false;
    if (n < 1 || !outcome_parse(span_of(outcome), &out->outcome))
        return err_set(err, ERR_INPUT, "\"n\" or \"outcome\" is malformed");
    out->n = (uint64_t)n;
    return true;
}

static bool parse_used(const json_t *object, struct used *used, struct err *err)
{
    json_t *units = NULL, *provenance = NULL, *n;
    const char *name;

    if (!json_get_object_or(object, "units", &units, "payload", err) ||
        !json_get_object_or(object, "provenance", &provenance, "payload", err))
        return false;
    json_object_foreach(units, name, n)
    {
        const struct unit *unit = unit_find(span_of(name));
        const char *from = json_string_value(json_object_get(provenance, name));
        enum provenance p;

        if (!unit || !json_is_integer(n) || !from || !provenance_parse(span_of(from), &p))
            return err_set(err, ERR_INPUT, "the unit \"%.64s\" is malformed", name);
        if (!used_set(used, unit, json_integer_value(n), p, err))
            return false;
    }
    return true;
}

static bool find_archived(const char *archive, struct span payload, struct receipt *out,
                          struct err *err)
{
    AUTO(archive_reader) reader = archive_reader_open(archive, out->writer, err);
    unsigned partition = partition_of(SIDE_ACCOUNT, span_of(out->account)).index;
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got;

    if (!reader)
        return false;
    while ((got = archive_reader_next(reader, &head, &line, &crc, err)) == 1)
        if (head.place.on[SIDE_ACCOUNT] && head.place.partition[SIDE_ACCOUNT] == partition &&
            head.place.n[SIDE_ACCOUNT] == out->n)
            return compare_archived(line, payload, out, err);
    if (got < 0)
        return false;
    return err_set(err, ERR_NOT_FOUND,
                   "the signature is good, but the archive does not hold this call (yet): no "
                   "record %llu of partition a%02u of writer %s; `tollgate settle preview PERIOD` "
                   "archives all that is written",
                   (unsigned long long)out->n, partition, out->writer);
}

static bool compare_archived(struct span line, struct span payload, struct receipt *out,
                             struct err *err)
{
    AUTO_CLEAR(buf) archived = {.max = RECEIPT_BYTES_MAX};

    if (!write_payload(line, &archived, err))
        return err_context(err, "the archive's record");
    out->is_archived = span_equal(buf_span(&archived), payload);
    return out->is_archived ||
           err_set(err, ERR_CORRUPT, "the archive's record of this number says something else");
}

void receipt_write(const struct receipt *r, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "request_id", r->request_id);
    jw_string_member(w, "account", r->account);
    jw_string_member(w, "model", r->model);
    write_used(&r->used, w);
    jw_string_member(w, "price", r->price);
    jw_string_member(w, "amount", decimal_format(r->amount.nanos, decimal));
    jw_string_member(w, "currency", r->amount.currency);
    jw_string_member(w, "outcome", outcome_name(r->outcome));
    jw_time_member(w, "started_at", r->started_at);
    jw_time_member(w, "ended_at", r->ended_at);
    jw_string_member(w, "writer", r->writer);
    jw_int_member(w, "n", (int64_t)r->n);
    jw_string_member(w, "key_id", r->key_id);
    jw_bool_member(w, "archived", r->is_archived);
    jw_object_end(w);
}

static void write_used(const struct used *used, struct jw *w)
{
    jw_key(w, "units");
    jw_object(w);
    for (size_t i = 0; i < used->count; i++)
        jw_int_member(w, used->item[i].unit->name, used->item[i].n);
    jw_object_end(w);
    jw_key(w, "provenance");
    jw_object(w);
    for (size_t i = 0; i < used->count; i++)
        jw_string_member(w, used->item[i].unit->name, provenance_name(used->item[i].provenance));
    jw_object_end(w);
}
