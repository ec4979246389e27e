/* journal_wait.c - writers are other processes: they are asked by a signal, and what they did is read off their directories and Redis's cursors. */
#include "gateway/journal_wait.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/writer_words.h"
#include "gateway/adoption.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define POLL_MS 30

struct journal_wait {
    struct console *console;
    journal_wait_on_end *on_end;
    void *arg;
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

static void look(void *arg);
static bool set_goal(struct journal_wait *w);
static void ask_to_seal(struct journal_wait *w);
static bool is_archived(struct journal_wait *w);
static bool is_sealed(const struct journal_entry *then, const struct journal_report *now);
static void read_cursors(struct journal_wait *w);
static void on_cursors(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_cursor(struct journal_wait *w, struct span writer, struct span word);
static void judge(struct journal_wait *w);
static void again(struct journal_wait *w);
static void wait_end(struct journal_wait *w, bool done);

void journal_wait(struct console *c, bool seal, int64_t timeout_ms, journal_wait_on_end *on_end,
                  void *arg)
{
    struct journal_wait *w = xcalloc(1, sizeof *w);

    w->console = c;
    w->seal = seal;
    w->on_end = on_end;
    w->arg = arg;
    w->poll = timer_new(c->loop, look, w);
    w->until_ms = clock_monotonic_ms() + timeout_ms;
    adoption_look(c->adoption);
    timer_start(w->poll, 0);
}

static void look(void *arg)
{
    struct journal_wait *w = arg;

    if (!w->has_goal && !set_goal(w))
        again(w);
    else if (w->seal && !is_archived(w))
        again(w);
    else
        read_cursors(w);
}

/* Once no free directory needs a visit, since a visit writes records of its own. */
static bool set_goal(struct journal_wait *w)
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

static void ask_to_seal(struct journal_wait *w)
{
    if (w->console->ledger.journal)
        journal_seal(w->console->ledger.journal, NULL, NULL);
    for (size_t i = 0; i < w->goal.count; i++)
        if (w->goal.entries[i].owner > 0 && w->goal.entries[i].owner != getpid())
            kill(w->goal.entries[i].owner, SIGUSR1);
}

static bool is_archived(struct journal_wait *w)
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

/* The segment that was open with records then is sealed now. A writer begins the next one before it seals it, so until then
 * two are open. */
static bool is_sealed(const struct journal_entry *then, const struct journal_report *now)
{
    if (then->is_damaged || then->last_is_sealed || !then->unsealed_records)
        return true;
    for (size_t i = 0; i < now->count; i++) {
        const struct journal_entry *e = &now->entries[i];

        if (strcmp(e->dir, then->dir) == 0)
            return e->sealed == e->segments ||
                   (e->last_segment > then->last_segment && e->sealed + 1 == e->segments);
    }
    return true;
}

/* ------------------------------------------------------------------ what Redis has */

static void read_cursors(struct journal_wait *w)
{
    w->applied = 0;
    w->redis.code = ERR_NONE;
    w->waiting = PARTITIONS_ALL;
    for (unsigned i = 0; i < PARTITIONS_ALL; i++) {
        char key[PARTITION_KEY];
        struct span argv[] = {SPAN("HGETALL"),
                              partition_key(partition_at(i), "cursors", NULL, key)};

        redis_command(w->console->ledger.redis, argv, ARRAY_LEN(argv), on_cursors, w);
    }
}

static void on_cursors(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct journal_wait *w = arg;
    struct err refused;

    err = redis_failure(reply, err, &refused);
    if (err)
        w->redis = *err;
    for (size_t i = 0; !err && i + 1 < redis_reply_count(reply); i += 2)
        take_cursor(w, redis_reply_text(redis_reply_at(reply, i)),
                    redis_reply_text(redis_reply_at(reply, i + 1)));
    if (--w->waiting == 0)
        judge(w);
}

/* Only writers of this host are counted. */
static void take_cursor(struct journal_wait *w, struct span writer, struct span word)
{
    struct record_cursor at;

    for (size_t i = 0; i < w->goal.count; i++)
        if (span_equal(writer, span_of(w->goal.entries[i].writer)) && cursor_word_parse(word, &at))
            w->applied += at.n;
}

static void judge(struct journal_wait *w)
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

static void again(struct journal_wait *w)
{
    if (clock_monotonic_ms() >= w->until_ms) {
        wait_end(w, false);
        return;
    }
    adoption_look(w->console->adoption);
    timer_start(w->poll, POLL_MS);
}

static void wait_end(struct journal_wait *w, bool done)
{
    w->on_end(w->arg, done ? &w->goal : NULL, w->missing);
    timer_free(w->poll);
    journal_report_clear(&w->goal);
    free(w);
}
