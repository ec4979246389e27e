/* client_usage.c - one hash: what each model cost on each day; everything else is added up from that. */
#include "gateway/client_usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "billing/period.h"
#include "billing/spending.h"
#include "billing/sum_table.h"
#include "gateway/console_state.h"
#include "gateway/service.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define JSON_MAX (4 * 1024 * 1024)

/* On its way: the account says in which currency to look. */
struct usage_reading {
    struct console *console;
    struct http_request *request;
    struct period period;
    char account[ID_TEXT], currency[CURRENCY_TEXT];
};

/* The same money three times. */
struct usage_sums {
    struct sum all;
    struct sum_table *models, *days;
};

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static void on_spent(void *arg, const struct redis_reply *reply, const struct err *err);
static bool add_reply(struct usage_sums *sums, const struct redis_reply *reply,
                      struct err *err) MUST_USE;
static bool take_field(struct usage_sums *sums, struct span field, struct span value);
static void add(struct sum *sum, bool counts, int64_t n);
static void write_usage(const struct usage_reading *u, const struct usage_sums *sums,
                        struct buf *out);
static void write_sum(const struct sum *sum, struct jw *w);
static void write_table(const char *list, const char *label, struct sum_table *table, struct jw *w);
static void usage_end(struct usage_reading *u, const struct err *err);

void client_usage_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct period period = period_of(clock_now());
    struct usage_reading *u;
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
    account_read(u->console->ledger.redis, u->account, on_account, u);
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct usage_reading *u = arg;
    char key[PARTITION_KEY], name[SPENT_TEXT];
    struct span argv[2] = {SPAN("HGETALL")};
    struct err absent;

    if (!err && !found) {
        err_set(&absent, ERR_NOT_FOUND, "This key's account is not open");
        err = &absent;
    }
    if (err || !u->request) {
        usage_end(u, err);
        return;
    }
    snprintf(u->currency, sizeof u->currency, "%s", state->currency);
    argv[1] = partition_key(partition_of(SIDE_ACCOUNT, span_of(u->account)), "spent",
                            spent_name(u->account, u->period.text, u->currency, name), key);
    redis_command(u->console->ledger.redis, argv, ARRAY_LEN(argv), on_spent, u);
}

static void on_spent(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct usage_reading *u = arg;
    AUTO(sum_table) models = sum_table_new();
    AUTO(sum_table) days = sum_table_new();
    struct usage_sums sums = {.models = models, .days = days};
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};
    struct err room;

    err = redis_failure(reply, err, &room);
    if (!err && !add_reply(&sums, reply, &room))
        err = &room;
    if (!err && u->request) {
        write_usage(u, &sums, &json);
        reply_built(u->request, &json);
    }
    usage_end(u, err);
}

static bool add_reply(struct usage_sums *sums, const struct redis_reply *reply, struct err *err)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        struct span field = redis_reply_text(redis_reply_at(reply, i));

        if (!take_field(sums, field, redis_reply_text(redis_reply_at(reply, i + 1))))
            return err_set(err, ERR_CORRUPT, "Redis holds a sum that can't be read: %.*s",
                           (int)(field.len < 200 ? field.len : 200), field.data);
    }
    return true;
}

/* "2026-11-22 model:demo/echo", or that and " calls". What is of a month, an account or a key is a
 * sum of these. */
static bool take_field(struct usage_sums *sums, struct span field, struct span value)
{
    static const char of_model[] = " model:", of_calls[] = " calls";
    size_t ending = strlen(of_calls);
    struct span day = {field.data, DAY_TEXT - 1}, model = {field.data, 0};
    bool counts;
    int64_t n;

    if (field.len < day.len + strlen(of_model) ||
        memcmp(field.data + day.len, of_model, strlen(of_model)) != 0)
        return true;
    model.data = field.data + day.len + strlen(of_model);
    model.len = field.len - day.len - strlen(of_model);
    counts = model.len > ending && memcmp(model.data + model.len - ending, of_calls, ending) == 0;
    model.len -= counts ? ending : 0;
    if (!int64_parse(value, &n))
        return false;
    add(&sums->all, counts, n);
    add(sum_table_row(sums->models, model), counts, n);
    add(sum_table_row(sums->days, day), counts, n);
    return true;
}

static void add(struct sum *sum, bool counts, int64_t n)
{
    if (counts)
        sum->calls += n;
    else
        sum->nanos += n;
}

static void write_usage(const struct usage_reading *u, const struct usage_sums *sums,
                        struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "account", u->account);
    jw_string_member(&w, "period", u->period.text);
    jw_key(&w, "currencies");
    jw_array(&w);
    jw_object(&w);
    jw_string_member(&w, "currency", u->currency);
    write_sum(&sums->all, &w);
    write_table("models", "model", sums->models, &w);
    write_table("days", "day", sums->days, &w);
    jw_object_end(&w);
    jw_array_end(&w);
    jw_object_end(&w);
}

static void write_sum(const struct sum *sum, struct jw *w)
{
    char text[DECIMAL_TEXT];

    jw_int_member(w, "calls", sum->calls);
    jw_string_member(w, "amount", decimal_format(sum->nanos, text));
}

static void write_table(const char *list, const char *label, struct sum_table *table, struct jw *w)
{
    sum_table_sort(table);
    jw_key(w, list);
    jw_array(w);
    for (size_t i = 0; i < sum_table_count(table); i++) {
        jw_object(w);
        jw_string_member(w, label, sum_table_at(table, i)->name);
        write_sum(sum_table_at(table, i), w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void usage_end(struct usage_reading *u, const struct err *err)
{
    if (u->request && err)
        reply_err(u->request, err);
    free(u);
}
