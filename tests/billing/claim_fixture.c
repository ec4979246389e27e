/* claim_fixture.c - the keys and arguments that admission, the gateway and the projection give to the scripts. */
#include "tests/billing/claim_fixture.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"

#define LIST_MAX 32

struct fixture redis;
int64_t begun_ms;

static char *claim_key(struct call c)
{
    return xasprintf("tg:{a17}:idem:acct:%s", c.key ? c.key : "k");
}

/* Null ends a list of keys before it. */
static char *other_key(struct call c)
{
    return c.other ? xasprintf("tg:{a17}:idem:acct:%s", c.other) : NULL;
}

char *run(enum script s, const char *const *keys, const char *const *args)
{
    struct span key[LIST_MAX], arg[LIST_MAX];
    size_t k = 0, n = 0;

    for (; keys[k]; k++)
        key[k] = span_of(keys[k]);
    for (; args[n]; n++)
        arg[n] = span_of(args[n]);
    return fixture_eval(&redis, s, key, k, arg, n);
}

void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    freeReplyObject(redisvCommand(redis.client, format, ap));
    va_end(ap);
}

void open_partition(void)
{
    redisReply *time;

    set("FLUSHALL");
    set("HSET tg:{a17}:state installation inst-1 partitions 64 run_id run-1");
    set("HSET tg:{a17}:account:acct opened 1 currency CNY balance 100 room 100 credit_limit 0 "
        "concurrency 0");
    set("HSET tg:{a17}:key:17key owner_kind account owner acct state active expires_at 0");
    time = fixture_command(&redis, "TIME");
    begun_ms = number_of(time->element[0]->str) * 1000;
    freeReplyObject(time);
}

char *admit(struct call c)
{
    AUTO_STRING claim = claim_key(c);
    AUTO_STRING other = other_key(c);
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", c.request);
    AUTO_STRING ends = xasprintf("%" PRId64, begun_ms + c.late_ms + DAY_MS);
    const char *also = other ? c.body : NULL;
    AUTO_STRING now = c.late_ms ? xasprintf("%" PRId64 "000000", begun_ms + c.late_ms) : NULL;
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:key:17key",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:index:acct",
                          "tg:{a17}:held",
                          released,
                          "tg:{a17}:rate:acct",
                          "tg:{a17}:rate:key:17key",
                          "tg:{a17}:spent:acct:2026-11-22:CNY",
                          "tg:{a17}:spent:acct:2026-11:CNY",
                          claim,
                          "tg:{a17}:live",
                          other,
                          NULL};
    const char *args[] = {"inst-1",     "run-1",        "acct", c.request, c.writer,
                          c.amount,     now ? now : "", "CNY",  "0",       "",
                          "2026-11-22", "demo/m",       "",     c.body,    ends,
                          c.turn,       also,           NULL};

    return run(SCRIPT_ADMIT, keys, args);
}

char *tell(const char *verb, struct call c, const char *stored)
{
    AUTO_STRING claim = claim_key(c);
    AUTO_STRING other = strcmp(verb, "open") == 0 ? other_key(c) : NULL;
    AUTO_STRING answer = xasprintf("tg:{a17}:answer:%s", c.request);
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", c.request);
    AUTO_STRING ends = xasprintf("%" PRId64, begun_ms + c.late_ms + DAY_MS);
    const char *keys[] = {"tg:{a17}:state",       claim, answer, "tg:{a17}:index:acct", released,
                          "tg:{a17}:stored:acct", other, NULL};
    const char *args[] = {"inst-1",   "64",     verb,   c.request, c.body, ends,
                          "86400000", c.writer, c.turn, stored,    MOST,   NULL};

    return run(SCRIPT_ANSWER, keys, args);
}

char *apply(struct call c, const char *n, const char *state, const char *left_ms)
{
    AUTO_STRING claim = claim_key(c);
    AUTO_STRING ends = xasprintf("%" PRId64, begun_ms + c.late_ms + DAY_MS);
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:cursors",
                          "tg:{a17}:suspense",
                          "tg:{a17}:records",
                          "tg:{a17}:ops",
                          "tg:{a17}:trimmed",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:debits:2026-11",
                          "tg:{a17}:events:acct",
                          "tg:{a17}:index:acct",
                          "tg:{a17}:rate:acct",
                          "tg:{a17}:rate:key:17key",
                          "tg:{a17}:spent:acct:2026-11-22:CNY",
                          "tg:{a17}:spent:acct:2026-11:CNY",
                          claim,
                          NULL};
    const char *args[] = {"inst-1",       "64",   c.writer, "journal", n,       "00000000",
                          "claimed_call", "{}",   "0",      "10",      "11",    "acct",
                          c.request,      "CNY",  "5",      "0",       "17key", "demo/m",
                          state,          c.body, ends,     left_ms,   NULL};

    return run(SCRIPT_APPLY_ACCOUNT, keys, args);
}

char *report(const char *writer, const char *n, const char *turn)
{
    const char *keys[] = {"tg:{a17}:state", "tg:{a17}:live", "tg:{a17}:cursors", NULL};
    const char *args[] = {"inst-1", "64",     writer, "run-1", n,   turn,
                          "old",    "coming", "t1",   "first", NULL};

    free(run(SCRIPT_RECOVERED, keys, args));
    args[7] = "back";
    return run(SCRIPT_RECOVERED, keys, args);
}

static char *tell_retired(const char *verb, const char *writer, const char *n)
{
    const char *keys[] = {"tg:{a17}:state", "tg:{a17}:live", "tg:{a17}:cursors", NULL};
    const char *args[] = {"inst-1", "64", verb, writer, n, NULL};

    return run(SCRIPT_RETIRED, keys, args);
}

char *fence(const char *writer)
{
    return tell_retired("fence", writer, NULL);
}

char *retire(const char *writer, const char *n)
{
    return tell_retired("over", writer, n);
}
