/* loop.c - a thin face over libevent, so that nothing above knows it, and the end of a turn, which
 * libevent does not have. EPOLL_USE_CHANGELIST is not set: with it a descriptor is closed before
 * epoll forgets it, and one that a forked child still holds would then haunt its number. Streams
 * settle their interest once a turn by themselves. */
#include "lib/net/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define TURN_END_ROUNDS \
    8 /* work that schedules itself for ever must not stop the loop from polling */

struct loop {
    struct event_base *base;
    struct turn_end *ends; /* newest first */
    struct turn_end *at_free;
    bool stopped;
    char scratch[LOOP_SCRATCH];
};

/* Deadlines are mostly moved and hardly ever reached, so a start that moves one to later costs a
 * clock reading and no heap operation: the event stays where it is and, when it fires, is put where
 * the deadline is by then. */
struct timer {
    struct event event;
    void (*on_timer)(void *);
    void *arg;
    bool is_running, is_armed;
    int64_t due_ms, armed_ms;
};

struct watch {
    struct event readable, writable;
    void (*on_readable)(void *);
    void (*on_writable)(void *);
    void *arg;
};

struct signal_watch {
    struct event event;
    void (*on_signal)(void *);
    void *arg;
};

static struct event_base *new_base(void);
static void run_turn(struct loop *loop);
static void run_turn_ends(struct loop *loop);
static void run_all(struct turn_end **list);
static void put_in_order(struct turn_end **list);
static void add(struct turn_end **list, struct turn_end *work);
static void set_flag(void *arg);
static void timer_arm(struct timer *t, int64_t ms);
static void timer_fired(evutil_socket_t fd, short what, void *arg);
static void watch_readable(evutil_socket_t fd, short what, void *arg);
static void watch_writable(evutil_socket_t fd, short what, void *arg);
static void want(struct event *event, bool wanted);
static void signal_arrived(evutil_socket_t fd, short what, void *arg);

/* SIGPIPE is ignored from here on: OpenSSL writes to sockets without MSG_NOSIGNAL. */
struct loop *loop_new(struct err *err)
{
    AUTO(loop) loop = xcalloc(1, sizeof *loop);

