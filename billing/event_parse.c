/* event_parse.c - an event back from JSON. It trusts nothing and accepts exactly one spelling of
 * everything, so that bytes which were hashed, signed or counted mean one thing, and writing again
 * what was read gives the same members. */
#include "billing/event_fields.h"

#include "lib/base/clock.h"
#include "lib/base/text.h"

static bool parse_used(const json_t *object, struct used *used, struct err *err);
static bool parse_unit(const char *name, const json_t *n, const json_t *provenance,
                       struct used *used, struct err *err);
static bool parse_outcome(const json_t *object, struct event *e, struct err *err);
static bool parse_times(const json_t *object, struct event *e, struct err *err);
static bool parse_idempotency(const json_t *object, struct idempotency *out, struct err *err);
static bool parse_digest(const json_t *object, const char *name, char out[DIGEST_TEXT],
                         struct err *err);
static bool parse_first_key(const json_t *object, struct event *e, struct err *err);
static bool parse_began_on(const json_t *object, struct event *e, struct err *err);
static bool public_id_is_valid(struct span id);
static bool backend_is_valid(struct span backend);

/* An event's own members, and those of the head of the record it stands in. */
static const char *const members[] = {
    "request_id", "account",     "key",      "creators", "model",   "backend",    "price",
    "units",      "provenance",  "amount",   "currency", "outcome", "started_at", "ended_at",
    "period",     "orig_period", "contract", "share_bp", "kind",    "writer",     "idempotency",
    "first_key",  "began_on",    "a",        "an",       "m",       "mn",         NULL,
};

/* Members that are copied as they are once they are valid. */
static const struct field_text texts[] = {
    {"request_id", request_id_is_valid, offsetof(struct event, request_id), REQUEST_ID_TEXT},
    {"account", id_is_valid, offsetof(struct event, account), ID_TEXT},
    {"key", public_id_is_valid, offsetof(struct event, key), KEY_ID_PUBLIC},
    {"model", model_is_valid, offsetof(struct event, model), MODEL_TEXT},
    {"backend", backend_is_valid, offsetof(struct event, backend), ID_TEXT},
    {"price", version_is_valid, offsetof(struct event, price), VERSION_TEXT},
    {"contract", version_is_valid, offsetof(struct event, contract), VERSION_TEXT},
    {"currency", currency_is_known, offsetof(struct event, amount.currency), CURRENCY_TEXT},
};

bool event_parse(const json_t *object, struct event *out, struct err *err)
{
    struct event e = {0};

    if (!json_only_members(object, members, "event", err) ||
        !field_texts_parse(object, texts, ARRAY_LEN(texts), "event", &e, err))
        return false;
    if (!field_owners_parse(object, e.owners, &e.owner_count, err) ||
        !parse_used(object, &e.used, err) || !parse_outcome(object, &e, err) ||
        !field_amount_parse(object, "amount", &e.amount.nanos, err) ||
        !field_share_parse(object, e.owners[0].id, e.contract, &e.share_bp, err) ||
        !parse_times(object, &e, err) || !parse_idempotency(object, &e.idempotency, err) ||
        !parse_first_key(object, &e, err) || !parse_began_on(object, &e, err))
        return err_context(err, "event %s", e.request_id);
    *out = e;
    return true;
}

static bool public_id_is_valid(struct span id)
{
    for (size_t i = 0; i < id.len; i++)
        if ((id.data[i] < '0' || id.data[i] > '9') && (id.data[i] < 'a' || id.data[i] > 'z'))
            return false;
    return id.len == KEY_ID_PUBLIC - 1;
}

static bool backend_is_valid(struct span backend)
{
    return backend.len == 0 || id_is_valid(backend);
}

/* The two objects must have the same members in the same order, which is the order kept. */
static bool parse_used(const json_t *object, struct used *used, struct err *err)
{
    json_t *units = NULL, *provenance = NULL;
    const char *name;
    json_t *n;
    void *at;

    if (!json_get_object_or(object, "units", &units, "usage", err) ||
        !json_get_object_or(object, "provenance", &provenance, "usage", err))
        return false;
    if (!units || !provenance)
        return err_set(err, ERR_INPUT, "\"units\" or \"provenance\" is missing");
    if (json_object_size(units) != json_object_size(provenance))
        return err_set(err, ERR_INPUT, "\"units\" and \"provenance\" differ in their members");
    at = json_object_iter(provenance);
    json_object_foreach(units, name, n)
    {
        if (strcmp(json_object_iter_key(at), name) != 0)
            return err_set(err, ERR_INPUT, "the provenance of %.64s is not where its number is",
                           name);
        if (!parse_unit(name, n, json_object_iter_value(at), used, err))
            return false;
        at = json_object_iter_next(provenance, at);
    }
    return true;
}

