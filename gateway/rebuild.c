/* rebuild.c - one step after another, each of them a question to some partitions; when all have answered, the next. */
#include "gateway/rebuild.h"

#include <stdlib.h>

#include "billing/scripts.h"
#include "billing/writer_words.h"
#include "gateway/adoption.h"
#include "gateway/archive_replay.h"
#include "gateway/journal_wait.h"
#include "gateway/rebuild_guard.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define REASON       "it is being rebuilt"
#define WAIT_MS      (3600 * 1000)
#define POLL_MS      200
#define RETRY_MS     10000
#define CURSOR_TEXT  32
#define PAGE         "1000"
#define LIVE_MS      30000
#define CHANGES_KEPT "10000"

enum step {
    STEP_NONE,
    STEP_READ,     /* which partitions are parked */
    STEP_GUARD,    /* whether Redis alone has what is in them */
    STEP_PARK,     /* the others that are to be emptied */
    STEP_DELETE,   /* page by page of all keys */
    STEP_EMPTY,    /* writers may fill them */
    STEP_ANNOUNCE, /* to all hosts */
    STEP_REPLAY,   /* the archive's writers */
    STEP_WAIT,     /* for this host's */
    STEP_LISTEN,   /* for the other hosts' */
    STEP_DONE,     /* they admit again */
};

struct waiting {
    struct waiting *next;
    rebuild_on_end *on_end;
    void *arg;
};

struct rebuild {
    struct console *console;
    enum step step;
    uint64_t round;         /* what was asked in an earlier one is answered to nobody */
    bool has_history;       /* something was recorded: a partition that knows nothing has lost it */
    bool from_zero, is_own; /* not asked for, only resumed: what another parked is left alone */
    bool again, again_from_zero;      /* more was asked for than the present one does */
    bool is_included[PARTITIONS_ALL]; /* asked for, parked or not */
    bool is_due[PARTITIONS_ALL];      /* to be emptied */
    bool is_begun[PARTITIONS_ALL];    /* its keys are being deleted since before */
    bool is_filling[PARTITIONS_ALL];  /* emptied, by us or before: admits nobody */
    struct rebuild_guard *guard;
    size_t pending;
    struct err failure;
    size_t server; /* whose keys are read, and how far */
    char cursor[CURSOR_TEXT];
    bool hears_more;
    struct archive_replay *replay;
    struct timer
        *poll; /* before others are listened to again; before what was cut off is tried again */
    struct rebuild_result result;
    struct waiting *waiting;
};

/* A question on its way; of one partition, or of none. */
struct question {
    struct rebuild *rebuild;
    uint64_t round;
    unsigned lane;
};

static void begin(struct rebuild *r, bool from_zero, bool is_own);
static void next(struct rebuild *r);
static void on_poll(void *arg);
static void enter(struct rebuild *r, enum step step);
static void ask(struct rebuild *r, unsigned lane, const struct span *argv, size_t argc,
                redis_on_reply *on_reply);
static void run_script(struct rebuild *r, unsigned lane, const char *verb, const struct span *keys,
                       size_t key_count);
static struct question *question_new(struct rebuild *r, unsigned lane);
static struct rebuild *take(struct question *q, const struct redis_reply *reply,
                            const struct err *err, unsigned *lane);
static void answered(struct rebuild *r);
static void finish(struct rebuild *r, const struct err *err);

struct rebuild *rebuild_new(struct console *console)
{
    struct rebuild *r = xcalloc(1, sizeof *r);

    r->console = console;
    r->poll = timer_new(console->loop, on_poll, r);
    r->guard = rebuild_guard_new(console);
    return r;
}

void rebuild_free(struct rebuild *r)
{
    if (!r)
        return;
    while (r->waiting) {
        struct waiting *w = r->waiting;
        r->waiting = w->next;
        free(w);
    }
    archive_replay_free(r->replay);
    timer_free(r->poll);
    rebuild_guard_free(r->guard);
    free(r);
}

void rebuild_start(struct rebuild *r, bool from_zero, rebuild_on_end *on_end, void *arg)
{
    struct waiting *w = xcalloc(1, sizeof *w);

    *w = (struct waiting){r->waiting, on_end, arg};
    r->waiting = w;
    if (r->step == STEP_NONE) {
        begin(r, from_zero, true);
    } else if (!r->is_own || (from_zero && !r->from_zero)) {
        r->again = true;
        r->again_from_zero |= from_zero;
    }
}

void rebuild_include(struct rebuild *r, struct partition p)
{
    r->is_included[partition_number(p)] = true;
}

void rebuild_redis_ready(struct rebuild *r)
{
    if (r->step == STEP_NONE && redis_is_ready(r->console->ledger.redis))
        begin(r, false, false);
}

