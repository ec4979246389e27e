/* receipt.c - the payload is a function of the record alone, so a receipt can be made
 * again and compared byte by byte. */
#include "billing/receipt.h"

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/event_fields.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

#define HEAD_MAX 256

/* What there are receipts of. */
struct form {
    enum record_kind kind;
    const char *type;
    const char *const *copied; /* members of the record, in this order; "writer" and "n" follow */
    bool (*parse)(const json_t *payload, struct receipt *out, struct err *err);
    void (*write)(const struct receipt *r, struct jw *w);
};

/* The three parts of a compact JWS, as they stand in the text. */
struct parts {
    struct span signed_text; /* head "." payload */
    struct span head, payload, signature;
};

static const struct form *form_of(enum record_kind kind);
static bool write_payload(struct span line, struct buf *out, const struct form **form,
                          struct err *err);
static void write_head(const char *key_id, const struct form *form, struct buf *out);
static struct span without_newline(struct span text);
static bool find_parts(struct span text, struct parts *out);
static bool check_signature(const struct parts *p, const struct public_keys *keys,
                            const struct form **form, struct receipt *out, struct err *err);
static const struct form *read_head(struct span head, char key_id[KEY_ID_TEXT], struct err *err);
static bool parse_payload(struct span payload, const struct form *form, struct receipt *out,
                          struct err *err);
static bool parse_call(const json_t *object, struct receipt *out, struct err *err);
static bool parse_refund(const json_t *object, struct receipt *out, struct err *err);
static bool parse_names(const json_t *object, struct receipt *out, struct err *err);
static bool parse_numbers(const json_t *object, struct receipt *out, struct err *err);
static bool parse_used(const json_t *object, struct used *used, struct err *err);
static bool find_archived(const char *archive, struct span payload, struct receipt *out,
                          struct err *err);
static bool compare_archived(struct span line, struct span payload, struct receipt *out,
                             struct err *err);

static void write_call(const struct receipt *r, struct jw *w);
static void write_refund(const struct receipt *r, struct jw *w);

static const char *const call_members[] = {"request_id", "account",    "model",    "units",
                                           "provenance", "price",      "amount",   "currency",
                                           "outcome",    "started_at", "ended_at", NULL};
static const char *const refund_members[] = {
    "request_id", "op",     "account",     "model",  "price", "charged", "amount",
    "currency",   "reason", "orig_period", "period", "at",    NULL};
static const struct form forms[] = {
    {RECORD_CALL, "tollgate-receipt-v1", call_members, parse_call, write_call},
    {RECORD_REFUND, "tollgate-refund-receipt-v1", refund_members, parse_refund, write_refund},
};

bool receipt_sign(struct span line, const struct signing_key *key, struct buf *out, struct err *err)
{
    AUTO_CLEAR(buf) payload = {.max = RECEIPT_BYTES_MAX};
    AUTO_CLEAR(buf) text = {.max = 2 * RECEIPT_BYTES_MAX};
    AUTO_CLEAR(buf) head = {.max = HEAD_MAX};
    unsigned char signature[ED25519_SIGNATURE_LEN];
    char key_id[KEY_ID_TEXT];
    const struct form *form;

    if (!write_payload(line, &payload, &form, err))
        return false;
    signing_key_id(key, key_id);
    write_head(key_id, form, &head);
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

static void write_head(const char *key_id, const struct form *form, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "alg", "EdDSA");
    jw_string_member(&w, "kid", key_id);
    jw_string_member(&w, "typ", form->type);
    jw_object_end(&w);
}

/* Members are copied as the record has them: they were checked when it was written, and nothing
 * here depends on the platform's zone, so that anybody can make it again. */
static bool write_payload(struct span line, struct buf *out, const struct form **form,
                          struct err *err)
{
    AUTO_JSON payload = json_object();
    AUTO_JSON record = NULL;
    struct record_head head;

