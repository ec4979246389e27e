/* projection_effects.c - records were checked when they were written and their bytes never change, so a member that is
 * missing or malformed here is a mistake of ours or of a newer version: nothing is guessed, the record is set aside. */
#include "billing/projection_effects.h"

#include <stdio.h>

#include "billing/claim.h"
#include "billing/setting.h"
#include "billing/spending.h"
#include "billing/webhook_record.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define UNREADABLE     "record-is-unreadable"
#define OWNERS_TEXT    (OWNERS_MAX * (ID_TEXT + 24))
#define GROSS_TEXT     (MODEL_TEXT + DAY_TEXT + CURRENCY_TEXT + VERSION_TEXT + 24 + OWNERS_TEXT)
#define CLAIM_KEYS     1
#define CLAIM_FIELDS   4
#define SETTING_FIELDS 5
#define OBJECT_TEXT    (MEMBER_TEXT + 24)
#define NAME_TEXT      (ID_TEXT + 8)

struct effects {
    struct members *members;
    const struct record_head *head;
    struct span line;
    uint32_t crc;
    bool is_record;
    int64_t recent_since;
    struct known_day *day;      /* of the record read last, most often that of the next */
    struct known_day *began_on; /* likewise, of the call's beginning */
};

/* Members of a refund that both of its sides take. */
struct refund_words {
    const char *request, *op, *period;
    int64_t nanos, charged, when;
};

/* Members of all money that no call moves. */
struct funds_words {
    const char *account, *op, *currency, *period;
    int64_t nanos, when;
};

/* What a call that carried an idempotency key says of its claim. */
struct claim_words {
    bool is_there;
    const char *account, *key, *body, *outcome;
    int64_t ends_ms;
};

