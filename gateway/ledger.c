/* ledger.c - opens the ties, keeps each told of what happens to the others, and ties again what broke. */
#include "gateway/ledger.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/catalogue_load.h"
#include "gateway/changes.h"
#include "gateway/key_mover.h"
#include "gateway/redis_settings.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CATALOGUE_TICKS   30 /* caches live 30 s at most */
#define JOURNAL_TICKS     5  /* between two attempts to open one */
#define KEYS_MAX          100000
#define REDIS_PENDING_MAX 100000
#define BATCH_RECORDS     50
#define BATCHES_MAX       32
#define SEGMENT_AGE_MS    (3600 * 1000)
#define FINISH_MS         10000

struct ledger_link {
    struct ledger_handlers handlers;
    void *arg;
    struct redis_settings redis;
    struct changes *changes;
    struct key_mover *mover; /* null: no key can need it */
    bool catalogue_is_loading, catalogue_is_stale;
    int journal_fd; /* eventfd */
    struct watch *journal_watch;
    struct turn_end journal_turn; /* wakes the journal's thread once for all that a turn queued */
    unsigned ticks;
    struct timer *finish_end;       /* null until nothing more is recorded */
    void (*on_finished)(void *arg); /* null: nobody waits */
    void *finish_arg;
};

static bool open_redis(struct ledger *l, struct err *err);
static bool open_keyring(struct ledger *l, struct err *err);
static void try_journal(struct ledger *l);
static bool lacks_catalogue(const struct ledger *l);
static bool can_finish(const struct ledger *l);
static void finish_if_in_vain(struct ledger *l);
static void on_finish_end(void *arg);

bool ledger_open(struct ledger *l, const struct ledger_handlers *handlers, void *arg,
                 struct err *err)
{
    l->link = xcalloc(1, sizeof *l->link);
    l->link->handlers = *handlers;
    l->link->arg = arg;
    l->zones = zones_new();
    l->link->journal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->link->journal_fd < 0)
        return err_sys(err, "an event descriptor can't be made");
    if (!open_redis(l, err) || !open_keyring(l, err))
        return false;
    try_journal(l);
    return true;
}

/* ------------------------------------------------------------------ Redis and what is read from it */

static void on_redis_ready(void *arg);
static void on_redis_lost(void *arg, const struct err *err);
static void tell_redis(struct ledger *l, bool is_ready);
static void on_change(void *arg, struct span kind, struct span id);
static void ship_again(struct ledger *l);
static void on_reset(void *arg);
static void load_catalogue(struct ledger *l);
static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err);

static bool open_redis(struct ledger *l, struct err *err)
{
    static const struct redis_handlers handlers = {on_redis_ready, on_redis_lost};
    static const struct changes_handlers changes_handlers = {on_change, on_reset};
    struct ledger_link *link = l->link;

    if (!redis_settings_read(&link->redis, l->options, REDIS_PENDING_MAX, err))
        return false;
    l->redis = redis_new(l->loop, &link->redis.config, &handlers, l, err);
    if (!l->redis)
        return false;
    link->changes = changes_new(l->loop, &link->redis.config, &changes_handlers, l, err);
    return link->changes != NULL;
}

static void on_redis_ready(void *arg)
{
    struct ledger *l = arg;

    log_info("redis_ready", "%s", l->options->redis);
    if (l->projection)
        projection_redis_ready(l->projection);
    tell_redis(l, true);
    load_catalogue(l);
}

static void on_redis_lost(void *arg, const struct err *err)
{
    struct ledger *l = arg;

    log_warn("redis_lost", "%s", err->text);
    if (l->projection)
        projection_redis_lost(l->projection);
    tell_redis(l, false);
    finish_if_in_vain(l);
}

static void tell_redis(struct ledger *l, bool is_ready)
{
    if (l->link->handlers.on_redis)
        l->link->handlers.on_redis(l->link->arg, is_ready);
}

static void on_change(void *arg, struct span kind, struct span id)
{
    struct ledger *l = arg;
    char public_id[KEY_ID_PUBLIC];

    if (span_equal(kind, SPAN("catalogue")))
        load_catalogue(l);
    else if (span_equal(kind, SPAN("rebuild")))
        ship_again(l);
    else if (span_equal(kind, SPAN("live")) && l->projection)
        projection_report(l->projection);
    else if (span_equal(kind, SPAN("key")) && span_copy(id, public_id, sizeof public_id))
        keyring_forget(l->keyring, public_id);
}

static void ship_again(struct ledger *l)
{
    if (l->projection)
        projection_read_again(l->projection);
    if (l->link->handlers.on_rebuild)
        l->link->handlers.on_rebuild(l->link->arg);
}

