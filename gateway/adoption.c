/* adoption.c - a visit is: take the lock, recover (journal_open_dir), ship until Redis has it all, seal, let go. */
#include "gateway/adoption.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "billing/journal_home.h"
#include "billing/period.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define VISITS_MAX 8 /* at a time */

/* What is remembered of a directory between visits. */
struct place {
    struct place *next;
    char *dir;
    uint64_t last_segment; /* when last visited; a higher one means that somebody used it since */
    struct period period;  /* of the last visit */
    bool was_visited;
    bool
        lacks_parked; /* partitions that were parked when it was left need a visit once they are rebuilt */
    struct visit *visit; /* null unless one is under way */
};

struct visit {
    struct adoption *adoption;
    struct place *place;
    struct journal *journal;
    struct projection *projection;
    int fd;
    struct watch *watch;
    struct timer *leave; /* so that nothing is freed inside its own callback */
};

struct adoption {
    struct console *console;
    struct place *places;
    size_t visits;
};

static struct place *place_of(struct adoption *a, const char *name);
static bool needs_visit(const struct adoption *a, const struct place *p);
static uint64_t newest_segment(const char *dir);
static void visit(struct adoption *a, struct place *p);
static bool visit_open(struct visit *v, struct err *err);
static void on_news(void *arg);
static void on_reported(void *arg);
static void end(struct visit *v);
static void on_stopped(void *arg, const struct err *err);
static void leave(void *arg);
static void visit_free(struct visit *v);

struct adoption *adoption_new(struct console *console)
{
    struct adoption *a = xcalloc(1, sizeof *a);

    a->console = console;
    return a;
}

void adoption_free(struct adoption *a)
{
    struct place *p, *next;

    if (!a)
        return;
    for (p = a->places; p; p = next) {
        next = p->next;
        if (p->visit)
            visit_free(p->visit);
        free(p->dir);
        free(p);
    }
    free(a);
}

void adoption_look(struct adoption *a)
{
    char **names;
    size_t count;
    struct err err;

    if (!dir_list(a->console->options->journal, &names, &count, &err))
        return;
    for (size_t i = 0; i < count; i++) {
        struct place *p = journal_home_is_name(names[i]) ? place_of(a, names[i]) : NULL;

        if (p && !p->visit && a->visits < VISITS_MAX && needs_visit(a, p))
            visit(a, p);
    }
    dir_names_free(names, count);
}

static struct place *place_of(struct adoption *a, const char *name)
{
    AUTO_STRING dir = path_join(a->console->options->journal, name);
    struct place *p;

    for (p = a->places; p; p = p->next)
        if (strcmp(p->dir, dir) == 0)
            return p;
    p = xcalloc(1, sizeof *p);
    p->dir = KEEP(dir);
    p->next = a->places;
    a->places = p;
    return p;
}

static bool needs_visit(const struct adoption *a, const struct place *p)
{
    AUTO_STRING lock = path_join(p->dir, "lock");
    AUTO_STRING damaged = path_join(p->dir, "damaged");

    if (file_lock_owner(lock) != 0 || file_exists(damaged))
        return false;
    if (p->lacks_parked && a->console->ledger.projection &&
        !projection_parked(a->console->ledger.projection))
        return true;
    return !p->was_visited || period_compare(p->period, period_of(clock_now())) != 0 ||
           newest_segment(p->dir) != p->last_segment;
}

static uint64_t newest_segment(const char *dir)
{
    struct segment_file *files;
    size_t count;
    uint64_t newest = 0;

    if (!segment_list(dir, &files, &count, NULL))
        return 0;
    if (count)
        newest = files[count - 1].number * 2 + files[count - 1].sealed;
    segment_list_free(files, count);
    return newest;
}

