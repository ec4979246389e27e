/* journal.c - the loop's side of the journal: which directory, which time, which number. Numbers are given when a record is
 * queued, and records are written in the order they were queued, so a number that is on disk has all below it there too. */
#include "billing/journal.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/journal_home.h"
#include "billing/journal_recover.h"
#include "billing/journal_space.h"
#include "billing/journal_thread.h"
#include "billing/retirement.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define DIRECTORIES_MAX  9999
#define HEAD_BYTES_MAX   192
#define RETIRED_SENTENCE "was retired and may never write again"

struct journal {
    struct journal_home home;
    struct journal_thread *thread;
    int64_t segment_age_ns;

    int64_t now; /* the last time given out */
    struct period period;
    int64_t period_ends;
    uint64_t numbers[SIDES][PARTITIONS]; /* given to what is queued */

    struct record_heads durable;
    uint64_t synced;
    struct record_heads first;
    void (*on_queued)(void *arg); /* null: the thread is woken at every record */
    void *on_queued_arg;
    bool awaits_flush;
    struct buf body, record; /* scratch, of full size from the start */
};

static struct journal *open_path(const struct journal_config *config, const char *path,
                                 bool is_retired, struct err *err);
static void lift_mark(const char *dir);
static bool refuse_retired(const struct journal_config *config, const struct journal_home *home,
                           struct err *err);
static bool register_writer(struct journal *j, const struct journal_config *config,
                            struct period first, struct err *err);
static bool start_from(struct journal *j, const struct journal_log *log, struct err *err);
static void stop_directory(const char *path, const struct err *why, struct buf *damaged);
static void enter_period(struct journal *j, struct period p);
static void add_event(struct journal *j, enum record_kind kind, const struct event *e,
                      journal_on_durable *on_durable, void *arg);
static bool add_change(struct journal *j, struct journal_entry *entry, struct span body,
                       struct err *err);
static void place_on(struct journal *j, struct record_place *place, struct partition p);
static void take_numbers(struct journal *j, const struct record_place *place);
static void queued(struct journal *j);
static void advance_heads(struct journal *j, const struct journal_batch *b);
static void run_callbacks(const struct journal_batch *b);

struct journal *journal_open(const struct journal_config *config, struct buf *damaged,
                             struct err *err)
{
    for (unsigned number = 1; number <= DIRECTORIES_MAX; number++) {
        AUTO_STRING path = journal_home_path(config->root, number);
        struct err why;
        struct journal *j = open_path(config, path, false, &why);

        if (j)
            return j;
        if (why.code == ERR_CORRUPT) {
            stop_directory(path, &why, damaged);
        } else if (why.code != ERR_EXISTS) {
            err_set(err, why.code, "%s", why.text);
            return NULL;
        }
    }
    err_set(err, ERR_LIMIT, "all %d directories under %s are taken", DIRECTORIES_MAX, config->root);
    return NULL;
}

struct journal *journal_open_dir(const struct journal_config *config, const char *dir,
                                 struct err *err)
{
    struct err why;
    struct journal *j = open_path(config, dir, false, &why);

    if (j)
        return j;
    if (why.code == ERR_CORRUPT)
        stop_directory(dir, &why, NULL);
    err_set(err, why.code, "%s", why.text);
    return NULL;
}

struct journal *journal_open_retired(const struct journal_config *config, const char *dir,
                                     struct err *err)
{
    AUTO_CLEAR(journal_home) home = {.path = NULL};

    if (!journal_home_identity(dir, &home, err))
        return NULL;
    if (!retirement_is_final(config->archive, home.writer)) {
        err_set(err, ERR_INPUT, "writer %s of %s was not retired: whoever takes it up ships it",
                home.writer, dir);
        return NULL;
    }
    lift_mark(dir);
    return open_path(config, dir, true, err);
}

/* The mark of a process that came upon it after the retirement; any other stays. */
static void lift_mark(const char *dir)
{
    AUTO_STRING path = path_join(dir, "damaged");
    AUTO_CLEAR(buf) text = {.max = ERR_TEXT_MAX};

    if (file_read(path, &text, NULL) && buf_add_char(&text, '\0') &&
        strstr(text.data, RETIRED_SENTENCE))
        unlink(path);
}

