/* redis.c - one logical connection: it keeps a link open, has each new one prepared before anybody
 * may use it, and gives every command exactly one answer, also those that could not be sent. */
#include "lib/net/redis.h"

#include <stdio.h>

#include "lib/base/crypto.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/redis_info.h"
#include "lib/net/redis_link.h"
#include "lib/net/redis_prepare.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define QUEUED_MAX     ((size_t)64 << 20)
#define LINE_KEPT      65536 /* a larger encoding buffer is not kept */
#define FRAMING_MAX    32    /* what the protocol puts around an argument, at most */
#define LOADS          8     /* scripts whose loading is remembered */

/* A command that never reached the link: its answer comes at the end of the turn. */
struct refusal {
    redis_on_reply *on_reply;
    void *arg;
    struct err err;
    struct refusal *next;
};

/* An EVALSHA, kept until its answer, so that it can be sent again. */
struct eval {
    struct redis *redis;
    const struct redis_script *script;
    struct buf command;
    uint64_t number; /* of the command on its link */
    bool is_again;
    redis_on_reply *on_reply;
    void *arg;
};

struct load {
    const struct redis_script *script;
    uint64_t number;
};

struct redis {
    struct loop *loop;
    struct addr addr;
    char where[ADDR_TEXT];
    char *user;
    struct secret password;
    struct redis_login login; /* points to the two above */
    int64_t connect_ms;
    size_t pending_max;
    struct redis_handlers handlers;
    void *arg;

    struct redis_link *link;       /* null: waiting to try again */
    struct redis_prepare *prepare; /* null: ready, or no link */
    struct timer *retry;
    int64_t backoff_ms;
    char run_id[REDIS_RUN_ID];
    bool is_ready;

    struct buf line; /* the command being encoded */
    struct load loads[LOADS];
    size_t next_load;
    struct refusal *refusals, **last_refusal;
    size_t refusal_count;
    struct turn_end telling;
    bool is_freed;
    unsigned frames;
};

static bool read_address(struct redis *r, const struct redis_config *config, struct err *err);
static void attempt(void *arg);
static void link_opened(void *arg);
static void prepared(void *arg, const char *run_id);
static void refused(void *arg, const struct err *err);
static void link_broken(void *arg, const struct err *err);
static void lose(struct redis *r, const struct err *err);
static void drop_link(struct redis *r, const struct err *why);
static bool may_send(struct redis *r, const struct buf *command, struct err *err);
static void answer_later(struct redis *r, redis_on_reply *on_reply, void *arg,
                         const struct err *err);
static void tell_refusals(void *arg);
static void tell_one(struct redis *r);
static void enter(struct redis *r);
static void leave(struct redis *r);
static void encode_eval(struct buf *out, const struct redis_script *s, const struct span *keys,
                        size_t key_count, const struct span *args, size_t arg_count);
static size_t encoded_max(const struct span *args, size_t count);
static void send_eval(struct eval *e);
static void eval_answered(void *arg, const struct redis_reply *reply, const struct err *err);
static bool can_retry(const struct eval *e, const struct redis_reply *reply);
static void load_script(struct redis *r, const struct redis_script *script, uint64_t asked_by);
static void script_loaded(void *arg, const struct redis_reply *reply, const struct err *err);
static void eval_free(struct eval *e);

struct redis *redis_new(struct loop *loop, const struct redis_config *config,
                        const struct redis_handlers *handlers, void *arg, struct err *err)
{
    AUTO(redis) r = xcalloc(1, sizeof *r);

    r->loop = loop;
    r->handlers = *handlers;
    r->arg = arg;
    r->connect_ms = config->connect_ms;
    r->pending_max = config->pending_max;
    r->backoff_ms = BACKOFF_MIN_MS;
    r->last_refusal = &r->refusals;
    r->telling = (struct turn_end){.run = tell_refusals, .arg = r};
    buf_init(&r->line, QUEUED_MAX);
    r->retry = timer_new(loop, attempt, r);
    if (config->password)
        r->password = *config->password;
    if (!read_address(r, config, err))
        return NULL;
    r->login =
        (struct redis_login){r->user, config->password ? &r->password : NULL, config->command_ms};
    timer_start(r->retry, 0);
    return KEEP(r);
}

static bool read_address(struct redis *r, const struct redis_config *config, struct err *err)
{
    const char *text = config->address, *host = text, *at;

    if (strncmp(text, "unix:", 5) != 0) {
        if (strncmp(text, "redis://", 8) != 0)
            return err_set(err, ERR_INPUT, "%.200s is neither unix:PATH nor redis://HOST:PORT",
                           text);
        host = text + 8;
        at = strchr(host, '@');
        if (at)
            r->user = xstrndup(host, (size_t)(at - host));
        host = at ? at + 1 : host;
    }
    if (r->user && strchr(r->user, ':'))
        return err_set(err, ERR_INPUT,
                       "a password does not belong into an address, but into a file");
    if (config->user) {
        free(r->user);
        r->user = xstrdup(config->user);
    }
    if (!addr_resolve(host, &r->addr, err))
        return false;
    addr_format(&r->addr, r->where);
    return true;
}

