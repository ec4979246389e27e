/* redis.c - finds the server for each command, gives every command exactly one answer, also those
 * that could not be sent, and sends again what a server refused without doing it. */
#include "lib/net/redis.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/mem.h"
#include "lib/net/redis_call.h"
#include "lib/net/redis_cluster.h"
#include "lib/net/redis_refusal.h"
#include "lib/net/redis_sentinel.h"
#include "lib/net/redis_slots.h"

#define AGAIN_MS      20 /* and more when many wait */
#define AGAIN_MS_MAX  500
#define REDIRECTS_MAX 3

/* A command that never reached a server: its answer comes at the end of the turn. */
struct refusal {
    redis_on_reply *on_reply;
    void *arg;
    struct err err;
    struct refusal *next;
};

struct redis {
    struct redis_address address;
    struct redis_setup setup; /* its login and its names point to the two and the one below */
    char *user;
    struct secret password;
    char *tls_name;
    size_t pending_max;
    struct redis_handlers handlers;
    void *arg;

    struct redis_node *master;       /* null: a Cluster, or not known yet */
    struct redis_sentinel *sentinel; /* null: none */
    struct redis_cluster *cluster;   /* null: none */

    size_t pending;             /* calls that were not answered */
    struct redis_call *waiting; /* to be sent again */
    struct redis_call **last_waiting;
    size_t waiting_count;
    struct timer *again;
    struct refusal *refusals, **last_refusal;
    size_t refusal_count;
    struct turn_end telling;
    bool is_freed;
    unsigned frames;
};

static bool log_in(struct redis *r, const struct redis_config *config, struct err *err);
static bool go_there(struct redis *r, struct err *err);
static void node_ready(void *arg);
static void node_lost(void *arg, const struct err *err);
static void follow_master(void *arg, const struct redis_place *place);
static int slot_of(const struct redis *r, struct span key);
static struct redis_node *route(const struct redis *r, int slot);
static struct redis_node *any_node(const struct redis *r);
static void submit(struct redis_call *c, struct redis_node *node);
static bool may_send(struct redis *r, const struct redis_call *c, const struct redis_node *node,
                     struct err *err);
static void answered(void *arg, const struct redis_reply *reply, const struct err *err);
static bool goes_on(struct redis_call *c, struct span error);
static bool load_and_send(struct redis_call *c);
static bool redirect(struct redis_call *c, enum redis_refusal refusal, const char *where,
                     struct span error);
static struct redis_node *find_node(const struct redis_call *c);
static void send_later(struct redis_call *c, struct span why);
static void wait_in_line(struct redis_call *c);
static struct redis_call *first_in_line(struct redis *r);
static void send_again(void *arg);
static int64_t pause_ms(const struct redis *r);
static bool has_time(const struct redis_call *c);
static void give_up(struct redis_call *c);
static void answer(struct redis_call *c, const struct redis_reply *reply, const struct err *err);
static void answer_later(struct redis *r, redis_on_reply *on_reply, void *arg,
                         const struct err *err);
static void tell_refusals(void *arg);
static void tell_one(struct redis *r);
static void enter(struct redis *r);
static void leave(struct redis *r);

struct redis *redis_new(struct loop *loop, const struct redis_config *config,
                        const struct redis_handlers *handlers, void *arg, struct err *err)
{
    AUTO(redis) r = xcalloc(1, sizeof *r);

    r->handlers = *handlers;
    r->arg = arg;
    r->pending_max = config->pending_max;
    r->last_waiting = &r->waiting;
    r->last_refusal = &r->refusals;
    r->telling = (struct turn_end){.run = tell_refusals, .arg = r};
    r->again = timer_new(loop, send_again, r);
    if (config->password)
        r->password = *config->password;
    r->setup.loop = loop;
    r->setup.connect_ms = config->connect_ms;
    r->setup.login.command_ms = config->command_ms;
    if (!redis_address_parse(config->address, &r->address, err) || !log_in(r, config, err) ||
        !go_there(r, err))
        return NULL;
    return KEEP(r);
}

static bool log_in(struct redis *r, const struct redis_config *config, struct err *err)
{
    const char *user = config->user ? config->user : r->address.user;

    r->user = user ? xstrdup(user) : NULL;
    r->setup.login.user = r->user;
    r->setup.login.password = config->password ? &r->password : NULL;
    r->setup.login.in_cluster = r->address.kind == REDIS_IN_CLUSTER;
    if (!r->address.is_tls)
        return true;
    r->tls_name = config->tls_name ? xstrdup(config->tls_name) : NULL;
    r->setup.tls_name = r->tls_name;
    r->setup.tls = tls_client_new(config->tls_ca, err);
    return r->setup.tls &&
           (!config->tls_certificate ||
            tls_client_identify(r->setup.tls, config->tls_certificate, config->tls_key, err));
}