static struct journal *open_path(const struct journal_config *config, const char *path,
                                 bool is_retired, struct err *err)
{
    AUTO(journal) j = xcalloc(1, sizeof *j);
    AUTO_CLEAR(journal_log) log = {.out.fd = -1};

    if (config->segment_bytes < SEGMENT_BYTES_MIN) {
        err_set(err, ERR_INPUT, "segments of %lld bytes are too small: %d at least",
                (long long)config->segment_bytes, SEGMENT_BYTES_MIN);
        return NULL;
    }
    j->segment_age_ns = config->segment_age_ms * NANOS_PER_MS;
    if (!journal_home_take(path, config->installation, &j->home, err) ||
        (!is_retired && !refuse_retired(config, &j->home, err)) ||
        !journal_recover(&log, &j->home, (uint64_t)config->segment_bytes, clock_now(), err) ||
        !register_writer(j, config, log.state.totals.period, err) || !start_from(j, &log, err))
        return NULL;
    j->thread = journal_thread_new(&log, config->sync_times);
    return KEEP(j);
}

/* What it wrote after it was retired is in nobody's sums: ERR_CORRUPT stops the directory. */
static bool refuse_retired(const struct journal_config *config, const struct journal_home *home,
                           struct err *err)
{
    return !retirement_is_final(config->archive, home->writer) ||
           err_set(err, ERR_CORRUPT,
                   "writer %s " RETIRED_SENTENCE ": `tollgate journal adopt %s` books what it "
                   "still has, then take the directory away",
                   home->writer, home->path);
}

static bool register_writer(struct journal *j, const struct journal_config *config,
                            struct period first, struct err *err)
{
    return j->home.registered ||
           (archive_register(config->archive, config->installation, j->home.writer, first, err) &&
            journal_home_set_registered(&j->home, err));
}

static bool start_from(struct journal *j, const struct journal_log *log, struct err *err)
{
    j->now = log->state.at;
    enter_period(j, log->state.totals.period);
    j->durable = log->state.heads;
    j->synced = log->synced;
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            j->numbers[side][i] = j->durable.at[side][i].n;
    buf_init(&j->body, EVENT_BYTES_MAX);
    buf_init(&j->record, RECORD_BYTES_MAX);
    if (!buf_room(&j->body, EVENT_BYTES_MAX) || !buf_room(&j->record, RECORD_BYTES_MAX))
        return err_set(err, ERR_MEMORY, "no memory for a journal");
    return journal_refresh_first_heads(j, err);
}

/* Whoever finds the damage says so once; the next finds the mark. */
static void stop_directory(const char *path, const struct err *why, struct buf *damaged)
{
    AUTO_STRING mark = path_join(path, "damaged");
    struct err err;

    log_error("journal_damaged", "%s is not used until an operator has looked: %s", path,
              why->text);
    if (!file_exists(mark) && !journal_home_set_damaged(path, why->text, &err))
        log_error("journal_damaged", "%s cannot be marked: %s", path, err.text);
    if (damaged)
        buf_printf(damaged, "%s\n", why->text);
}

bool journal_start(struct journal *j, int notify_fd, struct err *err)
{
    return journal_thread_start(j->thread, notify_fd, err);
}

void journal_gather(struct journal *j, void (*on_queued)(void *arg), void *arg)
{
    j->on_queued = on_queued;
    j->on_queued_arg = arg;
    journal_thread_gather(j->thread);
}

void journal_flush(struct journal *j)
{
    j->awaits_flush = false;
    journal_thread_flush(j->thread);
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    journal_thread_free(j->thread);
    journal_home_clear(&j->home);
    buf_clear(&j->body);
    buf_clear(&j->record);
    free(j);
}

const char *journal_writer(const struct journal *j)
{
    return j->home.writer;
}

const char *journal_dir(const struct journal *j)
{
    return j->home.path;
}

uint64_t journal_turn(const struct journal *j)
{
    return j->home.turn;
}

bool journal_reserve(struct journal *j, struct err *err)
{
    return journal_thread_reserve(j->thread, err);
}

void journal_unreserve(struct journal *j)
{
    journal_thread_unreserve(j->thread);
}

int64_t journal_now(struct journal *j)
{
    int64_t now = clock_now();

    if (now > j->now)
        j->now = now;
    if (j->now >= j->period_ends) {
        enter_period(j, period_of(j->now));
        journal_thread_ask(j->thread, JOURNAL_PERIOD, j->now, NULL, NULL);
    }
    return j->now;
}

