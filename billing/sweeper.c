/* sweeper.c - one partition after another, a page of its accounts at a time, so that looking never crowds out calls.
 * What an earlier look saw is kept in Redis (sweep.lua), so a console that restarts goes on from there. */
#include "billing/sweeper.h"

#include <inttypes.h>
#include <stdio.h>

#include "billing/event.h"
#include "billing/partition_server.h"
#include "billing/scripts.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define PAGE        "64"
#define CURSOR_TEXT 24

struct sweeper {
    struct redis *redis;
    char *installation;
    int64_t look_ms;
    struct timer *timer;
    struct partition partition; /* where the look has come to */
    char cursor[CURSOR_TEXT];   /* of SSCAN; "0" when the partition's last page was read */
    size_t pending;
    uint64_t round, removed;
    struct ask *asks;
};

/* A command on its way. */
struct ask {
    struct sweeper *s; /* null: gone */
    struct ask *next, **link;
    uint64_t round;
    char account[ID_TEXT];
};

static int64_t wait_ms(const struct sweeper *s);
static void look(void *arg);
static void ask_page(struct sweeper *s);
static void on_page(void *arg, const struct redis_reply *reply, const struct err *err);
static void sweep(struct sweeper *s, const char *account);
static void on_swept(void *arg, const struct redis_reply *reply, const struct err *err);
static void note(struct sweeper *s, const char *account, const struct redis_reply *reply);
static void go_on(struct sweeper *s);
static void go_to_ready(struct sweeper *s);
static struct ask *ask_new(struct sweeper *s);
static struct sweeper *ask_end(struct ask *ask);

struct sweeper *sweeper_new(struct loop *loop, struct redis *redis,
                            const struct sweeper_config *config)
{
    struct sweeper *s = xcalloc(1, sizeof *s);

    s->redis = redis;
    s->installation = xstrdup(config->installation);
    s->look_ms = config->look_ms;
    s->timer = timer_new(loop, look, s);
    timer_start(s->timer, wait_ms(s));
    return s;
}

/* A little more than what the script asks for between two looks, so that no look comes a moment too soon for it. */
static int64_t wait_ms(const struct sweeper *s)
{
    return s->look_ms + s->look_ms / 50 + 1;
}

void sweeper_free(struct sweeper *s)
{
    if (!s)
        return;
    for (struct ask *ask = s->asks; ask; ask = ask->next)
        ask->s = NULL;
    timer_free(s->timer);
    free(s->installation);
    free(s);
}

uint64_t sweeper_removed(const struct sweeper *s)
{
    return s->removed;
}

/* A look that is not over by now, because Redis was away, ends here. */
static void look(void *arg)
{
    struct sweeper *s = arg;

    timer_start(s->timer, wait_ms(s));
    s->round++;
    s->pending = 0;
    s->partition = (struct partition){SIDE_ACCOUNT, 0};
    snprintf(s->cursor, sizeof s->cursor, "0");
    go_to_ready(s);
}

static void ask_page(struct sweeper *s)
{
    char key[PARTITION_KEY];
    const struct span command[] = {SPAN("SSCAN"), partition_key(s->partition, "held", NULL, key),
                                   span_of(s->cursor), SPAN("COUNT"), SPAN(PAGE)};

    s->pending++;
    redis_command(s->redis, command, ARRAY_LEN(command), on_page, ask_new(s));
}

/* [cursor, [account …]]. After a failure the look ends; the next one is soon. */
static void on_page(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct sweeper *s = ask_end(arg);
    const struct redis_reply *accounts;

    if (!s)
        return;
    s->pending--;
    if (err || redis_reply_type(reply) != REDIS_ARRAY || redis_reply_count(reply) != 2) {
        log_warn("sweep_failed", "%s", err ? err->text : "Redis does not list accounts with holds");
        return;
    }
    accounts = redis_reply_at(reply, 1);
    if (!span_copy(redis_reply_text(redis_reply_at(reply, 0)), s->cursor, sizeof s->cursor))
        return;
    for (size_t i = 0; i < redis_reply_count(accounts); i++) {
        char account[ID_TEXT];
        if (span_copy(redis_reply_text(redis_reply_at(accounts, i)), account, sizeof account))
            sweep(s, account);
    }
    go_on(s);
}