    if (!record_head_parse(line, &head, err))
        return false;
    *form = form_of(head.kind);
    if (!*form)
        return err_set(err, ERR_INPUT, "a %s record has no receipt", record_kind_name(head.kind));
    record = json_parse(line, err);
    if (!record)
        return false;
    for (const char *const *name = (*form)->copied; *name; name++) {
        json_t *value = json_object_get(record, *name);

        if (!value || json_object_set(payload, *name, value) != 0)
            return err_set(err, ERR_CORRUPT, "a %s record without \"%s\"",
                           record_kind_name(head.kind), *name);
    }
    if (json_object_set_new(payload, "writer", json_string(head.writer)) != 0 ||
        json_object_set_new(payload, "n", json_integer((json_int_t)head.place.n[SIDE_ACCOUNT])) !=
            0)
        return err_set(err, ERR_MEMORY, "no memory for a receipt");
    json_dump(payload, out);
    return buf_ok(out, "a receipt", err);
}

static const struct form *form_of(enum record_kind kind)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (forms[i].kind == kind)
            return &forms[i];
    return NULL;
}

bool receipt_verify(struct span text, const struct public_keys *keys, const char *archive,
                    struct receipt *out, struct err *err)
{
    AUTO_CLEAR(buf) payload = {.max = RECEIPT_BYTES_MAX};
    const struct form *form = NULL;
    struct receipt r = {0};
    struct parts p;

    if (!find_parts(without_newline(text), &p))
        return err_set(err, ERR_INPUT,
                       "this is no receipt: three parts joined by dots are expected");
    if (!check_signature(&p, keys, &form, &r, err))
        return false;
    if (!base64url_decode(&payload, p.payload))
        return err_set(err, ERR_INPUT, "the receipt is damaged: its payload is not base64url");
    if (!parse_payload(buf_span(&payload), form, &r, err) ||
        (archive && !find_archived(archive, buf_span(&payload), &r, err)))
        return false;
    *out = r;
    return true;
}

