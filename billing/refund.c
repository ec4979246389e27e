/* refund.c - a refund as JSON and back. The reason is a person's sentence: any text without control
 * bytes. */
#include "billing/refund.h"

#include "billing/event_fields.h"
#include "lib/base/text.h"

static bool parse_amounts(const json_t *object, struct refund *r, struct err *err);
static bool parse_times(const json_t *object, struct refund *r, struct err *err);

/* A refund's own members, and those of the head of the record it stands in. */
static const char *const members[] = {
    "request_id", "op",       "account", "model",  "creators",    "price",  "contract", "share_bp",
    "charged",    "currency", "amount",  "reason", "orig_period", "period", "at",       "kind",
    "writer",     "a",        "an",      "m",      "mn",          NULL,
};

static const struct field_text texts[] = {
    {"request_id", request_id_is_valid, offsetof(struct refund, request_id), REQUEST_ID_TEXT},
    {"op", id_is_valid, offsetof(struct refund, op), ID_TEXT},
    {"account", id_is_valid, offsetof(struct refund, account), ID_TEXT},
    {"model", model_is_valid, offsetof(struct refund, model), MODEL_TEXT},
    {"price", version_is_valid, offsetof(struct refund, price), VERSION_TEXT},
    {"contract", version_is_valid, offsetof(struct refund, contract), VERSION_TEXT},
    {"currency", currency_is_known, offsetof(struct refund, amount.currency), CURRENCY_TEXT},
    {"reason", refund_reason_is_valid, offsetof(struct refund, reason), REFUND_REASON_MAX + 1},
};

void refund_of_event(const struct event *e, struct refund *out)
{
    struct refund r = {.owner_count = e->owner_count,
                       .share_bp = e->share_bp,
                       .charged = e->amount.nanos,
                       .orig_period = e->period};

    memcpy(r.request_id, e->request_id, sizeof r.request_id);
    memcpy(r.account, e->account, sizeof r.account);
    memcpy(r.model, e->model, sizeof r.model);
    memcpy(r.owners, e->owners, sizeof r.owners);
    memcpy(r.price, e->price, sizeof r.price);
    memcpy(r.contract, e->contract, sizeof r.contract);
    memcpy(r.amount.currency, e->amount.currency, sizeof r.amount.currency);
    *out = r;
}

void refund_write(const struct refund *r, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "request_id", r->request_id);
    jw_string_member(w, "op", r->op);
    jw_string_member(w, "account", r->account);
    jw_string_member(w, "model", r->model);
    field_owners_write(r->owners, r->owner_count, w);
    jw_string_member(w, "price", r->price);
    jw_string_member(w, "contract", r->contract);
    jw_int_member(w, "share_bp", r->share_bp);
    jw_string_member(w, "charged", decimal_format(r->charged, decimal));
    jw_string_member(w, "currency", r->amount.currency);
    jw_string_member(w, "amount", decimal_format(r->amount.nanos, decimal));
    jw_string_member(w, "reason", r->reason);
    jw_string_member(w, "orig_period", r->orig_period.text);
    jw_string_member(w, "period", r->period.text);
    jw_time_member(w, "at", r->at);
    jw_object_end(w);
}

bool refund_parse(const json_t *object, struct refund *out, struct err *err)
{
    struct refund r = {0};

    if (!json_only_members(object, members, "refund", err) ||
        !field_texts_parse(object, texts, ARRAY_LEN(texts), "refund", &r, err))
        return false;
    if (!field_owners_parse(object, r.owners, &r.owner_count, err) ||
        !field_share_parse(object, r.owners[0].id, r.contract, &r.share_bp, err) ||
        !parse_amounts(object, &r, err) || !parse_times(object, &r, err))
        return err_context(err, "refund %s of %s", r.op, r.request_id);
    *out = r;
    return true;
}

bool refund_reason_is_valid(struct span reason)
{
    bool says_something = false;

    for (size_t i = 0; i < reason.len; i++) {
        unsigned char c = (unsigned char)reason.data[i];

        if (c < ' ' || c == 0x7f)
            return false;
        says_something |= c != ' ';
    }
    return says_something && reason.len <= REFUND_REASON_MAX;
}

static bool parse_amounts(const json_t *object, struct refund *r, struct err *err)
{
    if (!field_amount_parse(object, "charged", &r->charged, err) ||
        !field_amount_parse(object, "amount", &r->amount.nanos, err))
        return false;
    return (r->amount.nanos > 0 && r->amount.nanos <= r->charged) ||
           err_set(err, ERR_INPUT, "\"amount\" must be above 0 and at most \"charged\"");
}

static bool parse_times(const json_t *object, struct refund *r, struct err *err)
{
    if (!field_period_parse(object, "orig_period", &r->orig_period, err) ||
        !field_period_parse(object, "period", &r->period, err) ||
        !field_time_parse(object, "at", &r->at, err))
        return false;
    if (period_compare(r->period, r->orig_period) < 0)
        return err_set(err, ERR_INPUT, "\"period\" is %s, before \"orig_period\"", r->period.text);
    return period_compare(r->period, period_of(r->at)) >= 0 ||
           err_set(err, ERR_INPUT, "\"period\" is %s, but it was booked later", r->period.text);
}
