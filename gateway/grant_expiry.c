/* grant_expiry.c - a look asks each partition for a page of grants, those that end first; one that has ended is decided there,
 * then written. Some of those must wait, as long as a debt does, so the next look goes on behind a page of nothing else. */
#include "gateway/grant_expiry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/partition_server.h"
#include "billing/scripts.h"
#include "gateway/console_state.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LOOK_MS  60000 /* between two looks, at most */
#define AGAIN_MS 1000  /* after one that found what could not be done at once */
#define PAGE     16

/* Of one partition's grants, in the order in which they end. */
struct page {
    struct grant_expiry *e;
    int64_t first;
};

struct grant_expiry {
    struct console *console;
    struct timer *timer;
    int64_t wakes_at_ms; /* monotonic */
    size_t pending;      /* commands of this look on their way: each is answered */
    int64_t next_ms;     /* as far as this look knows, how long until the next grant ends */
    struct page pages[PARTITIONS];
};

/* A question about one grant. */
struct ask {
    struct grant_expiry *e;
    char account[ID_TEXT], op[ID_TEXT];
};

static void wake_in(struct grant_expiry *e, int64_t ms);
static void look(void *arg);
static bool may_look(const struct console *c);
static void look_at(struct grant_expiry *e, struct partition p);
static void on_listed(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_entry(struct grant_expiry *e, struct span member, struct span score);
static void expire(struct grant_expiry *e, const char *account, const char *op);
static void on_decided(void *arg, const struct redis_reply *reply, const struct err *err);
static bool read_decision(const struct ask *ask, const struct redis_reply *reply, struct funds *f);
static bool number_at(const struct redis_reply *reply, size_t i, int64_t *out);
static void write_record(struct grant_expiry *e, struct funds *f);
static void on_durable(void *arg);
static void asked(struct grant_expiry *e);

struct grant_expiry *grant_expiry_new(struct console *c)
{
    struct grant_expiry *e = xcalloc(1, sizeof *e);

    e->console = c;
    e->timer = timer_new(c->loop, look, e);
    for (size_t i = 0; i < PARTITIONS; i++)
        e->pages[i].e = e;
    wake_in(e, AGAIN_MS);
    return e;
}

void grant_expiry_free(struct grant_expiry *e)
{
    if (!e)
        return;
    timer_free(e->timer);
    free(e);
}

void grant_expiry_expect(struct grant_expiry *e, int64_t expires_at)
{
    int64_t ms = (expires_at - clock_now()) / NANOS_PER_MS + 1;

    ms = ms > 0 ? ms : 0;
    if (ms < e->next_ms)
        e->next_ms = ms;
    if (clock_monotonic_ms() + ms < e->wakes_at_ms)
        wake_in(e, ms);
}

static void wake_in(struct grant_expiry *e, int64_t ms)
{
    e->wakes_at_ms = clock_monotonic_ms() + ms;
    timer_start(e->timer, ms);
}

/* While what this console wrote is not applied yet, it would decide the same again. */
static void look(void *arg)
{
    struct grant_expiry *e = arg;

    if (e->pending > 0 || !may_look(e->console)) {
        wake_in(e, AGAIN_MS);
        return;
    }
    e->next_ms = LOOK_MS;
    e->pending = 1;
    for (unsigned i = 0; i < PARTITIONS; i++)
        look_at(e, (struct partition){SIDE_ACCOUNT, i});
    asked(e);
}

static bool may_look(const struct console *c)
{
    const struct ledger *l = &c->ledger;

    return l->journal && l->projection && !l->is_stopped && projection_is_current(l->projection);
}

static void look_at(struct grant_expiry *e, struct partition p)
{
    struct page *page = &e->pages[p.index];
    char key[PARTITION_KEY], first[INT64_TEXT], count[INT64_TEXT];
    const struct span argv[] = {SPAN("ZRANGEBYSCORE"),
                                partition_key(p, "expiring", NULL, key),
                                SPAN("-inf"),
                                SPAN("+inf"),
                                SPAN("WITHSCORES"),
                                SPAN("LIMIT"),
                                int64_text(page->first, first),
                                int64_text(PAGE, count)};

    if (!partition_is_ready(e->console->ledger.redis, p)) {
        e->next_ms = AGAIN_MS;
        return;
    }
    e->pending++;
    redis_command(e->console->ledger.redis, argv, ARRAY_LEN(argv), on_listed, page);
}

/* [member, score, …]: "account operation", milliseconds. */
static void on_listed(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct page *page = arg;
    struct grant_expiry *e = page->e;
    bool is_list = !err && redis_reply_type(reply) == REDIS_ARRAY;
    int64_t ended = 0;

    for (size_t i = 0; is_list && i + 1 < redis_reply_count(reply); i += 2)
        ended += take_entry(e, redis_reply_text(redis_reply_at(reply, i)),
                            redis_reply_text(redis_reply_at(reply, i + 1)));
    if (!is_list || page->first)
        e->next_ms = AGAIN_MS;
    page->first = ended == PAGE ? page->first + PAGE : 0;
    asked(e);
}

/* Whether it has ended. */
static bool take_entry(struct grant_expiry *e, struct span member, struct span score)
{
    const char *blank = memchr(member.data, ' ', member.len);
    size_t n = blank ? (size_t)(blank - member.data) : member.len;
    char account[ID_TEXT], op[ID_TEXT];
    int64_t ends_ms, left_ms;

    if (!blank || !int64_parse(score, &ends_ms) ||
        !span_copy((struct span){member.data, n}, account, sizeof account) ||
        !span_copy((struct span){blank + 1, member.len - n - 1}, op, sizeof op))
        return false;
    left_ms = ends_ms - journal_now(e->console->ledger.journal) / NANOS_PER_MS;
    if (left_ms <= 0)
        expire(e, account, op);
    else if (left_ms < e->next_ms)
        e->next_ms = left_ms + 1;
    return left_ms <= 0;
}

static void expire(struct grant_expiry *e, const char *account, const char *op)
{
    const struct partition p = partition_of(SIDE_ACCOUNT, span_of(account));
    struct journal *journal = e->console->ledger.journal;
    char keys[3][PARTITION_KEY], now[INT64_TEXT];
    struct ask *ask = xcalloc(1, sizeof *ask);
    const struct span key[] = {partition_key(p, "state", NULL, keys[0]),
                               partition_key(p, "account", account, keys[1]),
                               partition_key(p, "grants", account, keys[2])};
    const struct span args[] = {SPAN("expire"),   span_of(e->console->installation->id),
                                redis_arg_run_id, span_of(journal_writer(journal)),
                                span_of(op),      int64_text(journal_now(journal), now)};
    const struct redis_eval eval = {script_get(SCRIPT_GRANTS), REDIS_WORDS(key), REDIS_WORDS(args)};

    ask->e = e;
    snprintf(ask->account, sizeof ask->account, "%s", account);
    snprintf(ask->op, sizeof ask->op, "%s", op);
    e->next_ms = AGAIN_MS; /* it may have to be asked for again */
    e->pending++;
    redis_eval(e->console->ledger.redis, &eval, on_decided, ask);
}

static void on_decided(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct ask *ask = arg;
    struct grant_expiry *e = ask->e;
    struct funds f;

    if (!err && read_decision(ask, reply, &f) && e->console->ledger.journal)
        write_record(e, &f);
    free(ask);
    asked(e);
}

/* {OK, amount, left, taken, spent, currency}; anything else is asked for again. */
static bool read_decision(const struct ask *ask, const struct redis_reply *reply, struct funds *f)
{
    *f = (struct funds){.kind = RECORD_EXPIRY, .reason = "the grant has ended"};
    memcpy(f->account, ask->account, sizeof f->account);
    memcpy(f->op, ask->op, sizeof f->op);
    return redis_reply_count(reply) == 6 && number_at(reply, 1, &f->amount.nanos) &&
           number_at(reply, 2, &f->left) && number_at(reply, 3, &f->taken) &&
           number_at(reply, 4, &f->spent) &&
           span_copy(redis_reply_text(redis_reply_at(reply, 5)), f->amount.currency,
                     sizeof f->amount.currency);
}

static bool number_at(const struct redis_reply *reply, size_t i, int64_t *out)
{
    return int64_parse(redis_reply_text(redis_reply_at(reply, i)), out);
}

static void write_record(struct grant_expiry *e, struct funds *f)
{
    char amount[DECIMAL_TEXT];
    struct err err;

    if (!journal_funds(e->console->ledger.journal, f, on_durable, e, &err))
        log_warn("grant_expiry_failed", "account %s, grant %s: %s; it is tried again", f->account,
                 f->op, err.text);
    else
        log_info("grant_expired", "account %s: %s %s of grant %s had not been spent", f->account,
                 decimal_format(f->amount.nanos, amount), f->amount.currency, f->op);
}

static void on_durable(void *arg)
{
    struct grant_expiry *e = arg;

    if (e->console->ledger.projection)
        projection_wake(e->console->ledger.projection);
}

/* The last answer of a look says when the next one is. */
static void asked(struct grant_expiry *e)
{
    if (--e->pending == 0)
        wake_in(e, e->next_ms);
}
