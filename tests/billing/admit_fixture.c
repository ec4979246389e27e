/* admit_fixture.c - see the header. */
#include "tests/billing/admit_fixture.h"

#include <check.h>
#include <stdarg.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"

#define ARGS_MAX 16

struct fixture redis;

void start_redis(void)
{
    fixture_start(&redis, false);
}

void stop_redis(void)
{
    fixture_stop(&redis);
}

char *run(enum script s, const char *const *keys, const char *const *args)
{
    struct span key[ARGS_MAX], arg[ARGS_MAX];
    size_t k = 0, n = 0;

    for (; keys[k]; k++)
        key[k] = span_of(keys[k]);
    for (; args[n]; n++)
        arg[n] = span_of(args[n]);
    return fixture_eval(&redis, s, key, k, arg, n);
}

void expect(char *answer, const char *expected)
{
    AUTO_STRING owned = answer;

    ck_assert_str_eq(owned, expected);
}

void expect_field(const char *key, const char *field, const char *expected)
{
    expect(fixture_ask(&redis, "HGET tg:{a17}:%s %s", key, field), expected);
}

void expect_nothing_changed(const char *before)
{
    AUTO_STRING after = fixture_dump(&redis);

    ck_assert_str_eq(before, after);
}

void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    freeReplyObject(redisvCommand(redis.client, format, ap));
    va_end(ap);
}

int64_t now_ms(void)
{
    redisReply *r = fixture_command(&redis, "TIME");
    int64_t ms = number_of(r->element[0]->str) * 1000 + number_of(r->element[1]->str) / 1000;

    freeReplyObject(r);
    return ms;
}

void open_partition(void)
{
    set("FLUSHALL");
    set("HSET tg:{a17}:state installation inst-1 partitions 64 run_id run-1");
    set("HSET tg:{a17}:account:acct opened 1 currency CNY mode prepaid balance 100 room 100 "
        "credit_limit 0 "
        "concurrency 2");
    set("HSET tg:{a17}:key:17key owner_kind account owner acct state active expires_at 0");
}

const struct admit usual = {"inst-1", "run-1", "17key", "acct", "req_1", "40", "", "CNY", "0"};

char *admit(struct admit a)
{
    AUTO_STRING key = xasprintf("tg:{a17}:key:%s", a.key);
    AUTO_STRING account = xasprintf("tg:{a17}:account:%s", a.account);
    AUTO_STRING holds = xasprintf("tg:{a17}:holds:%s", a.account);
    AUTO_STRING index = xasprintf("tg:{a17}:index:%s", a.account);
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", a.request);
    AUTO_STRING rate = xasprintf("tg:{a17}:rate:%s", a.account);
    AUTO_STRING key_rate = xasprintf("tg:{a17}:rate:key:%s", a.key);
    const char *keys[] = {"tg:{a17}:state",
                          key,
                          account,
                          holds,
                          index,
                          "tg:{a17}:held",
                          released,
                          rate,
                          key_rate,
                          "tg:{a17}:spent:acct:2026-11-22:CNY",
                          "tg:{a17}:spent:acct:2026-11:CNY",
                          NULL};
    const char *args[] = {a.installation, a.run,    a.account,  a.request, "w-a",
                          a.amount,       a.now,    a.currency, a.tokens,  "",
                          "2026-11-22",   "demo/m", "",         NULL};

    return run(SCRIPT_ADMIT, keys, args);
}

char *admit_call(const char *request, const char *amount)
{
    struct admit a = usual;

    a.request = request;
    a.amount = amount;
    return admit(a);
}

char *hold(const char *verb, const char *request, const char *amount)
{
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", request);
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:index:acct",
                          "tg:{a17}:held",
                          "tg:{a17}:rate:acct",
                          released,
                          "tg:{a17}:rate:key:17key",
                          NULL};
    const char *args[] = {
        "inst-1", "64", "acct", "w-a", verb, request, amount, " 2026-11-22 17key demo/m", NULL};

    return run(SCRIPT_HOLD, keys, args);
}