static bool add_resolve(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_lost(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_call(const struct effects *e, struct batch *b, struct record_cursor at);
static bool first_key(const struct effects *e, const char **out);
static bool began_on(const struct effects *e, const char **out);
static void add_claim(struct batch *b, const struct claim_words *words);
static bool add_earning(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_account(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_key(const struct effects *e, struct batch *b, struct record_cursor at);
static void add_key_setting(struct batch *b, const char *key, const struct setting *s);
static void add_setting(struct batch *b, const struct setting *s);
static bool add_funds(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_grant(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_expiry(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_catalogue(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_refund(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_return(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_webhook(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_notice(const struct effects *e, struct batch *b, struct record_cursor at);

/* Where it stands what counts once, whoever says it first, and as what. */
struct first {
    const char *what, *place;
    const char *const *ways;
};
static bool add_first(const struct effects *e, struct batch *b, struct record_cursor at,
                      const struct first *f);

static int64_t past_ms(const struct effects *e);
static bool claim_words(const struct effects *e, struct claim_words *out);
static bool read_funds(const struct effects *e, struct funds_words *out);
static void add_funds_words(const struct effects *e, struct batch *b, struct record_cursor at,
                            const struct funds_words *words, unsigned more);
static bool read_refund(const struct effects *e, struct refund_words *out);
static void add_refund_words(struct batch *b, const struct refund_words *words, const char *sum);
static bool gross_field(const struct effects *e, struct buf *out);
static bool returned_field(const struct effects *e, struct buf *out);
static void add_word(struct buf *out, struct span word);
static bool add_terms(const struct effects *e, struct buf *out);

/* Adds nothing and answers false when a member is not as it must be. */
typedef bool add_record(const struct effects *e, struct batch *b, struct record_cursor at);

static add_record *const adders[RECORD_KINDS][SIDES] = {
    [RECORD_CALL] = {add_call, add_earning},
    [RECORD_ACCOUNT] = {add_account, NULL},
    [RECORD_KEY] = {add_key, NULL},
    [RECORD_CREDIT] = {add_funds, NULL},
    [RECORD_ADJUST] = {add_funds, NULL},
    [RECORD_GRANT] = {add_grant, NULL},
    [RECORD_EXPIRY] = {add_expiry, NULL},
    [RECORD_CATALOGUE] = {NULL, add_catalogue},
    [RECORD_REFUND] = {add_refund, add_return},
    [RECORD_RESOLVE] = {add_resolve, add_resolve},
    [RECORD_WEBHOOK] = {add_webhook, NULL},
    [RECORD_NOTICE] = {add_notice, NULL},
    [RECORD_LOST] = {add_lost, add_lost},
};

struct effects *effects_new(void)
{
    struct effects *e = xcalloc(1, sizeof *e);

    e->members = members_new();
    e->day = xcalloc(1, sizeof *e->day);
    e->began_on = xcalloc(1, sizeof *e->began_on);
    return e;
}

void effects_free(struct effects *e)
{
    if (!e)
        return;
    members_free(e->members);
    free(e->day);
    free(e->began_on);
    free(e);
}

void effects_read(struct effects *e, const struct record_head *head, struct span line, uint32_t crc,
                  int64_t recent_since)
{
    e->is_record = members_read(e->members, line);
    e->head = head;
    e->line = line;
    e->crc = crc;
    e->recent_since = recent_since;
}

void effects_add(struct effects *e, struct batch *b)
{
    enum partition_side side = b->partition.side;
    struct record_cursor at = {e->head->place.n[side], e->crc};
    add_record *add = adders[e->head->kind][side];

    batch_past(b, past_ms(e));
    if (e->is_record && add && add(e, b, at))
        return;
    batch_record(b, at, "suspend", e->line, 0, 1);
    batch_field_text(b, UNREADABLE);
}

/* What has no time of its own is recent for ever. */
static int64_t past_ms(const struct effects *e)
{
    enum path path = e->head->kind == RECORD_CALL ? P_ENDED_AT : P_AT;
    int64_t when;

    if (!e->recent_since || !e->is_record || !member_time(e->members, path, &when) ||
        when >= e->recent_since)
        return 0;
    return when / NANOS_PER_MS;
}

static bool add_resolve(const struct effects *e, struct batch *b, struct record_cursor at)
{
    static const char *const ways[] = {"dropped", "booked", NULL};
    const char *entry, *as, *detail;

    if (!member_text(e->members, P_ENTRY, &entry) || !member_word(e->members, P_AS, ways, &as) ||
        !member_text(e->members, P_DETAIL, &detail))
        return false;
    batch_record(b, at, "resolve", e->line, 0, 3);
    batch_field_text(b, entry);
    batch_field_text(b, as);
    batch_field_text(b, detail);
    return true;
}

/* It moves the cursor, and nothing else. */
static bool add_lost(const struct effects *e, struct batch *b, struct record_cursor at)
{
    batch_record(b, at, "lost", e->line, 0, 0);
    return true;
}

static bool add_call(const struct effects *e, struct batch *b, struct record_cursor at)
{
    const char *account, *key, *request, *currency, *period, *model, *day;
    int64_t nanos, tokens;
    struct claim_words claim;
    char name[SPENT_TEXT];

    if (!member_id(e->members, P_ACCOUNT, &account) || !first_key(e, &key) ||
        !member_id(e->members, P_REQUEST_ID, &request) ||
        !member_id(e->members, P_CURRENCY, &currency) ||
        !member_id(e->members, P_PERIOD, &period) || !member_amount(e->members, P_AMOUNT, &nanos) ||
        !member_tokens(e->members, P_UNITS, &tokens) || !claim_words(e, &claim) ||
        !member_text(e->members, P_MODEL, &model) || !began_on(e, &day))
        return false;
    batch_record(b, at, claim.is_there ? "claimed_call" : "call", e->line,
                 9 + (claim.is_there ? CLAIM_KEYS : 0), 7 + (claim.is_there ? CLAIM_FIELDS : 0));
    batch_key(b, "account", account);
    batch_key(b, "holds", account);
    batch_key(b, "debits", period);
    batch_key(b, "events", account);
    batch_key(b, "index", account);
    batch_key(b, "rate", account);
    batch_key(b, "rate:key", key);
    batch_key(b, "spent", spent_day_name(account, day, currency, name));
    batch_key(b, "spent", spent_month_name(account, day, currency, name));
    batch_field_text(b, account);
    batch_field_text(b, request);
    batch_field_text(b, currency);
    batch_field_int(b, nanos);
    batch_field_int(b, tokens);
    batch_field_text(b, key);
    batch_field_text(b, model);
    if (claim.is_there) {
        claim.account = account;
        add_claim(b, &claim);
    }
    return true;
}

/* By which the call counts in rates and budgets. */
static bool first_key(const struct effects *e, const char **out)
{
    bool is_rotated = !member_is_absent(e->members, P_FIRST_KEY);

    return member_id(e->members, P_KEY, out) &&
           (!is_rotated || member_id(e->members, P_FIRST_KEY, out));
}

/* On whose day and in whose month it counts. */
static bool began_on(const struct effects *e, const char **out)
{
    int64_t started;

    if (!member_time(e->members, P_STARTED_AT, &started))
        return false;
    if (!member_is_absent(e->members, P_BEGAN_ON))
        return member_text(e->members, P_BEGAN_ON, out) &&
               began_on_is_valid(span_of(*out), started);
    *out = known_day_of(e->began_on, started);
    return true;
}

/* CLAIM_KEYS and CLAIM_FIELDS, behind those of the call. */
static void add_claim(struct batch *b, const struct claim_words *words)
{
    bool is_answered = strcmp(words->outcome, outcome_name(OUTCOME_COMPLETE)) == 0;
    int64_t left_ms = claim_left_ms(words->ends_ms);
    char name[CLAIM_NAME];

    batch_key(b, "idem", claim_name(words->account, words->key, name));
    batch_field_text(b, is_answered ? "answered" : "failed");
    batch_field_text(b, words->body);
    batch_field_int(b, words->ends_ms);
    batch_field_int(b, left_ms > 0 ? left_ms : 0);
}

static bool add_earning(const struct effects *e, struct batch *b, struct record_cursor at)
{
    char bytes[GROSS_TEXT];
    struct buf field = {.data = bytes, .cap = sizeof bytes, .max = sizeof bytes - 1};
    const char *period, *model;
    int64_t nanos;

    if (!member_id(e->members, P_PERIOD, &period) || !member_amount(e->members, P_AMOUNT, &nanos) ||
        !member_text(e->members, P_MODEL, &model) || !gross_field(e, &field))
        return false;
    batch_record(b, at, "call", e->line, 2, 2);
    batch_key(b, "gross", period);
    batch_key(b, "calls", model);
    batch_field(b, buf_span(&field));
    batch_field_int(b, nanos);
    return true;
}

static bool add_account(const struct effects *e, struct batch *b, struct record_cursor at)
{
    const char *account;
    struct setting setting;

    if (!member_id(e->members, P_ACCOUNT, &account) ||
        !setting_read(e->members, RECORD_ACCOUNT, &setting))
        return false;
    batch_record(b, at, "account", e->line, 2, 1 + SETTING_FIELDS);
    batch_key(b, "account", account);
    batch_key(b, "terms:account", account);
    batch_field_text(b, account);
    add_setting(b, &setting);
    batch_change(b, "account", account);
    return true;
}

static bool add_key(const struct effects *e, struct batch *b, struct record_cursor at)
{
    bool is_rotation = !member_is_absent(e->members, P_REPLACES);
    const char *key, *replaced;
    struct setting setting, of_replaced;

    if (!member_id(e->members, P_KEY, &key) || !setting_read(e->members, RECORD_KEY, &setting) ||
        (is_rotation && (!member_id(e->members, P_REPLACES, &replaced) ||
                         !setting_read_replaced(e->members, &of_replaced))))
        return false;
    batch_record(b, at, "key", e->line, is_rotation ? 4 : 2,
                 is_rotation ? 2 * SETTING_FIELDS : SETTING_FIELDS);
    add_key_setting(b, key, &setting);
    if (is_rotation)
        add_key_setting(b, replaced, &of_replaced);
    return true;
}

/* Its fields stand behind those of the record, and so do the keys of the other one, if there is one. */
static void add_key_setting(struct batch *b, const char *key, const struct setting *s)
{
    batch_key(b, "key", key);
    batch_key(b, "terms:key", key);
    add_setting(b, s);
    batch_change(b, "key", key);
}

/* SETTING_FIELDS. */
static void add_setting(struct batch *b, const struct setting *s)
{
    batch_field_text(b, setting_form_name(s->form));
    batch_field_text(b, s->op);
    batch_field_int(b, s->revision);
    batch_field_int(b, s->at);
    batch_field_text(b, s->values);
}

static bool add_funds(const struct effects *e, struct batch *b, struct record_cursor at)
{
    struct funds_words words;

    if (!read_funds(e, &words))
        return false;
    add_funds_words(e, b, at, &words, 0);
    return true;
}

static bool add_grant(const struct effects *e, struct batch *b, struct record_cursor at)
{
    struct funds_words words;
    int64_t expires, spent;

    if (!read_funds(e, &words) || !member_time(e->members, P_EXPIRES_AT, &expires) ||
        !member_amount(e->members, P_SPENT, &spent) || expires < NANOS_PER_MS || spent < 0)
        return false;
    add_funds_words(e, b, at, &words, 2);
    batch_field_int(b, expires);
    batch_field_int(b, spent);
    return true;
}

static bool add_expiry(const struct effects *e, struct batch *b, struct record_cursor at)
{
    struct funds_words words;
    int64_t spent, taken, left;

    if (!read_funds(e, &words) || !member_amount(e->members, P_SPENT, &spent) ||
        !member_amount(e->members, P_TAKEN, &taken) || !member_amount(e->members, P_LEFT, &left) ||
        spent < 0)
        return false;
    add_funds_words(e, b, at, &words, 3);
    batch_field_int(b, spent);
    batch_field_int(b, taken);
    batch_field_int(b, left);
    return true;
}

static bool read_funds(const struct effects *e, struct funds_words *out)
{
    return member_id(e->members, P_ACCOUNT, &out->account) &&
           member_id(e->members, P_OP, &out->op) &&
           member_id(e->members, P_CURRENCY, &out->currency) &&
           member_amount(e->members, P_AMOUNT, &out->nanos) &&
           member_time(e->members, P_AT, &out->when) &&
           member_id(e->members, P_PERIOD, &out->period);
}

/* The keys and the first fields, `more` of which follow. */
static void add_funds_words(const struct effects *e, struct batch *b, struct record_cursor at,
                            const struct funds_words *words, unsigned more)
{
    batch_record(b, at, record_kind_name(e->head->kind), e->line, 4, 6 + more);
    batch_key(b, "account", words->account);
    batch_key(b, "booked", NULL);
    batch_key(b, "grants", words->account);
    batch_key(b, "expiring", NULL);
    batch_field_text(b, words->account);
    batch_field_text(b, words->op);
    batch_field_text(b, words->currency);
    batch_field_int(b, words->nanos);
    batch_field_int(b, words->when);
    batch_field_text(b, words->period);
}

static bool add_catalogue(const struct effects *e, struct batch *b, struct record_cursor at)
{
    const char *object, *name;
    struct span body;
    char field[OBJECT_TEXT];
    int64_t revision;

    if (!member_id(e->members, P_OBJECT, &object) || !member_text(e->members, P_ID, &name) ||
        !member_count(e->members, P_REVISION, &revision) ||
        !member_value(e->members, P_BODY, &body))
        return false;
    snprintf(field, sizeof field, "%s/%s", object, name);
    batch_record(b, at, "catalogue", e->line, 0, 3);
    batch_field_text(b, field);
    batch_field_int(b, revision);
    batch_field(b, body);
    batch_change(b, "catalogue", field);
    return true;
}

static bool read_refund(const struct effects *e, struct refund_words *out)
{
    return member_id(e->members, P_REQUEST_ID, &out->request) &&
           member_id(e->members, P_OP, &out->op) && member_id(e->members, P_PERIOD, &out->period) &&
           member_time(e->members, P_AT, &out->when) &&
           member_amount(e->members, P_AMOUNT, &out->nanos) &&
           member_amount(e->members, P_CHARGED, &out->charged) && out->nanos > 0 &&
           out->charged > 0;
}

static void add_refund_words(struct batch *b, const struct refund_words *words, const char *sum)
{
    batch_field_text(b, words->request);
    batch_field_text(b, words->op);
    batch_field_text(b, words->period);
    batch_field_int(b, words->when);
    batch_field_int(b, words->nanos);
    batch_field_int(b, words->charged);
    batch_field_text(b, sum);
}

static bool add_refund(const struct effects *e, struct batch *b, struct record_cursor at)
{
    char sum[2 * ID_TEXT];
    struct refund_words words;
    const char *account, *currency;

    if (!read_refund(e, &words) || !member_id(e->members, P_ACCOUNT, &account) ||
        !member_id(e->members, P_CURRENCY, &currency))
        return false;
    snprintf(sum, sizeof sum, "%s %s", account, currency);
    batch_record(b, at, "refund", e->line, 3, 9);
    batch_key(b, "refunds", words.request);
    batch_key(b, "refunded", NULL);
    batch_key(b, "account", account);
    add_refund_words(b, &words, sum);
    batch_field_text(b, account);
    batch_field_text(b, currency);
    return true;
}

/* What the model's owners return. */
static bool add_return(const struct effects *e, struct batch *b, struct record_cursor at)
{
    char bytes[GROSS_TEXT];
    struct buf sum = {.data = bytes, .cap = sizeof bytes, .max = sizeof bytes - 1};
    struct refund_words words;

    if (!read_refund(e, &words) || !returned_field(e, &sum))
        return false;
    batch_record(b, at, "refund", e->line, 2, 7);
    batch_key(b, "refunds", words.request);
    batch_key(b, "refunded", NULL);
    add_refund_words(b, &words, sum.data);
    return true;
}

static bool add_webhook(const struct effects *e, struct batch *b, struct record_cursor at)
{
    static const char *const ways[] = {"made", "ended", NULL};

    return add_first(e, b, at, &(struct first){"webhooks", NULL, ways});
}

static bool add_notice(const struct effects *e, struct batch *b, struct record_cursor at)
{
    static const char *const ways[] = {"raised", "done", NULL};
    const char *account, *period;
    char place[NOTICES_TEXT];

    if (!member_id(e->members, P_ACCOUNT, &account) || !member_id(e->members, P_PERIOD, &period))
        return false;
    return add_first(e, b, at,
                     &(struct first){"notices", notices_name(account, period, place), ways});
}

/* The body stands there as it does in the record. */
static bool add_first(const struct effects *e, struct batch *b, struct record_cursor at,
                      const struct first *f)
{
    const char *as, *id;
    char name[NAME_TEXT];
    struct span body;
    int64_t when;

    if (!member_word(e->members, P_AS, f->ways, &as) || !member_id(e->members, P_ID, &id) ||
        !member_time(e->members, P_AT, &when) || !member_value(e->members, P_BODY, &body))
        return false;
    snprintf(name, sizeof name, "%s %s", as, id);
    batch_record(b, at, "first", e->line, 1, 3);
    batch_key(b, f->what, f->place);
    batch_field_text(b, name);
    batch_field_int(b, when);
    batch_field(b, body);
    return true;
}

static bool claim_words(const struct effects *e, struct claim_words *out)
{
    int64_t started;

    *out = (struct claim_words){.is_there = !member_is_absent(e->members, P_IDEM_KEY)};
    if (!out->is_there)
        return true;
    if (!member_id(e->members, P_IDEM_KEY, &out->key) ||
        !member_id(e->members, P_IDEM_BODY, &out->body) || strlen(out->key) != DIGEST_TEXT - 1 ||
        !member_id(e->members, P_OUTCOME, &out->outcome) ||
        !member_time(e->members, P_STARTED_AT, &started))
        return false;
    out->ends_ms = claim_ends_ms(started);
    return true;
}

/* "model day currency contract share_bp owners". */
static bool gross_field(const struct effects *e, struct buf *out)
{
    const char *model;
    int64_t ended;

    if (!member_text(e->members, P_MODEL, &model) || !member_time(e->members, P_ENDED_AT, &ended))
        return false;
    add_word(out, span_of(model));
    add_word(out, span_of(known_day_of(e->day, ended)));
    return add_terms(e, out);
}

/* "orig_period model currency contract share_bp owners". */
static bool returned_field(const struct effects *e, struct buf *out)
{
    const char *model, *orig_period;

    if (!member_text(e->members, P_MODEL, &model) ||
        !member_id(e->members, P_ORIG_PERIOD, &orig_period))
        return false;
    add_word(out, span_of(orig_period));
    add_word(out, span_of(model));
    return add_terms(e, out);
}

static void add_word(struct buf *out, struct span word)
{
    buf_add_span(out, word);
    buf_add_char(out, ' ');
}

/* "currency contract share_bp owners". */
static bool add_terms(const struct effects *e, struct buf *out)
{
    const char *currency, *contract;
    char digits[INT64_TEXT];
    int64_t share;

    if (!member_id(e->members, P_CURRENCY, &currency) ||
        !member_text(e->members, P_CONTRACT, &contract) ||
        !member_count(e->members, P_SHARE_BP, &share))
        return false;
    add_word(out, span_of(currency));
    add_word(out, span_of(contract));
    add_word(out, int64_text(share, digits));
    return member_owners(e->members, P_CREATORS, out) && !out->failed;
}
