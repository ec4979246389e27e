/* funds.c - money that no call moves as JSON and back. */
#include "billing/funds.h"

#include "billing/event_fields.h"
#include "lib/base/text.h"

static bool parse_amount(const json_t *object, int64_t *nanos, struct err *err);

/* Its own members, and those of the head of the record it stands in. */
static const char *const members[] = {"account", "amount", "currency", "reason", "period", "at",
                                      "op",      "kind",   "writer",   "a",      "an",     NULL};

static const struct field_text texts[] = {
    {"account", id_is_valid, offsetof(struct funds, account), ID_TEXT},
    {"op", id_is_valid, offsetof(struct funds, op), ID_TEXT},
    {"currency", currency_is_known, offsetof(struct funds, amount.currency), CURRENCY_TEXT},
    {"reason", refund_reason_is_valid, offsetof(struct funds, reason), REFUND_REASON_MAX + 1},
};

void funds_write(const struct funds *f, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "account", f->account);
    jw_string_member(w, "amount", decimal_format(f->amount.nanos, decimal));
    jw_string_member(w, "currency", f->amount.currency);
    jw_string_member(w, "reason", f->reason);
    jw_string_member(w, "period", f->period.text);
    jw_time_member(w, "at", f->at);
    jw_string_member(w, "op", f->op);
    jw_object_end(w);
}

bool funds_parse(const json_t *object, struct funds *out, struct err *err)
{
    struct funds f = {.at = 0};

    if (!json_only_members(object, members, "funds", err) ||
        !field_texts_parse(object, texts, ARRAY_LEN(texts), "funds", &f, err))
        return false;
    if (!parse_amount(object, &f.amount.nanos, err) ||
        !field_period_parse(object, "period", &f.period, err) ||
        !field_time_parse(object, "at", &f.at, err))
        return err_context(err, "operation %s of account %s", f.op, f.account);
    *out = f;
    return true;
}

static bool parse_amount(const json_t *object, int64_t *nanos, struct err *err)
{
    const char *decimal;

    if (!json_get_string(object, "amount", &decimal, "funds", err) ||
        !decimal_parse(span_of(decimal), nanos, err))
        return false;
    return (*nanos != 0 && *nanos <= AMOUNT_NANOS_MAX && *nanos >= -AMOUNT_NANOS_MAX) ||
           err_set(err, ERR_INPUT, "\"amount\" must not be zero, and at most 9000000");
}
