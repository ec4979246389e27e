/* funds_admin.c - money that comes in or goes out of band, booked once per operation id. */
#include "gateway/funds_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "gateway/grant_expiry.h"
#include "gateway/operation.h"
#include "gateway/turn.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/* Money while it is looked at: its currency is the account's, and its operation id must not have been used for something
 * else. */
struct booking {
    struct turn *turn;
    struct funds funds;
};

/* What Redis keeps of an operation: "at writer n nanos currency kind period", and of a grant " expires" (nanos). */
enum entry_word { ENTRY_AT, ENTRY_NANOS = 3, ENTRY_KIND = 5, ENTRY_PERIOD = 6, ENTRY_EXPIRES = 7 };

static void funds_post(struct console *c, struct http_request *r, const struct route_match *match,
                       enum record_kind kind);
static bool read_account(const char *id, struct booking *b, struct err *err);
static bool read_body(const json_t *body, struct booking *b, struct err *err);
static bool read_grant(const json_t *body, struct funds *f, struct err *err);
static void start(struct console *c, struct http_request *r, const struct booking *wanted);
static void on_turn(void *arg);
static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static void look_up_operation(struct booking *b);
static void on_operation(void *arg, const struct redis_reply *reply, const struct err *err);
static bool may_begin(const struct booking *b, struct err *err);
static void post(struct booking *b);
static bool is_repetition(struct booking *b, struct span entry, struct err *err);
static struct span word_of(struct span entry, enum entry_word which);
static void reply_again(struct booking *b);

void credit_post(void *server, struct http_request *r, const struct route_match *match)
{
    funds_post(server, r, match, RECORD_CREDIT);
}

void grant_post(void *server, struct http_request *r, const struct route_match *match)
{
    funds_post(server, r, match, RECORD_GRANT);
}

void adjust_post(void *server, struct http_request *r, const struct route_match *match)
{
    funds_post(server, r, match, RECORD_ADJUST);
}

static void funds_post(struct console *c, struct http_request *r, const struct route_match *match,
                       enum record_kind kind)
{
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct booking b = {.funds.kind = kind};
    struct err err;

    if (!body)
        return;
    memcpy(b.funds.op, op, strlen(op) + 1); /* a valid one fits */
    if (!read_body(body, &b, &err) || !read_account(match->value[0], &b, &err))
        reply_err(r, &err);
    else
        start(c, r, &b);
}

static bool read_body(const json_t *body, struct booking *b, struct err *err)
{
    static const char *const members[] = {"amount", "reason", "op", NULL};
    static const char *const of_grant[] = {"amount", "reason", "op", "expires_at", NULL};
    struct funds *f = &b->funds;
    const char *reason = f->kind == RECORD_CREDIT  ? "top-up"
                         : f->kind == RECORD_GRANT ? "grant"
                                                   : "";

    if (!json_only_members(body, f->kind == RECORD_GRANT ? of_grant : members, "the change", err) ||
        !desk_amount(body, "amount", true, &f->amount.nanos, err) ||
        !json_get_string_or(body, "reason", &reason, "the change", err))
        return false;
    if (f->amount.nanos == 0)
        return err_set(err, ERR_INPUT, "'amount' must not be zero");
    if (f->kind == RECORD_GRANT && !read_grant(body, f, err))
        return false;
    return desk_reason(reason, f->reason, sizeof f->reason, err);
}

static bool read_grant(const json_t *body, struct funds *f, struct err *err)
{
    const char *expires;

    if (f->amount.nanos < 0)
        return err_set(err, ERR_INPUT, "'amount' must be above zero: a grant is given, not taken");
    if (!json_get_string(body, "expires_at", &expires, "the grant", err))
        return false;
    return clock_parse(span_of(expires), &f->expires_at, err) || err_context(err, "'expires_at'");
}

static bool read_account(const char *id, struct booking *b, struct err *err)
{
    return (id_is_valid(span_of(id)) &&
            span_copy(span_of(id), b->funds.account, sizeof b->funds.account)) ||
           err_set(err, ERR_NOT_FOUND, "there is no account '%.80s'", id);
}

static void start(struct console *c, struct http_request *r, const struct booking *wanted)
{
    static const struct turn_handlers handlers = {on_turn, free};
    struct booking *b = xcalloc(1, sizeof *b);

    *b = *wanted;
    turn_new(c, r, &(struct turn_ask){"account", b->funds.account, b->funds.op}, &handlers, b,
             &b->turn);
}

