/* credit_admin.c - money that comes in out of band, booked once per operation id. */
#include "gateway/credit_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "gateway/turn.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORD_MAX 4096

/* A credit while it is looked at: its currency is the account's, and its operation id must not have been used for another. */
struct credit {
    struct turn *turn;
    char account[ID_TEXT], currency[CURRENCY_TEXT], reason[REFUND_REASON_MAX + 1];
    int64_t nanos;
};

static bool read_credit(const json_t *body, struct credit *k, struct err *err);
static void start(struct console *c, struct http_request *r, const struct credit *wanted,
                  const char *op);
static void on_turn(void *arg);
static void on_credited_account(void *arg, bool found, const struct account_state *state,
                                const struct err *err);
static void look_up_operation(struct credit *k);
static void on_operation(void *arg, const struct redis_reply *reply, const struct err *err);
static bool is_repetition(const struct credit *k, struct span entry, struct err *err);
static bool amount_of_operation(struct span text, int64_t *nanos);
static void write_credit(const struct credit *k, struct buf *record);

void credit_post(void *server, struct http_request *r, const struct route_match *match)
{
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct credit k = {.nanos = 0};
    struct err err;

    if (!body)
        return;
    if (!read_credit(body, &k, &err) ||
        !((id_is_valid(span_of(match->value[0])) &&
           span_copy(span_of(match->value[0]), k.account, sizeof k.account)) ||
          err_set(&err, ERR_NOT_FOUND, "there is no account '%.80s'", match->value[0])))
        reply_err(r, &err);
    else
        start(server, r, &k, op);
}

static bool read_credit(const json_t *body, struct credit *k, struct err *err)
{
    static const char *const members[] = {"amount", "reason", "op", NULL};
    const char *reason = "top-up";

    if (!json_only_members(body, members, "the credit", err) ||
        !desk_amount(body, "amount", true, &k->nanos, err) ||
        !json_get_string_or(body, "reason", &reason, "the credit", err))
        return false;
    if (k->nanos == 0)
        return err_set(err, ERR_INPUT, "'amount' must not be zero");
    return desk_reason(reason, k->reason, sizeof k->reason, err);
}

static void start(struct console *c, struct http_request *r, const struct credit *wanted,
                  const char *op)
{
    static const struct turn_handlers handlers = {on_turn, free};
    struct credit *k = xcalloc(1, sizeof *k);

    *k = *wanted;
    turn_new(c, r, &(struct turn_ask){"account", k->account, op}, &handlers, k, &k->turn);
}

static void on_turn(void *arg)
{
    struct credit *k = arg;

    account_read(turn_console(k->turn)->ledger.redis, k->account, on_credited_account, k);
}

static void on_credited_account(void *arg, bool found, const struct account_state *state,
                                const struct err *err)
{
    struct credit *k = arg;
    struct err absent;

    if (!err && !(found && state->opened)) {
        err_set(&absent, ERR_NOT_FOUND,
                "there is no account '%s'; open it with 'tollgate account create'", k->account);
        err = &absent;
    }
    if (err) {
        turn_refuse(k->turn, err);
        return;
    }
    memcpy(k->currency, state->currency, sizeof k->currency);
    look_up_operation(k);
}

static void look_up_operation(struct credit *k)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(k->account));
    char key[PARTITION_KEY], field[ID_TEXT + OP_TEXT];
    struct span argv[] = {SPAN("HGET"), partition_key(p, "ops", NULL, key), {field, 0}};

    argv[2].len = (size_t)snprintf(field, sizeof field, "%s %s", k->account, turn_op(k->turn));
    redis_command(turn_console(k->turn)->ledger.redis, argv, ARRAY_LEN(argv), on_operation, k);
}

/* An operation that was booked already is answered, and never taken for another one. */
static void on_operation(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct credit *k = arg;
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    bool is_new = !err && redis_reply_type(reply) == REDIS_NIL;
    struct err bad;

    if (!err && !is_new && !is_repetition(k, redis_reply_text(reply), &bad))
        err = &bad;
    if (err) {
        turn_refuse(k->turn, err);
        return;
    }
    write_credit(k, &record);
    if (is_new && turn_request(k->turn))
        turn_post(k->turn,
                  &(struct journal_change){RECORD_CREDIT, buf_span(&record),
                                           partition_of(SIDE_ACCOUNT, span_of(k->account))},
                  buf_span(&record));
    else
        turn_reply(k->turn, &record);
}

static bool is_repetition(const struct credit *k, struct span entry, struct err *err)
{
    char before[DECIMAL_TEXT];
    int64_t booked;

    if (!amount_of_operation(entry, &booked))
        return err_set(err, ERR_CORRUPT, "what Redis holds of operation %s can't be read",
                       turn_op(k->turn));
    return booked == k->nanos ||
           err_set(err, ERR_EXISTS,
                   "operation %s was booked already, with the amount %s; another change needs "
                   "another operation id",
                   turn_op(k->turn), decimal_format(booked, before));
}

/* "at writer n nanos currency" */
static bool amount_of_operation(struct span text, int64_t *nanos)
{
    for (int word = 0; word < 3; word++) {
        const char *blank = memchr(text.data, ' ', text.len);

        if (!blank)
            return false;
        text = (struct span){blank + 1, text.len - (size_t)(blank + 1 - text.data)};
    }
    text.len = strcspn(text.data, " ");
    return int64_parse(text, nanos);
}

static void write_credit(const struct credit *k, struct buf *record)
{
    char amount[DECIMAL_TEXT];
    struct jw w;

    jw_init(&w, record);
    jw_object(&w);
    jw_string_member(&w, "account", k->account);
    jw_string_member(&w, "amount", decimal_format(k->nanos, amount));
    jw_string_member(&w, "currency", k->currency);
    jw_string_member(&w, "reason", k->reason);
    jw_time_member(&w, "at", journal_now(turn_console(k->turn)->ledger.journal));
    jw_string_member(&w, "op", turn_op(k->turn));
    jw_object_end(&w);
}
