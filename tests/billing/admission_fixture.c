/* admission_fixture.c - see the header. */
#include "tests/billing/admission_fixture.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

struct fixture fixture;
struct loop *loop;
struct redis *redis;
struct admission *admission;
char partition[PARTITION_NAME];
bool is_ready;

static void on_ready(void *arg)
{
    (void)arg;
    is_ready = true;
}

static void on_lost(void *arg, const struct err *err)
{
    (void)arg;
    (void)err;
    is_ready = false;
}

void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    freeReplyObject(redisvCommand(fixture.client, format, ap));
    va_end(ap);
}

void open_partition(const char *room)
{
    set("HSET tg:{%s}:state installation inst-1 partitions 64 run_id %s", partition,
        redis_run_id(redis, SPAN("")));
    set("HSET tg:{%s}:account:acct opened 1 currency CNY mode prepaid balance %s room %s "
        "credit_limit 0 concurrency 0 revision 3",
        partition, room, room);
    set("HSET tg:{%s}:key:17abcdefghij owner_kind account owner acct state active expires_at 0 "
        "revision 1 hash 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f pepper "
        "0a1b2c3d",
        partition);
}

static void connect_redis(void)
{
    AUTO_STRING address = xasprintf("unix:%s", fixture.socket);
    struct redis_config config = {
        .address = address, .connect_ms = 2000, .command_ms = 5000, .pending_max = 1000};
    struct redis_handlers handlers = {on_ready, on_lost};
    struct admission_config how = {"inst-1", "w-a", 1, 600, 1 << 20, NULL};
    struct err err;

    loop = loop_new(&err);
    redis = redis_new(loop, &config, &handlers, NULL, &err);
    admission = admission_new(loop, redis, &how);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    partition_name(partition_of(SIDE_ACCOUNT, SPAN("acct")), partition);
    open_partition("5000000000");
}

void start(void)
{
    is_ready = false;
    fixture_start(&fixture, false);
    connect_redis();
}

void stop(void)
{
    admission_free(KEEP(admission));
    redis_free(KEEP(redis));
    loop_free(KEEP(loop));
    fixture_stop(&fixture);
}

void turn(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
}

void set_flag(void *arg)
{
    *(bool *)arg = true;
}

void on_answer(void *arg, const struct admission_answer *answer, const struct err *err)
{
    struct call *c = arg;

    c->is_answered = true;
    c->answers++;
    c->answer = *answer;
    c->has_failed = err != NULL;
    if (err)
        c->err = *err;
}

void ask(struct call *c, const char *request_id, int64_t nanos)
{
    struct admission_request request = {.request_id = request_id,
                                        .account = "acct",
                                        .key = "17abcdefghij",
                                        .first_key = "17abcdefghij",
                                        .amount_nanos = nanos,
                                        .currency = "CNY",
                                        .model = "demo/m",
                                        .zone = ""};

    *c = (struct call){0};
    c->hold = admission_admit(admission, &request, on_answer, c);
    ck_assert(!c->is_answered);
}

void await(struct call *c)
{
    ck_assert(loop_run_until(loop, &c->is_answered, WAIT_MS));
}

enum verdict verdict_of(const char *request_id, int64_t nanos)
{
    struct call c;

    ask(&c, request_id, nanos);
    await(&c);
    hold_settled(c.hold, 0);
    ck_assert_uint_eq(c.answers, 1);
    return c.answer.verdict;
}

void expect_field(const char *what, const char *field, const char *expected)
{
    AUTO_STRING found = fixture_ask(&fixture, "HGET tg:{%s}:%s %s", partition, what, field);

    ck_assert_msg(strcmp(found, expected) == 0, "%s %s is %s, not %s", what, field, found,
                  expected);
}

void await_field(const char *what, const char *field, const char *expected)
{
    for (int waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
        AUTO_STRING found = fixture_ask(&fixture, "HGET tg:{%s}:%s %s", partition, what, field);
        if (strcmp(found, expected) == 0)
            return;
        turn(LOOK_MS);
    }
    expect_field(what, field, expected);
}