void rebuild_redis_lost(struct rebuild *r)
{
    struct err err;

    if (r->step == STEP_NONE)
        return;
    err_set(&err, ERR_UNAVAILABLE,
            "the connection to Redis broke; the rebuild goes on by itself when it is back");
    finish(r, &err);
}

static void begin(struct rebuild *r, bool from_zero, bool is_own)
{
    timer_stop(r->poll);
    r->from_zero = from_zero;
    r->is_own = is_own;
    r->has_history = archive_replay_has_history(r->console->options);
    r->result = (struct rebuild_result){0};
    memset(r->is_due, 0, sizeof r->is_due);
    memset(r->is_begun, 0, sizeof r->is_begun);
    memset(r->is_filling, 0, sizeof r->is_filling);
    enter(r, STEP_READ);
}

/* ------------------------------------------------------------------ the steps */

static void read_state(struct rebuild *r, unsigned lane);
static void on_state(void *arg, const struct redis_reply *reply, const struct err *err);
static bool is_work(const struct rebuild *r);
static void on_guarded(void *arg, const struct err *err);
static void read_page(struct rebuild *r);
static void on_page(void *arg, const struct redis_reply *reply, const struct err *err);
static void delete_keys(struct rebuild *r, unsigned lane, const struct redis_reply *keys);
static bool is_kept(struct span rest);
static void announce(struct rebuild *r);
static void on_announced(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_replayed(void *arg, size_t writers);
static void on_waited(void *arg, const struct journal_report *report, const char *missing);
static void on_words(void *arg, const struct redis_reply *reply, const struct err *err);
static int64_t last_heard(const struct redis_reply *words);

static void enter(struct rebuild *r, enum step step)
{
    char key[PARTITION_KEY];

    r->step = step;
    r->round++;
    r->pending = 1;
    r->failure.code = ERR_NONE;
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++) {
        const struct span words[] = {SPAN("HGETALL"),
                                     partition_key(partition_at(lane), "live", NULL, key)};

        if (step == STEP_READ)
            read_state(r, lane);
        else if (step == STEP_PARK && r->is_due[lane])
            run_script(r, lane, "park", NULL, 0);
        else if (step == STEP_EMPTY && r->is_due[lane])
            run_script(r, lane, "empty", NULL, 0);
        else if (step == STEP_LISTEN && r->is_filling[lane])
            ask(r, lane, words, ARRAY_LEN(words), on_words);
        else if (step == STEP_DONE && r->is_filling[lane])
            run_script(r, lane, "done", NULL, 0);
    }
    if (step == STEP_DELETE)
        read_page(r);
    else if (step == STEP_ANNOUNCE)
        announce(r);
    answered(r);
}

/* Everybody has answered. */
static void next(struct rebuild *r)
{
    switch (r->step) {
    case STEP_READ:
        if (!r->is_own && !is_work(r)) {
            finish(r, NULL);
            return;
        }
        if (!r->result.emptied) {
            enter(r, STEP_PARK);
            return;
        }
        r->step = STEP_GUARD;
        rebuild_guard_ask(r->guard, r->is_due, r->is_begun, on_guarded, r);
        return;
    case STEP_PARK:
        memcpy(r->cursor, "0", sizeof "0");
        r->server = 0;
        enter(r, r->result.emptied ? STEP_DELETE : STEP_ANNOUNCE);
        return;
    case STEP_DELETE:
        r->server += strcmp(r->cursor, "0") == 0;
        enter(r, r->server < redis_servers(r->console->ledger.redis) ? STEP_DELETE : STEP_EMPTY);
        return;
    case STEP_EMPTY:
        enter(r, STEP_ANNOUNCE);
        return;
    case STEP_ANNOUNCE:
        r->replay = archive_replay_start(r->console, on_replayed, r, &r->failure);
        if (r->replay)
            r->step = STEP_REPLAY;
        else
            finish(r, &r->failure);
        return;
    case STEP_LISTEN:
        if (r->hears_more)
            timer_start(r->poll, POLL_MS);
        else
            enter(r, STEP_DONE);
        return;
    default:
        finish(r, NULL);
    }
}

static void on_poll(void *arg)
{
    struct rebuild *r = arg;

    r->hears_more = false;
    if (r->step == STEP_LISTEN)
        enter(r, STEP_LISTEN);
    else
        rebuild_redis_ready(r);
}

static void read_state(struct rebuild *r, unsigned lane)
{
    char key[PARTITION_KEY];
    const struct span argv[] = {
        SPAN("HMGET"),        partition_key(partition_at(lane), "state", NULL, key),
        SPAN("parked"),       SPAN("rebuilding"),
        SPAN("installation"), SPAN("pending_blank")};

    ask(r, lane, argv, ARRAY_LEN(argv), on_state);
}

