/* script_fact.c - a record's line has the members that projection_effects.c reads, in the shape of billing/record.h. */
#include "tests/billing/script_fact.h"

#include <check.h>
#include <inttypes.h>

#include "billing/money.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"

const char *const writer_texts[WRITERS] = {"w-aaaaaaaaaaaaaaaa", "w-bbbbbbbbbbbbbbbb",
                                           "w-cccccccccccccccc"};
const char *const currency_texts[CURRENCIES] = {"CNY", "USD"};
/* To the scripts they are names; their days are those of hours to the west and to the east of the platform. */
const char *const zone_texts[ZONES] = {"", "Etc/West", "Etc/East"};
static const int zone_hours[ZONES] = {0, -20, 6};
const char *const first_ways[2][2] = {{"made", "ended"}, {"raised", "done"}};
const char *const period_texts[PERIODS] = {"2026-10", "2026-11"};
const char *const day_texts[PERIODS] = {"2026-10-15", "2026-11-15"};
const struct partition places[PLACES] = {
    {SIDE_ACCOUNT, 17}, {SIDE_ACCOUNT, 18}, {SIDE_MODEL, 0}, {SIDE_MODEL, 5}};

unsigned fact_place(const struct fact *f, enum partition_side side)
{
    if (side == SIDE_ACCOUNT)
        return f->subject % 2;
    if (f->kind == RECORD_LOST)
        return 2 + f->subject % 2;
    return f->kind == RECORD_CATALOGUE ? 2 : 2 + f->model % 2;
}

bool fact_is_on(const struct fact *f, enum partition_side side)
{
    if (f->kind == RECORD_LOST)
        return side == f->side;
    return f->kind == RECORD_CALL || f->kind == RECORD_REFUND ||
           (side == SIDE_MODEL) == (f->kind == RECORD_CATALOGUE);
}

static void add_member(struct buf *body, const char *name, const char *value)
{
    buf_printf(body, ",\"%s\":\"%s\"", name, value);
}

static void add_time(struct buf *body, const char *name, int64_t nanos)
{
    char text[CLOCK_TEXT];

    add_member(body, name, clock_format(nanos, text));
}

static void add_amount(struct buf *body, const char *name, int64_t nanos)
{
    char text[DECIMAL_TEXT];

    add_member(body, name, decimal_format(nanos, text));
}

static void add_terms(struct buf *body, const struct fact *f)
{
    buf_printf(body, "\"request_id\":\"" REQUEST_FMT "\",\"account\":\"" ACCOUNT_FMT "\"",
               f->request, f->subject);
    buf_printf(body, ",\"model\":\"" MODEL_FMT "\"", f->model);
    buf_add_string(body, ",\"creators\":[{\"id\":\"demo\",\"weight\":1}],\"contract\":\"demo@1\"");
    buf_add_string(body, ",\"share_bp\":7000");
}

const char *zone_day(unsigned zone, int64_t ms, char out[DAY_TEXT])
{
    return day_of((ms + zone_hours[zone] * INT64_C(3600000)) * NANOS_PER_MS, out);
}

int64_t fact_ended_ms(const struct fact *f)
{
    static const char *const ends[PERIODS] = {"2026-10-15T08:00:00.000Z",
                                              "2026-11-15T08:00:00.000Z"};
    int64_t nanos;

    ck_assert(clock_parse(span_of(ends[f->period]), &nanos, NULL));
    return nanos / NANOS_PER_MS;
}

