/* ledger_redis.c - a hundred hashes, one question at a time: a close is rare, and a month's sums
 * may be large, so each is read in pieces. */
#include "billing/ledger_redis.h"

#include <stdio.h>

#include "lib/base/text.h"

#define POLL_MS     20
#define SCAN_COUNT  "1000"
#define CALLS       " calls"
#define COUNT       " count"
#define CURSOR_TEXT 24
#define WHY_MAX     200

/* One question: set by its reply. `take` reads it; false leaves `why`. */
struct question {
    bool is_answered, ok;
    bool (*take)(struct question *q, const struct redis_reply *reply, struct err *err);
    struct partition partition;
    struct period period;
    char cursor[CURSOR_TEXT];
    struct ledger_sums *out;
    struct err why;
};

static bool wait_until_ready(const struct ledger_redis *l, struct err *err);
static bool ask(const struct ledger_redis *l, struct question *q, const struct span *argv,
                size_t argc, struct err *err);
static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err);
static bool scan_hash(const struct ledger_redis *l, struct partition p, const char *what,
                      const char *rest, struct question *q, struct err *err);
static bool take_piece(struct question *q, const struct redis_reply *reply,
                       bool (*take)(struct question *q, struct span field, struct span value),
                       struct err *err);
static bool take_sums(struct question *q, const struct redis_reply *reply, struct err *err);
static bool take_sum(struct question *q, struct span field, struct span value);
static bool take_refunds(struct question *q, const struct redis_reply *reply, struct err *err);
static bool take_refund(struct question *q, struct span field, struct span value);
static bool take_funds(struct question *q, const struct redis_reply *reply, struct err *err);
static bool take_booked(struct question *q, struct span field, struct span value);
static bool take_of_period(struct question *q, struct sum_table *sums, struct span field,
                           struct span value);
static bool set_sum(struct sum_table *sums, struct span field, struct span suffix,
                    struct span value);
static bool take_suspense(struct question *q, const struct redis_reply *reply, struct err *err);
static bool take_suspended(struct question *q, struct span field, struct span value);
static bool take_time(struct question *q, const struct redis_reply *reply, struct err *err);

bool ledger_redis_read(void *arg, struct period p, struct ledger_sums *out, struct err *err)
{
    static const char *const sums[SIDES] = {[SIDE_ACCOUNT] = "debits", [SIDE_MODEL] = "gross"};
    const struct ledger_redis *l = arg;
    const struct span time = SPAN("TIME");
    struct question q = {.take = take_time, .out = out, .period = p};

    if (!wait_until_ready(l, err) || !ask(l, &q, &time, 1, err))
        return false;
    for (int side = 0; side < SIDES; side++) {
        for (unsigned i = 0; i < PARTITIONS; i++) {
            const struct partition at = {(enum partition_side)side, i};

            q.take = take_sums;
            if (!scan_hash(l, at, sums[side], p.text, &q, err))
                return false;
            q.take = take_refunds;
            if (!scan_hash(l, at, "refunded", NULL, &q, err))
                return false;
            q.take = take_funds;
            if (side == SIDE_ACCOUNT && !scan_hash(l, at, "booked", NULL, &q, err))
                return false;
            q.take = take_suspense;
            if (!scan_hash(l, at, "suspense", NULL, &q, err))
                return false;
        }
    }
    return true;
}

static bool wait_until_ready(const struct ledger_redis *l, struct err *err)
{
    const bool never = false;

    for (int64_t waited = 0; !redis_is_ready(l->redis); waited += POLL_MS)
        if (waited >= l->timeout_ms || loop_run_until(l->loop, &never, POLL_MS))
            return err_set(err, ERR_UNAVAILABLE, "it is not ready after %lld ms",
                           (long long)l->timeout_ms);
    return true;
}

/* The client promises one answer to every command, by its own deadline. */
static bool ask(const struct ledger_redis *l, struct question *q, const struct span *argv,
                size_t argc, struct err *err)
{
    q->is_answered = false;
    redis_command(l->redis, argv, argc, on_reply, q);
    while (!loop_run_until(l->loop, &q->is_answered, l->timeout_ms))
        ;
    return q->ok || err_set(err, q->why.code, "%s", q->why.text);
}

static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct question *q = arg;

    q->is_answered = true;
    q->ok = false;
    if (!reply) {
        q->why = *err;
        return;
    }
    if (redis_reply_type(reply) == REDIS_ERROR) {
        struct span text = redis_reply_text(reply);

        err_set(&q->why, ERR_PROTOCOL, "%.*s", SPAN_FMT(text));
        return;
    }
    q->ok = q->take(q, reply, &q->why);
}

