/* redis_client.c - see the header. */
#include "tests/net/redis_client.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

#define WAIT_MS 60000

char dir[] = "/tmp/tollgate-test-redis-XXXXXX";
char address[128];
struct loop *loop;
pid_t server;
struct redis *redis;
unsigned ready_count, lost_count;
struct err lost;
const char *const no_options[] = {NULL};
static bool is_ready_seen, is_lost_seen;

void setup(void)
{
    struct err err;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(address, sizeof address, "unix:%s/redis.sock", dir);
    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
}

void teardown(void)
{
    AUTO_STRING command = xasprintf("rm -rf %s", dir);

    redis_free(redis);
    loop_free(loop);
    redis_server_kill(&server);
    ck_assert_int_eq(system(command), 0);
}

static void on_ready(void *arg UNUSED)
{
    ck_assert(redis_is_ready(redis));
    ready_count++;
    is_ready_seen = true;
}

static void on_lost(void *arg UNUSED, const struct err *err)
{
    ck_assert(!redis_is_ready(redis));
    ck_assert_str_eq(redis_run_id(redis, SPAN("")), "");
    lost_count++;
    lost = *err;
    is_lost_seen = true;
}

struct redis *client(const struct redis_config *config)
{
    static const struct redis_handlers handlers = {on_ready, on_lost};
    struct err err;

    redis = redis_new(loop, config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
    return redis;
}

struct redis_config config_of(int64_t command_ms)
{
    return (struct redis_config){
        .address = address, .connect_ms = 20000, .command_ms = command_ms, .pending_max = 2 * MANY};
}

void await(const bool *flag)
{
    ck_assert_msg(loop_run_until(loop, flag, WAIT_MS), "nothing came within %d ms; lost: %s",
                  WAIT_MS, lost.text);
}

void await_ready(void)
{
    is_ready_seen = false;
    await(&is_ready_seen);
}

void await_lost(void)
{
    is_lost_seen = false;
    await(&is_lost_seen);
}

void run_ms(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
}

void on_answer(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct answer *a = arg;

    ck_assert((reply != NULL) != (err != NULL));
    a->calls++;
    a->done = true;
    a->has_reply = reply != NULL;
    if (err) {
        a->err = *err;
        return;
    }
    a->type = redis_reply_type(reply);
    a->number = redis_reply_int(reply);
    snprintf(a->text, sizeof a->text, "%.*s", SPAN_FMT(redis_reply_text(reply)));
}

void command(const char *words, struct answer *a)
{
    struct span argv[16];
    size_t argc = 0;

    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");

        argv[argc++] = (struct span){at, n};
        at += n;
    }
    *a = (struct answer){.done = false};
    redis_command(redis, argv, argc, on_answer, a);
    ck_assert_msg(!a->done, "the callback ran inside redis_command()");
}

const struct answer *ask(const char *words)
{
    static struct answer a;

    command(words, &a);
    await(&a.done);
    ck_assert_msg(a.has_reply, "%s: %s", words, a.err.text);
    return &a;
}

int64_t info_number(const char *section, const char *name)
{
    char words[64];
    const char *at;

    snprintf(words, sizeof words, "INFO %s", section);
    at = strstr(ask(words)->text, name);
    ck_assert_msg(at != NULL, "INFO %s has no %s", section, name);
    return strtoll(at + strlen(name), NULL, 10);
}

void connect_to(const char *const *options, int64_t command_ms)
{
    struct redis_config config = config_of(command_ms);

    server = redis_server_start(dir, options);
    client(&config);
    await_ready();
    lost_count = 0;
}
