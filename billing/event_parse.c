/* event_parse.c - an event back from JSON. It trusts nothing and accepts exactly one spelling of
 * everything, so that bytes which were hashed, signed or counted mean one thing, and writing again
 * what was read gives the same members. */
#include "billing/event.h"

#include "lib/base/clock.h"
#include "lib/base/text.h"

#define SHARE_BP_MAX 10000

static bool parse_texts(const json_t *object, struct event *e, struct err *err);
static bool parse_owners(const json_t *object, struct event *e, struct err *err);
static bool parse_owner(const json_t *item, struct event *e, struct err *err);
static bool parse_used(const json_t *object, struct used *used, struct err *err);
static bool parse_unit(const char *name, const json_t *n, const json_t *provenance,
                       struct used *used, struct err *err);
static bool parse_outcome(const json_t *object, struct event *e, struct err *err);
static bool parse_amount(const json_t *object, struct event *e, struct err *err);
static bool parse_terms(const json_t *object, struct event *e, struct err *err);
static bool parse_times(const json_t *object, struct event *e, struct err *err);
static bool parse_time(const json_t *object, const char *name, int64_t *nanos, struct err *err);
static bool parse_period(const json_t *object, const char *name, struct period *p, struct err *err);
static bool public_id_is_valid(struct span id);
static bool model_is_valid(struct span model);
static bool backend_is_valid(struct span backend);

/* An event's own members, and those of the head of the record it stands in. */
static const char *const members[] = {
    "request_id", "account",     "key",      "creators", "model",   "backend",    "price",
    "units",      "provenance",  "amount",   "currency", "outcome", "started_at", "ended_at",
    "period",     "orig_period", "contract", "share_bp", "kind",    "writer",     "a",
    "an",         "m",           "mn",       NULL,
};

/* Members that are copied as they are once they are valid. */
static const struct {
    const char *name;
    bool (*is_valid)(struct span);
    size_t offset, size;
} texts[] = {
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

    if (!json_only_members(object, members, "event", err) || !parse_texts(object, &e, err))
        return false;
    if (!parse_owners(object, &e, err) || !parse_used(object, &e.used, err) ||
        !parse_outcome(object, &e, err) || !parse_amount(object, &e, err) ||
        !parse_terms(object, &e, err) || !parse_times(object, &e, err))
        return err_context(err, "event %s", e.request_id);
    *out = e;
    return true;
}

static bool parse_texts(const json_t *object, struct event *e, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *text;

        if (!json_get_string(object, texts[i].name, &text, "event", err))
            return false;
        if (!texts[i].is_valid(span_of(text)) ||
            !span_copy(span_of(text), (char *)e + texts[i].offset, texts[i].size))
            return err_set(err, ERR_INPUT, "event: \"%.40s\" cannot be its \"%s\"", text,
                           texts[i].name);
    }
    return true;
}

static bool public_id_is_valid(struct span id)
{
    for (size_t i = 0; i < id.len; i++)
        if ((id.data[i] < '0' || id.data[i] > '9') && (id.data[i] < 'a' || id.data[i] > 'z'))
            return false;
    return id.len == KEY_ID_PUBLIC - 1;
}

static bool model_is_valid(struct span model)
{
    const char *slash = model.len > 0 ? memchr(model.data, '/', model.len) : NULL;
    size_t creator = slash ? (size_t)(slash - model.data) : 0;

    return slash && id_is_valid((struct span){model.data, creator}) &&
           id_is_valid((struct span){slash + 1, model.len - creator - 1});
}

static bool backend_is_valid(struct span backend)
{
    return backend.len == 0 || id_is_valid(backend);
}

