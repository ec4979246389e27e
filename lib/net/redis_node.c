/* redis_node.c - connects, prepares, and after each failure tries again, more and more rarely. */
#include "lib/net/redis_node.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define DISTRUST_MS    50
#define LOOK_MS        1000
#define LOADS          16 /* scripts whose loading is remembered */
#define COMMAND_MAX    ((size_t)1 << 20)

struct load {
    const struct redis_script *script;
    uint64_t number;
};

struct redis_node {
    struct redis_setup *setup;
    struct redis_place place;
    char where[ADDR_TEXT];
    struct redis_node_handlers handlers;
    void *arg;

    struct redis_link *link;       /* null: waiting to try again */
    struct redis_prepare *prepare; /* null: ready, or no link */
    struct timer *retry, *distrust, *look;
    struct err why_distrusted;
    int64_t backoff_ms;
    char run_id[REDIS_RUN_ID];
    uint64_t term;
    bool is_ready;
    struct load loads[LOADS];
    size_t next_load;

    bool is_freed;
    unsigned frames;
};

static void attempt(void *arg);
static void link_opened(void *arg);
static void prepared(void *arg, const char *run_id);
static void refused(void *arg, const struct err *err);
static void look(void *arg);
static void looked(void *arg, const struct redis_reply *reply, const struct err *err);
static void link_broken(void *arg, const struct err *err);
static void end_distrusted(void *arg);
static void lose(struct redis_node *n, const struct err *err);
static void drop_link(struct redis_node *n, const struct err *why);
static void script_loaded(void *arg, const struct redis_reply *reply, const struct err *err);
static void enter(struct redis_node *n);
static void leave(struct redis_node *n);

struct redis_link *redis_setup_connect(const struct redis_setup *setup,
                                       const struct redis_place *place,
                                       const struct redis_link_handlers *handlers, void *arg,
                                       struct err *err)
{
    const char *host = setup->tls_name ? setup->tls_name : place->host;
    const struct redis_link_peer peer = {{place->addr, setup->tls, host}, setup->connect_ms};

    return redis_link_open(setup->loop, &peer, handlers, arg, err);
}

struct redis_node *redis_node_new(struct redis_setup *setup, const struct redis_place *place,
                                  const struct redis_node_handlers *handlers, void *arg)
{
    struct redis_node *n = xcalloc(1, sizeof *n);

    n->setup = setup;
    n->place = *place;
    addr_format(&place->addr, n->where);
    n->handlers = *handlers;
    n->arg = arg;
    n->backoff_ms = BACKOFF_MIN_MS;
    n->retry = timer_new(setup->loop, attempt, n);
    n->distrust = timer_new(setup->loop, end_distrusted, n);
    n->look = timer_new(setup->loop, look, n);
    timer_start(n->retry, 0);
    return n;
}

void redis_node_free(struct redis_node *n, const struct err *why)
{
    if (!n || n->is_freed)
        return;
    n->is_freed = true;
    n->is_ready = false;
    timer_free(n->retry);
    timer_free(n->distrust);
    timer_free(n->look);
    enter(n);
    drop_link(n, why);
    leave(n);
}

static void enter(struct redis_node *n)
{
    n->frames++;
}

static void leave(struct redis_node *n)
{
    if (--n->frames == 0 && n->is_freed)
        free(n);
}

static void attempt(void *arg)
{
    static const struct redis_link_handlers handlers = {link_opened, link_broken};
    struct redis_node *n = arg;
    struct err err;

    n->link = redis_setup_connect(n->setup, &n->place, &handlers, n, &err);
    if (!n->link)
        lose(n, &err);
}

static void link_opened(void *arg)
{
    static const struct redis_prepare_handlers handlers = {prepared, refused};
    struct redis_node *n = arg;

    memset(n->loads, 0, sizeof n->loads);
    n->prepare = redis_prepare_start(n->setup->loop, n->link, &n->setup->login, &handlers, n);
}

static void prepared(void *arg, const char *run_id)
{
    struct redis_node *n = arg;

    snprintf(n->run_id, sizeof n->run_id, "%s", run_id);
    redis_prepare_free(n->prepare);
    n->prepare = NULL;
    n->backoff_ms = BACKOFF_MIN_MS;
    n->term = ++n->setup->terms;
    n->is_ready = true;
    timer_start(n->look, LOOK_MS);
    n->handlers.on_ready(n->arg);
}

