/* event_pass.c - nothing is settled that was not checked here first. */
#include "billing/event_pass.h"

#include "billing/event_spool.h"

static bool follows(const struct event_pass *p, const struct event *e, struct err *err);

void event_pass_init(struct event_pass *p, struct terms *terms)
{
    *p = (struct event_pass){.terms = terms, .last_ended_at = INT64_MIN};
    tally_init(&p->tally);
}

void event_pass_clear(struct event_pass *p)
{
    tally_clear(&p->tally);
}

bool event_pass_line(struct event_pass *p, struct span line, struct event *event,
                     struct record_head *head, struct err *err)
{
    AUTO_JSON object = NULL;
    struct record_head own;

    head = head ? head : &own;
    if (!record_head_parse(line, head, err))
        return false;
    if (head->kind != RECORD_CALL)
        return err_set(err, ERR_CORRUPT, "a %s record stands among the events",
                       record_kind_name(head->kind));
    object = json_parse(line, err);
    if (!object || !event_parse(object, event, err) || !follows(p, event, err) ||
        !terms_take_event(p->terms, event, err))
        return false;
    tally_add(&p->tally, event);
    p->last_ended_at = event->ended_at;
    memcpy(p->last_request_id, event->request_id, sizeof p->last_request_id);
    return true;
}

static bool follows(const struct event_pass *p, const struct event *e, struct err *err)
{
    if (period_compare(e->period, p->terms->period) != 0)
        return err_set(err, ERR_CORRUPT, "event %s is of %s", e->request_id, e->period.text);
    return event_order(p->last_ended_at, p->last_request_id, e->ended_at, e->request_id) < 0 ||
           err_set(err, ERR_CORRUPT, "event %s stands behind %s, which it must not follow",
                   e->request_id, p->last_request_id);
}
