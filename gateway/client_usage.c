/* client_usage.c - a hash a day: what each model cost on it; everything else is added up from these. */
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

#define DAYS_MOST 31

/* The same money three times. */
struct usage_sums {
    struct sum all;
    struct sum_table *models, *days;
};

/* One of a month's days, which may be none of its own: there is nothing on it then. */
struct usage_day {
    struct usage_reading *usage;
    char text[DAY_TEXT];
};

/* On its way: the account says in which currency to look, and then each day what was spent on it. */
struct usage_reading {
    struct console *console;
    struct http_request *request;
    struct period period; /* "": that which runs in the account's zone */
    char account[ID_TEXT], currency[CURRENCY_TEXT];
    struct usage_day day[DAYS_MOST];
    size_t waiting;
    struct usage_sums sums;
    struct err err;
    bool failed;
};

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static bool find_period(struct usage_reading *u, const char *name, struct err *err) MUST_USE;
static void read_day(struct usage_reading *u, struct usage_day *day, size_t number);
static void on_day(void *arg, const struct redis_reply *reply, const struct err *err);
static bool add_day(struct usage_sums *sums, const char *day, const struct redis_reply *reply,
                    struct err *err) MUST_USE;
static bool add_field(struct usage_sums *sums, const char *day, struct span field,
                      struct span value);
static bool is_of(struct span *field, const char *what);
static void add(struct sum *sum, bool counts, int64_t n);
static void answer(struct usage_reading *u);
static void write_usage(const struct usage_reading *u, struct buf *out);
static void write_sum(const struct sum *sum, struct jw *w);
static void write_table(const char *list, const char *label, struct sum_table *table, struct jw *w);
static void usage_end(struct usage_reading *u, const struct err *err);

void client_usage_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct period period = {""};
    struct usage_reading *u;
    char text[16] = "";
    struct err err;

    (void)match;
    if (query_get(http_request_query(r), "period", text, sizeof text) != QUERY_ABSENT &&
        !period_parse(span_of(text), &period, &err)) {
        reply_bad_field(r, "period", "'period': %s", err.text);
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
    struct err wrong;

    if (!err && !found) {
        err_set(&wrong, ERR_NOT_FOUND, "This key's account is not open");
        err = &wrong;
    }
    if (!err && !u->period.text[0] && !find_period(u, state->zone, &wrong))
        err = &wrong;
    if (err || !u->request) {
        usage_end(u, err);
        return;
    }
    snprintf(u->currency, sizeof u->currency, "%s", state->currency);
    u->sums.models = sum_table_new();
    u->sums.days = sum_table_new();
    u->waiting = DAYS_MOST;
    for (size_t i = 0; i < DAYS_MOST; i++)
        read_day(u, &u->day[i], i + 1);
}

static bool find_period(struct usage_reading *u, const char *name, struct err *err)
{
    const struct zone *zone;
    char day[DAY_TEXT];

    if (!zones_find(u->console->ledger.zones, name, &zone, err))
        return false;
    memcpy(u->period.text, day_in(zone, clock_now(), day), PERIOD_TEXT - 1);
    return true;
}

/* No answer comes inside this. */
static void read_day(struct usage_reading *u, struct usage_day *day, size_t number)
{
    char key[PARTITION_KEY], name[SPENT_TEXT];
    struct span argv[2] = {SPAN("HGETALL")};

    day->usage = u;
    snprintf(day->text, sizeof day->text, "%s-%02u", u->period.text, (unsigned)number % 100);
    argv[1] = partition_key(partition_of(SIDE_ACCOUNT, span_of(u->account)), "spent",
                            spent_day_name(u->account, day->text, u->currency, name), key);
    redis_command(u->console->ledger.redis, argv, ARRAY_LEN(argv), on_day, day);
}

static void on_day(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct usage_day *day = arg;
    struct usage_reading *u = day->usage;
    struct err room;

    err = redis_failure(reply, err, &room);
    if (!err && !add_day(&u->sums, day->text, reply, &room))
        err = &room;
    if (err && !u->failed)
        u->err = *err;
    u->failed = u->failed || err;
    if (--u->waiting == 0)
        answer(u);
}

static bool add_day(struct usage_sums *sums, const char *day, const struct redis_reply *reply,
                    struct err *err)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        struct span field = redis_reply_text(redis_reply_at(reply, i));

        if (!add_field(sums, day, field, redis_reply_text(redis_reply_at(reply, i + 1))))
            return err_set(err, ERR_CORRUPT, "Redis holds a sum that can't be read: %.*s",
                           (int)(field.len < 200 ? field.len : 200), field.data);
    }
    return true;
}

/* What is of the account or a key is a sum of these. */
static bool add_field(struct usage_sums *sums, const char *day, struct span field,
                      struct span value)
{
    bool counts = is_of(&field, "calls:");
    int64_t n;

    if (!counts && !is_of(&field, "model:"))
        return true;
    if (!int64_parse(value, &n))
        return false;
    add(&sums->all, counts, n);
    add(sum_table_row(sums->models, field), counts, n);
    add(sum_table_row(sums->days, span_of(day)), counts, n);
    return true;
}

/* Then the field goes on behind that. */
static bool is_of(struct span *field, const char *what)
{
    size_t n = strlen(what);

    if (field->len <= n || memcmp(field->data, what, n) != 0)
        return false;
    *field = (struct span){field->data + n, field->len - n};
    return true;
}

static void add(struct sum *sum, bool counts, int64_t n)
{
    if (counts)
        sum->calls += n;
    else
        sum->nanos += n;
}

static void answer(struct usage_reading *u)
{
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};

    if (!u->failed && u->request) {
        write_usage(u, &json);
        reply_built(u->request, &json);
    }
    usage_end(u, u->failed ? &u->err : NULL);
}

static void write_usage(const struct usage_reading *u, struct buf *out)
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
    write_sum(&u->sums.all, &w);
    write_table("models", "model", u->sums.models, &w);
    write_table("days", "day", u->sums.days, &w);
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
    sum_table_free(u->sums.models);
    sum_table_free(u->sums.days);
    free(u);
}
