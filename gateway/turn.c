/* turn.c - one list in the order of asking; the first of each subject is at work, the others wait for it. */
#include "gateway/turn.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"

#define PATIENCE_MS 10000
#define ANSWER_MAX  EVENT_BYTES_MAX

struct turn {
    struct turn *next;
    struct console *console;
    struct http_request *request; /* null once it was answered, or its client is gone */
    struct timer *patience;
    char subject[TURN_SUBJECT];
    char op[OP_TEXT];
    const struct turn_handlers *handlers;
    void *arg;
};

static void enqueue(struct turn *t);
static bool begin(struct turn *t);
static void drop(struct turn *t);
static void on_current(void *arg);
static void on_patience(void *arg);
static void unlink_turn(struct turn *t);
static void begin_next(struct console *c, const char *subject);
static void on_written(void *arg);
static void turn_free(struct turn *t);

void turn_new(struct console *c, struct http_request *r, const struct turn_ask *ask,
              const struct turn_handlers *handlers, void *arg, struct turn **out)
{
    struct turn *t = xcalloc(1, sizeof *t);

    t->console = c;
    t->handlers = handlers;
    t->arg = arg;
    snprintf(t->subject, sizeof t->subject, "%s %s", ask->kind, ask->subject);
    snprintf(t->op, sizeof t->op, "%s", ask->op);
    request_keep(r, &t->request);
    t->patience = timer_new(c->loop, on_patience, t);
    timer_start(t->patience, PATIENCE_MS);
    *out = t;
    enqueue(t);
}

static void enqueue(struct turn *t)
{
    struct turn **end = &t->console->turns;
    bool is_first = true;

    for (; *end; end = &(*end)->next)
        is_first = is_first && strcmp((*end)->subject, t->subject) != 0;
    *end = t;
    if (is_first && !begin(t))
        drop(t);
}

static void drop(struct turn *t)
{
    on_patience(t);
    unlink_turn(t);
    turn_free(t);
}

/* False: nobody waits for it any more, or there is nothing to wait for. */
static bool begin(struct turn *t)
{
    struct projection *projection = t->console->ledger.projection;

    if (t->request && projection)
        projection_when_current(projection, on_current, t);
    return t->request && projection;
}

static void on_current(void *arg)
{
    struct turn *t = arg;

    if (t->request)
        t->handlers->on_turn(t->arg);
    else
        turn_end(t);
}

/* Its client is told; it stays in the list until what it waits for has come. */
static void on_patience(void *arg)
{
    struct turn *t = arg;

    if (t->request)
        reply_problem(t->request, GATEWAY_UNAVAILABLE,
                      "Redis has not answered, so what was changed before is not known; ask again "
                      "with operation %s",
                      t->op);
    t->request = NULL;
}

struct http_request *turn_request(const struct turn *t)
{
    return t->request;
}

const char *turn_op(const struct turn *t)
{
    return t->op;
}

struct console *turn_console(const struct turn *t)
{
    return t->console;
}

void turn_end(struct turn *t)
{
    struct console *c = t->console;
    char subject[TURN_SUBJECT];

    memcpy(subject, t->subject, sizeof subject);
    unlink_turn(t);
    turn_free(t);
    begin_next(c, subject);
}

static void unlink_turn(struct turn *t)
{
    struct turn **link = &t->console->turns;

    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
}

static void begin_next(struct console *c, const char *subject)
{
    struct turn *next;

    for (struct turn *t = c->turns; t; t = next) {
        next = t->next;
        if (strcmp(t->subject, subject) != 0)
            continue;
        if (begin(t))
            return;
        drop(t);
    }
}

void turn_refuse(struct turn *t, const struct err *err)
{
    if (t->request)
        reply_err(t->request, err);
    turn_end(t);
}

void turn_reply(struct turn *t, const struct buf *json)
{
    if (t->request)
        reply_built(t->request, json);
    turn_end(t);
}

/* The desk answers. The next one waits until the record is durable, and then until what is durable is applied. */
static struct desk_batch *hand_to_desk(struct turn *t)
{
    struct desk_batch *batch = desk_batch_new(t->console, t->request);

    t->request = NULL;
    desk_batch_on_written(batch, on_written, t);
    return batch;
}

void turn_post(struct turn *t, const struct journal_change *change, struct span answer)
{
    struct desk_batch *batch = hand_to_desk(t);
    struct err err;

    if (desk_batch_add(batch, change, &err))
        desk_batch_end(batch, answer, NULL);
    else
        desk_batch_end(batch, answer, &err);
}

void turn_post_refund(struct turn *t, struct refund *r)
{
    struct desk_batch *batch = hand_to_desk(t);
    AUTO_CLEAR(buf) answer = {.max = ANSWER_MAX};
    struct err err;
    struct jw w;

    if (!desk_batch_add_refund(batch, r, &err)) {
        desk_batch_end(batch, SPAN(""), &err);
        return;
    }
    jw_init(&w, &answer);
    refund_write(r, &w);
    desk_batch_end(batch, buf_span(&answer), NULL);
}

void turn_post_funds(struct turn *t, struct funds *f)
{
    struct desk_batch *batch = hand_to_desk(t);
    AUTO_CLEAR(buf) answer = {.max = FUNDS_BYTES_MAX};
    struct err err;
    struct jw w;

    if (!desk_batch_add_funds(batch, f, &err)) {
        desk_batch_end(batch, SPAN(""), &err);
        return;
    }
    jw_init(&w, &answer);
    funds_write(f, &w);
    desk_batch_end(batch, buf_span(&answer), NULL);
}

static void on_written(void *arg)
{
    turn_end(arg);
}

static void turn_free(struct turn *t)
{
    timer_free(t->patience);
    t->handlers->free(t->arg);
    free(t);
}

void turns_close(struct console *c)
{
    while (c->turns) {
        struct turn *t = c->turns;

        c->turns = t->next;
        turn_free(t);
    }
}