struct period journal_period(const struct journal *j)
{
    return j->period;
}

static void enter_period(struct journal *j, struct period p)
{
    j->period = p;
    j->period_ends = period_end(p);
}

void journal_begin(struct journal *j, const struct event *e, journal_on_durable *on_written,
                   void *arg)
{
    struct event begin = *e;

    begin.amount.nanos = 0;
    begin.used.count = 0;
    begin.outcome = OUTCOME_VOID;
    begin.ended_at = journal_now(j);
    begin.period = begin.orig_period = j->period;
    add_event(j, RECORD_BEGIN, &begin, on_written, arg);
}

void journal_progress(struct journal *j, const struct event *e)
{
    struct event progress = *e;

    progress.outcome = OUTCOME_KILLED;
    progress.ended_at = journal_now(j);
    progress.period = progress.orig_period = j->period;
    add_event(j, RECORD_PROGRESS, &progress, NULL, NULL);
}

/* Between the caller's look at the clock and now, its period may have been sealed: then it ends now. */
void journal_call(struct journal *j, const struct event *e, journal_on_durable *on_durable,
                  void *arg)
{
    struct event later;

    if (period_compare(e->period, j->period) == 0) {
        add_event(j, RECORD_CALL, e, on_durable, arg);
        return;
    }
    later = *e;
    later.ended_at = journal_now(j);
    later.period = later.orig_period = j->period;
    add_event(j, RECORD_CALL, &later, on_durable, arg);
}

static void add_event(struct journal *j, enum record_kind kind, const struct event *e,
                      journal_on_durable *on_durable, void *arg)
{
    struct journal_entry entry = {
        .effect = {.kind = kind, .at = e->ended_at, .amount = e->amount, .period = e->period},
        .optional = kind == RECORD_PROGRESS,
        .ends_call = kind == RECORD_CALL,
        .on_durable = on_durable,
        .arg = arg};
    struct jw w;

    memcpy(entry.effect.request_id, e->request_id, sizeof e->request_id);
    if (kind == RECORD_CALL) {
        place_on(j, &entry.effect.place, partition_of(SIDE_ACCOUNT, span_of(e->account)));
        place_on(j, &entry.effect.place, partition_of(SIDE_MODEL, span_of(e->model)));
        take_numbers(j, &entry.effect.place);
    }
    buf_truncate(&j->body, 0);
    buf_truncate(&j->record, 0);
    jw_init(&w, &j->body);
    event_write(e, &w);
    record_compose(&j->record, kind, j->home.writer, &entry.effect.place, buf_span(&j->body));
    assert(!j->body.failed && !j->record.failed);
    entry.record = buf_span(&j->record);
    if (!journal_thread_add(j->thread, &entry))
        assert(kind == RECORD_PROGRESS);
    queued(j);
}

static void queued(struct journal *j)
{
    if (!j->on_queued || j->awaits_flush)
        return;
    j->awaits_flush = true;
    j->on_queued(j->on_queued_arg);
}

static void place_on(struct journal *j, struct record_place *place, struct partition p)
{
    place->on[p.side] = true;
    place->partition[p.side] = p.index;
    place->n[p.side] = j->numbers[p.side][p.index] + 1;
}

static void take_numbers(struct journal *j, const struct record_place *place)
{
    for (int side = 0; side < SIDES; side++)
        if (place->on[side])
            j->numbers[side][place->partition[side]] = place->n[side];
}

bool journal_change(struct journal *j, const struct journal_change *change,
                    journal_on_durable *on_durable, void *arg, struct err *err)
{
    enum record_kind kind = change->kind;
    struct journal_entry entry = {.effect = {.kind = kind, .at = journal_now(j)},
                                  .optional = true,
                                  .on_durable = on_durable,
                                  .arg = arg};

    assert(record_is_numbered(kind) && kind != RECORD_CALL && kind != RECORD_REFUND);
    if (change->body.len > RECORD_BYTES_MAX - HEAD_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a %s record is larger than %d bytes",
                       record_kind_name(kind), RECORD_BYTES_MAX - HEAD_BYTES_MAX);
    place_on(j, &entry.effect.place, change->partition);
    return add_change(j, &entry, change->body, err);
}

bool journal_refund(struct journal *j, struct refund *r, journal_on_durable *on_durable, void *arg,
                    struct err *err)
{
    struct journal_entry entry = {.effect = {.kind = RECORD_REFUND, .amount = r->amount},
                                  .optional = true,
                                  .on_durable = on_durable,
                                  .arg = arg};
    struct jw w;

