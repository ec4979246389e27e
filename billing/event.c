/* event.c - an event as JSON, and the ids of requests. Both are on the path of every call: nothing
 * here but plain copies, one read of the clock and ten random bytes. Reading an event is
 * event_parse.c's. */
#include "billing/event_fields.h"

#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"

#define REQUEST_ID_PREFIX "req_"
#define REQUEST_ID_BYTES  16
#define REQUEST_ID_TIME   6

static void write_idempotency(const struct idempotency *i, struct jw *w);

static const char *const outcomes[] = {
    [OUTCOME_COMPLETE] = "complete",
    [OUTCOME_CLIENT_CLOSED] = "client_closed",
    [OUTCOME_UPSTREAM_ERROR] = "upstream_error",
    [OUTCOME_TIMEOUT] = "timeout",
    [OUTCOME_KILLED] = "killed",
    [OUTCOME_LIMIT] = "limit",
    [OUTCOME_VOID] = "void",
};

const char *outcome_name(enum outcome o)
{
    return outcomes[o];
}

bool outcome_parse(struct span word, enum outcome *out)
{
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
        if (span_equal(span_of(outcomes[i]), word)) {
            *out = (enum outcome)i;
            return true;
        }
    }
    return false;
}

void event_write(const struct event *e, struct jw *w)
{
    jw_object(w);
    event_write_members(e, w);
    jw_object_end(w);
}

void event_write_members(const struct event *e, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_string_member(w, "request_id", e->request_id);
    jw_string_member(w, "account", e->account);
    jw_string_member(w, "key", e->key);
    field_owners_write(e->owners, e->owner_count, w);
    jw_string_member(w, "model", e->model);
    jw_string_member(w, "backend", e->backend);
    jw_string_member(w, "price", e->price);
    field_used_write(&e->used, w);
    jw_string_member(w, "amount", decimal_format(e->amount.nanos, decimal));
    jw_string_member(w, "currency", e->amount.currency);
    jw_string_member(w, "outcome", outcome_name(e->outcome));
    jw_time_member(w, "started_at", e->started_at);
    jw_time_member(w, "ended_at", e->ended_at);
    jw_string_member(w, "period", e->period.text);
    jw_string_member(w, "orig_period", e->orig_period.text);
    jw_string_member(w, "contract", e->contract);
    jw_int_member(w, "share_bp", e->share_bp);
    if (e->idempotency.key[0])
        write_idempotency(&e->idempotency, w);
    if (e->first_key[0])
        jw_string_member(w, "first_key", e->first_key);
    if (e->began_on[0])
        jw_string_member(w, "began_on", e->began_on);
}

static void write_idempotency(const struct idempotency *i, struct jw *w)
{
    jw_key(w, "idempotency");
    jw_object(w);
    jw_string_member(w, "key", i->key);
    jw_string_member(w, "body", i->body);
    jw_object_end(w);
}

void request_id_make(char out[REQUEST_ID_TEXT])
{
    uint64_t ms = (uint64_t)(clock_now() / NANOS_PER_MS);
    unsigned char bytes[REQUEST_ID_BYTES];

    for (size_t i = 0; i < REQUEST_ID_TIME; i++)
        bytes[i] = (unsigned char)(ms >> (8 * (REQUEST_ID_TIME - 1 - i)));
    rand_bytes(bytes + REQUEST_ID_TIME, REQUEST_ID_BYTES - REQUEST_ID_TIME);
    memcpy(out, REQUEST_ID_PREFIX, strlen(REQUEST_ID_PREFIX));
    hex_encode(bytes, REQUEST_ID_BYTES, out + strlen(REQUEST_ID_PREFIX));
}

int64_t request_id_ms(const char *id)
{
    unsigned char bytes[REQUEST_ID_TIME];
    struct span digits = {id + strlen(REQUEST_ID_PREFIX), 2 * sizeof bytes};
    int64_t ms = 0;

    if (!request_id_is_valid(span_of(id)) || !hex_decode(digits, bytes, sizeof bytes))
        return 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        ms = ms << 8 | bytes[i];
    return ms;
}

bool request_id_is_valid(struct span id)
{
    struct span prefix = SPAN(REQUEST_ID_PREFIX);

    if (id.len != prefix.len + 2 * REQUEST_ID_BYTES || !span_starts(id, prefix))
        return false;
    for (size_t i = prefix.len; i < id.len; i++)
        if ((id.data[i] < '0' || id.data[i] > '9') && (id.data[i] < 'a' || id.data[i] > 'f'))
            return false;
    return true;
}
