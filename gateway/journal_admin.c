/* journal_admin.c - writers are other processes: they are asked by a signal, and what they did is read off their directories and Redis's cursors. */
#include "gateway/journal_admin.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "billing/archive.h"
#include "gateway/adoption.h"
#include "gateway/console_state.h"
#include "gateway/journal_report.h"
#include "gateway/service.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define WAIT_MS    20000
#define POLL_MS    30
#define ANSWER_MAX (1024 * 1024)

/* One wait: looks again every POLL_MS until what stood in the journals when it began is where it was asked to be. What is
 * written meanwhile is not waited for, so that a wait ends under load too. */
struct wait {
    struct console *console;
    struct http_request *request;
    struct timer *poll;
    int64_t until_ms; /* monotonic */
    bool seal;
    bool has_goal; /* free directories were visited, and `goal` was read */
    struct journal_report goal;
    uint64_t applied; /* sum of the cursors of the goal's writers */
    size_t waiting;   /* answers of Redis */
    struct err redis; /* the first failure among them */
    char missing[ERR_TEXT_MAX];
};

static struct wait *wait_new(struct console *c, struct http_request *r);
static void look(void *arg);
static bool set_goal(struct wait *w);
static void ask_to_seal(struct wait *w);
static bool is_archived(struct wait *w);
static bool is_sealed(const struct journal_entry *then, const struct journal_report *now);
static void read_cursors(struct wait *w);
static void on_cursors(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_cursor(struct wait *w, struct span writer, struct span value);
static void judge(struct wait *w);
static void again(struct wait *w);
static void wait_end(struct wait *w, bool done);
static void write_report(const struct journal_report *report, struct jw *w);

void journal_ship_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    look(wait_new(server, r));
}

void journal_rebuild_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;

    (void)match;
    adoption_visit_all(c->adoption);
    look(wait_new(c, r));
}

void journal_seal_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct wait *w = wait_new(server, r);

    (void)match;
    w->seal = true;
    look(w);
}

static struct wait *wait_new(struct console *c, struct http_request *r)
{
    struct wait *w = xcalloc(1, sizeof *w);

    w->console = c;
    w->poll = timer_new(c->loop, look, w);
    w->until_ms = clock_monotonic_ms() + WAIT_MS;
    request_keep(r, &w->request);
    adoption_look(c->adoption);
    return w;
}

static void look(void *arg)
{
    struct wait *w = arg;

    if (!w->has_goal && !set_goal(w))
        again(w);
    else if (w->seal && !is_archived(w))
        again(w);
    else
        read_cursors(w);
}

/* Once no free directory needs a visit, since a visit writes records of its own. */
static bool set_goal(struct wait *w)
{
    size_t visits = adoption_pending(w->console->adoption);
    struct err err;

    if (visits) {
        snprintf(w->missing, sizeof w->missing,
                 "%zu journal directories that nobody holds are being taken up", visits);
        return false;
    }
    if (!journal_report_read(w->console->options->journal, &w->goal, &err)) {
        snprintf(w->missing, sizeof w->missing, "%s", err.text);
        return false;
    }
    w->has_goal = true;
    if (w->seal)
        ask_to_seal(w);
    return true;
}

static void ask_to_seal(struct wait *w)
{
    if (w->console->ledger.journal)
        journal_seal(w->console->ledger.journal, NULL, NULL);
    for (size_t i = 0; i < w->goal.count; i++)
        if (w->goal.entries[i].owner > 0 && w->goal.entries[i].owner != getpid())
            kill(w->goal.entries[i].owner, SIGUSR1);
}

static bool is_archived(struct wait *w)
{
    const struct options *o = w->console->options;
    AUTO_CLEAR(journal_report) now = {.count = 0};
    size_t added;
    struct err err;

    if (!journal_report_read(o->journal, &now, &err)) {
        snprintf(w->missing, sizeof w->missing, "%s", err.text);
        return false;
    }
    for (size_t i = 0; i < w->goal.count; i++)
        if (!is_sealed(&w->goal.entries[i], &now)) {
            snprintf(w->missing, sizeof w->missing, "%s has not sealed its segment yet",
                     w->goal.entries[i].dir);
            return false;
        }
    if (archive_add_sealed(o->archive, o->journal, &added, &err))
        return true;
    snprintf(w->missing, sizeof w->missing, "%s", err.text);
    return false;
}