static void sweep(struct sweeper *s, const char *account)
{
    char keys[6][PARTITION_KEY], look_ms[CURSOR_TEXT];
    struct partition p = s->partition;
    struct ask *ask = ask_new(s);
    const struct span key[] = {
        partition_key(p, "state", NULL, keys[0]),    partition_key(p, "account", account, keys[1]),
        partition_key(p, "holds", account, keys[2]), partition_key(p, "looks", account, keys[3]),
        partition_key(p, "held", NULL, keys[4]),     partition_key(p, "swept", NULL, keys[5]),
    };

    snprintf(look_ms, sizeof look_ms, "%" PRId64, s->look_ms);
    snprintf(ask->account, sizeof ask->account, "%s", account);
    const struct span args[] = {span_of(s->installation), redis_arg_run_id, span_of(account),
                                span_of(look_ms)};
    const struct redis_eval eval = {script_get(SCRIPT_SWEEP), REDIS_WORDS(key), REDIS_WORDS(args)};
    s->pending++;
    redis_eval(s->redis, &eval, on_swept, ask);
}

static void on_swept(void *arg, const struct redis_reply *reply, const struct err *err)
{
    char account[ID_TEXT];
    memcpy(account, ((struct ask *)arg)->account, sizeof account);
    struct sweeper *s = ask_end(arg);

    if (!s)
        return;
    s->pending--;
    if (err || redis_reply_type(reply) != REDIS_ARRAY)
        log_warn("sweep_failed", "account %s: %s", account,
                 err ? err->text : "Redis refused to look at its holds");
    else
        note(s, account, reply);
    go_on(s);
}

/* {OK, request id, entry, …}. */
static void note(struct sweeper *s, const char *account, const struct redis_reply *reply)
{
    for (size_t i = 1; i + 1 < redis_reply_count(reply); i += 2) {
        s->removed++;
        log_warn(
            "hold_removed",
            "account %s: nobody renewed the hold of %.*s (amount writer ms: %.*s); what it held "
            "is free again, and if the call ended it will still be billed",
            account, SPAN_FMT(redis_reply_text(redis_reply_at(reply, i))),
            SPAN_FMT(redis_reply_text(redis_reply_at(reply, i + 1))));
    }
}

/* The next page, or the next partition, once all accounts of this page were swept. */
static void go_on(struct sweeper *s)
{
    if (s->pending > 0)
        return;
    if (strcmp(s->cursor, "0") == 0)
        s->partition.index++;
    go_to_ready(s);
}

/* A partition whose server is away has to wait for the next look. */
static void go_to_ready(struct sweeper *s)
{
    while (s->partition.index < PARTITIONS && !partition_is_ready(s->redis, s->partition)) {
        s->partition.index++;
        snprintf(s->cursor, sizeof s->cursor, "0");
    }
    if (s->partition.index < PARTITIONS)
        ask_page(s);
}

static struct ask *ask_new(struct sweeper *s)
{
    struct ask *ask = xcalloc(1, sizeof *ask);

    ask->s = s;
    ask->round = s->round;
    ask->next = s->asks;
    ask->link = &s->asks;
    if (ask->next)
        ask->next->link = &ask->next;
    s->asks = ask;
    return ask;
}

/* Frees it; the sweeper, or null when that is gone or has begun another look. */
static struct sweeper *ask_end(struct ask *ask)
{
    struct sweeper *s = ask->s;
    bool is_stale = !s || ask->round != s->round;

    if (s) {
        *ask->link = ask->next;
        if (ask->next)
            ask->next->link = ask->link;
    }
    free(ask);
    return is_stale ? NULL : s;
}
