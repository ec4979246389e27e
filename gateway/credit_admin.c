/* credit_admin.c - money that comes in out of band, booked once per operation id. */
#include "gateway/credit_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "gateway/desk.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORD_MAX 4096

/* A credit while it is looked at: its currency is the account's, and its operation id must not have been used for another. */
struct credit {
    struct console *console;
    struct http_request *request;
    char account[ID_TEXT], op[OP_TEXT], currency[CURRENCY_TEXT];
    char *reason;
    int64_t nanos;
    bool is_looked_up; /* the account is there; the operation id is being looked up */
};

static void on_credited_account(void *arg, bool found, const struct account_state *state,
                                const struct err *err);
static void look_up_operation(struct credit *k, const struct account_state *state);
static void on_operation(void *arg, const struct redis_reply *reply, const struct err *err);
static bool amount_of_operation(struct span text, int64_t *nanos);
static void write_credit(struct credit *k, struct buf *record);
static void credit_free(struct credit *k);

void credit_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"amount", "reason", "op", NULL};
    struct console *c = server;
    const char *op, *reason = "top-up";
    AUTO_JSON body = desk_body(c, r, &op);
    struct credit *k;
    int64_t nanos = 0;
    struct err err;

    if (!body)
        return;
    if (!json_only_members(body, members, "the credit", &err) ||
        !desk_amount(body, "amount", true, &nanos, &err) ||
        !json_get_string_or(body, "reason", &reason, "the credit", &err) ||
        !(nanos != 0 || err_set(&err, ERR_INPUT, "'amount' must not be zero")) ||
        !(strlen(reason) <= 200 ||
          err_set(&err, ERR_LIMIT, "'reason' may have at most 200 bytes")) ||
        !(id_is_valid(span_of(match->value[0])) ||
          err_set(&err, ERR_NOT_FOUND, "there is no account '%.80s'", match->value[0]))) {
        reply_err(r, &err);
        return;
    }
    k = xcalloc(1, sizeof *k);
    k->console = c;
    k->nanos = nanos;
    k->reason = xstrdup(reason);
    memcpy(k->account, match->value[0], strlen(match->value[0]) + 1);
    memcpy(k->op, op, strlen(op) + 1);
    request_keep(r, &k->request);
    account_read(c->ledger.redis, k->account, on_credited_account, k);
}

static void on_credited_account(void *arg, bool found, const struct account_state *state,
                                const struct err *err)
{
    struct credit *k = arg;

    if (k->request && err)
        reply_err(k->request, err);
    else if (k->request && (!found || !state->opened))
        reply_problem(k->request, CALLER_NOT_FOUND,
                      "There is no account '%s'; open it with 'tollgate account create'",
                      k->account);
    else if (k->request)
        look_up_operation(k, state);
    if (!k->is_looked_up)
        credit_free(k);
}

static void look_up_operation(struct credit *k, const struct account_state *state)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(k->account));
    char key[PARTITION_KEY], field[ID_TEXT + OP_TEXT];
    struct span argv[] = {SPAN("HGET"), partition_key(p, "ops", NULL, key), {field, 0}};

    argv[2].len = (size_t)snprintf(field, sizeof field, "%s %s", k->account, k->op);
    memcpy(k->currency, state->currency, sizeof k->currency);
    k->is_looked_up = true;
    redis_command(k->console->ledger.redis, argv, ARRAY_LEN(argv), on_operation, k);
}

/* An operation that was booked already is answered as it was, and never taken for another one. */
static void on_operation(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct credit *k = arg;
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    char before[DECIMAL_TEXT];
    int64_t booked;

    if (k->request && err) {
        reply_err(k->request, err);
    } else if (k->request && redis_reply_type(reply) == REDIS_NIL) {
        write_credit(k, &record);
        desk_post(k->console, k->request,
                  &(struct journal_change){RECORD_CREDIT, buf_span(&record),
                                           partition_of(SIDE_ACCOUNT, span_of(k->account))},
                  buf_span(&record));
    } else if (k->request && !amount_of_operation(redis_reply_text(reply), &booked)) {
        reply_problem(k->request, GATEWAY_INTERNAL,
                      "What Redis holds of operation %s can't be read", k->op);
    } else if (k->request && booked != k->nanos) {
        reply_problem(k->request, CALLER_CONFLICT,
                      "Operation %s was booked already, with the amount %s; another change needs "
                      "another operation id",
                      k->op, decimal_format(booked, before));
    } else if (k->request) {
        write_credit(k, &record);
        reply_built(k->request, &record);
    }
    credit_free(k);
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

static void credit_free(struct credit *k)
{
    free(k->reason);
    free(k);
}

static void write_credit(struct credit *k, struct buf *record)
{
    char amount[DECIMAL_TEXT];
    struct jw w;

    jw_init(&w, record);
    jw_object(&w);
    jw_string_member(&w, "account", k->account);
    jw_string_member(&w, "amount", decimal_format(k->nanos, amount));
    jw_string_member(&w, "currency", k->currency);
    jw_string_member(&w, "reason", k->reason);
    jw_time_member(&w, "at", journal_now(k->console->ledger.journal));
    jw_string_member(&w, "op", k->op);
    jw_object_end(&w);
}
