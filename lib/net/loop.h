/* loop.h - one event loop per process: timers, signals, descriptors, and work for the end of a
 * turn.
 *
 * Callbacks are short: they name an event and run a machine. Nothing blocks here. Everything
 * registered belongs to the caller and must be freed before the loop. */
#ifndef TOLLGATE_NET_LOOP_H
#define TOLLGATE_NET_LOOP_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct loop;
struct loop *loop_new(struct err *err) MUST_USE;
void loop_free(struct loop *loop);
DEFINE_AUTO(loop)
void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_stop(struct loop *loop); /* after the present turn */
/* Runs turns until *done or timeout_ms has passed; for command line programs that wait for an
 * answer. True if *done. */
bool loop_run_until(struct loop *loop, const bool *done, int64_t timeout_ms) MUST_USE;
/* After fork() the child must call this before anything else on an inherited loop. */
bool loop_after_fork(struct loop *loop, struct err *err) MUST_USE;

/* One shot; starting a running timer moves it. Freeing it from its own callback is allowed. */
struct timer;
struct timer *timer_new(struct loop *loop, void (*on_timer)(void *), void *arg) MUST_USE;
void timer_start(struct timer *t, int64_t ms);
void timer_stop(struct timer *t);
void timer_free(struct timer *t);
DEFINE_AUTO(timer)

/* Level triggered. */
struct watch;
struct watch *watch_new(struct loop *loop, int fd, void (*on_readable)(void *),
                        void (*on_writable)(void *), void *arg) MUST_USE;
void watch_want(struct watch *w, bool readable, bool writable);
void watch_free(struct watch *w);
DEFINE_AUTO(watch)

struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *loop, int signo, void (*on_signal)(void *),
                                      void *arg) MUST_USE;
void signal_watch_free(struct signal_watch *w);
DEFINE_AUTO(signal_watch)

/* Work to be done once, when all events of this turn were handled and before the loop waits again:
 * streams flush here, so everything a turn produced for a connection leaves in one write. Embedded
 * in its owner; scheduling twice is once. */
struct turn_end {
    void (*run)(void *arg);
    void *arg;
    struct turn_end *next;
    struct turn_end **link; /* null while not scheduled */
};
void turn_end_schedule(struct loop *loop, struct turn_end *work);
void turn_end_cancel(struct turn_end *work);
/* Work to be done by loop_free() instead, for what frees itself and may outlive its maker;
 * turn_end_cancel() undoes it. */
void loop_own(struct loop *loop, struct turn_end *work);

/* 64 KB that any callback may use until it returns. */
#define LOOP_SCRATCH 65536
char *loop_scratch(struct loop *loop);

/* For lib/net only: streams keep libevent events of their own. */
struct event_base;
struct event_base *loop_event_base(struct loop *loop);

#endif