static void on_reset(void *arg)
{
    struct ledger *l = arg;

    keyring_forget_all(l->keyring);
    load_catalogue(l);
}

/* One load at a time; what changes meanwhile makes one more. */
static void load_catalogue(struct ledger *l)
{
    l->link->catalogue_is_stale = l->link->catalogue_is_loading;
    if (l->link->catalogue_is_loading)
        return;
    l->link->catalogue_is_loading = true;
    catalogue_load(l->redis, on_catalogue, l);
}

static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err)
{
    struct ledger *l = arg;

    l->link->catalogue_is_loading = false;
    if (catalogue && l->catalogue &&
        catalogue_revision(catalogue) < catalogue_revision(l->catalogue)) {
        log_warn("catalogue_is_older",
                 "Redis is being brought up to the journals; what was read before stays");
        catalogue_free(catalogue);
    } else if (catalogue) {
        catalogue_free(l->catalogue);
        l->catalogue = catalogue;
        l->has_catalogue = true;
    } else {
        log_debug("catalogue_not_read", "%s", err->text);
    }
    if (l->link->catalogue_is_stale && redis_is_partly_ready(l->redis))
        load_catalogue(l);
}

/* ------------------------------------------------------------------ keys */

static void on_outdated(void *arg, const char *public_id, const unsigned char hash[SHA256_LEN]);

static bool open_keyring(struct ledger *l, struct err *err)
{
    const struct peppers *peppers = &l->installation->peppers;
    struct keyring_config config = {.peppers = peppers,
                                    .entries_max = KEYS_MAX,
                                    .stale_ms = l->options->offline_age,
                                    .recovering_wait_ms = l->options->recovering_wait,
                                    .arg = l};

    if (peppers->of[PEPPER_PREVIOUS].id[0]) {
        l->link->mover =
            key_mover_new(l->loop, l->options->state, peppers->of[PEPPER_IN_USE].id, err);
        if (!l->link->mover)
            return false;
        config.on_outdated = on_outdated;
    }
    l->keyring = keyring_new(l->loop, l->redis, &config);
    return true;
}

static void on_outdated(void *arg, const char *public_id, const unsigned char hash[SHA256_LEN])
{
    struct ledger *l = arg;

    if (l->link->mover)
        key_mover_move(l->link->mover, public_id, hash);
}

/* ------------------------------------------------------------------ the journal and what ships it */

static bool attach_journal(struct ledger *l, struct journal *journal, struct err *err);
static void on_journal_queued(void *arg);
static void flush_journal(void *arg);
static void on_journal_news(void *arg);
static void on_put_holds(void *arg);
static void on_recovered(void *arg);
static void on_stopped(void *arg, const struct err *err);

struct journal_config ledger_journal_config(const struct options *o, const struct installation *i)
{
    return (struct journal_config){.root = o->journal,
                                   .archive = o->archive,
                                   .installation = i->id,
                                   .segment_bytes = o->journal_segment,
                                   .segment_age_ms = SEGMENT_AGE_MS};
}

struct projection_config ledger_projection_config(const struct options *o,
                                                  const struct installation *i)
{
    return (struct projection_config){i->id, o->archive, BATCH_RECORDS, BATCHES_MAX,
                                      o->recent_time};
}

/* A process without a journal stays up, refuses in one sentence what would need it, and tries again. */
static void try_journal(struct ledger *l)
{
    struct journal_config config = ledger_journal_config(l->options, l->installation);
    AUTO_CLEAR(buf) damaged = {.max = 4096};
    struct err err;
    AUTO(journal) journal = NULL;

    config.sync_times = l->link->handlers.sync_times;
    if (l->link->handlers.has_changes)
        config.segment_age_ms = l->options->changes_age;
    journal = journal_open(&config, &damaged, &err);
    if (!journal || !journal_start(journal, l->link->journal_fd, &err) ||
        !attach_journal(l, journal, &err)) {
        log_error("journal_unavailable",
                  "it is tried again, and until then nothing is recorded: %s", err.text);
        return;
    }
    (void)KEEP(journal);
    if (l->link->handlers.on_journal)
        l->link->handlers.on_journal(l->link->arg);
    if (redis_is_partly_ready(l->redis))
        projection_redis_ready(l->projection);
}

