/* doctor_redis.c - each server that holds keys: what it says of itself, and what it may lose. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/doctor.h"
#include "gateway/redis_settings.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/redis_address.h"
#include "lib/net/redis_info.h"

#define PENDING_MAX   100
#define WAIT_MS       15000
#define NOTICE_MS     500
#define CLOCK_SECONDS 60
#define VERSION_MIN   7
#define RESTRICT      "give Tollgate a user of its own; the manual has the line of the ACL file"
#define EXPLAINS_AOF  "set `appendonly yes` and `appendfsync everysec` (or always)"

struct look {
    struct doctor *doctor;
    struct loop *loop;
    struct redis *redis;
    struct err lost; /* why it is not ready */
    bool is_ready, is_over;
    size_t open, server;
};

static void on_ready(void *arg);
static void on_lost(void *arg, const struct err *err);
static bool wait_until_ready(struct look *l);
static void ask_all(struct look *l);
static void ask(struct look *l);
static void look_at_address(struct doctor *d);

void doctor_look_at_redis(struct doctor *d)
{
    static const struct redis_handlers handlers = {on_ready, on_lost};
    struct redis_settings settings = {.config.address = NULL};
    struct look l = {.doctor = d};
    struct err err = {.code = ERR_NONE};

    look_at_address(d);
    l.loop = loop_new(&err);
    if (l.loop && redis_settings_read(&settings, d->options, PENDING_MAX, &err))
        l.redis = redis_new(l.loop, &settings.config, &handlers, &l, &err);
    if (!l.redis)
        doctor_find(d, "redis", HEALTH_UNSAFE, "calls get 503 until it can be used", "%s",
                    err.text);
    else if (!wait_until_ready(&l))
        doctor_find(d, "redis", HEALTH_UNSAFE, "calls get 503 until it can be used",
                    "%s can't be used: %s", d->options->redis,
                    l.lost.code ? l.lost.text : "it does not answer in time");
    else
        ask_all(&l);
    redis_free(l.redis);
    loop_free(l.loop);
    redis_settings_clear(&settings);
}

/* Says so when it takes long. */
static bool wait_until_ready(struct look *l)
{
    if (loop_run_until(l->loop, &l->is_ready, NOTICE_MS))
        return true;
    fprintf(stderr, "Redis does not answer; waiting for it, at most %d s\n", WAIT_MS / 1000);
    return loop_run_until(l->loop, &l->is_ready, WAIT_MS - NOTICE_MS);
}

static void ask_all(struct look *l)
{
    ask(l);
    doctor_look_at_keys(l->doctor, l->loop, l->redis);
    doctor_look_at_models(l->doctor, l->loop, l->redis);
}

static void on_ready(void *arg)
{
    struct look *l = arg;

    l->is_ready = redis_is_ready(l->redis);
}

static void on_lost(void *arg, const struct err *err)
{
    struct look *l = arg;

    l->lost = *err;
}

/* Who may be listening on the way, and who may log in. */
static void look_at_address(struct doctor *d)
{
    const struct options *o = d->options;
    AUTO_CLEAR(redis_address) address = {.count = 0};
    bool is_here = true;

    if (!redis_address_parse(o->redis, &address, NULL))
        return;
    for (size_t i = 0; i < address.count; i++) {
        struct redis_place place;

        is_here = is_here && redis_place_resolve(address.places[i], &place, NULL) &&
                  addr_is_loopback(&place.addr);
    }
    if (is_here) {
        doctor_find(d, "redis", HEALTH_GOOD, NULL, "%s is on this machine", o->redis);
        return;
    }
    doctor_find(d, "redis", address.is_tls ? HEALTH_GOOD : HEALTH_UNSAFE,
                "speak TLS (rediss://…), or keep the network between them to yourselves",
                "%s is reached over the network %s", o->redis,
                address.is_tls ? "with TLS" : "without TLS");
    doctor_find(d, "redis", o->redis_password_file ? HEALTH_GOOD : HEALTH_UNSAFE, RESTRICT,
                "%s password is needed to use %s", o->redis_password_file ? "a" : "no", o->redis);
}

/* ------------------------------------------------------------------ one server after the other */