/* The segment that was open with records then is sealed now. */
static bool is_sealed(const struct journal_entry *then, const struct journal_report *now)
{
    if (then->is_damaged || then->last_is_sealed || !then->unsealed_records)
        return true;
    for (size_t i = 0; i < now->count; i++) {
        const struct journal_entry *e = &now->entries[i];

        if (strcmp(e->dir, then->dir) == 0)
            return e->last_segment > then->last_segment || e->last_is_sealed;
    }
    return true;
}

/* ------------------------------------------------------------------ what Redis has */

static void read_cursors(struct wait *w)
{
    w->applied = 0;
    w->redis.code = ERR_NONE;
    w->waiting = SIDES * PARTITIONS;
    for (int side = 0; side < SIDES; side++) {
        for (unsigned p = 0; p < PARTITIONS; p++) {
            char key[PARTITION_KEY];
            struct span argv[] = {SPAN("HGETALL"),
                                  partition_key((struct partition){(enum partition_side)side, p},
                                                "cursors", NULL, key)};

            redis_command(w->console->ledger.redis, argv, ARRAY_LEN(argv), on_cursors, w);
        }
    }
}

static void on_cursors(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct wait *w = arg;

    if (err)
        w->redis = *err;
    else if (redis_reply_type(reply) == REDIS_ERROR)
        err_set(&w->redis, ERR_UNAVAILABLE, "Redis refused: %.*s",
                SPAN_FMT(redis_reply_text(reply)));
    for (size_t i = 0; !err && i + 1 < redis_reply_count(reply); i += 2)
        take_cursor(w, redis_reply_text(redis_reply_at(reply, i)),
                    redis_reply_text(redis_reply_at(reply, i + 1)));
    if (--w->waiting == 0)
        judge(w);
}

/* "n crc" of a writer; only writers of this host are counted. */
static void take_cursor(struct wait *w, struct span writer, struct span value)
{
    const char *blank = memchr(value.data, ' ', value.len);
    int64_t n;

    for (size_t i = 0; blank && i < w->goal.count; i++)
        if (span_equal(writer, span_of(w->goal.entries[i].writer)) &&
            int64_parse((struct span){value.data, (size_t)(blank - value.data)}, &n))
            w->applied += (uint64_t)n;
}

static void judge(struct wait *w)
{
    uint64_t written = 0;

    for (size_t i = 0; i < w->goal.count; i++)
        if (!w->goal.entries[i].is_damaged)
            written += journal_entry_records(&w->goal.entries[i]);
    if (w->redis.code) {
        snprintf(w->missing, sizeof w->missing, "%s", w->redis.text);
        again(w);
    } else if (w->applied < written) {
        snprintf(w->missing, sizeof w->missing,
                 "%" PRIu64 " of %" PRIu64 " record places are applied in Redis", w->applied,
                 written);
        again(w);
    } else {
        wait_end(w, true);
    }
}

static void again(struct wait *w)
{
    if (!w->request || clock_monotonic_ms() >= w->until_ms) {
        wait_end(w, false);
        return;
    }
    adoption_look(w->console->adoption);
    timer_start(w->poll, POLL_MS);
}

static void wait_end(struct wait *w, bool done)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw jw;

    if (w->request && done) {
        jw_init(&jw, &json);
        write_report(&w->goal, &jw);
        reply_built(w->request, &json);
    } else if (w->request) {
        reply_problem(w->request, GATEWAY_UNAVAILABLE, "After %d s it is not done: %s",
                      WAIT_MS / 1000, w->missing);
    }
    timer_free(w->poll);
    journal_report_clear(&w->goal);
    free(w);
}

static void write_report(const struct journal_report *report, struct jw *w)
{
    jw_object(w);
    jw_key(w, "data");
    jw_array(w);
    for (size_t i = 0; i < report->count; i++) {
        jw_object(w);
        jw_string_member(w, "writer", report->entries[i].writer);
        journal_entry_write(&report->entries[i], w);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}
