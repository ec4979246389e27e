/* projection_cursors.c - two commands a partition, a few partitions at a time. */
#include "billing/projection_cursors.h"

#include <inttypes.h>

#include "billing/projection_report.h"
#include "billing/writer_words.h"
#include "lib/base/log.h"

static void walk_on(struct projection *p);
static void ask(struct projection *p, struct lane *l);
static void on_state(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_state(struct projection *p, struct lane *l, const struct redis_reply *reply);
static bool is_ours(struct span value, const char *expected);
static void on_coming(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_cursor(void *arg, const struct redis_reply *reply, const struct err *err);
static bool parse_cursor(const struct redis_reply *reply, struct record_cursor *out);
static void one_answered(struct projection *p);
static void take_cursor(struct lane *l, struct record_cursor c);
static void check_cursor(struct projection *p, struct lane *l, struct record_cursor c,
                         uint64_t known);

void cursors_read(struct projection *p)
{
    p->cursors = (struct walk){.is_running = true};
    walk_on(p);
}

void cursors_check(struct projection *p)
{
    if (p->cursors.is_running)
        return;
    p->cursors = (struct walk){.is_running = true, .is_check = true};
    walk_on(p);
}

static void walk_on(struct projection *p)
{
    struct walk *w = &p->cursors;

    for (; w->next < PARTITIONS_ALL && w->pending < WALK_WIDTH; w->next++)
        if (!p->lanes[w->next].is_away)
            ask(p, &p->lanes[w->next]);
    if (w->pending || !w->is_running)
        return;
    w->is_running = false;
    if (!w->is_check)
        projection_cursors_read(p);
}

static void ask(struct projection *p, struct lane *l)
{
    char state_key[PARTITION_KEY], cursors_key[PARTITION_KEY];
    const struct span state[] = {SPAN("HMGET"),
                                 partition_key(l->partition, "state", NULL, state_key),
                                 SPAN("installation"), SPAN("partitions"), SPAN("parked"),
                                 SPAN("run_id")};
    const struct span cursor[] = {SPAN("HGET"),
                                  partition_key(l->partition, "cursors", NULL, cursors_key),
                                  span_of(p->writer)};

    bool comes = p->journal && !p->cursors.is_check;

    p->cursors.pending += 2 + comes;
    if (comes)
        report_coming(p, l, on_coming);
    redis_command(p->redis, state, ARRAY_LEN(state), on_state, request_new(p, l));
    redis_command(p->redis, cursor, ARRAY_LEN(cursor), on_cursor, request_new(p, l));
}

static void on_state(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct request *r = arg;
    struct lane *l = r->lane;
    struct projection *p = request_end(r);

    if (!p)
        return;
    if (err)
        projection_leave(p, l, err->text);
    else if (redis_reply_type(reply) != REDIS_ARRAY || redis_reply_count(reply) != 4)
        projection_restart(p, "a partition's state cannot be read");
    else
        take_state(p, l, reply);
    one_answered(p);
}

/* Unless what it said made all begin anew. */
static void one_answered(struct projection *p)
{
    if (!p->cursors.is_running)
        return;
    p->cursors.pending--;
    walk_on(p);
}

static bool take_state(struct projection *p, struct lane *l, const struct redis_reply *reply)
{
    struct span parked = redis_reply_text(redis_reply_at(reply, 2));
    char partitions[16], name[PARTITION_NAME];
    bool was_parked = l->parked;
    struct err err;

    snprintf(partitions, sizeof partitions, "%d", PARTITIONS);
    if (!is_ours(redis_reply_text(redis_reply_at(reply, 0)), p->installation) ||
        !is_ours(redis_reply_text(redis_reply_at(reply, 1)), partitions)) {
        err_set(&err, ERR_DENIED,
                "this Redis holds another installation's data: partition %s is of %.*s, not %s",
                partition_name(l->partition, name),
                SPAN_FMT(redis_reply_text(redis_reply_at(reply, 0))), p->installation);
        projection_stop(p, &err);
        return false;
    }
    l->parked = parked.len > 0;
    if (redis_reply_text(redis_reply_at(reply, 3)).len == 0)
        l->admits = false;
    if (l->parked && (!was_parked || !p->cursors.is_check))
        log_error("partition_parked", "partition %s takes nothing until it is rebuilt: %.*s",
                  partition_name(l->partition, name), SPAN_FMT(parked));
    if (was_parked && !l->parked && p->cursors.is_check)
        projection_restart(p, "a parked partition was rebuilt");
    return true;
}

static bool is_ours(struct span value, const char *expected)
{
    return value.len == 0 || span_equal(value, span_of(expected));
}

/* What the partition is, and how far it has us, is asked beside it. */
static void on_coming(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct request *r = arg;
    struct lane *l = r->lane;
    struct projection *p = request_end(r);

    if (!p)
        return;
    if (err)
        projection_leave(p, l, err->text);
    else if (redis_reply_type(reply) != REDIS_ARRAY)
        projection_restart(p, "a report was not understood");
    else if (span_equal(redis_reply_text(redis_reply_at(reply, 0)), SPAN("RETIRED")))
        projection_stop_retired(p);
    one_answered(p);
}

static void on_cursor(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct request *r = arg;
    struct lane *l = r->lane;
    uint64_t known = r->known;
    struct projection *p = request_end(r);
    struct record_cursor c;

    if (!p)
        return;
    if (err)
        projection_leave(p, l, err->text);
    else if (!parse_cursor(reply, &c))
        projection_restart(p, "a cursor cannot be read");
    else if (p->cursors.is_check)
        check_cursor(p, l, c, known);
    else
        take_cursor(l, c);
    one_answered(p);
}

/* Nil for none. */
static bool parse_cursor(const struct redis_reply *reply, struct record_cursor *out)
{
    *out = (struct record_cursor){0};
    return redis_reply_type(reply) == REDIS_NIL ||
           (redis_reply_type(reply) == REDIS_TEXT &&
            cursor_word_parse(redis_reply_text(reply), out));
}

static void take_cursor(struct lane *l, struct record_cursor c)
{
    l->applied = l->found = c;
    l->sent = c.n;
    l->in_flight = false;
}

static void check_cursor(struct projection *p, struct lane *l, struct record_cursor c,
                         uint64_t known)
{
    struct record_cursor head = lane_cursor(l, projection_heads(p));

    if (c.n < known || (p->journal && c.n > head.n))
        projection_restart(p, "Redis no longer has what it applied");
}