static bool scan_hash(const struct ledger_redis *l, struct partition p, const char *what,
                      const char *rest, struct question *q, struct err *err)
{
    char key[PARTITION_KEY];
    struct span argv[] = {SPAN("HSCAN"), partition_key(p, what, rest, key), SPAN("0"),
                          SPAN("COUNT"), SPAN(SCAN_COUNT)};

    q->partition = p;
    do {
        if (!ask(l, q, argv, ARRAY_LEN(argv), err))
            return err_context(err, "%s", key);
        argv[2] = span_of(q->cursor);
    } while (strcmp(q->cursor, "0") != 0);
    return true;
}

/* [cursor, [field, value, …]]. A field may come twice while Redis moves the hash: it is set, not
 * added. */
static bool take_piece(struct question *q, const struct redis_reply *reply,
                       bool (*take)(struct question *q, struct span field, struct span value),
                       struct err *err)
{
    const struct redis_reply *fields;

    if (redis_reply_type(reply) != REDIS_ARRAY || redis_reply_count(reply) != 2 ||
        !span_copy(redis_reply_text(redis_reply_at(reply, 0)), q->cursor, sizeof q->cursor))
        return err_set(err, ERR_PROTOCOL, "the answer to HSCAN is malformed");
    fields = redis_reply_at(reply, 1);
    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2) {
        struct span field = redis_reply_text(redis_reply_at(fields, i));

        if (!take(q, field, redis_reply_text(redis_reply_at(fields, i + 1))))
            return err_set(err, ERR_CORRUPT, "\"%.*s\" has no number", SPAN_FMT(field));
    }
    return true;
}

static bool take_sums(struct question *q, const struct redis_reply *reply, struct err *err)
{
    return take_piece(q, reply, take_sum, err);
}

static bool take_sum(struct question *q, struct span field, struct span value)
{
    return set_sum(q->out->side[q->partition.side], field, SPAN(CALLS), value);
}

static bool take_refunds(struct question *q, const struct redis_reply *reply, struct err *err)
{
    return take_piece(q, reply, take_refund, err);
}

static bool take_refund(struct question *q, struct span field, struct span value)
{
    return take_of_period(q, q->out->refunds[q->partition.side], field, value);
}

static bool take_funds(struct question *q, const struct redis_reply *reply, struct err *err)
{
    return take_piece(q, reply, take_booked, err);
}

static bool take_booked(struct question *q, struct span field, struct span value)
{
    return take_of_period(q, q->out->funds, field, value);
}

/* "period name" → nanos, of all periods. */
static bool take_of_period(struct question *q, struct sum_table *sums, struct span field,
                           struct span value)
{
    size_t n = strlen(q->period.text);

    if (!span_starts(field, span_of(q->period.text)) || field.len <= n || field.data[n] != ' ')
        return true;
    return set_sum(sums, (struct span){field.data + n + 1, field.len - n - 1}, SPAN(COUNT), value);
}

/* name → nanos; name and `suffix` → how many. */
static bool set_sum(struct sum_table *sums, struct span field, struct span suffix,
                    struct span value)
{
    bool counts =
        field.len > suffix.len &&
        span_equal((struct span){field.data + field.len - suffix.len, suffix.len}, suffix);
    struct sum *row;
    int64_t n;

    if (!int64_parse(value, &n))
        return false;
    row = sum_table_row(sums, (struct span){field.data, field.len - (counts ? suffix.len : 0)});
    if (counts)
        row->calls = n;
    else
        row->nanos = n;
    return true;
}

static bool take_suspense(struct question *q, const struct redis_reply *reply, struct err *err)
{
    return take_piece(q, reply, take_suspended, err);
}

/* "writer n" → "reason record", or "currency account code" → "reason sum"; what was resolved is no reason. */
static bool take_suspended(struct question *q, struct span field, struct span value)
{
    const char *blank = memchr(value.data, ' ', value.len);
    size_t reason = blank ? (size_t)(blank - value.data) : value.len;
    char partition[PARTITION_NAME];

    if (span_starts(field, SPAN("resolved ")))
        return true;
    reasons_add(&q->out->suspense, "suspense of partition %s is not empty: \"%.*s\" %.*s",
                partition_name(q->partition, partition), SPAN_FMT(field),
                (int)(reason < WHY_MAX ? reason : WHY_MAX), value.data);
    return true;
}

static bool take_time(struct question *q, const struct redis_reply *reply, struct err *err)
{
    int64_t seconds, micros;

    if (redis_reply_count(reply) != 2 ||
        !int64_parse(redis_reply_text(redis_reply_at(reply, 0)), &seconds) ||
        !int64_parse(redis_reply_text(redis_reply_at(reply, 1)), &micros))
        return err_set(err, ERR_PROTOCOL, "the answer to TIME is malformed");
    q->out->redis_time = seconds * NANOS_PER_SECOND + micros * 1000 + clock_offset();
    return true;
}