static bool attach_journal(struct ledger *l, struct journal *journal, struct err *err)
{
    static const struct projection_handlers handlers = {
        .on_put_holds = on_put_holds, .on_recovered = on_recovered, .on_stopped = on_stopped};
    struct projection_config config = ledger_projection_config(l->options, l->installation);
    struct projection_handlers mine = handlers;

    if (!l->link->handlers.on_put_holds)
        mine.on_put_holds = NULL;
    l->link->journal_watch = watch_new(l->loop, l->link->journal_fd, on_journal_news, NULL, l);
    if (!l->link->journal_watch)
        return err_set(err, ERR_IO, "the journal's descriptor can't be watched");
    watch_want(l->link->journal_watch, true, false);
    l->journal = journal;
    l->link->journal_turn = (struct turn_end){.run = flush_journal, .arg = l};
    journal_gather(journal, on_journal_queued, l);
    l->projection = projection_new(l->loop, l->redis, journal, &config, &mine, l);
    return true;
}

static void on_journal_queued(void *arg)
{
    struct ledger *l = arg;

    turn_end_schedule(l->loop, &l->link->journal_turn);
}

static void flush_journal(void *arg)
{
    struct ledger *l = arg;

    journal_flush(l->journal);
}

static void on_journal_news(void *arg)
{
    struct ledger *l = arg;
    uint64_t count;

    if (read(l->link->journal_fd, &count, sizeof count) != (ssize_t)sizeof count)
        return;
    journal_completed(l->journal);
    if (l->projection)
        projection_wake(l->projection);
}

static void on_put_holds(void *arg)
{
    struct ledger *l = arg;

    l->link->handlers.on_put_holds(l->link->arg);
}

static void on_recovered(void *arg)
{
    struct ledger *l = arg;

    log_info("recovered", "writer %s: Redis has everything this journal holds",
             journal_writer(l->journal));
    load_catalogue(l);
}

/* What this process meters from now on would not be charged until somebody has looked, so it meters no more. */
static void on_stopped(void *arg, const struct err *err)
{
    struct ledger *l = arg;

    l->is_stopped = true;
    log_error("shipping_stopped", "calls and changes are refused until an operator has looked: %s",
              err->text);
    finish_if_in_vain(l);
}

/* ------------------------------------------------------------------ once a second, and the end */

void ledger_tick(struct ledger *l)
{
    l->link->ticks++;
    if (l->journal)
        journal_tick(l->journal);
    else if (l->link->ticks % JOURNAL_TICKS == 0)
        try_journal(l);
    if ((l->link->ticks % CATALOGUE_TICKS == 0 || lacks_catalogue(l)) &&
        redis_is_partly_ready(l->redis))
        load_catalogue(l);
}

/* Also while Redis is being filled again, and holds none of it yet. */
static bool lacks_catalogue(const struct ledger *l)
{
    return !l->catalogue || catalogue_revision(l->catalogue) == 0;
}

void ledger_seal(struct ledger *l)
{
    if (l->journal)
        journal_seal(l->journal, NULL, NULL);
}

void ledger_finish(struct ledger *l, void (*on_finished)(void *), void *arg)
{
    struct ledger_link *link = l->link;

    link->on_finished = on_finished;
    link->finish_arg = arg;
    link->finish_end = timer_new(l->loop, on_finish_end, l);
    timer_start(link->finish_end, FINISH_MS);
    if (l->projection)
        projection_when_current(l->projection, on_finish_end, l);
    finish_if_in_vain(l);
}

/* Not inside whatever told so. */
static void finish_if_in_vain(struct ledger *l)
{
    if (l->link->on_finished && !can_finish(l))
        timer_start(l->link->finish_end, 0);
}

static bool can_finish(const struct ledger *l)
{
    return l->projection && !l->is_stopped && redis_is_partly_ready(l->redis);
}

/* What comes first: all is there, it is in vain, or it took too long. */
static void on_finish_end(void *arg)
{
    struct ledger *l = arg;
    void (*on_finished)(void *) = l->link->on_finished;

    l->link->on_finished = NULL;
    if (on_finished)
        on_finished(l->link->finish_arg);
}

void ledger_disconnect(struct ledger *l)
{
    if (!l->link)
        return;
    timer_free(l->link->finish_end);
    l->link->finish_end = NULL;
    l->link->on_finished = NULL;
    key_mover_free(l->link->mover);
    l->link->mover = NULL;
    changes_free(l->link->changes);
    l->link->changes = NULL;
    projection_free(l->projection);
    l->projection = NULL;
    redis_free(l->redis);
    l->redis = NULL;
}

void ledger_close(struct ledger *l)
{
    if (!l->link)
        return;
    ledger_disconnect(l);
    watch_free(l->link->journal_watch);
    turn_end_cancel(&l->link->journal_turn);
    journal_free(l->journal);
    keyring_free(l->keyring);
    zones_free(l->zones);
    catalogue_free(l->catalogue);
    redis_settings_clear(&l->link->redis);
    if (l->link->journal_fd >= 0)
        close(l->link->journal_fd);
    free(l->link);
    l->link = NULL;
}
