/* archive_replay.c - one projection after another, each fed by the archive alone. */
#include "gateway/archive_replay.h"

#include <stdlib.h>

#include "billing/archive.h"
#include "gateway/fence.h"
#include "gateway/journal_report.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

struct archive_replay {
    struct console *console;
    archive_replay_on_end *on_end;
    void *arg;
    struct archive_writer *writers;
    size_t count, next, replayed;
    struct projection *projection; /* of the writer that is being replayed */
    struct timer *turn;            /* a projection can't be freed by what it calls back */
};

static bool list_writers(struct archive_replay *r, struct err *err);
static void replay_next(void *arg);
static void on_applied(void *arg);
static void on_stopped(void *arg, const struct err *err);

struct archive_replay *archive_replay_start(struct console *c, archive_replay_on_end *on_end,
                                            void *arg, struct err *err)
{
    AUTO(archive_replay) r = xcalloc(1, sizeof *r);

    r->console = c;
    r->on_end = on_end;
    r->arg = arg;
    if (!list_writers(r, err))
        return NULL;
    fence_restore(c);
    r->turn = timer_new(c->loop, replay_next, r);
    timer_start(r->turn, 0);
    return KEEP(r);
}

void archive_replay_free(struct archive_replay *r)
{
    if (!r)
        return;
    projection_free(r->projection);
    timer_free(r->turn);
    free(r->writers);
    free(r);
}

static bool list_writers(struct archive_replay *r, struct err *err)
{
    const struct options *o = r->console->options;
    AUTO_CLEAR(journal_report) here = {.count = 0};
    size_t count;

    if (!journal_report_read(o->journal, &here, err) ||
        !archive_writers(o->archive, &r->writers, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (r->writers[i].segments > 0 && !journal_report_find(&here, r->writers[i].writer))
            r->writers[r->count++] = r->writers[i];
    return true;
}

static void replay_next(void *arg)
{
    static const struct projection_handlers handlers = {.on_reported = on_applied,
                                                        .on_stopped = on_stopped};
    struct archive_replay *r = arg;
    struct console *c = r->console;
    struct projection_config config = ledger_projection_config(c->options, c->installation);

    projection_free(KEEP(r->projection));
    if (r->next == r->count) {
        r->on_end(r->arg, r->replayed);
        return;
    }
    r->projection = projection_new_archived(c->loop, c->ledger.redis, r->writers[r->next].writer,
                                            &config, &handlers, r);
    projection_redis_ready(r->projection);
}

static void on_applied(void *arg)
{
    struct archive_replay *r = arg;

    log_info("archive_replayed", "writer %s, whose journal is not here",
             r->writers[r->next].writer);
    r->replayed++;
    r->next++;
    timer_start(r->turn, 0);
}

static void on_stopped(void *arg, const struct err *err)
{
    struct archive_replay *r = arg;

    log_error("archive_not_replayed", "writer %s: %s", r->writers[r->next].writer, err->text);
    r->next++;
    timer_start(r->turn, 0);
}

bool archive_replay_has_history(const struct options *o)
{
    AUTO_CLEAR(journal_report) here = {.count = 0};
    bool found = false;

    if (journal_report_read(o->journal, &here, NULL))
        for (size_t i = 0; i < here.count; i++)
            found |= journal_entry_records(&here.entries[i]) > 0;
    return found || archive_has_history(o->archive);
}