static void on_turn(void *arg)
{
    struct booking *b = arg;

    account_read(turn_console(b->turn)->ledger.redis, b->funds.account, on_account, b);
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct booking *b = arg;
    struct err absent;

    if (!err && !(found && state->opened)) {
        err_set(&absent, ERR_NOT_FOUND,
                "there is no account '%s'; open it with 'tollgate account create'",
                b->funds.account);
        err = &absent;
    }
    if (err) {
        turn_refuse(b->turn, err);
        return;
    }
    memcpy(b->funds.amount.currency, state->currency, sizeof b->funds.amount.currency);
    b->funds.spent = state->spent;
    look_up_operation(b);
}

static void look_up_operation(struct booking *b)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(b->funds.account));
    char key[PARTITION_KEY], field[ID_TEXT + OP_TEXT];
    struct span argv[] = {SPAN("HGET"), partition_key(p, "ops", NULL, key), {field, 0}};

    argv[2].len = (size_t)snprintf(field, sizeof field, "%s %s", b->funds.account, b->funds.op);
    redis_command(turn_console(b->turn)->ledger.redis, argv, ARRAY_LEN(argv), on_operation, b);
}

/* An operation that was booked already is answered, and never taken for another one. */
static void on_operation(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct booking *b = arg;
    bool is_new = !err && redis_reply_type(reply) == REDIS_NIL;
    struct err bad;

    if (!err && !(is_new ? may_begin(b, &bad) : is_repetition(b, redis_reply_text(reply), &bad)))
        err = &bad;
    if (err)
        turn_refuse(b->turn, err);
    else if (is_new && turn_request(b->turn))
        post(b);
    else
        reply_again(b);
}

/* What is repeated may have ended since; what is new must not have. */
static bool may_begin(const struct booking *b, struct err *err)
{
    return b->funds.kind != RECORD_GRANT ||
           b->funds.expires_at > journal_now(turn_console(b->turn)->ledger.journal) ||
           err_set(err, ERR_INPUT, "'expires_at' is not in the future");
}

static void post(struct booking *b)
{
    struct console *c = turn_console(b->turn);

    if (b->funds.kind == RECORD_GRANT && c->expiry)
        grant_expiry_expect(c->expiry, b->funds.expires_at);
    turn_post_funds(b->turn, &b->funds);
}

/* Takes over when it was booked. */
static bool is_repetition(struct booking *b, struct span entry, struct err *err)
{
    struct span kind = word_of(entry, ENTRY_KIND);
    char before[DECIMAL_TEXT];
    int64_t booked, expires = 0;

    if (!int64_parse(word_of(entry, ENTRY_NANOS), &booked) ||
        !int64_parse(word_of(entry, ENTRY_AT), &b->funds.at) ||
        !span_copy(word_of(entry, ENTRY_PERIOD), b->funds.period.text,
                   sizeof b->funds.period.text) ||
        (span_equal(kind, SPAN("grant")) && !int64_parse(word_of(entry, ENTRY_EXPIRES), &expires)))
        return err_set(err, ERR_CORRUPT, "what Redis holds of operation %s can't be read",
                       b->funds.op);
    return (booked == b->funds.amount.nanos && expires == b->funds.expires_at &&
            span_equal(kind, span_of(record_kind_name(b->funds.kind)))) ||
           err_set(err, ERR_EXISTS,
                   "operation %s was booked already, as %.*s with the amount %s%s; another change "
                   "needs another operation id",
                   b->funds.op, SPAN_FMT(kind), decimal_format(booked, before),
                   expires != b->funds.expires_at && expires && b->funds.expires_at
                       ? " and another end"
                       : "");
}

/* Empty when there are fewer. */
static struct span word_of(struct span entry, enum entry_word which)
{
    for (unsigned word = 0; entry.len > 0; word++) {
        const char *blank = memchr(entry.data, ' ', entry.len);
        size_t n = blank ? (size_t)(blank - entry.data) : entry.len;

        if (word == (unsigned)which)
            return (struct span){entry.data, n};
        n += blank != NULL;
        entry = (struct span){entry.data + n, entry.len - n};
    }
    return entry;
}

static void reply_again(struct booking *b)
{
    AUTO_CLEAR(buf) answer = {.max = FUNDS_BYTES_MAX + REPEATED_BYTES};
    struct jw w;

    jw_init(&w, &answer);
    funds_write(&b->funds, &w);
    operation_mark_repeated(&answer);
    turn_reply(b->turn, &answer);
}