static bool go_there(struct redis *r, struct err *err)
{
    static const struct redis_node_handlers handlers = {node_ready, node_lost};
    static const struct redis_sentinel_handlers sentinel_handlers = {follow_master, node_lost};
    struct redis_place place;

    switch (r->address.kind) {
    case REDIS_IN_CLUSTER:
        r->cluster = redis_cluster_new(&r->setup, &r->address, &handlers, r, err);
        return r->cluster != NULL;
    case REDIS_BY_SENTINEL:
        r->sentinel = redis_sentinel_new(&r->setup, &r->address, &sentinel_handlers, r, err);
        return r->sentinel != NULL;
    default:
        if (!redis_place_resolve(r->address.places[0], &place, err))
            return false;
        r->master = redis_node_new(&r->setup, &place, &handlers, r);
        return true;
    }
}

void redis_free(struct redis *r)
{
    struct err why;

    if (!r || r->is_freed)
        return;
    r->is_freed = true;
    err_set(&why, ERR_CANCELLED, "the connection to Redis was closed");
    timer_free(r->again);
    turn_end_cancel(&r->telling);
    enter(r);
    redis_sentinel_free(KEEP(r->sentinel));
    redis_node_free(KEEP(r->master), &why);
    redis_cluster_free(KEEP(r->cluster), &why);
    while (r->waiting)
        answer(first_in_line(r), NULL, &why);
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
    tls_context_free(r->setup.tls);
    redis_address_clear(&r->address);
    free(r->tls_name);
    free(r->user);
    free(r);
}

static void node_ready(void *arg)
{
    struct redis *r = arg;

    if (r->handlers.on_ready)
        r->handlers.on_ready(r->arg);
}

static void node_lost(void *arg, const struct err *err)
{
    struct redis *r = arg;

    if (r->sentinel)
        redis_sentinel_hurry(r->sentinel);
    if (r->handlers.on_lost)
        r->handlers.on_lost(r->arg, err);
}

/* Whether the master of before is down, or only cut off from the sentinels: it gets nothing more
 * from us. */
static void follow_master(void *arg, const struct redis_place *place)
{
    static const struct redis_node_handlers handlers = {node_ready, node_lost};
    struct redis *r = arg;
    struct redis_node *before = r->master;
    struct err why;

    r->master = redis_node_new(&r->setup, place, &handlers, r);
    if (!before)
        return;
    err_set(&why, ERR_TIMEOUT, "whether Redis at %s did it is unknown: the master has moved to %s",
            redis_node_where(before), redis_node_where(r->master));
    enter(r);
    redis_node_free(before, &why);
    if (!r->is_freed && r->handlers.on_lost)
        r->handlers.on_lost(r->arg, &why);
    leave(r);
}

/* ------------------------------------------------------------------ where */

static int slot_of(const struct redis *r, struct span key)
{
    return r->cluster ? (int)redis_slot_of(key) : REDIS_ANY_SLOT;
}

/* Null: nowhere. */
static struct redis_node *route(const struct redis *r, int slot)
{
    if (!r->cluster)
        return r->master;
    if (slot == REDIS_ANY_SLOT)
        return any_node(r);
    return redis_cluster_node(r->cluster, (unsigned)slot);
}

static struct redis_node *any_node(const struct redis *r)
{
    struct redis_node *n;

    for (size_t i = 0; (n = redis_cluster_nth(r->cluster, i)); i++)
        if (redis_node_is_ready(n))
            return n;
    return NULL;
}

bool redis_is_ready(const struct redis *r)
{
    return r->cluster ? redis_cluster_is_ready(r->cluster) : redis_node_is_ready(r->master);
}

bool redis_is_partly_ready(const struct redis *r)
{
    return redis_node_is_ready(route(r, REDIS_ANY_SLOT));
}

uint64_t redis_term(const struct redis *r, struct span key)
{
    return redis_node_term(route(r, slot_of(r, key)));
}

const char *redis_run_id(const struct redis *r, struct span key)
{
    return redis_node_run_id(route(r, slot_of(r, key)));
}

size_t redis_pending(const struct redis *r)
{
    return r->pending;
}

