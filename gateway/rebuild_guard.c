/* rebuild_guard.c - a table of writers: how far the partitions have each, who else has that, and whether it answers. */
#include "gateway/rebuild_guard.h"

#include <inttypes.h>
#include <stdlib.h>

#include "billing/archive_retire.h"
#include "billing/writer_words.h"
#include "gateway/journal_report.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define POLL_MS      200
#define PROOF_MS     15000 /* half as much again as what a living writer lets pass between two words */
#define CHANGES_KEPT "10000"

struct guarded {
    char writer[WRITER_TEXT];
    struct record_heads booked;       /* of the partitions that are to be emptied */
    int64_t heard_ms[PARTITIONS_ALL]; /* at the first look; 0: never */
    bool is_held; /* by the archive, or a journal of this host; or nothing more can be */
    bool is_here; /* it has a sound directory on this host */
    bool has_answered;
};

enum guard_step {
    GUARD_IDLE,
    GUARD_LOOK,   /* what Redis holds, and when it heard of whom */
    GUARD_LISTEN, /* whether those answer whom nobody else has */
};

struct rebuild_guard {
    struct console *console;
    enum guard_step step;
    uint64_t round; /* what was asked in an earlier one is answered to nobody */
    size_t pending;
    struct err failure;
    struct guarded *writers;
    size_t count;
    struct timer *poll;
    int64_t until_ms; /* monotonic */
    rebuild_guard_on_end *on_end;
    void *arg;
};

/* A question on its way, of one partition. */
struct guard_question {
    struct rebuild_guard *guard;
    uint64_t round;
    unsigned lane;
};

static void begin_round(struct rebuild_guard *g, enum guard_step step);
static void ask(struct rebuild_guard *g, unsigned lane, const char *key, redis_on_reply *on_reply);
static struct guard_question *question_new(struct rebuild_guard *g, unsigned lane);
static struct rebuild_guard *take(struct guard_question *q, const struct redis_reply *reply,
                                  const struct err *err, unsigned *lane);
