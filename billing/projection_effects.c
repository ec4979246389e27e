/* projection_effects.c - records were checked when they were written and their bytes never change, so a member that is
 * missing or malformed here is a mistake of ours or of a newer version: nothing is guessed, the record is set aside. */
#include "billing/projection_effects.h"

#include <stdio.h>

#include "billing/claim.h"
#include "lib/base/clock.h"
#include "lib/base/jscan.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define UNREADABLE   "record-is-unreadable"
#define OWNERS_TEXT  (OWNERS_MAX * (ID_TEXT + 24))
#define GROSS_TEXT   (MODEL_TEXT + DAY_TEXT + CURRENCY_TEXT + VERSION_TEXT + 24 + OWNERS_TEXT)
#define CLAIM_KEYS   1
#define CLAIM_FIELDS 4
#define OBJECT_TEXT  (JSCAN_TEXT + 24)

enum path {
    P_ACCOUNT,
    P_REQUEST_ID,
    P_CURRENCY,
    P_AMOUNT,
    P_PERIOD,
    P_ENDED_AT,
    P_MODEL,
    P_CONTRACT,
    P_SHARE_BP,
    P_CREATORS,
    P_KEY,
    P_OWNER_KIND,
    P_OWNER,
    P_HASH,
    P_STATE,
    P_EXPIRES_AT,
    P_REVISION,
    P_AT,
    P_OP,
    P_MODE,
    P_CREDIT_LIMIT,
    P_CONCURRENCY,
    P_RPM,
    P_TPM,
    P_UNITS,
    P_OUTCOME,
    P_STARTED_AT,
    P_IDEM_KEY,
    P_IDEM_BODY,
    P_OBJECT,
    P_ID,
    P_BODY,
    P_CHARGED,
    P_ORIG_PERIOD,
    PATHS
};

static const char *const paths[PATHS] = {
    [P_ACCOUNT] = "account",
    [P_REQUEST_ID] = "request_id",
    [P_CURRENCY] = "currency",
    [P_AMOUNT] = "amount",
    [P_PERIOD] = "period",
    [P_ENDED_AT] = "ended_at",
    [P_MODEL] = "model",
    [P_CONTRACT] = "contract",
    [P_SHARE_BP] = "share_bp",
    [P_CREATORS] = "creators",
    [P_KEY] = "key",
    [P_OWNER_KIND] = "owner_kind",
    [P_OWNER] = "owner",
    [P_HASH] = "hash",
    [P_STATE] = "state",
    [P_EXPIRES_AT] = "expires_at",
    [P_REVISION] = "revision",
    [P_AT] = "at",
    [P_OP] = "op",
    [P_MODE] = "mode",
    [P_CREDIT_LIMIT] = "credit_limit",
    [P_CONCURRENCY] = "concurrency",
    [P_RPM] = "rpm",
    [P_TPM] = "tpm",
    [P_UNITS] = "units",
    [P_OUTCOME] = "outcome",
    [P_STARTED_AT] = "started_at",
    [P_IDEM_KEY] = "idempotency.key",
    [P_IDEM_BODY] = "idempotency.body",
    [P_OBJECT] = "object",
    [P_ID] = "id",
    [P_BODY] = "body",
    [P_CHARGED] = "charged",
    [P_ORIG_PERIOD] = "orig_period",
};

struct effects {
    struct jscan *scan;
    const struct record_head *head;
    struct span line;
    uint32_t crc;
    bool is_json;
    struct known_day *day; /* of the record read last, most often that of the next */
};

/* Members of a refund that both of its sides take. */
struct refund_words {
    const char *request, *op, *period;
    int64_t nanos, charged, when;
};

/* What a call that carried an idempotency key says of its claim. */
struct claim_words {
    bool is_there;
    const char *account, *key, *body, *outcome;
    int64_t ends_ms;
};

