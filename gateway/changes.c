/* changes.c - the stream is read by id. On every new connection to its server its end is looked up first and everything
 * cached is forgotten then, so nothing that happened while away, or was trimmed, can be missed. */
#include "gateway/changes.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

#define STREAM_KEY "tg:changes"
#define WAIT_MS    5000
#define RETRY_MS   1000
#define ID_MAX     48

struct changes {
    struct redis *redis;
    struct changes_handlers handlers;
    void *arg;
    struct timer *retry;
    uint64_t term; /* of the connection on which the stream is read; 0: none */
    bool is_asked; /* one answer is to come */
    char last[ID_MAX];
};

static void begin(void *arg);
static void on_lost(void *arg, const struct err *err);
static void on_end_found(void *arg, const struct redis_reply *reply, const struct err *err);
static bool is_good(struct changes *c, const struct redis_reply *reply, const struct err *err);
static void read_on(struct changes *c);
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_entry(struct changes *c, const struct redis_reply *entry);

struct changes *changes_new(struct loop *loop, const struct redis_config *config,
                            const struct changes_handlers *handlers, void *arg, struct err *err)
{
    static const struct redis_handlers redis_handlers = {begin, on_lost};
    AUTO(changes) c = xcalloc(1, sizeof *c);

    c->handlers = *handlers;
    c->arg = arg;
    c->retry = timer_new(loop, begin, c);
    c->redis = redis_new(loop, config, &redis_handlers, c, err);
    return c->redis ? KEEP(c) : NULL;
}

void changes_free(struct changes *c)
{
    if (!c)
        return;
    timer_free(c->retry);
    c->term = 0;
    redis_free(c->redis);
    free(c);
}

/* Also when another server than the stream's became ready: then there is nothing to do. An answer that is still to come
 * tells when to begin anew. */
static void begin(void *arg)
{
    struct changes *c = arg;
    uint64_t term = redis_term(c->redis, SPAN(STREAM_KEY));
    struct span argv[] = {SPAN("XREVRANGE"), SPAN(STREAM_KEY), SPAN("+"),
                          SPAN("-"),         SPAN("COUNT"),    SPAN("1")};

    if (!term || term == c->term || c->is_asked)
        return;
    c->term = term;
    c->is_asked = true;
    redis_command(c->redis, argv, ARRAY_LEN(argv), on_end_found, c);
}

static void on_lost(void *arg, const struct err *err)
{
    (void)arg;
    log_debug("changes_lost", "%s", err->text);
}

static void on_end_found(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct changes *c = arg;

    snprintf(c->last, sizeof c->last, "0-0");
    if (!is_good(c, reply, err) ||
        (redis_reply_count(reply) &&
         !span_copy(redis_reply_text(redis_reply_at(redis_reply_at(reply, 0), 0)), c->last,
                    sizeof c->last)))
        return;
    c->handlers.on_reset(c->arg);
    read_on(c);
}

/* Else all begins anew after a while, unless a new connection comes first. */
static bool is_good(struct changes *c, const struct redis_reply *reply, const struct err *err)
{
    bool is_answer = !err && redis_reply_type(reply) != REDIS_ERROR;

    c->is_asked = false;
    if (err && err->code == ERR_CANCELLED)
        return false;
    if (is_answer && redis_term(c->redis, SPAN(STREAM_KEY)) == c->term)
        return true;
    if (is_answer) {
        begin(c);
        return false;
    }
    log_debug("changes_not_read", "%.*s",
              SPAN_FMT(err ? span_of(err->text) : redis_reply_text(reply)));
    c->term = 0;
    timer_start(c->retry, RETRY_MS);
    return false;
}

static void read_on(struct changes *c)
{
    struct span argv[] = {SPAN("XREAD"), SPAN("COUNT"),   SPAN("1000"),     SPAN("BLOCK"),
                          SPAN("5000"),  SPAN("STREAMS"), SPAN(STREAM_KEY), span_of(c->last)};
    const struct redis_waiting command = {REDIS_WORDS(argv), SPAN(STREAM_KEY), WAIT_MS};

    c->is_asked = true;
    redis_command_wait(c->redis, &command, on_entries, c);
}

/* [[key, [[id, [field, value, …]], …]]], or nil when nothing came. */
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct changes *c = arg;
    const struct redis_reply *entries;

    if (!is_good(c, reply, err))
        return;
    if (redis_reply_type(reply) == REDIS_ARRAY && redis_reply_count(reply) == 1) {
        entries = redis_reply_at(redis_reply_at(reply, 0), 1);
        for (size_t i = 0; i < redis_reply_count(entries); i++)
            take_entry(c, redis_reply_at(entries, i));
    }
    read_on(c);
}

static void take_entry(struct changes *c, const struct redis_reply *entry)
{
    const struct redis_reply *fields = redis_reply_at(entry, 1);

    if (!span_copy(redis_reply_text(redis_reply_at(entry, 0)), c->last, sizeof c->last))
        return;
    if (redis_reply_count(fields) >= 2)
        c->handlers.on_change(c->arg, redis_reply_text(redis_reply_at(fields, 0)),
                              redis_reply_text(redis_reply_at(fields, 1)));
}