static void call_body(struct buf *body, const struct fact *f)
{
    char day[DAY_TEXT];

    add_terms(body, f);
    if (first_key_of(f->key) != f->key)
        buf_printf(body, ",\"first_key\":\"" KEY_FMT "\"", first_key_of(f->key));
    buf_printf(body, ",\"key\":\"" KEY_FMT "\",\"units\":{\"input_tokens\":%" PRId64, f->key,
               f->tokens / 3);
    buf_printf(body, ",\"output_tokens\":%" PRId64 ",\"image\":7}", f->tokens - f->tokens / 3);
    add_amount(body, "amount", f->amount);
    add_member(body, "period", period_texts[f->period]);
    add_time(body, "ended_at", fact_ended_ms(f) * NANOS_PER_MS);
    add_member(body, "outcome", f->is_complete ? "complete" : "client_closed");
    add_time(body, "started_at", f->started_ms * 1000000);
    if (f->zone)
        add_member(body, "began_on", zone_day(f->zone, f->started_ms, day));
    if (f->has_idem)
        buf_printf(body,
                   ",\"idempotency\":{\"key\":\"" DIGEST_FMT "\",\"body\":\"" DIGEST_FMT "\"}",
                   f->idem, f->idem_body);
    if (!f->is_unreadable)
        add_member(body, "currency", currency_texts[f->currency]);
}

static void add_count(struct buf *body, const struct fact *f, enum set member, const char *name,
                      int64_t n)
{
    if (f->sets & member)
        buf_printf(body, ",\"%s\":%" PRId64, name, n);
}

static void add_stamp(struct buf *body, const struct fact *f)
{
    add_count(body, f, SETS_RPM, "rpm", f->rpm);
    add_count(body, f, SETS_TPM, "tpm", f->tpm);
    if (f->sets & SETS_MODEL_BUDGETS)
        buf_printf(body, ",\"model\":\"" MODEL_FMT "\"", f->model);
    if (f->sets & (SETS_BUDGETS | SETS_MODEL_BUDGETS)) {
        add_amount(body, "budget_day", f->budget_day);
        add_amount(body, "budget_month", f->budget_month);
    }
    add_time(body, "at", f->at);
    if (!f->is_unreadable)
        buf_printf(body, ",\"op\":\"op%u\"", f->op);
}

static void account_body(struct buf *body, const struct fact *f)
{
    buf_printf(body, "\"account\":\"" ACCOUNT_FMT "\",\"revision\":%" PRId64, f->subject,
               f->revision);
    add_count(body, f, SETS_CONCURRENCY, "concurrency", f->concurrency);
    if (f->sets & SETS_WHOLE) {
        add_member(body, "currency", currency_texts[f->currency]);
        add_member(body, "mode", f->is_postpaid ? "postpaid" : "prepaid");
    }
    if (f->sets & SETS_LIMIT)
        add_amount(body, "credit_limit", f->limit);
    if (f->sets & SETS_ZONE && f->zone)
        add_member(body, "zone", zone_texts[f->zone]);
    else if (f->sets & SETS_ZONE)
        buf_add_string(body, ",\"zone\":null");
    add_stamp(body, f);
}

static void key_body(struct buf *body, const struct fact *f)
{
    buf_printf(body, "\"key\":\"" KEY_FMT "\",\"revision\":%" PRId64, f->subject, f->revision);
    if (f->sets & SETS_WHOLE) {
        buf_printf(body, ",\"owner\":\"" ACCOUNT_FMT "\"", f->owner);
        add_member(body, "owner_kind", f->is_of_creator ? "creator" : "account");
    }
    if (f->sets & SETS_HASH)
        buf_printf(body, ",\"pepper\":\"pepper%u\",\"hash\":\"hash-%u-%" PRIu64 "\"", f->writer,
                   f->writer, f->n[SIDE_ACCOUNT]);
    if (f->sets & SETS_STATE)
        add_member(body, "state", "revoked");
    if (f->sets & SETS_EXPIRY && f->expires_at)
        add_time(body, "expires_at", f->expires_at);
    else if (f->sets & SETS_EXPIRY)
        buf_add_string(body, ",\"expires_at\":null");
    if (f->sets & SETS_MODELS)
        buf_printf(body, ",\"models\":%s", f->has_models ? MODELS_LIST : "null");
    if (f->sets & SETS_SCOPES)
        buf_printf(body, ",\"scopes\":%s", f->has_scopes ? SCOPES_LIST : "null");
    if (f->sets & SETS_WHOLE)
        buf_add_string(body, ",\"ips\":null");
    if (f->sets & SETS_ROTATION) {
        buf_printf(body, ",\"first_key\":\"" KEY_FMT "\",\"replaces\":\"" KEY_FMT "\"",
                   first_key_of(f->subject), first_key_of(f->subject));
        buf_printf(body, ",\"grace\":%" PRId64, f->grace);
        add_time(body, "replaced_until", f->replaced_until);
    }
    add_stamp(body, f);
}