size_t redis_servers(const struct redis *r)
{
    size_t n = 0;

    while (r->cluster && redis_cluster_nth(r->cluster, n))
        n++;
    return r->cluster ? n : 1;
}

/* ------------------------------------------------------------------ there */

void redis_command(struct redis *r, const struct span *argv, size_t argc, redis_on_reply *on_reply,
                   void *arg)
{
    const struct redis_waiting command = {
        .words = {argv, argc}, .key = argc > 1 ? argv[1] : SPAN(""), .wait_ms = 0};

    redis_command_wait(r, &command, on_reply, arg);
}

void redis_command_wait(struct redis *r, const struct redis_waiting *command,
                        redis_on_reply *on_reply, void *arg)
{
    struct redis_call *c = redis_call_new(r, on_reply, arg);

    redis_call_plain(c, &command->words);
    c->slot = command->key.len ? slot_of(r, command->key) : REDIS_ANY_SLOT;
    c->due_ms = command->wait_ms;
    submit(c, route(r, c->slot));
}

void redis_command_to(struct redis *r, size_t i, const struct redis_words *command,
                      redis_on_reply *on_reply, void *arg)
{
    struct redis_call *c = redis_call_new(r, on_reply, arg);

    redis_call_plain(c, command);
    submit(c, r->cluster ? redis_cluster_nth(r->cluster, i) : i == 0 ? r->master : NULL);
}

void redis_script_init(struct redis_script *s)
{
    sha1_hex(s->text, strlen(s->text), s->sha1);
}

void redis_eval(struct redis *r, const struct redis_eval *eval, redis_on_reply *on_reply, void *arg)
{
    struct redis_call *c = redis_call_new(r, on_reply, arg);

    redis_call_script(c, eval);
    c->slot = eval->keys.count ? slot_of(r, eval->keys.words[0]) : REDIS_ANY_SLOT;
    submit(c, route(r, c->slot));
}

/* due_ms is so far what it may take longer. */
static void submit(struct redis_call *c, struct redis_node *node)
{
    struct redis *r = c->redis;
    struct err err;

    if (!may_send(r, c, node, &err)) {
        answer_later(r, c->on_reply, c->arg, &err);
        redis_call_free(c);
        return;
    }
    r->pending++;
    c->due_ms += clock_monotonic_ms() + r->setup.login.command_ms;
    redis_call_send(c, node, answered);
}

static bool may_send(struct redis *r, const struct redis_call *c, const struct redis_node *node,
                     struct err *err)
{
    size_t queued;

    if (!redis_node_is_ready(node))
        return err_set(err, ERR_UNAVAILABLE, "Redis at %s is not reachable",
                       node ? redis_node_where(node) : r->address.places[0]);
    if (!buf_ok(&c->bytes, "a command to Redis", err))
        return false;
    if (r->pending >= r->pending_max)
        return err_set(err, ERR_LIMIT, "%zu commands wait for Redis already", r->pending_max);
    queued = redis_link_queued(redis_node_link(node));
    if (c->bytes.len > REDIS_CALL_MAX - queued)
        return err_set(err, ERR_LIMIT, "%zu bytes wait for Redis already", queued);
    return true;
}

/* ------------------------------------------------------------------ and back */

static void answered(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct redis_call *c = arg;

    if (reply && redis_reply_type(reply) == REDIS_ERROR && !c->redis->is_freed &&
        goes_on(c, redis_reply_text(reply)))
        return;
    answer(c, reply, err);
}

/* Whether the call is on its way again, or was answered here. */
static bool goes_on(struct redis_call *c, struct span error)
{
    char where[ADDR_TEXT] = "";
    enum redis_refusal refusal = redis_refusal_of(error, where);
    struct err err;

    if (refusal == REDIS_NO_SCRIPT)
        return load_and_send(c);
    if (refusal == REDIS_IS_REPLY)
        return false;
    free(KEEP(c->asked));
    if (refusal == REDIS_MOVED || refusal == REDIS_ASK)
        return redirect(c, refusal, where, error);
    if (refusal == REDIS_DEMOTED) {
        err_set(&err, ERR_UNAVAILABLE, "it is no master any more: %.*s", SPAN_FMT(error));
        redis_node_distrust(c->node, &err);
    }
    if (c->redis->cluster)
        redis_cluster_hurry(c->redis->cluster);
    send_later(c, error);
    return true;
}