static void on_state(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild *r = take(arg, reply, err, &lane);

    if (!r)
        return;
    if (redis_reply_count(reply) == 4) {
        struct span parked = redis_reply_text(redis_reply_at(reply, 0));
        bool is_blank = redis_reply_text(redis_reply_at(reply, 2)).len == 0 ||
                        span_equal(redis_reply_text(redis_reply_at(reply, 3)), SPAN("1"));

        r->is_begun[lane] = span_equal(parked, SPAN(REASON));
        r->is_due[lane] = r->from_zero || r->is_included[lane] || (is_blank && r->has_history) ||
                          r->is_begun[lane] || (parked.len && r->is_own);
        r->is_filling[lane] = r->is_due[lane] || redis_reply_text(redis_reply_at(reply, 1)).len > 0;
        r->result.emptied += r->is_due[lane];
    }
    answered(r);
}

static bool is_work(const struct rebuild *r)
{
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++)
        if (r->is_filling[lane])
            return true;
    return false;
}

static void on_guarded(void *arg, const struct err *err)
{
    struct rebuild *r = arg;

    if (err)
        finish(r, err);
    else
        enter(r, STEP_PARK);
}

/* ------------------------------------------------------------------ emptying */

static void read_page(struct rebuild *r)
{
    const struct span argv[] = {SPAN("SCAN"),  span_of(r->cursor), SPAN("MATCH"),
                                SPAN("tg:{*"), SPAN("COUNT"),      SPAN(PAGE)};

    redis_command_to(r->console->ledger.redis, r->server, &(struct redis_words)REDIS_WORDS(argv),
                     on_page, question_new(r, 0));
}

static void on_page(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild *r = take(arg, reply, err, &lane);

    if (!r)
        return;
    if (redis_reply_count(reply) != 2 ||
        !span_copy(redis_reply_text(redis_reply_at(reply, 0)), r->cursor, sizeof r->cursor))
        err_set(&r->failure, ERR_PROTOCOL, "Redis's answer to SCAN is malformed");
    else
        for (lane = 0; lane < PARTITIONS_ALL; lane++)
            if (r->is_due[lane])
                delete_keys(r, lane, redis_reply_at(reply, 1));
    answered(r);
}

static void delete_keys(struct rebuild *r, unsigned lane, const struct redis_reply *keys)
{
    struct span *gone = xcalloc(redis_reply_count(keys) + 1, sizeof *gone);
    char name[PARTITION_KEY];
    struct span prefix = partition_key(partition_at(lane), "", NULL, name);
    size_t count = 0;

    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        struct span key = redis_reply_text(redis_reply_at(keys, i));

        if (span_starts(key, prefix) &&
            !is_kept((struct span){key.data + prefix.len, key.len - prefix.len}))
            gone[count++] = key;
    }
    if (count)
        run_script(r, lane, "delete", gone, count);
    free(gone);
}

/* What no record makes: it is not filled again, and what it says stays true. */
static bool is_kept(struct span rest)
{
    static const char *const kept[] = {"state", "live",      "before", "swept",   "heard",
                                       "rate:", "released:", "idem:",  "answer:", "stored:"};

    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (span_starts(rest, span_of(kept[i])))
            return true;
    return false;
}

/* ------------------------------------------------------------------ filling */

/* Every ledger that hears it reads its cursors again. Ours need not wait to hear it. */
static void announce(struct rebuild *r)
{
    const struct span argv[] = {SPAN("XADD"),    SPAN("tg:changes"), SPAN("MAXLEN"),
                                SPAN("~"),       SPAN(CHANGES_KEPT), SPAN("*"),
                                SPAN("rebuild"), SPAN("all")};

    ask(r, 0, argv, ARRAY_LEN(argv), on_announced);
}

static void on_announced(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild *r = take(arg, reply, err, &lane);

    if (!r)
        return;
    if (r->console->ledger.projection)
        projection_read_again(r->console->ledger.projection);
    adoption_visit_all(r->console->adoption);
    answered(r);
}

static void on_replayed(void *arg, size_t writers)
{
    struct rebuild *r = arg;

    r->result.archived = writers;
    archive_replay_free(KEEP(r->replay));
    r->step = STEP_WAIT;
    journal_wait(r->console, false, WAIT_MS, on_waited, r);
}

static void on_waited(void *arg, const struct journal_report *report, const char *missing)
{
    struct rebuild *r = arg;
    struct err err;

    if (r->step != STEP_WAIT)
        return;
    if (!report) {
        err_set(&err, ERR_TIMEOUT, "%s", missing);
        finish(r, &err);
        return;
    }
    r->hears_more = false;
    enter(r, STEP_LISTEN);
}