static void visit(struct adoption *a, struct place *p)
{
    struct visit *v = xcalloc(1, sizeof *v);
    struct err err;

    v->adoption = a;
    v->place = p;
    v->fd = -1;
    p->lacks_parked = false;
    p->visit = v;
    a->visits++;
    if (visit_open(v, &err)) {
        log_info("journal_taken_up", "%s: writer %s", p->dir, journal_writer(v->journal));
        return;
    }
    if (err.code != ERR_EXISTS) {
        log_error("journal_not_taken_up", "%s: %s", p->dir, err.text);
        p->was_visited = true;
        p->period = period_of(clock_now());
        p->last_segment = newest_segment(p->dir);
    }
    visit_free(v);
}

static bool visit_open(struct visit *v, struct err *err)
{
    static const struct projection_handlers handlers = {.on_reported = on_reported,
                                                        .on_stopped = on_stopped};
    struct console *c = v->adoption->console;
    struct journal_config config = ledger_journal_config(c->options, c->installation);
    struct projection_config projection = ledger_projection_config(c->options, c->installation);

    v->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (v->fd < 0)
        return err_sys(err, "an event descriptor can't be made");
    v->journal = journal_open_dir(&config, v->place->dir, err);
    if (!v->journal || !journal_start(v->journal, v->fd, err))
        return false;
    v->leave = timer_new(c->loop, leave, v);
    v->watch = watch_new(c->loop, v->fd, on_news, NULL, v);
    watch_want(v->watch, true, false);
    v->projection = projection_new(c->loop, c->ledger.redis, v->journal, &projection, &handlers, v);
    if (redis_is_partly_ready(c->ledger.redis))
        projection_redis_ready(v->projection);
    return true;
}

static void on_news(void *arg)
{
    struct visit *v = arg;
    uint64_t count;

    if (read(v->fd, &count, sizeof count) == (ssize_t)sizeof count) {
        journal_completed(v->journal);
        projection_wake(v->projection);
    }
}

/* Nothing is written during a visit, so there is no more to ship; but what parked partitions lack. */
static void on_reported(void *arg)
{
    struct visit *v = arg;

    v->place->lacks_parked = projection_parked(v->projection) > 0;
    end(v);
}

static void end(struct visit *v)
{
    v->place->was_visited = true;
    timer_start(v->leave, 0);
}

/* The place counts as visited: nothing changes until an operator has looked. */
static void on_stopped(void *arg, const struct err *err)
{
    struct visit *v = arg;

    log_error("shipping_stopped", "%s: an operator must look: %s", v->place->dir, err->text);
    end(v);
}

/* journal_free() seals what holds numbered records. */
static void leave(void *arg)
{
    struct visit *v = arg;
    struct place *p = v->place;

    log_info("journal_let_go", "%s", p->dir);
    visit_free(v);
    p->period = period_of(clock_now());
    p->last_segment = newest_segment(p->dir);
}

static void visit_free(struct visit *v)
{
    v->place->visit = NULL;
    v->adoption->visits--;
    projection_free(v->projection);
    watch_free(v->watch);
    timer_free(v->leave);
    journal_free(v->journal);
    if (v->fd >= 0)
        close(v->fd);
    free(v);
}

void adoption_visit_all(struct adoption *a)
{
    for (struct place *p = a->places; p; p = p->next) {
        p->was_visited = false;
        if (p->visit)
            projection_read_again(p->visit->projection);
    }
    adoption_look(a);
}

void adoption_redis_ready(struct adoption *a)
{
    for (struct place *p = a->places; p; p = p->next)
        if (p->visit)
            projection_redis_ready(p->visit->projection);
    adoption_visit_all(a);
}

void adoption_redis_lost(struct adoption *a)
{
    for (struct place *p = a->places; p; p = p->next)
        if (p->visit)
            projection_redis_lost(p->visit->projection);
}

size_t adoption_pending(const struct adoption *a)
{
    size_t count = a->visits;

    for (const struct place *p = a->places; p; p = p->next)
        count += !p->visit && needs_visit(a, p);
    return count;
}