static bool parse_unit(const char *name, const json_t *n, const json_t *provenance,
                       struct used *used, struct err *err)
{
    const struct unit *unit = unit_find(span_of(name));
    enum provenance from;

    if (!unit)
        return err_set(err, ERR_INPUT, "there is no unit \"%.64s\"", name);
    if (!json_is_integer(n) || json_integer_value(n) < 0)
        return err_set(err, ERR_INPUT, "%s must be an integer of 0 or more", name);
    if (!json_is_string(provenance) ||
        !provenance_parse(span_of(json_string_value(provenance)), &from))
        return err_set(err, ERR_INPUT,
                       "the provenance of %s must be upstream, counted or estimated", name);
    return used_set(used, unit, json_integer_value(n), from, err);
}

static bool parse_outcome(const json_t *object, struct event *e, struct err *err)
{
    const char *word;

    if (!json_get_string(object, "outcome", &word, "result", err))
        return false;
    return outcome_parse(span_of(word), &e->outcome) ||
           err_set(err, ERR_INPUT, "\"%.40s\" is not an outcome", word);
}

static bool parse_times(const json_t *object, struct event *e, struct err *err)
{
    struct period ended_in;

    if (!field_time_parse(object, "started_at", &e->started_at, err) ||
        !field_time_parse(object, "ended_at", &e->ended_at, err) ||
        !field_period_parse(object, "period", &e->period, err) ||
        !field_period_parse(object, "orig_period", &e->orig_period, err))
        return false;
    if (e->started_at > e->ended_at)
        return err_set(err, ERR_INPUT, "it ends before it starts");
    ended_in = period_of(e->ended_at);
    if (period_compare(e->orig_period, ended_in) != 0)
        return err_set(err, ERR_INPUT, "\"orig_period\" is %s, but it ended in %s",
                       e->orig_period.text, ended_in.text);
    return period_compare(e->period, e->orig_period) >= 0 ||
           err_set(err, ERR_INPUT, "\"period\" is %s, before \"orig_period\"", e->period.text);
}

static bool parse_idempotency(const json_t *object, struct idempotency *out, struct err *err)
{
    static const char *const its_members[] = {"key", "body", NULL};
    json_t *digests = NULL;

    if (!json_object_get(object, "idempotency"))
        return true;
    return json_get_object_or(object, "idempotency", &digests, "event", err) &&
           json_only_members(digests, its_members, "idempotency", err) &&
           parse_digest(digests, "key", out->key, err) &&
           parse_digest(digests, "body", out->body, err);
}

static bool parse_digest(const json_t *object, const char *name, char out[DIGEST_TEXT],
                         struct err *err)
{
    unsigned char bytes[(DIGEST_TEXT - 1) / 2];
    const char *text;

    if (!json_get_string(object, name, &text, "idempotency", err))
        return false;
    if (!hex_decode(span_of(text), bytes, sizeof bytes))
        return err_set(err, ERR_INPUT, "idempotency: \"%s\" must be %d hexadecimal digits", name,
                       DIGEST_TEXT - 1);
    hex_encode(bytes, sizeof bytes, out);
    return strcmp(out, text) == 0 ||
           err_set(err, ERR_INPUT, "idempotency: \"%s\" must be written as %s", name, out);
}

/* A key that descends from itself is not written so. */
static bool parse_first_key(const json_t *object, struct event *e, struct err *err)
{
    const char *text = NULL;

    if (!json_get_string_or(object, "first_key", &text, "event", err))
        return false;
    return !text ||
           (public_id_is_valid(span_of(text)) && strcmp(text, e->key) != 0 &&
            span_copy(span_of(text), e->first_key, KEY_ID_PUBLIC)) ||
           err_set(err, ERR_INPUT, "\"first_key\" is \"%.20s\": no key that this one descends from",
                   text);
}

static bool parse_began_on(const json_t *object, struct event *e, struct err *err)
{
    const char *text = NULL;

    if (!json_get_string_or(object, "began_on", &text, "event", err))
        return false;
    return !text ||
           (began_on_is_valid(span_of(text), e->started_at) &&
            span_copy(span_of(text), e->began_on, DAY_TEXT)) ||
           err_set(err, ERR_INPUT, "\"began_on\" is \"%.20s\": nowhere the day of its beginning",
                   text);
}

bool began_on_is_valid(struct span day, int64_t started_at)
{
    int64_t in_utc = floor_div(started_at, SECONDS_PER_DAY * NANOS_PER_SECOND), days;
    struct civil date;

    if (!day_parse(day, &date))
        return false;
    days = civil_days(date);
    return days >= in_utc - 1 && days <= in_utc + 1;
}