/* Not every way of taking a server's place, and giving it back, breaks connections. */
static void look(void *arg)
{
    struct redis_node *n = arg;
    struct span argv[] = {SPAN("INFO"), SPAN("replication")};
    AUTO_CLEAR(buf) line = {.max = 256};

    if (!redis_node_is_ready(n))
        return;
    redis_encode(&line, argv, ARRAY_LEN(argv));
    redis_link_send(n->link, buf_span(&line), clock_monotonic_ms() + n->setup->login.command_ms,
                    looked, n);
}

static void looked(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct redis_node *n = arg;
    struct err why;

    if (err || !n->is_ready)
        return;
    timer_start(n->look, LOOK_MS);
    if (redis_reply_type(reply) == REDIS_ERROR ||
        redis_info_is_run(redis_reply_text(reply), n->run_id))
        return;
    err_set(&why, ERR_UNAVAILABLE, "its replication id is another than when it was connected");
    redis_node_distrust(n, &why);
}

static void refused(void *arg, const struct err *err)
{
    lose(arg, err);
}

static void link_broken(void *arg, const struct err *err)
{
    lose(arg, err);
}

/* The handler, and who waits on the link, may free the node. */
static void lose(struct redis_node *n, const struct err *err)
{
    struct err why = *err, unknown;

    err_context(&why, "Redis at %s", n->where);
    err_set(&unknown, ERR_TIMEOUT, "whether Redis did it is unknown: %s", why.text);
    n->is_ready = false;
    timer_stop(n->distrust);
    timer_stop(n->look);
    timer_start(n->retry, n->backoff_ms);
    n->backoff_ms = 2 * n->backoff_ms < BACKOFF_MAX_MS ? 2 * n->backoff_ms : BACKOFF_MAX_MS;
    enter(n);
    drop_link(n, &unknown);
    if (!n->is_freed)
        n->handlers.on_lost(n->arg, &why);
    leave(n);
}

/* The link first: what it still owes may be owed to `prepare`. */
static void drop_link(struct redis_node *n, const struct err *why)
{
    struct redis_link *link = KEEP(n->link);

    redis_link_free(link, why);
    redis_prepare_free(KEEP(n->prepare));
}

bool redis_node_is_ready(const struct redis_node *n)
{
    return n && n->is_ready && n->link && !redis_link_is_broken(n->link);
}

uint64_t redis_node_term(const struct redis_node *n)
{
    return redis_node_is_ready(n) ? n->term : 0;
}

const char *redis_node_run_id(const struct redis_node *n)
{
    return redis_node_is_ready(n) ? n->run_id : "";
}

const char *redis_node_where(const struct redis_node *n)
{
    return n->where;
}

const char *redis_node_host(const struct redis_node *n)
{
    return n->place.host;
}

size_t redis_node_pending(const struct redis_node *n)
{
    return n->link ? redis_link_pending(n->link) : 0;
}

struct redis_link *redis_node_link(const struct redis_node *n)
{
    return n->link;
}

void redis_node_distrust(struct redis_node *n, const struct err *why)
{
    if (!n->is_ready)
        return;
    n->is_ready = false;
    n->why_distrusted = *why;
    timer_start(n->distrust, DISTRUST_MS);
}

static void end_distrusted(void *arg)
{
    struct redis_node *n = arg;

    lose(n, &n->why_distrusted);
}

/* A thousand commands may find the script missing at once: a load sent after the one that asks was
 * sent is not repeated. */
void redis_node_load(struct redis_node *n, const struct redis_script *script, uint64_t asked_by)
{
    struct span argv[] = {SPAN("SCRIPT"), SPAN("LOAD"), span_of(script->text)};
    AUTO_CLEAR(buf) line = {.max = COMMAND_MAX};
    struct load *load = NULL;

    for (size_t i = 0; i < LOADS && !load; i++)
        if (n->loads[i].script == script)
            load = &n->loads[i];
    if (load && load->number > asked_by)
        return;
    if (!load)
        load = &n->loads[n->next_load++ % LOADS];
    *load = (struct load){script, redis_link_sent(n->link)};
    redis_encode(&line, argv, ARRAY_LEN(argv));
    redis_link_send(n->link, buf_span(&line), clock_monotonic_ms() + n->setup->login.command_ms,
                    script_loaded, NULL);
}

/* If it could not be loaded, the command that needs it says so. */
static void script_loaded(void *arg UNUSED, const struct redis_reply *reply UNUSED,
                          const struct err *err UNUSED)
{
}