static void key_values(const struct fact *f, struct buf *out)
{
    if (f->sets & SETS_SCOPES)
        buf_printf(out, " scopes=%s", f->has_scopes ? SCOPES_LIST : "");
    if (f->sets & SETS_MODELS)
        buf_printf(out, " models=%s", f->has_models ? MODELS_LIST : "");
    if (f->sets & SETS_WHOLE)
        buf_add_string(out, " ips=");
    if (f->sets & SETS_ROTATION)
        buf_printf(out, " first_key=" KEY_FMT " replaces=" KEY_FMT " grace=%" PRId64,
                   first_key_of(f->subject), first_key_of(f->subject), f->grace);
}

void fact_values(const struct fact *f, struct buf *out)
{
    bool is_key = f->kind == RECORD_KEY;

    if (f->sets & SETS_WHOLE && is_key)
        buf_printf(out, " owner_kind=%s owner=" ACCOUNT_FMT,
                   f->is_of_creator ? "creator" : "account", f->owner);
    else if (f->sets & SETS_WHOLE)
        buf_printf(out, " currency=%s mode=%s", currency_texts[f->currency],
                   f->is_postpaid ? "postpaid" : "prepaid");
    if (f->sets & SETS_HASH && is_key)
        buf_printf(out, " hash=hash-%u-%" PRIu64 " pepper=pepper%u", f->writer, f->n[SIDE_ACCOUNT],
                   f->writer);
    if (f->sets & SETS_STATE)
        buf_add_string(out, " state=revoked");
    if (f->sets & SETS_LIMIT && !is_key)
        buf_printf(out, " credit_limit=%" PRId64, f->limit);
    if (f->sets & SETS_CONCURRENCY && !is_key)
        buf_printf(out, " concurrency=%" PRId64, f->concurrency);
    if (f->sets & SETS_EXPIRY && is_key)
        buf_printf(out, " expires_at=%" PRId64, f->expires_at);
    if (f->sets & SETS_RPM)
        buf_printf(out, " rpm=%" PRId64, f->rpm);
    if (f->sets & SETS_TPM)
        buf_printf(out, " tpm=%" PRId64, f->tpm);
    if (f->sets & SETS_BUDGETS)
        buf_printf(out, " budget_day=%" PRId64 " budget_month=%" PRId64, f->budget_day,
                   f->budget_month);
    if (f->sets & SETS_ZONE && !is_key)
        buf_printf(out, " zone=%s", zone_texts[f->zone]);
    if (f->sets & SETS_MODEL_BUDGETS)
        buf_printf(out, " budget_day:" MODEL_FMT "=%" PRId64 " budget_month:" MODEL_FMT "=%" PRId64,
                   f->model, f->budget_day, f->model, f->budget_month);
    if (is_key)
        key_values(f, out);
}

const char *access_text(bool has_scopes, bool has_models)
{
    static const char *const texts[2][2] = {
        {"", "{\"models\":" MODELS_LIST "}"},
        {"{\"scopes\":" SCOPES_LIST "}", "{\"scopes\":" SCOPES_LIST ",\"models\":" MODELS_LIST "}"},
    };

    return texts[has_scopes][has_models];
}

static void credit_body(struct buf *body, const struct fact *f)
{
    buf_printf(body, "\"account\":\"" ACCOUNT_FMT "\",\"op\":\"op%u\"", f->subject, f->op);
    add_member(body, "currency", currency_texts[f->currency]);
    add_member(body, "period", period_texts[f->period]);
    add_time(body, "at", f->at);
    if (!f->is_unreadable)
        add_amount(body, "amount", f->amount);
}

