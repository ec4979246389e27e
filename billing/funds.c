/* funds.c - money that no call moves as JSON and back. */
#include "billing/funds.h"

#include "billing/event_fields.h"
#include "lib/base/text.h"

static void write_amount(struct jw *w, const char *name, int64_t nanos);
static bool parse_amount(const json_t *object, struct funds *f, struct err *err);
static bool parse_kind(const json_t *object, struct funds *f, struct err *err);
static bool parse_sum(const json_t *object, const char *name, int64_t *nanos, struct err *err);

/* Its own members, and those of the head of the record it stands in. */
static const char *const members[] = {
    "account", "amount", "currency", "reason", "period", "at",         "op",   "kind",
    "writer",  "a",      "an",       "spent",  "taken",  "expires_at", "left", NULL};

static const struct field_text texts[] = {
    {"account", id_is_valid, offsetof(struct funds, account), ID_TEXT},
    {"op", id_is_valid, offsetof(struct funds, op), ID_TEXT},
    {"currency", currency_is_known, offsetof(struct funds, amount.currency), CURRENCY_TEXT},
    {"reason", refund_reason_is_valid, offsetof(struct funds, reason), REFUND_REASON_MAX + 1},
};

bool funds_kind_is_known(const char *name)
{
    for (int k = 0; k < RECORD_KINDS; k++)
        if (record_is_funds((enum record_kind)k) &&
            strcmp(record_kind_name((enum record_kind)k), name) == 0)
            return true;
    return false;
}

void funds_write(const struct funds *f, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "account", f->account);
    write_amount(w, "amount", f->amount.nanos);
    jw_string_member(w, "currency", f->amount.currency);
    jw_string_member(w, "reason", f->reason);
    jw_string_member(w, "period", f->period.text);
    jw_time_member(w, "at", f->at);
    jw_string_member(w, "op", f->op);
    if (f->kind == RECORD_GRANT)
        jw_time_member(w, "expires_at", f->expires_at);
    if (f->kind == RECORD_GRANT || f->kind == RECORD_EXPIRY)
        write_amount(w, "spent", f->spent);
    if (f->kind == RECORD_EXPIRY) {
        write_amount(w, "taken", f->taken);
        write_amount(w, "left", f->left);
    }
    jw_object_end(w);
}

static void write_amount(struct jw *w, const char *name, int64_t nanos)
{
    char decimal[DECIMAL_TEXT];

    jw_string_member(w, name, decimal_format(nanos, decimal));
}

bool funds_parse(enum record_kind kind, const json_t *object, struct funds *out, struct err *err)
{
    struct funds f = {.kind = kind};

    if (!json_only_members(object, members, "funds", err) ||
        !field_texts_parse(object, texts, ARRAY_LEN(texts), "funds", &f, err))
        return false;
    if (!parse_amount(object, &f, err) || !parse_kind(object, &f, err) ||
        !field_period_parse(object, "period", &f.period, err) ||
        !field_time_parse(object, "at", &f.at, err))
        return err_context(err, "operation %s of account %s", f.op, f.account);
    *out = f;
    return true;
}

static bool parse_amount(const json_t *object, struct funds *f, struct err *err)
{
    int64_t nanos;
    const char *decimal;

    if (f->kind == RECORD_EXPIRY)
        return field_amount_parse(object, "amount", &f->amount.nanos, err);
    if (!json_get_string(object, "amount", &decimal, "funds", err) ||
        !decimal_parse(span_of(decimal), &nanos, err))
        return false;
    f->amount.nanos = nanos;
    return (nanos != 0 && nanos <= AMOUNT_NANOS_MAX && nanos >= -AMOUNT_NANOS_MAX &&
            (nanos > 0 || f->kind != RECORD_GRANT)) ||
           err_set(err, ERR_INPUT, "\"amount\" is out of range");
}

static bool parse_kind(const json_t *object, struct funds *f, struct err *err)
{
    if (f->kind == RECORD_GRANT)
        return field_time_parse(object, "expires_at", &f->expires_at, err) &&
               parse_sum(object, "spent", &f->spent, err);
    return f->kind != RECORD_EXPIRY || (parse_sum(object, "spent", &f->spent, err) &&
                                        field_amount_parse(object, "taken", &f->taken, err) &&
                                        field_amount_parse(object, "left", &f->left, err));
}

/* What many calls cost, so it may be more than one amount. */
static bool parse_sum(const json_t *object, const char *name, int64_t *nanos, struct err *err)
{
    const char *decimal;

    return json_get_string(object, name, &decimal, "funds", err) &&
           decimal_parse(span_of(decimal), nanos, err) &&
           (*nanos >= 0 || err_set(err, ERR_INPUT, "\"%s\" is negative", name));
}