static void on_cursors(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_words(void *arg, const struct redis_reply *reply, const struct err *err);
static void note_word(struct rebuild_guard *g, unsigned lane, struct span writer, struct span text);
static struct guarded *find(struct rebuild_guard *g, struct span writer, bool is_made);
static void answered(struct rebuild_guard *g);
static bool find_held(struct rebuild_guard *g, struct err *err);
static bool is_in(const struct guarded *w, const struct record_heads *heads);
static const struct guarded *find_unsafe(const struct rebuild_guard *g);
static void call_out(struct rebuild_guard *g);
static void on_called(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_poll(void *arg);
static void refuse(struct rebuild_guard *g);
static void end(struct rebuild_guard *g, const struct err *err);

struct rebuild_guard *rebuild_guard_new(struct console *console)
{
    struct rebuild_guard *g = xcalloc(1, sizeof *g);

    g->console = console;
    g->poll = timer_new(console->loop, on_poll, g);
    return g;
}

void rebuild_guard_free(struct rebuild_guard *g)
{
    if (!g)
        return;
    timer_free(g->poll);
    free(g->writers);
    free(g);
}

void rebuild_guard_ask(struct rebuild_guard *g, const bool *is_due, const bool *is_begun,
                       rebuild_guard_on_end *on_end, void *arg)
{
    g->on_end = on_end;
    g->arg = arg;
    g->count = 0;
    begin_round(g, GUARD_LOOK);
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++) {
        ask(g, lane, "live", on_words);
        if (is_due[lane])
            ask(g, lane, "cursors", on_cursors);
        if (is_due[lane] && is_begun[lane])
            ask(g, lane, "before", on_cursors);
    }
    answered(g);
}

void rebuild_guard_stop(struct rebuild_guard *g)
{
    g->step = GUARD_IDLE;
    g->round++;
    timer_stop(g->poll);
}

/* ------------------------------------------------------------------ what Redis says */

/* One is pending until all were asked: answered() takes it away. */
static void begin_round(struct rebuild_guard *g, enum guard_step step)
{
    g->step = step;
    g->round++;
    g->pending = 1;
    g->failure.code = ERR_NONE;
}

static void ask(struct rebuild_guard *g, unsigned lane, const char *key, redis_on_reply *on_reply)
{
    char name[PARTITION_KEY];
    const struct span argv[] = {SPAN("HGETALL"),
                                partition_key(partition_at(lane), key, NULL, name)};

    redis_command(g->console->ledger.redis, argv, ARRAY_LEN(argv), on_reply, question_new(g, lane));
}

static struct guard_question *question_new(struct rebuild_guard *g, unsigned lane)
{
    struct guard_question *q = xcalloc(1, sizeof *q);

    *q = (struct guard_question){g, g->round, lane};
    g->pending++;
    return q;
}

/* Ends a question; null when its round is over, or it failed. */
static struct rebuild_guard *take(struct guard_question *q, const struct redis_reply *reply,
                                  const struct err *err, unsigned *lane)
{
    struct rebuild_guard *g = q->round == q->guard->round ? q->guard : NULL;
    bool is_refused = !err && redis_reply_type(reply) == REDIS_ERROR;

    *lane = q->lane;
    free(q);
    if (!g || (!err && !is_refused))
        return g;
    if (is_refused)
        err_set(&g->failure, ERR_UNAVAILABLE, "Redis refused: %.*s",
                SPAN_FMT(redis_reply_text(reply)));
    else
        g->failure = *err;
    answered(g);
    return NULL;
}

static void on_cursors(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild_guard *g = take(arg, reply, err, &lane);

    if (!g)
        return;
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        struct guarded *w = find(g, redis_reply_text(redis_reply_at(reply, i)), true);
        struct partition p = partition_at(lane);
        struct record_cursor at;

        if (w && cursor_word_parse(redis_reply_text(redis_reply_at(reply, i + 1)), &at) &&
            at.n > w->booked.at[p.side][p.index].n)
            w->booked.at[p.side][p.index] = at;
    }
    answered(g);
}

static void on_words(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild_guard *g = take(arg, reply, err, &lane);

    if (!g)
        return;
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        note_word(g, lane, redis_reply_text(redis_reply_at(reply, i)),
                  redis_reply_text(redis_reply_at(reply, i + 1)));
    answered(g);
}

static void note_word(struct rebuild_guard *g, unsigned lane, struct span writer, struct span text)
{
    struct guarded *w = find(g, writer, g->step == GUARD_LOOK);
    struct live_word word;

    if (!w || !live_word_parse(text, &word))
        return;
    if (g->step == GUARD_LOOK)
        w->heard_ms[lane] = word.heard_ms;
    else if (word.heard_ms != w->heard_ms[lane])
        w->has_answered = true;
}

/* Null: that is no writer's id, or it is not known and not to be made. */
static struct guarded *find(struct rebuild_guard *g, struct span writer, bool is_made)
{
    struct guarded *w;

    if (!writer_is_valid(writer))
        return NULL;
    for (w = g->writers; w < g->writers + g->count; w++)
        if (span_equal(writer, span_of(w->writer)))
            return w;
    if (!is_made)
        return NULL;
    g->writers = xrealloc_array(g->writers, g->count + 1, sizeof *g->writers);
    w = &g->writers[g->count++];
    *w = (struct guarded){.is_held = false};
    memcpy(w->writer, writer.data, writer.len);
    return w;
}

/* ------------------------------------------------------------------ what follows from it */

static void answered(struct rebuild_guard *g)
{
    struct err err;

    if (--g->pending)
        return;
    if (g->failure.code != ERR_NONE)
        end(g, &g->failure);
    else if (g->step == GUARD_LOOK && !find_held(g, &err))
        end(g, &err);
    else if (!find_unsafe(g))
        end(g, NULL);
    else if (g->step == GUARD_LOOK)
        call_out(g);
    else if (clock_monotonic_ms() < g->until_ms)
        timer_start(g->poll, POLL_MS);
    else
        refuse(g);
}