static void put_question(struct look *l, const struct redis_words *words, redis_on_reply *on_reply);
static void on_info(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_time(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_fsync(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_default_user(void *arg, const struct redis_reply *reply, const struct err *err);

static void ask(struct look *l)
{
    const struct span info[] = {SPAN("INFO")}, time[] = {SPAN("TIME")};
    const struct span fsync[] = {SPAN("CONFIG"), SPAN("GET"), SPAN("appendfsync")};
    const struct span user[] = {SPAN("ACL"), SPAN("WHOAMI")};

    for (l->server = 0; l->server < redis_servers(l->redis); l->server++) {
        l->is_over = false;
        put_question(l, &(struct redis_words)REDIS_WORDS(info), on_info);
        put_question(l, &(struct redis_words)REDIS_WORDS(time), on_time);
        put_question(l, &(struct redis_words)REDIS_WORDS(fsync), on_fsync);
        put_question(l, &(struct redis_words)REDIS_WORDS(user), on_default_user);
        if (!loop_run_until(l->loop, &l->is_over, WAIT_MS))
            return; /* every command has a deadline of its own */
    }
}

static void put_question(struct look *l, const struct redis_words *words, redis_on_reply *on_reply)
{
    l->open++;
    redis_command_to(l->redis, l->server, words, on_reply, l);
}

static void answered(struct look *l)
{
    l->open--;
    l->is_over = l->open == 0;
}

static void look_at_version(struct doctor *d, struct span info);
static void look_at_memory(struct doctor *d, struct span info);
static void look_at_file(struct doctor *d, struct span info);

static void on_info(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct look *l = arg;

    if (redis_reply_type(reply) == REDIS_TEXT) {
        look_at_version(l->doctor, redis_reply_text(reply));
        look_at_memory(l->doctor, redis_reply_text(reply));
        look_at_file(l->doctor, redis_reply_text(reply));
    } else {
        doctor_find(l->doctor, "redis", HEALTH_UNKNOWN, "let Tollgate's user use INFO",
                    "INFO was not answered: %s", reply ? "refused" : err->text);
    }
    answered(l);
}

static void look_at_version(struct doctor *d, struct span info)
{
    struct span version = {"", 0};
    uint64_t major = 0;
    size_t n = 0;

    if (redis_info_find(info, "redis_version", &version))
        while (n < version.len && version.data[n] != '.')
            n++;
    if (!digits_parse((struct span){version.data, n}, 1000, &major))
        major = 0;
    doctor_find(d, "redis version", major < VERSION_MIN ? HEALTH_UNSAFE : HEALTH_GOOD,
                "run Redis 7 or newer", "it is %.*s", SPAN_FMT(version));
}

static void look_at_memory(struct doctor *d, struct span info)
{
    struct span policy = {"", 0};
    bool is_good = redis_info_find(info, "maxmemory_policy", &policy) &&
                   span_equal(policy, SPAN("noeviction"));

    doctor_find(d, "redis memory", is_good ? HEALTH_GOOD : HEALTH_UNSAFE,
                "set `maxmemory-policy noeviction`: balances must not be evicted",
                "maxmemory-policy is %.*s", SPAN_FMT(policy));
}

static void look_at_file(struct doctor *d, struct span info)
{
    struct span has = {"", 0}, status = {"", 0};

    redis_info_find(info, "aof_enabled", &has);
    redis_info_find(info, "aof_last_write_status", &status);
    if (!span_equal(has, SPAN("1")))
        doctor_find(d, "redis persistence", HEALTH_UNSAFE, EXPLAINS_AOF,
                    "it keeps no append-only file: a restart loses everything, and calls wait for "
                    "a rebuild");
    else if (!span_equal(status, SPAN("ok")))
        doctor_find(d, "redis persistence", HEALTH_UNSAFE, "look at its disk and its log",
                    "the last write of its append-only file: %.*s", SPAN_FMT(status));
    else
        doctor_find(d, "redis persistence", HEALTH_GOOD, NULL, "it keeps an append-only file");
}

static void on_fsync(void *arg, const struct redis_reply *reply, const struct err *err UNUSED)
{
    struct look *l = arg;
    struct span value = redis_reply_text(redis_reply_at(reply, 1));

    if (redis_reply_type(reply) != REDIS_ARRAY || value.len == 0)
        doctor_find(l->doctor, "redis persistence", HEALTH_UNKNOWN,
                    "see yourself that `appendfsync` is everysec or always",
                    "Tollgate's user may not read appendfsync, which is well");
    else
        doctor_find(l->doctor, "redis persistence",
                    span_equal(value, SPAN("no")) ? HEALTH_UNSAFE : HEALTH_GOOD, EXPLAINS_AOF,
                    "appendfsync is %.*s", SPAN_FMT(value));
    answered(l);
}

static void on_time(void *arg, const struct redis_reply *reply, const struct err *err UNUSED)
{
    struct look *l = arg;
    int64_t seconds = 0, here = (clock_now() - clock_offset()) / NANOS_PER_SECOND, apart;

    if (redis_reply_type(reply) == REDIS_ARRAY &&
        int64_parse(redis_reply_text(redis_reply_at(reply, 0)), &seconds)) {
        apart = seconds > here ? seconds - here : here - seconds;
        doctor_find(l->doctor, "clocks", apart > CLOCK_SECONDS ? HEALTH_UNSAFE : HEALTH_GOOD,
                    "run a time service on both machines",
                    "Redis's clock and this machine's are %" PRId64 " s apart", apart);
    } else {
        doctor_find(l->doctor, "clocks", HEALTH_UNKNOWN, "let Tollgate's user use TIME",
                    "Redis does not tell its time");
    }
    answered(l);
}

/* Who may not even ask has a user of its own. */
static void on_default_user(void *arg, const struct redis_reply *reply,
                            const struct err *err UNUSED)
{
    struct look *l = arg;
    bool is_default = span_equal(redis_reply_text(reply), SPAN("default"));

    doctor_find(l->doctor, "redis user", is_default ? HEALTH_UNKNOWN : HEALTH_GOOD, RESTRICT,
                is_default ? "Tollgate is Redis's default user, who may do everything"
                           : "Tollgate has a user of its own");
    answered(l);
}