void redis_free(struct redis *r)
{
    struct err why;

    if (!r || r->is_freed)
        return;
    r->is_freed = true;
    r->is_ready = false;
    err_set(&why, ERR_CANCELLED, "the connection to Redis was closed");
    timer_free(r->retry);
    turn_end_cancel(&r->telling);
    enter(r);
    drop_link(r, &why);
    while (r->refusals) {
        r->refusals->err = why;
        tell_one(r);
    }
    leave(r);
}

static void enter(struct redis *r)
{
    r->frames++;
}

static void leave(struct redis *r)
{
    if (--r->frames || !r->is_freed)
        return;
    secret_clear(&r->password);
    buf_clear(&r->line);
    free(r->user);
    free(r);
}

static void attempt(void *arg)
{
    static const struct redis_link_handlers handlers = {link_opened, link_broken};
    struct redis *r = arg;
    struct err err;

    r->link = redis_link_open(r->loop, &r->addr, r->connect_ms, &handlers, r, &err);
    if (!r->link)
        lose(r, &err);
}

static void link_opened(void *arg)
{
    static const struct redis_prepare_handlers handlers = {prepared, refused};
    struct redis *r = arg;

    memset(r->loads, 0, sizeof r->loads);
    r->prepare = redis_prepare_start(r->loop, r->link, &r->login, &handlers, r);
}

static void prepared(void *arg, const char *run_id)
{
    struct redis *r = arg;

    snprintf(r->run_id, sizeof r->run_id, "%s", run_id);
    redis_prepare_free(r->prepare);
    r->prepare = NULL;
    r->backoff_ms = BACKOFF_MIN_MS;
    r->is_ready = true;
    if (r->handlers.on_ready)
        r->handlers.on_ready(r->arg);
}

static void refused(void *arg, const struct err *err)
{
    lose(arg, err);
}

static void link_broken(void *arg, const struct err *err)
{
    lose(arg, err);
}

/* The handler, and who waits on the link, may free `r`. */
static void lose(struct redis *r, const struct err *err)
{
    struct err why = *err;

    err_context(&why, "Redis at %s", r->where);
    r->is_ready = false;
    r->run_id[0] = '\0';
    timer_start(r->retry, r->backoff_ms);
    r->backoff_ms = 2 * r->backoff_ms < BACKOFF_MAX_MS ? 2 * r->backoff_ms : BACKOFF_MAX_MS;
    enter(r);
    drop_link(r, &why);
    if (!r->is_freed && r->handlers.on_lost)
        r->handlers.on_lost(r->arg, &why);
    leave(r);
}

/* The link first: what it still owes may be owed to `prepare`. */
static void drop_link(struct redis *r, const struct err *why)
{
    struct redis_link *link = KEEP(r->link);

    redis_link_free(link, why);
    redis_prepare_free(KEEP(r->prepare));
}

bool redis_is_ready(const struct redis *r)
{
    return r->is_ready && r->link && !redis_link_is_broken(r->link);
}

const char *redis_run_id(const struct redis *r)
{
    return redis_is_ready(r) ? r->run_id : "";
}

size_t redis_pending(const struct redis *r)
{
    return r->link ? redis_link_pending(r->link) : 0;
}

void redis_command(struct redis *r, const struct span *argv, size_t argc, redis_on_reply *on_reply,
                   void *arg)
{
    redis_command_wait(r, argv, argc, 0, on_reply, arg);
}

void redis_command_wait(struct redis *r, const struct span *argv, size_t argc, int64_t wait_ms,
                        redis_on_reply *on_reply, void *arg)
{
    struct err err;

    redis_encode(&r->line, argv, argc);
    if (may_send(r, &r->line, &err))
        redis_link_send(r->link, buf_span(&r->line), r->login.command_ms + wait_ms, on_reply, arg);
    else
        answer_later(r, on_reply, arg, &err);
    if (r->line.cap > LINE_KEPT)
        buf_clear(&r->line);
    buf_truncate(&r->line, 0);
}

static bool may_send(struct redis *r, const struct buf *command, struct err *err)
{
    if (!redis_is_ready(r))
        return err_set(err, ERR_UNAVAILABLE, "Redis at %s is not reachable", r->where);
    if (!buf_ok(command, "a command to Redis", err))
        return false;
    if (redis_link_pending(r->link) >= r->pending_max)
        return err_set(err, ERR_LIMIT, "%zu commands wait for Redis already", r->pending_max);
    if (command->len > QUEUED_MAX - redis_link_queued(r->link))
        return err_set(err, ERR_LIMIT, "%zu bytes wait for Redis already",
                       redis_link_queued(r->link));
    return true;
}

