/* client_routes.c - look-ups by the account that the key belongs to, and by nothing else. */
#include "gateway/client_routes.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "gateway/console_state.h"
#include "gateway/service.h"
#include "gateway/usage_reply.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/* What was charged, on its way: the account says in which currency to look. */
struct debits {
    struct console *console;
    struct http_request *request;
    struct period period;
    char account[ID_TEXT], currency[CURRENCY_TEXT];
};

static struct http_request **slot_new(struct http_request *r);
static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err);
static void on_debits(void *arg, const struct redis_reply *reply, const struct err *err);
static bool read_debits(const struct redis_reply *reply, int64_t *nanos, int64_t *calls,
                        struct err *err);
static void write_usage(const struct debits *u, int64_t nanos, int64_t calls);
static void debits_end(struct debits *u, const struct err *err);
static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err);

void client_balance_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;

    (void)match;
    account_read(c->ledger.redis, request_caller(r)->holder.owner, on_account, slot_new(r));
}

/* Null once the request is over. */
static struct http_request **slot_new(struct http_request *r)
{
    struct http_request **slot = xcalloc(1, sizeof *slot);

    request_keep(r, slot);
    return slot;
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct http_request **slot = arg;

    if (*slot)
        balance_reply(*slot, found ? state : NULL, err);
    free(slot);
}

void client_usage_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct period period = period_of(clock_now());
    struct debits *u;
    char text[16] = "";
    struct err err;

    (void)match;
    if (query_get(http_request_query(r), "period", text, sizeof text) != QUERY_ABSENT &&
        !period_parse(span_of(text), &period, &err)) {
        reply_err(r, &err);
        return;
    }
    u = xcalloc(1, sizeof *u);
    u->console = server;
    u->period = period;
    snprintf(u->account, sizeof u->account, "%s", request_caller(r)->holder.owner);
    request_keep(r, &u->request);
    account_read(u->console->ledger.redis, u->account, on_owner, u);
}

static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err)
{
    struct debits *u = arg;
    char key[PARTITION_KEY], sum[ID_TEXT + CURRENCY_TEXT], count[sizeof sum + 6];
    struct span argv[4] = {SPAN("HMGET")};
    struct err absent;

    if (!err && !found) {
        err_set(&absent, ERR_NOT_FOUND, "This key's account is not open");
        err = &absent;
    }
    if (err || !u->request) {
        debits_end(u, err);
        return;
    }
    snprintf(u->currency, sizeof u->currency, "%s", state->currency);
    snprintf(sum, sizeof sum, "%s %s", u->account, u->currency);
    snprintf(count, sizeof count, "%s calls", sum);
    argv[1] = partition_key(partition_of(SIDE_ACCOUNT, span_of(u->account)), "debits",
                            u->period.text, key);
    argv[2] = span_of(sum);
    argv[3] = span_of(count);
    redis_command(u->console->ledger.redis, argv, ARRAY_LEN(argv), on_debits, u);
}

static void on_debits(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct debits *u = arg;
    int64_t nanos = 0, calls = 0;
    struct err bad;

    if (!err && !read_debits(reply, &nanos, &calls, &bad))
        err = &bad;
    if (!err && u->request)
        write_usage(u, nanos, calls);
    debits_end(u, err);
}

static bool read_debits(const struct redis_reply *reply, int64_t *nanos, int64_t *calls,
                        struct err *err)
{
    const struct redis_reply *sum = redis_reply_at(reply, 0), *count = redis_reply_at(reply, 1);

    if (redis_reply_type(reply) == REDIS_ERROR)
        return err_set(err, ERR_UNAVAILABLE, "Redis refused: %.*s",
                       SPAN_FMT(redis_reply_text(reply)));
    if (redis_reply_type(sum) == REDIS_NIL)
        return true;
    return (int64_parse(redis_reply_text(sum), nanos) &&
            int64_parse(redis_reply_text(count), calls)) ||
           err_set(err, ERR_CORRUPT, "Redis holds a sum that can't be read");
}

static void write_usage(const struct debits *u, int64_t nanos, int64_t calls)
{
    AUTO_CLEAR(buf) json = {.max = 4096};
    char text[DECIMAL_TEXT];
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "account", u->account);
    jw_string_member(&w, "period", u->period.text);
    jw_key(&w, "currencies");
    jw_array(&w);
    jw_object(&w);
    jw_string_member(&w, "currency", u->currency);
    jw_int_member(&w, "calls", calls);
    jw_string_member(&w, "amount", decimal_format(nanos, text));
    jw_object_end(&w);
    jw_array_end(&w);
    jw_object_end(&w);
    reply_built(u->request, &json);
}

static void debits_end(struct debits *u, const struct err *err)
{
    if (u->request && err)
        reply_err(u->request, err);
    free(u);
}

void client_calls_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct usage_page page;

    (void)match;
    if (usage_page_asked(r, &page))
        history_list(&c->history, request_caller(r)->holder.owner,
                     page.before[0] ? page.before : NULL, page.limit, on_page, slot_new(r));
}

static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err)
{
    struct http_request **slot = arg;

    if (*slot)
        usage_reply_page(*slot, lines, count, has_more, err);
    free(slot);
}