static bool parse_owners(const json_t *object, struct event *e, struct err *err)
{
    json_t *creators = NULL;
    int64_t left = OWNER_WEIGHTS_MAX;

    if (!json_get_array_or(object, "creators", &creators, "owners", err))
        return false;
    if (json_array_size(creators) < 1 || json_array_size(creators) > OWNERS_MAX)
        return err_set(err, ERR_INPUT, "\"creators\" must name 1 to %d creators", OWNERS_MAX);
    for (size_t i = 0; i < json_array_size(creators); i++) {
        if (!parse_owner(json_array_get(creators, i), e, err))
            return false;
        if (e->owners[i].weight > left)
            return err_set(err, ERR_INPUT, "the creators' weights add up to more than 2^62");
        left -= e->owners[i].weight;
    }
    return true;
}

static bool parse_owner(const json_t *item, struct event *e, struct err *err)
{
    static const char *const owner_members[] = {"id", "weight", NULL};
    struct owner *owner = &e->owners[e->owner_count];
    const char *id;

    if (!json_only_members(item, owner_members, "creator", err) ||
        !json_get_string(item, "id", &id, "creator", err) ||
        !json_get_int(item, "weight", &owner->weight, "creator", err))
        return false;
    if (!id_is_valid(span_of(id)) || !span_copy(span_of(id), owner->id, sizeof owner->id))
        return err_set(err, ERR_INPUT, "\"%.40s\" cannot be a creator's id", id);
    if (owner->weight < 1)
        return err_set(err, ERR_INPUT, "creator %s must weigh at least 1", id);
    if (e->owner_count > 0 && strcmp(owner[-1].id, id) >= 0)
        return err_set(err, ERR_INPUT, "creator %s must stand once, in the order of ids", id);
    e->owner_count++;
    return true;
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
    json_object_foreach (units, name, n) {
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

static bool parse_amount(const json_t *object, struct event *e, struct err *err)
{
    char canonical[DECIMAL_TEXT];
    const char *text;

    if (!json_get_string(object, "amount", &text, "money", err) ||
        !decimal_parse(span_of(text), &e->amount.nanos, err))
        return false;
    if (e->amount.nanos < 0 || e->amount.nanos > AMOUNT_NANOS_MAX)
        return err_set(err, ERR_INPUT, "\"amount\" must be between 0 and 9000000");
    return strcmp(text, decimal_format(e->amount.nanos, canonical)) == 0 ||
           err_set(err, ERR_INPUT, "\"amount\" must be written as %s", canonical);
}

/* The first owner's contract decides the share. */
static bool parse_terms(const json_t *object, struct event *e, struct err *err)
{
    size_t id_len = strlen(e->owners[0].id);

    if (strncmp(e->contract, e->owners[0].id, id_len) != 0 || e->contract[id_len] != '@')
        return err_set(err, ERR_INPUT, "\"contract\" must be of the first creator, %s",
                       e->owners[0].id);
    if (!json_get_int(object, "share_bp", &e->share_bp, "terms", err))
        return false;
    return (e->share_bp >= 0 && e->share_bp <= SHARE_BP_MAX) ||
           err_set(err, ERR_INPUT, "\"share_bp\" must be between 0 and %d", SHARE_BP_MAX);
}

static bool parse_times(const json_t *object, struct event *e, struct err *err)
{
    struct period ended_in;

    if (!parse_time(object, "started_at", &e->started_at, err) ||
        !parse_time(object, "ended_at", &e->ended_at, err) ||
        !parse_period(object, "period", &e->period, err) ||
        !parse_period(object, "orig_period", &e->orig_period, err))
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

static bool parse_time(const json_t *object, const char *name, int64_t *nanos, struct err *err)
{
    char canonical[CLOCK_TEXT];
    const char *text;

    if (!json_get_string(object, name, &text, "time", err))
        return false;
    if (!clock_parse(span_of(text), nanos, err))
        return err_context(err, "\"%s\"", name);
    return strcmp(text, clock_format(*nanos, canonical)) == 0 ||
           err_set(err, ERR_INPUT, "\"%s\" must be written as %s", name, canonical);
}

static bool parse_period(const json_t *object, const char *name, struct period *p, struct err *err)
{
    const char *text;

    if (!json_get_string(object, name, &text, "period", err))
        return false;
    return period_parse(span_of(text), p, err) || err_context(err, "\"%s\"", name);
}