static bool add_call(const struct effects *e, struct batch *b, struct record_cursor at);
static void add_claim(struct batch *b, const struct claim_words *words);
static bool add_earning(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_account(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_key(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_credit(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_catalogue(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_refund(const struct effects *e, struct batch *b, struct record_cursor at);
static bool add_return(const struct effects *e, struct batch *b, struct record_cursor at);

static bool text(const struct effects *e, enum path path, const char **out);
static bool id(const struct effects *e, enum path path, const char **out);
static bool word(const struct effects *e, enum path path, const char *const *words,
                 const char **out);
static bool amount(const struct effects *e, enum path path, int64_t *out);
static bool amount_or_zero(const struct effects *e, enum path path, int64_t *out);
static bool count(const struct effects *e, enum path path, int64_t *out);
static bool count_or_zero(const struct effects *e, enum path path, int64_t *out);
static bool time_of(const struct effects *e, enum path path, int64_t *out);
static bool time_or_zero(const struct effects *e, enum path path, int64_t *out);
static bool claim_words(const struct effects *e, struct claim_words *out);
static bool is_absent(const struct effects *e, enum path path);
static bool tokens_used(const struct effects *e, int64_t *out);
static bool read_refund(const struct effects *e, struct refund_words *out);
static void add_refund_words(struct batch *b, const struct refund_words *words, const char *sum);
static bool gross_field(const struct effects *e, struct buf *out);
static bool returned_field(const struct effects *e, struct buf *out);
static void add_word(struct buf *out, struct span word);
static bool add_terms(const struct effects *e, struct buf *out);
static bool owners(const struct effects *e, struct buf *out);
static struct span take_up_to(struct span *rest, char end);
static struct span take_digits(struct span *rest);
static bool is_digits(struct span s);
static bool take(struct span *rest, const char *literal);

/* Adds nothing and answers false when a member is not as it must be. */
typedef bool add_record(const struct effects *e, struct batch *b, struct record_cursor at);

static add_record *const adders[RECORD_KINDS][SIDES] = {
    [RECORD_CALL] = {add_call, add_earning},
    [RECORD_ACCOUNT] = {add_account, NULL},
    [RECORD_KEY] = {add_key, NULL},
    [RECORD_CREDIT] = {add_credit, NULL},
    [RECORD_CATALOGUE] = {NULL, add_catalogue},
    [RECORD_REFUND] = {add_refund, add_return},
};

struct effects *effects_new(void)
{
    struct effects *e = xcalloc(1, sizeof *e);

    e->scan = jscan_new(paths, PATHS);
    e->day = xcalloc(1, sizeof *e->day);
    return e;
}

void effects_free(struct effects *e)
{
    if (!e)
        return;
    jscan_free(e->scan);
    free(e->day);
    free(e);
}

void effects_read(struct effects *e, const struct record_head *head, struct span line, uint32_t crc)
{
    jscan_reset(e->scan);
    e->is_json = jscan_feed(e->scan, line.data, line.len, NULL) == JSCAN_DONE;
    e->head = head;
    e->line = line;
    e->crc = crc;
}

void effects_add(struct effects *e, struct batch *b)
{
    enum partition_side side = b->partition.side;
    struct record_cursor at = {e->head->place.n[side], e->crc};
    add_record *add = adders[e->head->kind][side];

    if (e->is_json && add && add(e, b, at))
        return;
    batch_record(b, at, "suspend", e->line, 0, 1);
    batch_field_text(b, UNREADABLE);
}

static bool add_call(const struct effects *e, struct batch *b, struct record_cursor at)
{
    const char *account, *key, *request, *currency, *period;
    int64_t nanos, tokens;
    struct claim_words claim;

    if (!id(e, P_ACCOUNT, &account) || !id(e, P_KEY, &key) || !id(e, P_REQUEST_ID, &request) ||
        !id(e, P_CURRENCY, &currency) || !id(e, P_PERIOD, &period) ||
        !amount(e, P_AMOUNT, &nanos) || !tokens_used(e, &tokens) || !claim_words(e, &claim))
        return false;
    batch_record(b, at, claim.is_there ? "claimed_call" : "call", e->line,
                 7 + (claim.is_there ? CLAIM_KEYS : 0), 5 + (claim.is_there ? CLAIM_FIELDS : 0));
    batch_key(b, "account", account);
    batch_key(b, "holds", account);
    batch_key(b, "debits", period);
    batch_key(b, "events", account);
    batch_key(b, "index", account);
    batch_key(b, "rate", account);
    batch_key(b, "rate:key", key);
    batch_field_text(b, account);
    batch_field_text(b, request);
    batch_field_text(b, currency);
    batch_field_int(b, nanos);
    batch_field_int(b, tokens);
    if (claim.is_there) {
        claim.account = account;
        add_claim(b, &claim);
    }
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
    const char *period;
    int64_t nanos;

    if (!id(e, P_PERIOD, &period) || !amount(e, P_AMOUNT, &nanos) || !gross_field(e, &field))
        return false;
    batch_record(b, at, "call", e->line, 1, 2);
    batch_key(b, "gross", period);
    batch_field(b, buf_span(&field));
    batch_field_int(b, nanos);
    return true;
}

static bool add_account(const struct effects *e, struct batch *b, struct record_cursor at)
{
    static const char *const modes[] = {"prepaid", "postpaid", NULL};
    const char *account, *currency, *mode;
    int64_t limit, concurrency, rpm, tpm, revision, when;

    if (!id(e, P_ACCOUNT, &account) || !id(e, P_CURRENCY, &currency) ||
        !word(e, P_MODE, modes, &mode) || !amount_or_zero(e, P_CREDIT_LIMIT, &limit) ||
        !count_or_zero(e, P_CONCURRENCY, &concurrency) || !count_or_zero(e, P_RPM, &rpm) ||
        !count_or_zero(e, P_TPM, &tpm) || !count(e, P_REVISION, &revision) ||
        !time_of(e, P_AT, &when))
        return false;
    batch_record(b, at, "account", e->line, 1, 9);
    batch_key(b, "account", account);
    batch_field_text(b, account);
    batch_field_text(b, currency);
    batch_field_text(b, mode);
    batch_field_int(b, limit);
    batch_field_int(b, concurrency);
    batch_field_int(b, rpm);
    batch_field_int(b, tpm);
    batch_field_int(b, revision);
    batch_field_int(b, when);
    batch_change(b, "account", account);
    return true;
}

static bool add_key(const struct effects *e, struct batch *b, struct record_cursor at)
{
    static const char *const kinds[] = {"account", "creator", NULL};
    static const char *const states[] = {"active", "revoked", NULL};
    const char *key, *kind, *owner, *hash, *state;
    int64_t expires, rpm, tpm, revision, when;

    if (!id(e, P_KEY, &key) || !word(e, P_OWNER_KIND, kinds, &kind) || !id(e, P_OWNER, &owner) ||
        !id(e, P_HASH, &hash) || !word(e, P_STATE, states, &state) ||
        !time_or_zero(e, P_EXPIRES_AT, &expires) || !count_or_zero(e, P_RPM, &rpm) ||
        !count_or_zero(e, P_TPM, &tpm) || !count(e, P_REVISION, &revision) ||
        !time_of(e, P_AT, &when))
        return false;
    batch_record(b, at, "key", e->line, 1, 9);
    batch_key(b, "key", key);
    batch_field_text(b, kind);
    batch_field_text(b, owner);
    batch_field_text(b, hash);
    batch_field_text(b, state);
    batch_field_int(b, expires);
    batch_field_int(b, rpm);
    batch_field_int(b, tpm);
    batch_field_int(b, revision);
    batch_field_int(b, when);
    batch_change(b, "key", key);
    return true;
}

static bool add_credit(const struct effects *e, struct batch *b, struct record_cursor at)
{
    const char *account, *op, *currency;
    int64_t nanos, when;

    if (!id(e, P_ACCOUNT, &account) || !text(e, P_OP, &op) || !id(e, P_CURRENCY, &currency) ||
        !amount(e, P_AMOUNT, &nanos) || !time_of(e, P_AT, &when))
        return false;
    batch_record(b, at, "credit", e->line, 1, 5);
    batch_key(b, "account", account);
    batch_field_text(b, account);
    batch_field_text(b, op);
    batch_field_text(b, currency);
    batch_field_int(b, nanos);
    batch_field_int(b, when);
    return true;
}

static bool add_catalogue(const struct effects *e, struct batch *b, struct record_cursor at)
{
    const struct jscan_hit *body = jscan_get(e->scan, P_BODY);
    const char *object, *name;
    char field[OBJECT_TEXT];
    int64_t revision;

    if (!id(e, P_OBJECT, &object) || !text(e, P_ID, &name) || !count(e, P_REVISION, &revision) ||
        body->seen != 1)
        return false;
    snprintf(field, sizeof field, "%s/%s", object, name);
    batch_record(b, at, "catalogue", e->line, 0, 3);
    batch_field_text(b, field);
    batch_field_int(b, revision);
    batch_field(b, (struct span){e->line.data + body->start, (size_t)(body->end - body->start)});
    batch_change(b, "catalogue", field);
    return true;
}

static bool read_refund(const struct effects *e, struct refund_words *out)
{
    return id(e, P_REQUEST_ID, &out->request) && id(e, P_OP, &out->op) &&
           id(e, P_PERIOD, &out->period) && time_of(e, P_AT, &out->when) &&
           amount(e, P_AMOUNT, &out->nanos) && amount(e, P_CHARGED, &out->charged) &&
           out->nanos > 0 && out->charged > 0;
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

    if (!read_refund(e, &words) || !id(e, P_ACCOUNT, &account) || !id(e, P_CURRENCY, &currency))
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

/* A string without blanks, which part the fields of Redis's values, and short enough for a key. */
static bool text(const struct effects *e, enum path path, const char **out)
{
    const struct jscan_hit *hit = jscan_get(e->scan, path);

    if (hit->seen != 1 || hit->type != JSCAN_STRING || hit->text_cut || !hit->text_len)
        return false;
    for (size_t i = 0; i < hit->text_len; i++)
        if ((unsigned char)hit->text[i] <= ' ')
            return false;
    *out = hit->text;
    return true;
}

static bool id(const struct effects *e, enum path path, const char **out)
{
    return id_is_valid(
               (struct span){jscan_get(e->scan, path)->text, jscan_get(e->scan, path)->text_len}) &&
           text(e, path, out);
}

static bool word(const struct effects *e, enum path path, const char *const *words,
                 const char **out)
{
    const char *found;

    if (!text(e, path, &found))
        return false;
    for (; *words; words++) {
        if (strcmp(*words, found) == 0) {
            *out = *words;
            return true;
        }
    }
    return false;
}

static bool amount(const struct effects *e, enum path path, int64_t *out)
{
    const char *decimal;

    return text(e, path, &decimal) && decimal_parse(span_of(decimal), out, NULL);
}

static bool amount_or_zero(const struct effects *e, enum path path, int64_t *out)
{
    *out = 0;
    return is_absent(e, path) || (amount(e, path, out) && *out >= 0);
}

static bool count(const struct effects *e, enum path path, int64_t *out)
{
    const struct jscan_hit *hit = jscan_get(e->scan, path);

    return hit->seen == 1 && jscan_int(hit, out) && *out >= 0;
}

static bool count_or_zero(const struct effects *e, enum path path, int64_t *out)
{
    *out = 0;
    return is_absent(e, path) || count(e, path, out);
}

static bool time_of(const struct effects *e, enum path path, int64_t *out)
{
    const char *when;

    return text(e, path, &when) && clock_parse(span_of(when), out, NULL) && *out >= 0;
}

static bool time_or_zero(const struct effects *e, enum path path, int64_t *out)
{
    *out = 0;
    return is_absent(e, path) || time_of(e, path, out);
}

static bool is_absent(const struct effects *e, enum path path)
{
    const struct jscan_hit *hit = jscan_get(e->scan, path);

    return hit->seen == 0 || (hit->seen == 1 && hit->type == JSCAN_NULL);
}

static bool claim_words(const struct effects *e, struct claim_words *out)
{
    int64_t started;

    *out = (struct claim_words){.is_there = !is_absent(e, P_IDEM_KEY)};
    if (!out->is_there)
        return true;
    if (!id(e, P_IDEM_KEY, &out->key) || !id(e, P_IDEM_BODY, &out->body) ||
        strlen(out->key) != DIGEST_TEXT - 1 || !id(e, P_OUTCOME, &out->outcome) ||
        !time_of(e, P_STARTED_AT, &started))
        return false;
    out->ends_ms = claim_ends_ms(started);
    return true;
}

/* {"input_tokens":12,…}, spelled as event_write() spells it: the sum of what is counted in tokens, none larger than
 * what a rate can hold. */
static bool tokens_used(const struct effects *e, int64_t *out)
{
    const struct jscan_hit *hit = jscan_get(e->scan, P_UNITS);
    struct span rest = {e->line.data + hit->start, (size_t)(hit->end - hit->start)};
    int64_t sum = 0;

    if (hit->seen != 1 || hit->type != JSCAN_OBJECT || !take(&rest, "{"))
        return false;
    while (take(&rest, "\"")) {
        const struct unit *unit = unit_find(take_up_to(&rest, '"'));
        uint64_t n;

        if (!take(&rest, "\":") || !digits_parse(take_digits(&rest), INT64_MAX, &n))
            return false;
        if (unit && unit_is_token(unit))
            sum += n < TOKENS_MAX ? (int64_t)n : TOKENS_MAX;
        (void)take(&rest, ",");
    }
    *out = sum < TOKENS_MAX ? sum : TOKENS_MAX;
    return take(&rest, "}");
}

static struct span take_digits(struct span *rest)
{
    size_t n = 0;

    while (n < rest->len && rest->data[n] >= '0' && rest->data[n] <= '9')
        n++;
    struct span taken = {rest->data, n};
    *rest = (struct span){rest->data + n, rest->len - n};
    return taken;
}

/* "model day currency contract share_bp owners". */
static bool gross_field(const struct effects *e, struct buf *out)
{
    const char *model;
    int64_t ended;

    if (!text(e, P_MODEL, &model) || !time_of(e, P_ENDED_AT, &ended))
        return false;
    add_word(out, span_of(model));
    add_word(out, span_of(known_day_of(e->day, ended)));
    return add_terms(e, out);
}

/* "orig_period model currency contract share_bp owners". */
static bool returned_field(const struct effects *e, struct buf *out)
{
    const char *model, *orig_period;

    if (!text(e, P_MODEL, &model) || !id(e, P_ORIG_PERIOD, &orig_period))
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

    if (!id(e, P_CURRENCY, &currency) || !text(e, P_CONTRACT, &contract) ||
        !count(e, P_SHARE_BP, &share))
        return false;
    add_word(out, span_of(currency));
    add_word(out, span_of(contract));
    add_word(out, int64_text(share, digits));
    return owners(e, out) && !out->failed;
}

/* [{"id":"a","weight":1},…], spelled as event_write() spells it, becomes a:1,… */
static bool owners(const struct effects *e, struct buf *out)
{
    const struct jscan_hit *hit = jscan_get(e->scan, P_CREATORS);
    struct span rest = {e->line.data + hit->start, (size_t)(hit->end - hit->start)};
    struct span owner, digits;

    if (hit->seen != 1 || hit->type != JSCAN_ARRAY || !take(&rest, "["))
        return false;
    for (;;) {
        if (!take(&rest, "{\"id\":\""))
            return false;
        owner = take_up_to(&rest, '"');
        if (!id_is_valid(owner) || !take(&rest, "\",\"weight\":"))
            return false;
        digits = take_up_to(&rest, '}');
        if (!is_digits(digits) || !take(&rest, "}"))
            return false;
        buf_add_span(out, owner);
        buf_add_char(out, ':');
        buf_add_span(out, digits);
        if (!take(&rest, ","))
            return rest.len == 1;
        buf_add_char(out, ',');
    }
}

static struct span take_up_to(struct span *rest, char end)
{
    const char *found = memchr(rest->data, end, rest->len);
    size_t n = found ? (size_t)(found - rest->data) : rest->len;
    struct span taken = {rest->data, n};

    *rest = (struct span){rest->data + n, rest->len - n};
    return taken;
}

static bool is_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return s.len > 0;
}

static bool take(struct span *rest, const char *literal)
{
    struct span prefix = span_of(literal);

    if (!span_starts(*rest, prefix))
        return false;
    *rest = (struct span){rest->data + prefix.len, rest->len - prefix.len};
    return true;
}
