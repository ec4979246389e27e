/* journal_resolve.c - a call whose process died ended when its writer was last heard of. That time lies in the period that
 * the writer has not sealed yet, however late it is now: so the ENDs come first and the SEAL counts them. */
#include "billing/journal_resolve.h"

struct resolution {
    const struct journal_log *log;
    struct journal_batch *batch;
    struct record_heads heads; /* with what is in the batch */
    int64_t ended_at;
    struct err *err;
};

static int64_t last_heard(const struct journal_state *s);
static bool end_call(void *arg, struct span line);
static bool make_end(struct span line, int64_t ended_at, struct event *out, struct err *err);
static bool add_end(struct resolution *r, const struct event *e);
static void take_number(struct resolution *r, enum partition_side side, const char *id,
                        struct record_place *place);

bool journal_resolve(struct journal_log *log, int64_t now, struct err *err)
{
    AUTO(journal_batch) batch = journal_batch_new();
    struct resolution r = {log, batch, log->state.heads, last_heard(&log->state), err};

    if (!open_calls_each(log->state.open, end_call, &r))
        return false;
    if (now < log->state.at)
        now = log->state.at;
    if (period_compare(period_of(now), log->state.totals.period) > 0)
        journal_batch_ask(batch, JOURNAL_PERIOD, now);
    if (!journal_log_write(log, batch, err))
        return false;
    return !log->holds_seal || !journal_log_may_roll(log) || journal_log_roll(log, err);
}

static int64_t last_heard(const struct journal_state *s)
{
    int64_t begin = period_start(s->totals.period);

    return s->at > begin ? s->at : begin;
}

static bool end_call(void *arg, struct span line)
{
    struct resolution *r = arg;
    struct event e;

    return make_end(line, r->ended_at, &e, r->err) && add_end(r, &e);
}

/* A PROGRESS says what was used by then; a BEGIN that nothing was. */
static bool make_end(struct span line, int64_t ended_at, struct event *out, struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    struct record_head head;

    if (!object || !record_head_parse(line, &head, err) || !event_parse(object, out, err))
        return err_context(err, "a call that was open");
    out->outcome = OUTCOME_KILLED;
    if (head.kind == RECORD_BEGIN) {
        out->outcome = OUTCOME_VOID;
        out->amount.nanos = 0;
        out->used.count = 0;
    }
    out->ended_at = ended_at;
    out->period = out->orig_period = period_of(ended_at);
    return true;
}

static bool add_end(struct resolution *r, const struct event *e)
{
    struct record_effect effect = {
        .kind = RECORD_CALL, .at = e->ended_at, .amount = e->amount, .period = e->period};
    AUTO_CLEAR(buf) body;
    AUTO_CLEAR(buf) record;
    struct jw w;

    memcpy(effect.request_id, e->request_id, sizeof effect.request_id);
    take_number(r, SIDE_ACCOUNT, e->account, &effect.place);
    take_number(r, SIDE_MODEL, e->model, &effect.place);
    buf_init(&body, EVENT_BYTES_MAX);
    buf_init(&record, RECORD_BYTES_MAX);
    jw_init(&w, &body);
    event_write(e, &w);
    record_compose(&record, RECORD_CALL, r->log->home->writer, &effect.place, buf_span(&body));
    if (!buf_ok(&body, "an event", r->err) || !buf_ok(&record, "a record", r->err))
        return false;
    return journal_batch_add(r->batch, &effect, buf_span(&record)) ||
           err_set(r->err, ERR_MEMORY, "no memory for the ENDs of open calls");
}

static void take_number(struct resolution *r, enum partition_side side, const char *id,
                        struct record_place *place)
{
    unsigned partition = partition_of(side, span_of(id)).index;

    place->on[side] = true;
    place->partition[side] = partition;
    place->n[side] = ++r->heads.at[side][partition].n;
}