/* Whoever was heard of lately must have said that it is back. */
static void on_words(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild *r = take(arg, reply, err, &lane);
    struct live_word word;
    int64_t last;

    if (!r)
        return;
    last = last_heard(reply);
    for (size_t i = 1; i < redis_reply_count(reply); i += 2)
        if (live_word_parse(redis_reply_text(redis_reply_at(reply, i)), &word))
            r->hears_more |= word.is_behind && word.heard_ms > last - LIVE_MS;
    answered(r);
}

static int64_t last_heard(const struct redis_reply *words)
{
    struct live_word word;
    int64_t last = 0;

    for (size_t i = 1; i < redis_reply_count(words); i += 2)
        if (live_word_parse(redis_reply_text(redis_reply_at(words, i)), &word) &&
            word.heard_ms > last)
            last = word.heard_ms;
    return last;
}

/* ------------------------------------------------------------------ questions */

static struct question *question_new(struct rebuild *r, unsigned lane)
{
    struct question *q = xcalloc(1, sizeof *q);

    *q = (struct question){r, r->round, lane};
    r->pending++;
    return q;
}

static void ask(struct rebuild *r, unsigned lane, const struct span *argv, size_t argc,
                redis_on_reply *on_reply)
{
    redis_command(r->console->ledger.redis, argv, argc, on_reply, question_new(r, lane));
}

/* {OK} and {NOTHING} are both well; another word is not. */
static void on_script(void *arg, const struct redis_reply *reply, const struct err *err)
{
    unsigned lane;
    struct rebuild *r = take(arg, reply, err, &lane);
    char name[PARTITION_NAME];

    if (!r)
        return;
    if (span_equal(redis_reply_text(redis_reply_at(reply, 0)), SPAN("INSTALLATION")))
        err_set(&r->failure, ERR_DENIED, "partition %s is another installation's",
                partition_name(partition_at(lane), name));
    answered(r);
}

static void run_script(struct rebuild *r, unsigned lane, const char *verb, const struct span *keys,
                       size_t key_count)
{
    static const char *const first[] = {"state", "live", "cursors", "before"};
    char names[ARRAY_LEN(first)][PARTITION_KEY], partitions[INT64_TEXT];
    const struct span args[] = {span_of(r->console->installation->id),
                                int64_text(PARTITIONS, partitions), span_of(verb), SPAN(REASON)};
    struct span *all = xcalloc(key_count + ARRAY_LEN(first), sizeof *all);
    const struct redis_eval eval = {
        script_get(SCRIPT_REBUILD), {all, key_count + ARRAY_LEN(first)}, REDIS_WORDS(args)};

    for (size_t i = 0; i < ARRAY_LEN(first); i++)
        all[i] = partition_key(partition_at(lane), first[i], NULL, names[i]);
    if (key_count)
        memcpy(all + ARRAY_LEN(first), keys, key_count * sizeof *keys);
    redis_eval(r->console->ledger.redis, &eval, on_script, question_new(r, lane));
    free(all);
}

/* Ends a question; null when its round is over. The first failure of a round is kept. */
static struct rebuild *take(struct question *q, const struct redis_reply *reply,
                            const struct err *err, unsigned *lane)
{
    struct rebuild *r = q->round == q->rebuild->round ? q->rebuild : NULL;
    struct err refused;

    *lane = q->lane;
    free(q);
    if (!r)
        return NULL;
    err = redis_failure(reply, err, &refused);
    if (err && r->failure.code == ERR_NONE)
        r->failure = *err;
    if (r->failure.code == ERR_NONE)
        return r;
    answered(r);
    return NULL;
}

static void answered(struct rebuild *r)
{
    if (--r->pending)
        return;
    if (r->failure.code == ERR_NONE)
        next(r);
    else
        finish(r, &r->failure);
}

static void finish(struct rebuild *r, const struct err *err)
{
    struct waiting *waiting = r->waiting;
    struct err kept = {0};

    if (err)
        kept = *err;
    if (err)
        log_error("rebuild_failed", "%s", kept.text);
    else if (r->is_own || r->result.emptied)
        log_info("rebuilt",
                 "%u partitions were emptied and filled again, %zu writers replayed "
                 "from the archive alone",
                 r->result.emptied, r->result.archived);
    if (!err)
        memset(r->is_included, 0, sizeof r->is_included);
    archive_replay_free(KEEP(r->replay));
    rebuild_guard_stop(r->guard);
    timer_stop(r->poll);
    r->step = STEP_NONE;
    r->round++;
    if (r->again && !err) {
        bool from_zero = r->again_from_zero;

        r->again = r->again_from_zero = false;
        begin(r, from_zero, true);
        return;
    }
    if (err && !r->is_own)
        timer_start(r->poll, RETRY_MS);
    r->again = r->again_from_zero = false;
    r->waiting = NULL;
    while (waiting) {
        struct waiting *w = waiting;

        waiting = w->next;
        w->on_end(w->arg, &r->result, err ? &kept : NULL);
        free(w);
    }
}