    r->at = entry.effect.at = journal_now(j);
    r->period = j->period;
    if (period_compare(r->period, r->orig_period) < 0)
        return err_set(err, ERR_UNAVAILABLE,
                       "the call is of %s, which has not begun by this machine's clock",
                       r->orig_period.text);
    place_on(j, &entry.effect.place, partition_of(SIDE_ACCOUNT, span_of(r->account)));
    place_on(j, &entry.effect.place, partition_of(SIDE_MODEL, span_of(r->model)));
    buf_truncate(&j->body, 0);
    jw_init(&w, &j->body);
    refund_write(r, &w);
    assert(!j->body.failed);
    return add_change(j, &entry, buf_span(&j->body), err);
}

bool journal_funds(struct journal *j, struct funds *f, journal_on_durable *on_durable, void *arg,
                   struct err *err)
{
    struct journal_entry entry = {.effect = {.kind = f->kind, .at = journal_now(j)},
                                  .optional = true,
                                  .on_durable = on_durable,
                                  .arg = arg};
    struct jw w;

    f->at = entry.effect.at;
    f->period = j->period;
    place_on(j, &entry.effect.place, partition_of(SIDE_ACCOUNT, span_of(f->account)));
    buf_truncate(&j->body, 0);
    jw_init(&w, &j->body);
    funds_write(f, &w);
    assert(!j->body.failed);
    return add_change(j, &entry, buf_span(&j->body), err);
}

static bool add_change(struct journal *j, struct journal_entry *entry, struct span body,
                       struct err *err)
{
    enum record_kind kind = entry->effect.kind;

    buf_truncate(&j->record, 0);
    record_compose(&j->record, kind, j->home.writer, &entry->effect.place, body);
    assert(!j->record.failed);
    entry->record = buf_span(&j->record);
    if (!journal_thread_add(j->thread, entry))
        return err_set(err, ERR_FULL, "%s has no room for a %s record", j->home.path,
                       record_kind_name(kind));
    take_numbers(j, &entry->effect.place);
    queued(j);
    return true;
}

/* Heads move before anybody is called: what a callback sees is one state. */
void journal_completed(struct journal *j)
{
    struct journal_batch *done;

    journal_thread_work(j->thread);
    done = journal_thread_take_done(j->thread, &j->synced);
    advance_heads(j, done);
    run_callbacks(done);
    journal_thread_recycle(j->thread, done);
}

static void advance_heads(struct journal *j, const struct journal_batch *b)
{
    for (; b; b = b->next) {
        for (size_t i = 0; i < b->count; i++) {
            const struct record_effect *e = &b->items[i].effect;
            bool follows = record_heads_advance(&j->durable, &e->place, e->crc, NULL);

            assert(follows);
            (void)follows;
        }
    }
}

static void run_callbacks(const struct journal_batch *b)
{
    for (; b; b = b->next)
        for (size_t i = 0; i < b->count; i++)
            if (b->items[i].on_durable)
                b->items[i].on_durable(b->items[i].arg);
}

uint64_t journal_synced(const struct journal *j)
{
    return j->synced;
}

const struct record_heads *journal_heads(const struct journal *j)
{
    return &j->durable;
}

void journal_seal(struct journal *j, journal_on_durable *on_durable, void *arg)
{
    journal_thread_ask(j->thread, JOURNAL_SEAL, journal_now(j), on_durable, arg);
}

void journal_tick(struct journal *j)
{
    journal_thread_tick(j->thread, journal_now(j), j->segment_age_ns);
}

const struct record_heads *journal_first_heads(const struct journal *j)
{
    return &j->first;
}

bool journal_refresh_first_heads(struct journal *j, struct err *err)
{
    struct segment_file *files;
    struct segment_header h;
    size_t count;
    bool ok;

    if (!segment_list(j->home.path, &files, &count, err))
        return false;
    ok = count > 0 ? segment_header_read(files[0].path, &h, err)
                   : err_set(err, ERR_CORRUPT, "%s has no segment", j->home.path);
    segment_list_free(files, count);
    if (ok)
        j->first = h.heads;
    return ok;
}

int64_t journal_unsealed_since(struct journal *j)
{
    return journal_thread_unsealed_since(j->thread);
}