static void answer_later(struct redis *r, redis_on_reply *on_reply, void *arg,
                         const struct err *err)
{
    struct refusal *refusal = xcalloc(1, sizeof *refusal);

    *refusal = (struct refusal){on_reply, arg, *err, NULL};
    *r->last_refusal = refusal;
    r->last_refusal = &refusal->next;
    r->refusal_count++;
    turn_end_schedule(r->loop, &r->telling);
}

/* Those that come up meanwhile have their turn in the next round. */
static void tell_refusals(void *arg)
{
    struct redis *r = arg;

    enter(r);
    for (size_t n = r->refusal_count; n && !r->is_freed; n--)
        tell_one(r);
    if (r->refusal_count)
        turn_end_schedule(r->loop, &r->telling);
    leave(r);
}

static void tell_one(struct redis *r)
{
    struct refusal *refusal = r->refusals, now = *refusal;

    r->refusals = refusal->next;
    if (!r->refusals)
        r->last_refusal = &r->refusals;
    r->refusal_count--;
    free(refusal);
    now.on_reply(now.arg, NULL, &now.err);
}

void redis_script_init(struct redis_script *s)
{
    sha1_hex(s->text, strlen(s->text), s->sha1);
}

void redis_eval(struct redis *r, const struct redis_script *s, const struct span *keys,
                size_t key_count, const struct span *args, size_t arg_count,
                redis_on_reply *on_reply, void *arg)
{
    struct eval *e = xcalloc(1, sizeof *e);
    struct err err;

    e->redis = r;
    e->script = s;
    e->on_reply = on_reply;
    e->arg = arg;
    buf_init(&e->command, QUEUED_MAX);
    encode_eval(&e->command, s, keys, key_count, args, arg_count);
    if (may_send(r, &e->command, &err)) {
        send_eval(e);
    } else {
        answer_later(r, on_reply, arg, &err);
        eval_free(e);
    }
}

static void encode_eval(struct buf *out, const struct redis_script *s, const struct span *keys,
                        size_t key_count, const struct span *args, size_t arg_count)
{
    char count[INT64_TEXT];
    const struct span head[] = {
        SPAN("EVALSHA"), {s->sha1, sizeof s->sha1 - 1}, uint64_text(key_count, count)};
    size_t room = FRAMING_MAX + encoded_max(head, ARRAY_LEN(head)) + encoded_max(keys, key_count) +
                  encoded_max(args, arg_count);

    if (!buf_room(out, room))
        return;
    redis_encode_start(out, ARRAY_LEN(head) + key_count + arg_count);
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        redis_encode_arg(out, head[i]);
    for (size_t i = 0; i < key_count; i++)
        redis_encode_arg(out, keys[i]);
    for (size_t i = 0; i < arg_count; i++)
        redis_encode_arg(out, args[i]);
}

/* At most, so that a command grows its buffer once. */
static size_t encoded_max(const struct span *args, size_t count)
{
    size_t bytes = count * FRAMING_MAX;

    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    return bytes;
}

static void send_eval(struct eval *e)
{
    e->number = redis_link_sent(e->redis->link);
    redis_link_send(e->redis->link, buf_span(&e->command), e->redis->login.command_ms,
                    eval_answered, e);
}

/* Sent again, it runs after whatever was sent meanwhile. */
static void eval_answered(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct eval *e = arg;
    redis_on_reply *on_reply = e->on_reply;
    void *its_arg = e->arg;

    if (reply && can_retry(e, reply)) {
        e->is_again = true;
        load_script(e->redis, e->script, e->number);
        send_eval(e);
        return;
    }
    eval_free(e);
    on_reply(its_arg, reply, err);
}

static bool can_retry(const struct eval *e, const struct redis_reply *reply)
{
    return !e->is_again && redis_reply_type(reply) == REDIS_ERROR &&
           span_starts(redis_reply_text(reply), SPAN("NOSCRIPT")) && redis_is_ready(e->redis);
}

/* A thousand commands may find the script missing at once: a load sent after the one that asks was
 * sent is not repeated. */
static void load_script(struct redis *r, const struct redis_script *script, uint64_t asked_by)
{
    struct span argv[] = {SPAN("SCRIPT"), SPAN("LOAD"), span_of(script->text)};
    struct load *load = NULL;

    for (size_t i = 0; i < LOADS && !load; i++)
        if (r->loads[i].script == script)
            load = &r->loads[i];
    if (load && load->number > asked_by)
        return;
    if (!load)
        load = &r->loads[r->next_load++ % LOADS];
    *load = (struct load){script, redis_link_sent(r->link)};
    redis_encode(&r->line, argv, ARRAY_LEN(argv));
    redis_link_send(r->link, buf_span(&r->line), r->login.command_ms, script_loaded, NULL);
    buf_clear(&r->line);
}

/* If it could not be loaded, the command that needs it says so. */
static void script_loaded(void *arg UNUSED, const struct redis_reply *reply UNUSED,
                          const struct err *err UNUSED)
{
}

static void eval_free(struct eval *e)
{
    buf_clear(&e->command);
    free(e);
}
