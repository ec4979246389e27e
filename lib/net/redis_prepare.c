/* redis_prepare.c - a Redis that was killed may have an AOF that ends inside a script's MULTI. It
 * loads, but what is appended behind that cut loads wrongly at the next start (seen on 7.0.15). So
 * nothing is written to a process that has not finished an AOF rewrite since it started. */
#include "lib/net/redis_prepare.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/redis_info.h"

#define POLL_MS 50

struct redis_prepare {
    struct redis_link *link;
    struct redis_login login;
    struct redis_prepare_handlers handlers;
    void *arg;
    struct timer *poll;
    bool has_asked; /* for a rewrite */
};

static void authenticate(struct redis_prepare *p);
static void authenticated(void *arg, const struct redis_reply *reply, const struct err *err);
static void ask_info(void *arg);
static void informed(void *arg, const struct redis_reply *reply, const struct err *err);
static void judge(struct redis_prepare *p, const struct redis_info *info);
static void ask_rewrite(struct redis_prepare *p);
static void rewrite_begun(void *arg, const struct redis_reply *reply, const struct err *err);
static void ask(struct redis_prepare *p, const struct span *argv, size_t argc,
                redis_on_reply *on_reply);
static void refuse(struct redis_prepare *p, enum err_code code, const char *what,
                   const struct redis_reply *reply);
static bool is_error(const struct redis_reply *reply, struct span prefix);
static bool contains(struct span text, struct span word);

struct redis_prepare *redis_prepare_start(struct loop *loop, struct redis_link *link,
                                          const struct redis_login *login,
                                          const struct redis_prepare_handlers *handlers, void *arg)
{
    struct redis_prepare *p = xcalloc(1, sizeof *p);

    p->link = link;
    p->login = *login;
    p->handlers = *handlers;
    p->arg = arg;
    p->poll = timer_new(loop, ask_info, p);
    if (login->password)
        authenticate(p);
    else
        ask_info(p);
    return p;
}

void redis_prepare_free(struct redis_prepare *p)
{
    if (!p)
        return;
    timer_free(p->poll);
    free(p);
}

static void authenticate(struct redis_prepare *p)
{
    struct span argv[] = {SPAN("AUTH"), span_of(p->login.user ? p->login.user : "default"),
                          secret_reveal(p->login.password)};

    ask(p, argv, ARRAY_LEN(argv), authenticated);
}

/* Here and below: without a reply the link is broken, and its owner hears that from the link. */
static void authenticated(void *arg, const struct redis_reply *reply, const struct err *err UNUSED)
{
    struct redis_prepare *p = arg;

    if (!reply)
        return;
    if (redis_reply_type(reply) == REDIS_ERROR)
        refuse(p, ERR_DENIED, "it refused the password", reply);
    else
        ask_info(p);
}

static void ask_info(void *arg)
{
    struct span argv[] = {SPAN("INFO")};

    ask(arg, argv, ARRAY_LEN(argv), informed);
}

static void informed(void *arg, const struct redis_reply *reply, const struct err *err UNUSED)
{
    struct redis_prepare *p = arg;
    struct redis_info info;
    struct err bad;

    if (!reply)
        return;
    if (is_error(reply, SPAN("LOADING ")))
        timer_start(p->poll, POLL_MS);
    else if (is_error(reply, SPAN("NOAUTH ")))
        refuse(p, ERR_DENIED, "it wants a password and none is configured", reply);
    else if (is_error(reply, SPAN("")))
        refuse(p, ERR_DENIED, "it refused INFO", reply);
    else if (redis_info_parse(redis_reply_text(reply), &info, &bad))
        judge(p, &info);
    else
        p->handlers.on_refused(p->arg, &bad);
}

/* Calls one thing, last: the handlers free `p`. */
static void judge(struct redis_prepare *p, const struct redis_info *info)
{
    bool needs_rewrite = info->has_aof && !info->has_rewritten;

    if (info->is_loading || (needs_rewrite && info->is_rewriting))
        timer_start(p->poll, POLL_MS);
    else if (info->in_cluster != p->login.in_cluster)
        refuse(p, ERR_INPUT,
               info->in_cluster
                   ? "it is part of a Cluster, whose address is redis-cluster://HOST:PORT"
                   : "it is no Cluster, so its address is redis://HOST:PORT",
               NULL);
    else if (!info->is_master)
        refuse(p, ERR_UNAVAILABLE, "it is a replica (role:slave), the master's address is needed",
               NULL);
    else if (!needs_rewrite)
        p->handlers.on_prepared(p->arg, info->run_id);
    else if (!p->has_asked)
        ask_rewrite(p);
    else
        refuse(p, ERR_UNAVAILABLE, "it could not rewrite its AOF, its log says why", NULL);
}

static void ask_rewrite(struct redis_prepare *p)
{
    struct span argv[] = {SPAN("BGREWRITEAOF")};

    p->has_asked = true;
    ask(p, argv, ARRAY_LEN(argv), rewrite_begun);
}

/* Another client may have asked first: "already in progress" is as good. */
static void rewrite_begun(void *arg, const struct redis_reply *reply, const struct err *err UNUSED)
{
    struct redis_prepare *p = arg;

    if (!reply)
        return;
    if (is_error(reply, SPAN("")) && !contains(redis_reply_text(reply), SPAN("in progress")) &&
        !contains(redis_reply_text(reply), SPAN("scheduled")))
        refuse(p, ERR_UNAVAILABLE, "it refused to rewrite its AOF", reply);
    else
        timer_start(p->poll, POLL_MS);
}

static void ask(struct redis_prepare *p, const struct span *argv, size_t argc,
                redis_on_reply *on_reply)
{
    AUTO_CLEAR(buf) command;

    buf_init(&command, 4096);
    redis_encode(&command, argv, argc);
    redis_link_send(p->link, buf_span(&command), clock_monotonic_ms() + p->login.command_ms,
                    on_reply, p);
}

static void refuse(struct redis_prepare *p, enum err_code code, const char *what,
                   const struct redis_reply *reply)
{
    struct err err;

    if (reply)
        err_set(&err, code, "%s: %.*s", what, SPAN_FMT(redis_reply_text(reply)));
    else
        err_set(&err, code, "%s", what);
    p->handlers.on_refused(p->arg, &err);
}

static bool is_error(const struct redis_reply *reply, struct span prefix)
{
    return redis_reply_type(reply) == REDIS_ERROR && span_starts(redis_reply_text(reply), prefix);
}

static bool contains(struct span text, struct span word)
{
    return memmem(text.data, text.len, word.data, word.len) != NULL;
}