/* A file of text ends with one; whatever else stands around a receipt makes it another file. */
static struct span without_newline(struct span text)
{
    if (text.len > 0 && text.data[text.len - 1] == '\n')
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
                            const struct form **form, struct receipt *out, struct err *err)
{
    AUTO_CLEAR(buf) signature = {.max = 2 * ED25519_SIGNATURE_LEN};
    AUTO_CLEAR(buf) head = {.max = HEAD_MAX};
    const struct signing_key *key;

    if (!base64url_decode(&head, p->head) || !base64url_decode(&signature, p->signature) ||
        signature.len != ED25519_SIGNATURE_LEN)
        return err_set(err, ERR_INPUT,
                       "the receipt is damaged: its head or signature is malformed, or something "
                       "stands before or behind it");
    *form = read_head(buf_span(&head), out->key_id, err);
    if (!*form)
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
static const struct form *read_head(struct span head, char key_id[KEY_ID_TEXT], struct err *err)
{
    AUTO_JSON object = json_parse(head, err);
    const char *id;

    if (!object || !json_get_string(object, "kid", &id, "the receipt's head", err)) {
        err_set(err, ERR_INPUT, "the receipt is damaged: its head cannot be read");
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_CLEAR(buf) again = {.max = HEAD_MAX};

        write_head(id, &forms[i], &again);
        if (span_equal(buf_span(&again), head) && span_copy(span_of(id), key_id, KEY_ID_TEXT))
            return &forms[i];
    }
    err_set(err, ERR_INPUT, "the receipt's head is not that of a %s", forms[0].type);
    return NULL;
}

static bool parse_payload(struct span payload, const struct form *form, struct receipt *out,
                          struct err *err)
{
    AUTO_JSON object = json_parse(payload, err);

    out->is_refund = form->kind == RECORD_REFUND;
    return (object && parse_names(object, out, err) && parse_numbers(object, out, err) &&
            form->parse(object, out, err)) ||
           err_context(err, "the receipt's payload");
}

static bool parse_call(const json_t *object, struct receipt *out, struct err *err)
{
    const char *outcome;

    if (!json_get_string(object, "outcome", &outcome, "payload", err) ||
        !field_time_parse(object, "started_at", &out->started_at, err) ||
        !field_time_parse(object, "ended_at", &out->ended_at, err))
        return false;
    if (!outcome_parse(span_of(outcome), &out->outcome))
        return err_set(err, ERR_INPUT, "\"outcome\" is malformed");
    return parse_used(object, &out->used, err);
}

static bool parse_refund(const json_t *object, struct receipt *out, struct err *err)
{
    const char *op, *reason;

    if (!json_get_string(object, "op", &op, "payload", err) ||
        !json_get_string(object, "reason", &reason, "payload", err) ||
        !field_amount_parse(object, "charged", &out->charged, err) ||
        !field_period_parse(object, "orig_period", &out->orig_period, err) ||
        !field_period_parse(object, "period", &out->period, err) ||
        !field_time_parse(object, "at", &out->at, err))
        return false;
    return (span_copy(span_of(op), out->op, sizeof out->op) &&
            span_copy(span_of(reason), out->reason, sizeof out->reason)) ||
           err_set(err, ERR_INPUT, "\"op\" or \"reason\" is too long");
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
    const char *amount;
    int64_t n;

    if (!json_get_string(object, "amount", &amount, "payload", err) ||
        !json_get_int(object, "n", &n, "payload", err) ||
        !decimal_parse(span_of(amount), &out->amount.nanos, err))
        return false;
    if (n < 1)
        return err_set(err, ERR_INPUT, "\"n\" is malformed");
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
    if (!file_exists(archive))
        return err_set(err, ERR_NOT_FOUND, "there is no archive at %s", archive);
    while ((got = archive_reader_enter(reader, err)) == 1 &&
           archive_reader_header(reader)->heads.at[SIDE_ACCOUNT][partition].n < out->n)
        archive_reader_pass(reader); /* its last number is lower */
    while (got == 1 && (got = archive_reader_next(reader, &head, &line, &crc, err)) == 1)
        if (head.place.on[SIDE_ACCOUNT] && head.place.partition[SIDE_ACCOUNT] == partition &&
            head.place.n[SIDE_ACCOUNT] == out->n)
            return compare_archived(line, payload, out, err);
    if (got < 0)
        return false;
    return err_set(err, ERR_NOT_FOUND,
                   "the signature is good, but the archive does not hold this %s (yet): no "
                   "record %llu of partition a%02u of writer %s; `tollgate settle preview PERIOD` "
                   "archives all that is written",
                   out->is_refund ? "refund" : "call", (unsigned long long)out->n, partition,
                   out->writer);
}

static bool compare_archived(struct span line, struct span payload, struct receipt *out,
                             struct err *err)
{
    AUTO_CLEAR(buf) archived = {.max = RECEIPT_BYTES_MAX};
    const struct form *form;

    if (!write_payload(line, &archived, &form, err))
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
    jw_string_member(w, "price", r->price);
    jw_string_member(w, "amount", decimal_format(r->amount.nanos, decimal));
    jw_string_member(w, "currency", r->amount.currency);
    form_of(r->is_refund ? RECORD_REFUND : RECORD_CALL)->write(r, w);
    jw_string_member(w, "writer", r->writer);
    jw_int_member(w, "n", (int64_t)r->n);
    jw_string_member(w, "key_id", r->key_id);
    jw_bool_member(w, "archived", r->is_archived);
    jw_object_end(w);
}

static void write_call(const struct receipt *r, struct jw *w)
{
    field_used_write(&r->used, w);
    jw_string_member(w, "outcome", outcome_name(r->outcome));
    jw_time_member(w, "started_at", r->started_at);
    jw_time_member(w, "ended_at", r->ended_at);
}

static void write_refund(const struct receipt *r, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_string_member(w, "op", r->op);
    jw_string_member(w, "charged", decimal_format(r->charged, decimal));
    jw_string_member(w, "reason", r->reason);
    jw_string_member(w, "orig_period", r->orig_period.text);
    jw_string_member(w, "period", r->period.text);
    jw_time_member(w, "at", r->at);
}
