/* children.h - the processes that this one forks, watches and, when they die, forks again.
 *
 * A child never outlives its parent (PR_SET_PDEATHSIG) and has a process group of its own, so that
 * Ctrl-C reaches the parent alone. One that died is started again at once the first time, then
 * after 100 ms doubling to 5 s; 10 s of life make it good again. */
#ifndef TOLLGATE_GATEWAY_CHILDREN_H
#define TOLLGATE_GATEWAY_CHILDREN_H

#include "lib/net/loop.h"

struct child_plan {
    const char *name;      /* "worker 0": in logs; "tg-worker-0" in ps; at most 30 characters */
    int (*run)(void *arg); /* in the child, with default signals; returns its exit code */
    void *arg;
    unsigned group;  /* of those that are retired together */
    unsigned rank;   /* when stopping, the lowest ranks are stopped first, and waited for */
    int64_t stop_ms; /* between being told to stop, or retired, and SIGKILL */
    bool once;       /* a task: its end is told, unless all are stopped, and not mended */
};

struct children_handlers {
    void (*on_forked)(void *arg); /* in each child, first: gives up the parent's signal watches */
    void (*on_death)(void *arg, unsigned group); /* one will be started again */
    void (*on_retired)(void *arg, unsigned group); /* one that was retired has ended */
    void (*on_task_end)(void *arg, const char *name, bool succeeded);
    void (*on_all_gone)(void *arg); /* after children_stop() */
};

struct children;
/* Copies handlers. Watches SIGCHLD: there can be one per process. */
struct children *children_new(struct loop *loop, const struct children_handlers *handlers,
                              void *arg) MUST_USE;
/* Forgets its children; they must be gone. */
void children_free(struct children *c);
DEFINE_AUTO(children)
/* Forks; a fork that fails is tried again like a child that died. Copies the plan, keeps its
 * strings. */
void children_add(struct children *c, const struct child_plan *plan);
/* Sends `signo` to the children of this group, which are not started again when they end. */
void children_retire(struct children *c, unsigned group, int signo);
/* How many that were retired still run, of the groups before this one. */
size_t children_retiring(const struct children *c, unsigned before);
/* Nothing is started any more, all are told to stop. May be called again: then they are killed. */
void children_stop(struct children *c);

#endif
