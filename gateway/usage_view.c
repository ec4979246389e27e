/* usage_view.c - one shape for a call, wherever its client sees it. */
#include "gateway/usage_view.h"

#include "billing/event_fields.h"

void usage_view_write(const struct event *e, const struct refund_set *refunds, struct jw *w)
{
    char amount[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "object", "usage");
    jw_string_member(w, "request_id", e->request_id);
    jw_string_member(w, "account", e->account);
    jw_string_member(w, "key", e->key);
    jw_string_member(w, "model", e->model);
    jw_string_member(w, "price", e->price);
    field_used_write(&e->used, w);
    jw_string_member(w, "amount", decimal_format(e->amount.nanos, amount));
    jw_string_member(w, "currency", e->amount.currency);
    jw_string_member(w, "outcome", outcome_name(e->outcome));
    jw_time_member(w, "started_at", e->started_at);
    jw_time_member(w, "ended_at", e->ended_at);
    jw_string_member(w, "period", e->period.text);
    if (refunds)
        call_refunds_write(refunds, w);
    jw_object_end(w);
}