    signal(SIGPIPE, SIG_IGN);
    loop->base = new_base();
    if (!loop->base) {
        err_sys(err, "cannot make an event loop");
        return NULL;
    }
    return KEEP(loop);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    run_all(&loop->at_free);
    if (loop->base)
        event_base_free(loop->base);
    free(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopped)
        run_turn(loop);
    loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

bool loop_run_until(struct loop *loop, const bool *done, int64_t timeout_ms)
{
    bool is_over = false;
    AUTO(timer) timer = timer_new(loop, set_flag, &is_over);

    timer_start(timer, timeout_ms);
    while (!*done && !is_over)
        run_turn(loop);
    return *done;
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

/* What was scheduled outside of any turn runs first, and may have stopped the loop; so then, and
 * when work that schedules more has not come to rest, the turn does not wait. */
static void run_turn(struct loop *loop)
{
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | (loop->ends ? EVLOOP_NONBLOCK : 0);

    run_turn_ends(loop);
    event_base_loop(loop->base, flags);
    run_turn_ends(loop);
}

static void run_turn_ends(struct loop *loop)
{
    for (int round = 0; loop->ends && round < TURN_END_ROUNDS; round++)
        run_all(&loop->ends);
}

/* Each work may cancel any other, itself included, or schedule more, which goes to the next
 * round. */
static void run_all(struct turn_end **list)
{
    struct turn_end *round = *list;

    *list = NULL;
    put_in_order(&round);
    while (round) {
        struct turn_end *work = round;

        turn_end_cancel(work);
        work->run(work->arg);
    }
}

/* The list was built newest first; it runs oldest first. */
static void put_in_order(struct turn_end **list)
{
    struct turn_end *work = *list, *next;

    for (*list = NULL; work; work = next) {
        next = work->next;
        add(list, work);
    }
}

void turn_end_schedule(struct loop *loop, struct turn_end *work)
{
    if (!work->link)
        add(&loop->ends, work);
}

void loop_own(struct loop *loop, struct turn_end *work)
{
    assert(!work->link);
    add(&loop->at_free, work);
}

static void add(struct turn_end **list, struct turn_end *work)
{
    work->next = *list;
    work->link = list;
    if (work->next)
        work->next->link = &work->next;
    *list = work;
}

void turn_end_cancel(struct turn_end *work)
{
    if (!work->link)
        return;
    *work->link = work->next;
    if (work->next)
        work->next->link = work->link;
    work->link = NULL;
    work->next = NULL;
}

bool loop_after_fork(struct loop *loop, struct err *err)
{
    return event_reinit(loop->base) == 0 || err_sys(err, "cannot renew the event loop after fork");
}

char *loop_scratch(struct loop *loop)
{
    return loop->scratch;
}

struct event_base *loop_event_base(struct loop *loop)
{
    return loop->base;
}

struct timer *timer_new(struct loop *loop, void (*on_timer)(void *), void *arg)
{
    struct timer *t = xcalloc(1, sizeof *t);

    t->on_timer = on_timer;
    t->arg = arg;
    evtimer_assign(&t->event, loop->base, timer_fired, t);
    return t;
}

void timer_start(struct timer *t, int64_t ms)
{
    if (ms < 0)
        ms = 0;
    t->is_running = true;
    t->due_ms = clock_monotonic_ms() + ms;
    if (!t->is_armed || t->armed_ms > t->due_ms)
        timer_arm(t, ms);
}

static void timer_arm(struct timer *t, int64_t ms)
{
    struct timeval after = {ms / 1000, ms % 1000 * 1000};

    t->armed_ms = t->due_ms;
    t->is_armed = event_add(&t->event, &after) == 0;
    assert(t->is_armed);
}

/* libevent's clock is coarse and may be some milliseconds early: a timer is never. */
static void timer_fired(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct timer *t = arg;
    int64_t left = t->due_ms - clock_monotonic_ms();

    t->is_armed = false;
    if (!t->is_running)
        return;
    if (left > 0) {
        timer_arm(t, left);
        return;
    }
    t->is_running = false;
    t->on_timer(t->arg);
}

void timer_stop(struct timer *t)
{
    t->is_running = false;
}

void timer_free(struct timer *t)
{
    if (!t)
        return;
    event_del(&t->event);
    free(t);
}

struct watch *watch_new(struct loop *loop, int fd, void (*on_readable)(void *),
                        void (*on_writable)(void *), void *arg)
{
    struct watch *w = xcalloc(1, sizeof *w);

    w->on_readable = on_readable;
    w->on_writable = on_writable;
    w->arg = arg;
    event_assign(&w->readable, loop->base, fd, EV_READ | EV_PERSIST, watch_readable, w);
    event_assign(&w->writable, loop->base, fd, EV_WRITE | EV_PERSIST, watch_writable, w);
    return w;
}

static void watch_readable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct watch *w = arg;

    w->on_readable(w->arg);
}

static void watch_writable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct watch *w = arg;

    w->on_writable(w->arg);
}

void watch_want(struct watch *w, bool readable, bool writable)
{
    assert(!readable || w->on_readable);
    assert(!writable || w->on_writable);
    want(&w->readable, readable);
    want(&w->writable, writable);
}

static void want(struct event *event, bool wanted)
{
    bool is_wanted = event_pending(event, EV_READ | EV_WRITE, NULL) != 0;
    int failed = 0;

    if (wanted != is_wanted)
        failed = wanted ? event_add(event, NULL) : event_del(event);
    assert(!failed);
    (void)failed;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    event_del(&w->readable);
    event_del(&w->writable);
    free(w);
}

struct signal_watch *signal_watch_new(struct loop *loop, int signo, void (*on_signal)(void *),
                                      void *arg)
{
    struct signal_watch *w = xcalloc(1, sizeof *w);
    int failed;

    w->on_signal = on_signal;
    w->arg = arg;
    evsignal_assign(&w->event, loop->base, signo, signal_arrived, w);
    failed = evsignal_add(&w->event, NULL);
    assert(!failed);
    (void)failed;
    return w;
}

static void signal_arrived(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct signal_watch *w = arg;

    w->on_signal(w->arg);
}

void signal_watch_free(struct signal_watch *w)
{
    if (!w)
        return;
    evsignal_del(&w->event);
    free(w);
}
