/* projection_report.c - the script decides (recovered.lua); here is only when it is asked, and what for. */
#include "billing/projection_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "billing/scripts.h"
#include "lib/base/text.h"

#define NUMBER_TEXT 24

static void walk_on(struct projection *p);
static bool has_something_to_say(const struct projection *p, const struct lane *l);
static void report(struct projection *p, struct lane *l);
static void send_report(struct projection *p, struct request *r, bool is_coming,
                        redis_on_reply *on_reply);
static void on_answer(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_answer(struct projection *p, struct lane *l, struct span word, bool has_lost);

void reports_send(struct projection *p, bool all)
{
    if (!p->journal)
        return;
    if (all && p->holds_are_back)
        for (struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
            l->is_due = true;
    if (p->reports.is_running) {
        p->reports.again = all;
        return;
    }
    p->reports = (struct walk){.is_running = true};
    walk_on(p);
}

static void walk_on(struct projection *p)
{
    struct walk *w = &p->reports;

    for (; w->next < PARTITIONS_ALL && w->pending < WALK_WIDTH; w->next++)
        if (has_something_to_say(p, &p->lanes[w->next]))
            report(p, &p->lanes[w->next]);
    if (w->pending || !w->is_running)
        return;
    w->is_running = false;
    projection_all_reported(p);
    if (w->again)
        reports_send(p, false);
}

static bool has_something_to_say(const struct projection *p, const struct lane *l)
{
    if (l->is_away)
        return false;
    if (l->parked)
        return p->holds_are_back;
    if (!p->holds_are_back)
        return l->found.n < lane_cursor(l, &p->target).n;
    return l->is_due || !l->admits;
}

static void report(struct projection *p, struct lane *l)
{
    struct request *r = request_new(p, l);

    r->claim = p->is_replayed ? l->applied.n : lane_cursor(l, &p->target).n;
    l->is_due = false;
    p->reports.pending++;
    send_report(p, r, !p->holds_are_back, on_answer);
}

void report_coming(struct projection *p, struct lane *l, redis_on_reply *on_reply)
{
    struct request *r = request_new(p, l);

    r->claim = lane_cursor(l, projection_heads(p)).n;
    send_report(p, r, true, on_reply);
}

static void send_report(struct projection *p, struct request *r, bool is_coming,
                        redis_on_reply *on_reply)
{
    static const char *const names[] = {"state", "live", "cursors"};
    char keys[ARRAY_LEN(names)][PARTITION_KEY], partitions[NUMBER_TEXT], claim[NUMBER_TEXT],
        turn[INT64_TEXT];
    struct span key[ARRAY_LEN(names)];

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        key[i] = partition_key(r->lane->partition, names[i], NULL, keys[i]);
    snprintf(partitions, sizeof partitions, "%d", PARTITIONS);
    snprintf(claim, sizeof claim, "%" PRIu64, r->claim);
    const struct span args[] = {span_of(p->installation),
                                span_of(partitions),
                                span_of(p->writer),
                                redis_arg_run_id,
                                span_of(claim),
                                uint64_text(journal_turn(p->journal), turn),
                                p->has_history ? SPAN("old") : SPAN("new"),
                                is_coming ? SPAN("coming") : SPAN("back"),
                                span_of(p->token),
                                p->has_admitted ? SPAN("again") : SPAN("first")};
    const struct redis_eval eval = {script_get(SCRIPT_RECOVERED), REDIS_WORDS(key),
                                    REDIS_WORDS(args)};
    redis_eval(p->redis, &eval, on_reply, r);
}

static void on_answer(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct request *r = arg;
    struct lane *l = r->lane;
    bool has_lost = r->claim == r->known;
    struct projection *p = request_end(r);

    if (!p)
        return;
    p->reports.pending--;
    uint64_t generation = p->generation;
    if (err)
        projection_leave(p, l, err->text);
    else if (redis_reply_type(reply) != REDIS_ARRAY || !redis_reply_count(reply))
        projection_restart(p, "a report was not understood");
    else
        take_answer(p, l, redis_reply_text(redis_reply_at(reply, 0)), has_lost);
    if (p->generation == generation)
        walk_on(p);
}

/* BEHIND is bad news only of records that Redis had said were applied. */
static void take_answer(struct projection *p, struct lane *l, struct span word, bool has_lost)
{
    struct err err;

    l->admits = span_equal(word, SPAN("OK"));
    if (span_equal(word, SPAN("RETIRED")))
        projection_stop_retired(p);
    else if (span_equal(word, SPAN("PARKED")))
        l->parked = true;
    else if (l->parked || span_equal(word, SPAN("AGAIN")))
        projection_read_again(p); /* it was rebuilt */
    else if (span_equal(word, SPAN("BEHIND")) && has_lost)
        projection_restart(p, "Redis no longer has what it applied");
    else if (span_equal(word, SPAN("INSTALLATION"))) {
        err_set(&err, ERR_DENIED, "this Redis holds another installation's data, not %s's",
                p->installation);
        projection_stop(p, &err);
    }
}