static void grant_body(struct buf *body, const struct fact *f)
{
    credit_body(body, f);
    add_time(body, "expires_at", f->expires_at);
    add_amount(body, "spent", f->spent);
}

static void expiry_body(struct buf *body, const struct fact *f)
{
    credit_body(body, f);
    add_amount(body, "spent", f->spent);
    add_amount(body, "taken", f->taken);
    add_amount(body, "left", f->left);
}

static void refund_body(struct buf *body, const struct fact *f)
{
    add_terms(body, f);
    buf_printf(body, ",\"op\":\"op%u\"", f->op);
    add_amount(body, "charged", f->charged);
    add_amount(body, "amount", f->amount);
    add_member(body, "orig_period", period_texts[f->orig_period]);
    add_member(body, "period", period_texts[f->period]);
    add_time(body, "at", f->at);
    if (!f->is_unreadable)
        add_member(body, "currency", currency_texts[f->currency]);
}

/* Both kinds: what it is, of its account, how often it was said before, and so a body of its own. */
static void first_body(struct buf *body, const struct fact *f)
{
    bool is_notice = f->kind == RECORD_NOTICE;

    buf_printf(body, "\"account\":\"" ACCOUNT_FMT "\",\"id\":\"" FIRST_FMT "\"", f->subject,
               f->subject, f->op);
    add_member(body, "period", period_texts[f->period]);
    add_member(body, "as", first_ways[is_notice][f->is_complete]);
    add_time(body, "at", f->at);
    if (!f->is_unreadable)
        buf_printf(body, ",\"body\":" FIRST_BODY_FMT, f->amount);
}

static void lost_body(struct buf *body, const struct fact *f)
{
    buf_printf(body, "\"of\":\"%s\"", writer_texts[f->writer]);
    add_time(body, "at", f->at);
}

static void catalogue_body(struct buf *body, const struct fact *f)
{
    buf_printf(body, "\"object\":\"model\",\"id\":\"" MODEL_FMT "\",\"revision\":%" PRId64,
               f->subject, f->revision);
    add_time(body, "at", f->at);
    if (!f->is_unreadable)
        buf_printf(body, ",\"body\":%s", f->body);
}

void fact_body(const struct fact *f, struct buf *out)
{
    static void (*const bodies[RECORD_KINDS])(struct buf *, const struct fact *) = {
        [RECORD_CALL] = call_body,     [RECORD_ACCOUNT] = account_body,
        [RECORD_KEY] = key_body,       [RECORD_CREDIT] = credit_body,
        [RECORD_ADJUST] = credit_body, [RECORD_GRANT] = grant_body,
        [RECORD_EXPIRY] = expiry_body, [RECORD_CATALOGUE] = catalogue_body,
        [RECORD_REFUND] = refund_body, [RECORD_WEBHOOK] = first_body,
        [RECORD_NOTICE] = first_body,  [RECORD_LOST] = lost_body,
    };

    buf_add_char(out, '{');
    bodies[f->kind](out, f);
    buf_add_char(out, '}');
}

void fact_compose(struct fact *f)
{
    struct record_place place = {0};
    AUTO_CLEAR(buf) body;
    AUTO_CLEAR(buf) line;

    for (int side = 0; side < SIDES; side++) {
        place.on[side] = f->n[side] > 0;
        place.partition[side] = places[fact_place(f, (enum partition_side)side)].index;
        place.n[side] = f->n[side];
    }
    buf_init(&body, sizeof f->line);
    buf_init(&line, sizeof f->line - 1);
    fact_body(f, &body);
    ck_assert(record_compose(&line, f->kind, writer_texts[f->writer], &place, buf_span(&body)));
    memcpy(f->line, line.data, line.len + 1);
    f->crc = crc32c(0, f->line, line.len);
}