static bool load_and_send(struct redis_call *c)
{
    if (!c->script || c->has_loaded || !redis_node_is_ready(c->node))
        return false;
    c->has_loaded = true;
    redis_node_load(c->node, c->script, c->number);
    redis_call_send(c, c->node, answered);
    return true;
}

/* Three in a row at most; then it waits for a moment, as what goes in circles does not for long. */
static bool redirect(struct redis_call *c, enum redis_refusal refusal, const char *where,
                     struct span error)
{
    struct redis_cluster *cluster = c->redis->cluster;
    char full[REDIS_HOST + ADDR_TEXT];
    struct redis_node *node;

    if (!cluster || c->slot == REDIS_ANY_SLOT)
        return false;
    snprintf(full, sizeof full, "%s%s", where[0] == ':' ? redis_node_host(c->node) : "", where);
    if (refusal == REDIS_ASK)
        c->asked = xstrdup(full);
    else
        redis_cluster_moved(cluster, (unsigned)c->slot, full);
    c->has_loaded = false;
    node = find_node(c);
    if (++c->redirects > REDIRECTS_MAX || !redis_node_is_ready(node) || !has_time(c))
        send_later(c, error);
    else
        redis_call_send(c, node, answered);
    return true;
}

static struct redis_node *find_node(const struct redis_call *c)
{
    return c->asked ? redis_cluster_at(c->redis->cluster, c->asked) : route(c->redis, c->slot);
}

static void send_later(struct redis_call *c, struct span why)
{
    free(c->why);
    c->why = xstrndup(why.data, why.len);
    c->redirects = 0;
    wait_in_line(c);
}

static void wait_in_line(struct redis_call *c)
{
    struct redis *r = c->redis;

    c->next = NULL;
    *r->last_waiting = c;
    r->last_waiting = &c->next;
    r->waiting_count++;
    if (r->waiting_count == 1)
        timer_start(r->again, AGAIN_MS);
}

static struct redis_call *first_in_line(struct redis *r)
{
    struct redis_call *c = r->waiting;

    r->waiting = c->next;
    if (!r->waiting)
        r->last_waiting = &r->waiting;
    r->waiting_count--;
    return c;
}

/* Those that have to wait again have their turn in the next round. */
static void send_again(void *arg)
{
    struct redis *r = arg;

    enter(r);
    for (size_t n = r->waiting_count; n && !r->is_freed; n--) {
        struct redis_call *c = first_in_line(r);
        struct redis_node *node = find_node(c);

        if (!has_time(c))
            give_up(c);
        else if (redis_node_is_ready(node))
            redis_call_send(c, node, answered);
        else
            wait_in_line(c);
    }
    if (r->waiting && !r->is_freed)
        timer_start(r->again, pause_ms(r));
    leave(r);
}

/* A server that is asked too often does not get done what it is busy with. */
static int64_t pause_ms(const struct redis *r)
{
    size_t ms = AGAIN_MS + r->waiting_count / 4;

    return ms < AGAIN_MS_MAX ? (int64_t)ms : AGAIN_MS_MAX;
}

/* A server that is late breaks off all that it was asked. One that is sent a command in the command's last moments is not
 * late, so it gets none then: what is not done by now is known not to be done. */
static bool has_time(const struct redis_call *c)
{
    return clock_monotonic_ms() + c->redis->setup.login.command_ms / 4 < c->due_ms;
}

static void give_up(struct redis_call *c)
{
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, "Redis did nothing for as long as a command may take: %.200s",
            c->why);
    answer(c, NULL, &err);
}

static void answer(struct redis_call *c, const struct redis_reply *reply, const struct err *err)
{
    redis_on_reply *on_reply = c->on_reply;
    void *arg = c->arg;

    c->redis->pending--;
    redis_call_free(c);
    on_reply(arg, reply, err);
}

static void answer_later(struct redis *r, redis_on_reply *on_reply, void *arg,
                         const struct err *err)
{
    struct refusal *refusal = xcalloc(1, sizeof *refusal);

    *refusal = (struct refusal){on_reply, arg, *err, NULL};
    *r->last_refusal = refusal;
    r->last_refusal = &refusal->next;
    r->refusal_count++;
    turn_end_schedule(r->setup.loop, &r->telling);
}

/* Those that come up meanwhile have their turn in the next round. */
static void tell_refusals(void *arg)
{
    struct redis *r = arg;

    enter(r);
    for (size_t n = r->refusal_count; n && !r->is_freed; n--)
        tell_one(r);
    if (r->refusal_count)
        turn_end_schedule(r->setup.loop, &r->telling);
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