static bool find_held(struct rebuild_guard *g, struct err *err)
{
    const struct options *o = g->console->options;
    AUTO_CLEAR(journal_report) here = {.count = 0};
    struct record_heads archived;

    if (!journal_report_read(o->journal, &here, err))
        return false;
    for (struct guarded *w = g->writers; w < g->writers + g->count; w++) {
        const struct journal_entry *e = journal_report_find(&here, w->writer);

        if (!archive_heads(o->archive, w->writer, &archived, err))
            return false;
        w->is_here = e != NULL;
        w->is_held = is_in(w, &archived) || (e && is_in(w, &e->heads)) ||
                     archive_is_retired(o->archive, w->writer);
    }
    return true;
}

/* All that Redis booked of it. */
static bool is_in(const struct guarded *w, const struct record_heads *heads)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (w->booked.at[side][i].n > heads->at[side][i].n)
                return false;
    return true;
}

/* A journal of this host that lacks something lacks it whoever lives. */
static const struct guarded *find_unsafe(const struct rebuild_guard *g)
{
    for (const struct guarded *w = g->writers; w < g->writers + g->count; w++)
        if (!w->is_held && (w->is_here || !w->has_answered))
            return w;
    return NULL;
}

/* All writers are asked for a word. They would say one by themselves, within 10 s. */
static void call_out(struct rebuild_guard *g)
{
    const struct span argv[] = {SPAN("XADD"), SPAN("tg:changes"), SPAN("MAXLEN"),
                                SPAN("~"),    SPAN(CHANGES_KEPT), SPAN("*"),
                                SPAN("live"), SPAN("all")};

    g->until_ms = clock_monotonic_ms() + PROOF_MS;
    begin_round(g, GUARD_LISTEN);
    redis_command(g->console->ledger.redis, argv, ARRAY_LEN(argv), on_called, question_new(g, 0));
    answered(g);
}

static void on_called(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild_guard *g = take(arg, reply, err, &lane);

    if (g)
        answered(g);
}

static void on_poll(void *arg)
{
    struct rebuild_guard *g = arg;

    begin_round(g, GUARD_LISTEN);
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++)
        ask(g, lane, "live", on_words);
    answered(g);
}

/* Unless it has been archived meanwhile. */
static void refuse(struct rebuild_guard *g)
{
    const struct guarded *w;
    struct record_heads archived;
    uint64_t missing[SIDES] = {0};
    struct err err;

    if (!find_held(g, &err)) {
        end(g, &err);
        return;
    }
    w = find_unsafe(g);
    if (!w || !archive_heads(g->console->options->archive, w->writer, &archived, &err)) {
        end(g, w ? &err : NULL);
        return;
    }
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (w->booked.at[side][i].n > archived.at[side][i].n)
                missing[side] += w->booked.at[side][i].n - archived.at[side][i].n;
    err_set(
        &err, ERR_EXISTS,
        "only Redis holds %" PRIu64 " records of writer %s, which emptying would destroy: %s",
        missing[SIDE_ACCOUNT] > missing[SIDE_MODEL] ? missing[SIDE_ACCOUNT] : missing[SIDE_MODEL],
        w->writer,
        w->is_here ? "its directory on this host ends before them; restore it, or take it away "
                     "and `tollgate journal retire` the writer"
                   : "it does not answer; start its host, or `tollgate journal retire` it first");
    end(g, &err);
}

static void end(struct rebuild_guard *g, const struct err *err)
{
    struct err kept = {0};

    if (err)
        kept = *err;
    rebuild_guard_stop(g);
    g->on_end(g->arg, err ? &kept : NULL);
}
