/* event_pass.c - nothing is settled that was not checked here first. */
#include "billing/event_pass.h"

#include "billing/event_spool.h"

static bool take_event(struct event_pass *p, const json_t *object, struct pass_line *out,
                       struct err *err);
static bool take_refund(struct event_pass *p, const json_t *object, struct pass_line *out,
                        struct err *err);
static bool is_of_period(const struct event_pass *p, const char *what, const char *id,
                         struct period period, struct err *err);
static bool refund_follows(const struct event_pass *p, const struct refund *r);

void event_pass_init(struct event_pass *p, struct terms *terms)
{
    *p = (struct event_pass){.terms = terms, .last_ended_at = INT64_MIN};
    tally_init(&p->tally);
}

void event_pass_clear(struct event_pass *p)
{
    tally_clear(&p->tally);
    refund_set_clear(&p->refunds);
}

bool event_pass_line(struct event_pass *p, struct span line, struct pass_line *out, struct err *err)
{
    AUTO_JSON object = NULL;

    if (!record_head_parse(line, &out->head, err))
        return false;
    if (out->head.kind != RECORD_CALL && out->head.kind != RECORD_REFUND)
        return err_set(err, ERR_CORRUPT, "a %s record stands among the events",
                       record_kind_name(out->head.kind));
    object = json_parse(line, err);
    return object && (out->head.kind == RECORD_CALL ? take_event(p, object, out, err)
                                                    : take_refund(p, object, out, err));
}

static bool take_event(struct event_pass *p, const json_t *object, struct pass_line *out,
                       struct err *err)
{
    const struct event *e = &out->event;

    if (!event_parse(object, &out->event, err) ||
        !is_of_period(p, "event", e->request_id, e->period, err))
        return false;
    if (p->last_op[0] ||
        event_order(p->last_ended_at, p->last_request_id, e->ended_at, e->request_id) >= 0)
        return err_set(err, ERR_CORRUPT, "event %s stands behind %s, which it must not follow",
                       e->request_id, p->last_request_id);
    if (!terms_take_event(p->terms, e, err))
        return false;
    tally_add(&p->tally, e);
    p->last_ended_at = e->ended_at;
    memcpy(p->last_request_id, e->request_id, sizeof p->last_request_id);
    out->request_id = e->request_id;
    out->amount = e->amount;
    return true;
}

static bool is_of_period(const struct event_pass *p, const char *what, const char *id,
                         struct period period, struct err *err)
{
    return period_compare(period, p->terms->period) == 0 ||
           err_set(err, ERR_CORRUPT, "%s %s is of %s", what, id, period.text);
}

static bool take_refund(struct event_pass *p, const json_t *object, struct pass_line *out,
                        struct err *err)
{
    const struct refund *r = &out->refund;

    if (!refund_parse(object, &out->refund, err) ||
        !is_of_period(p, "the refund of", r->request_id, r->period, err))
        return false;
    if (p->last_op[0] && !refund_follows(p, r))
        return err_set(err, ERR_CORRUPT,
                       "refund %s of %s stands behind another, which it must not follow", r->op,
                       r->request_id);
    if (!terms_take_refund(p->terms, r, err))
        return false;
    tally_add_refund(&p->tally, r);
    refund_set_add(&p->refunds, r, &out->head, (struct span){NULL, 0});
    p->last_ended_at = r->at;
    memcpy(p->last_request_id, r->request_id, sizeof p->last_request_id);
    memcpy(p->last_op, r->op, sizeof p->last_op);
    out->request_id = r->request_id;
    out->amount = r->amount;
    return true;
}

static bool refund_follows(const struct event_pass *p, const struct refund *r)
{
    int order = event_order(p->last_ended_at, p->last_request_id, r->at, r->request_id);

    return order < 0 || (order == 0 && strcmp(p->last_op, r->op) < 0);
}

bool event_pass_end(struct event_pass *p, struct err *err)
{
    refund_set_decide(&p->refunds);
    for (size_t i = 0; i < p->refunds.count; i++)
        if (!p->refunds.entries[i].counts)
            return err_set(err, ERR_CORRUPT,
                           "refund %s of %s stands there twice, or above what the call cost",
                           p->refunds.entries[i].op, p->refunds.entries[i].request_id);
    return true;
}
