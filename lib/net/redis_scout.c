/* redis_scout.c - stays with a server as long as it is of use. Whether a password is wanted there
 * is not known beforehand (sentinels often have none), so it is given, and only the answer to the
 * question counts. */
#include "lib/net/redis_scout.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define POLL_MS      1000
#define HURRY_MS     100
#define NEXT_MS      10
#define PAUSE_MS     500
#define QUESTION_MAX 1024

struct redis_scout {
    struct redis_setup *setup;
    struct redis_place *places; /* the `own` it was made with, then those it learned */
    size_t own, count;
    size_t at; /* whom it asks */
    struct buf question;
    struct redis_scout_handlers handlers;
    void *arg;

    struct redis_link *link;
    struct timer *next;
    bool is_open, is_asking, is_hurried;
    size_t failures; /* in a row */
    bool is_freed;
    unsigned frames;
};

static void act(void *arg);
static void link_opened(void *arg);
static void link_broken(void *arg, const struct err *err);
static void greet(struct redis_scout *s);
static void ask(struct redis_scout *s);
static void answered(void *arg, const struct redis_reply *reply, const struct err *err);
static void go_on(struct redis_scout *s, const struct err *err);
static void ignore(void *arg, const struct redis_reply *reply, const struct err *err);
static void enter(struct redis_scout *s);
static void leave(struct redis_scout *s);

struct redis_scout *redis_scout_new(struct redis_setup *setup, const struct redis_scout_task *task,
                                    const struct redis_scout_handlers *handlers, void *arg,
                                    struct err *err)
{
    AUTO(redis_scout) s = xcalloc(1, sizeof *s);

    s->setup = setup;
    s->handlers = *handlers;
    s->arg = arg;
    buf_init(&s->question, QUESTION_MAX);
    redis_encode(&s->question, task->question.words, task->question.count);
    if (!buf_ok(&s->question, "a question to Redis", err))
        return NULL;
    s->places = xcalloc(task->count, sizeof *s->places);
    for (size_t i = 0; i < task->count; i++)
        if (redis_place_resolve(task->places[i], &s->places[s->own], err))
            s->own++;
    s->count = s->own;
    if (s->count == 0)
        return NULL;
    s->next = timer_new(setup->loop, act, s);
    timer_start(s->next, 0);
    return KEEP(s);
}

void redis_scout_free(struct redis_scout *s)
{
    struct err why;

    if (!s || s->is_freed)
        return;
    s->is_freed = true;
    timer_free(s->next);
    err_set(&why, ERR_CANCELLED, "Redis is no longer asked");
    enter(s);
    redis_link_free(KEEP(s->link), &why);
    leave(s);
}

static void enter(struct redis_scout *s)
{
    s->frames++;
}

static void leave(struct redis_scout *s)
{
    if (--s->frames || !s->is_freed)
        return;
    buf_clear(&s->question);
    free(s->places);
    free(s);
}

static void act(void *arg)
{
    static const struct redis_link_handlers handlers = {link_opened, link_broken};
    struct redis_scout *s = arg;
    struct err err;

    if (s->link && s->is_open && !s->is_asking)
        ask(s);
    if (s->link)
        return;
    s->is_open = s->is_asking = false;
    s->link = redis_setup_connect(s->setup, &s->places[s->at], &handlers, s, &err);
    if (!s->link)
        go_on(s, &err);
}

static void link_opened(void *arg)
{
    struct redis_scout *s = arg;

    s->is_open = true;
    if (s->setup->login.password)
        greet(s);
    ask(s);
}

static void greet(struct redis_scout *s)
{
    const struct redis_login *login = &s->setup->login;
    struct span argv[] = {SPAN("AUTH"), span_of(login->user ? login->user : "default"),
                          secret_reveal(login->password)};
    AUTO_CLEAR(buf) line = {.max = QUESTION_MAX};

    redis_encode(&line, argv, ARRAY_LEN(argv));
    redis_link_send(s->link, buf_span(&line), clock_monotonic_ms() + login->command_ms, ignore,
                    NULL);
}

static void ignore(void *arg UNUSED, const struct redis_reply *reply UNUSED,
                   const struct err *err UNUSED)
{
}

static void ask(struct redis_scout *s)
{
    s->is_asking = true;
    s->is_hurried = false;
    redis_link_send(s->link, buf_span(&s->question),
                    clock_monotonic_ms() + s->setup->login.command_ms, answered, s);
}

/* Without a reply the link is broken, which is told by itself. */
static void answered(void *arg, const struct redis_reply *reply, const struct err *unknown UNUSED)
{
    struct redis_scout *s = arg;
    struct err err;

    s->is_asking = false;
    if (!reply || s->is_freed)
        return;
    enter(s);
    if (redis_reply_type(reply) == REDIS_ERROR) {
        err_set(&err, ERR_DENIED, "%.*s", SPAN_FMT(redis_reply_text(reply)));
        go_on(s, &err);
    } else if (!s->handlers.on_answer(s->arg, reply, &s->places[s->at], &err)) {
        go_on(s, &err);
    } else if (!s->is_freed) {
        s->failures = 0;
        timer_start(s->next, s->is_hurried ? HURRY_MS : POLL_MS);
    }
    leave(s);
}

static void link_broken(void *arg, const struct err *err)
{
    go_on(arg, err);
}

/* To the next one; after each round there is a pause, and a word of it. */
static void go_on(struct redis_scout *s, const struct err *err)
{
    struct err why = *err;
    char where[ADDR_TEXT];

    if (s->is_freed)
        return;
    err_context(&why, "Redis at %s", addr_format(&s->places[s->at].addr, where));
    redis_link_free(KEEP(s->link), &why);
    s->at = (s->at + 1) % s->count;
    s->failures++;
    if (s->failures % s->count) {
        timer_start(s->next, NEXT_MS);
        return;
    }
    timer_start(s->next, PAUSE_MS);
    s->handlers.on_failed(s->arg, &why);
}

void redis_scout_hurry(struct redis_scout *s)
{
    if (s->is_hurried)
        return;
    s->is_hurried = true;
    if (s->link && s->is_open && !s->is_asking)
        timer_start(s->next, HURRY_MS);
}

void redis_scout_learn(struct redis_scout *s, const struct redis_place *places, size_t count)
{
    s->places = xrealloc_array(s->places, s->own + count, sizeof *s->places);
    memcpy(s->places + s->own, places, count * sizeof *places);
    s->count = s->own + count;
    s->at %= s->count;
}
