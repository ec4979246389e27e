/* rates_fixture.c - see the header. */
#include "tests/billing/rates_fixture.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tests/base/run.h"

struct fixture redis;
uint64_t seed, records;
int64_t passed_us;

void start(void)
{
    fixture_start(&redis, false);
}

void stop(void)
{
    fixture_stop(&redis);
}

uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    redisReply *reply = redisvCommand(redis.client, format, ap);
    va_end(ap);
    ck_assert(reply && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

void open_account(int64_t rpm, int64_t tpm, int64_t key_rpm, int64_t key_tpm)
{
    seed = 88172645463325252;
    records = 0;
    passed_us = 0;
    set("FLUSHALL");
    set("HSET tg:{a17}:state installation inst-1 partitions 64 run_id run-1");
    set("HSET tg:{a17}:account:acct opened 1 currency CNY mode prepaid balance 1000000 room "
        "1000000 "
        "credit_limit 0 concurrency 0 rpm %" PRId64 " tpm %" PRId64,
        rpm, tpm);
    set("HSET tg:{a17}:key:17key owner_kind account owner acct state active expires_at 0 "
        "rpm %" PRId64 " tpm %" PRId64,
        key_rpm, key_tpm);
}

int64_t number(const struct answer *a, int i)
{
    ck_assert_int_lt(i, a->count);
    return number_of(a->word[i]);
}

bool is(const struct answer *a, const char *word)
{
    return strcmp(a->word[0], word) == 0;
}

struct answer *admit_for(struct answer *a, const char *request, int64_t tokens, const char *amount)
{
    char digits[INT64_TEXT], released[64];

    snprintf(released, sizeof released, "tg:{a17}:released:%s", request);
    const struct span keys[] = {SPAN("tg:{a17}:state"),
                                SPAN("tg:{a17}:key:17key"),
                                SPAN("tg:{a17}:account:acct"),
                                SPAN("tg:{a17}:holds:acct"),
                                SPAN("tg:{a17}:index:acct"),
                                SPAN("tg:{a17}:held"),
                                span_of(released),
                                SPAN("tg:{a17}:rate:acct"),
                                SPAN("tg:{a17}:rate:key:17key"),
                                SPAN("tg:{a17}:spent:acct:2026-11-22:CNY"),
                                SPAN("tg:{a17}:spent:acct:2026-11:CNY")};
    const struct span args[] = {
        SPAN("inst-1"),     SPAN("run-1"),  SPAN("acct"), span_of(request),           SPAN("w-a"),
        span_of(amount),    SPAN(""),       SPAN("CNY"),  int64_text(tokens, digits), SPAN(""),
        SPAN("2026-11-22"), SPAN("demo/m"), SPAN("")};
    AUTO_STRING text =
        fixture_eval(&redis, SCRIPT_ADMIT, keys, ARRAY_LEN(keys), args, ARRAY_LEN(args));
    char *rest = NULL;

    *a = (struct answer){.count = 0};
    snprintf(a->text, sizeof a->text, "%s", text);
    for (char *at = strtok_r(a->text, " ", &rest); at; at = strtok_r(NULL, " ", &rest))
        a->word[a->count++] = at;
    return a;
}

struct answer *admit(struct answer *a, unsigned request, int64_t tokens)
{
    char name[16];

    snprintf(name, sizeof name, "req_%u", request);
    return admit_for(a, name, tokens, "1");
}

void release(unsigned request)
{
    char name[16], released[64];

    snprintf(name, sizeof name, "req_%u", request);
    snprintf(released, sizeof released, "tg:{a17}:released:%s", name);
    const struct span keys[] = {SPAN("tg:{a17}:state"),      SPAN("tg:{a17}:account:acct"),
                                SPAN("tg:{a17}:holds:acct"), SPAN("tg:{a17}:index:acct"),
                                SPAN("tg:{a17}:held"),       SPAN("tg:{a17}:rate:acct"),
                                span_of(released),           SPAN("tg:{a17}:rate:key:17key")};
    const struct span args[] = {SPAN("inst-1"),  SPAN("64"),    SPAN("acct"), SPAN("w-a"),
                                SPAN("release"), span_of(name), SPAN("0"),    SPAN("")};
    AUTO_STRING answer =
        fixture_eval(&redis, SCRIPT_HOLD, keys, ARRAY_LEN(keys), args, ARRAY_LEN(args));

    ck_assert_str_eq(answer, "OK OK");
}

void end(unsigned request, int64_t used)
{
    AUTO_CLEAR(batch) b;
    char name[16];

    snprintf(name, sizeof name, "req_%u", request);
    batch_init(&b);
    batch_start(&b, (struct partition){SIDE_ACCOUNT, 17}, "inst-1", "w-a", FROM_JOURNAL);
    batch_record(&b, (struct record_cursor){++records, 7}, "call", span_of(name), 9, 7);
    batch_key(&b, "account", "acct");
    batch_key(&b, "holds", "acct");
    batch_key(&b, "debits", "2026-11");
    batch_key(&b, "events", "acct");
    batch_key(&b, "index", "acct");
    batch_key(&b, "rate", "acct");
    batch_key(&b, "rate:key", "17key");
    batch_key(&b, "spent", "acct:2026-11-22:CNY");
    batch_key(&b, "spent", "acct:2026-11:CNY");
    batch_field_text(&b, "acct");
    batch_field_text(&b, name);
    batch_field_text(&b, "CNY");
    batch_field_int(&b, 1);
    batch_field_int(&b, used);
    batch_field_text(&b, "17key");
    batch_field_text(&b, "demo/m");
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, "OK ", 3) == 0, "%s", answer);
}

void pass(int64_t us)
{
    static const char move[] =
        "local function back(t) return string.format('%.0f', t - ARGV[1]) end "
        "for _, key in ipairs({KEYS[1], KEYS[2]}) do "
        "for _, what in ipairs({'requests', 'tokens'}) do "
        "local t = redis.call('HGET', key, what) "
        "if t then redis.call('HSET', key, what, back(t)) end end end "
        "local all = redis.call('HGETALL', KEYS[3]) "
        "for i = 1, #all, 2 do redis.call('HSET', KEYS[3], all[i], (string.gsub(all[i + 1], "
        "'(%d+):(%d+):', function(cost, finish) return cost .. ':' .. back(finish) .. ':' end))) "
        "end";

    set("EVAL %s 3 tg:{a17}:rate:acct tg:{a17}:rate:key:17key tg:{a17}:holds:acct %" PRId64, move,
        us);
    passed_us += us;
}

int64_t now_us(void)
{
    AUTO_STRING time = fixture_ask(&redis, "TIME");
    char *rest;
    int64_t seconds = strtoll(time, &rest, 10);

    return seconds * 1000000 + strtoll(rest, NULL, 10) + passed_us;
}
