/* journal_state.c - the reduction. A record that cannot follow the ones before it is refused rather than guessed at:
 * numbers are the whole basis of exactly once. */
#include "billing/journal_state.h"

static bool malformed(struct err *err, enum record_kind kind);
static bool read_call(const json_t *object, struct record_effect *e, struct err *err);
static bool read_amount(const json_t *object, struct record_effect *e, struct err *err);
static bool get_time(const json_t *object, const char *name, int64_t *out, struct err *err);
static bool read_seal(const json_t *object, struct record_effect *e, struct err *err);
static bool count_record(struct journal_state *s, const struct record_effect *e, struct err *err);
static bool end_period(struct journal_state *s, const struct record_effect *e, struct err *err);

bool record_effect_parse(struct span line, uint32_t crc, struct record_effect *out, struct err *err)
{
    struct record_effect e = {.crc = crc};
    struct record_head head;
    AUTO_JSON object = NULL;
    bool ok;

    if (!record_head_parse(line, &head, err))
        return false;
    object = json_parse(line, err);
    if (!object)
        return malformed(err, head.kind);
    e.kind = head.kind;
    e.place = head.place;
    switch (head.kind) {
    case RECORD_CALL:
    case RECORD_BEGIN:
    case RECORD_PROGRESS:
        ok = read_call(object, &e, err);
        break;
    case RECORD_REFUND:
        ok = read_amount(object, &e, err) && get_time(object, "at", &e.at, err);
        break;
    case RECORD_SEAL:
        ok = read_seal(object, &e, err);
        break;
    default:
        ok = !record_is_archived(head.kind) || get_time(object, "at", &e.at, err);
    }
    if (!ok)
        return malformed(err, head.kind);
    *out = e;
    return true;
}

/* Its checksum was right, so these are the bytes that were written: none of ours. */
static bool malformed(struct err *err, enum record_kind kind)
{
    if (err)
        err->code = ERR_CORRUPT;
    return err_context(err, "%s record", record_kind_name(kind));
}

static bool read_call(const json_t *object, struct record_effect *e, struct err *err)
{
    const char *request_id;

    if (!json_get_string(object, "request_id", &request_id, "event", err) ||
        !read_amount(object, e, err))
        return false;
    if (!span_copy(span_of(request_id), e->request_id, REQUEST_ID_TEXT))
        return err_set(err, ERR_CORRUPT, "its request id is too long");
    return get_time(object, "ended_at", &e->at, err);
}

static bool read_amount(const json_t *object, struct record_effect *e, struct err *err)
{
    const char *amount, *currency;

    if (!json_get_string(object, "amount", &amount, "record", err) ||
        !json_get_string(object, "currency", &currency, "record", err) ||
        !decimal_parse(span_of(amount), &e->amount.nanos, err))
        return false;
    return span_copy(span_of(currency), e->amount.currency, CURRENCY_TEXT) ||
           err_set(err, ERR_CORRUPT, "its currency is too long");
}

static bool get_time(const json_t *object, const char *name, int64_t *out, struct err *err)
{
    const char *text;

    return json_get_string(object, name, &text, "record", err) &&
           clock_parse(span_of(text), out, err);
}

static bool read_seal(const json_t *object, struct record_effect *e, struct err *err)
{
    const char *period;

    return json_get_string(object, "period", &period, "seal", err) &&
           period_parse(span_of(period), &e->period, err) && get_time(object, "at", &e->at, err);
}

void journal_state_init(struct journal_state *s, const struct segment_header *h)
{
    *s = (struct journal_state){
        .heads = h->heads, .totals = h->totals, .at = h->at, .open = open_calls_new()};
}

void journal_state_clear(struct journal_state *s)
{
    open_calls_free(s->open);
    s->open = NULL;
}

bool journal_state_apply(struct journal_state *s, const struct record_effect *e, uint64_t position,
                         struct span line, struct err *err)
{
    if (record_is_numbered(e->kind) && !count_record(s, e, err))
        return false;
    if (e->kind == RECORD_SEAL && !end_period(s, e, err))
        return false;
    journal_state_track(s, e, position, line);
    return true;
}

static bool count_record(struct journal_state *s, const struct record_effect *e, struct err *err)
{
    return record_heads_advance(&s->heads, &e->place, e->crc, err) &&
           writer_totals_take(&s->totals, e->kind, &e->amount, err);
}

static bool end_period(struct journal_state *s, const struct record_effect *e, struct err *err)
{
    if (period_compare(e->period, s->totals.period) != 0)
        return err_set(err, ERR_CORRUPT, "a seal of %s stands where %s ends", e->period.text,
                       s->totals.period.text);
    s->totals = (struct writer_totals){.period = period_next(e->period)};
    return true;
}

void journal_state_track(struct journal_state *s, const struct record_effect *e, uint64_t position,
                         struct span line)
{
    if (e->at > s->at)
        s->at = e->at;
    if (e->kind == RECORD_BEGIN)
        open_calls_begin(s->open, e->request_id, position, line);
    else if (e->kind == RECORD_PROGRESS)
        open_calls_progress(s->open, e->request_id, line);
    else if (e->kind == RECORD_CALL)
        open_calls_end(s->open, e->request_id);
}
