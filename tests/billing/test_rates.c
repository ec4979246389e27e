/* test_rates.c - request and token rates of the scripts, on a real Redis, against GCRA computed here in exact integers.
 *
 * Redis's clock is its own, so each arrival is only known to lie between two readings of it: what was admitted must fit if
 * it came as late as possible, what was refused must not have fitted had it come as early as possible. Where time has to
 * pass, all times that the scripts keep are moved back instead. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/money.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"

#define MINUTE  INT64_C(60000000)
#define ANSWERS 17

static struct fixture redis;
static uint64_t seed, records;
static int64_t passed_us; /* by which times were moved back */

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void set(const char *format, ...) PRINTF_LIKE(1, 2);
static void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    redisReply *reply = redisvCommand(redis.client, format, ap);
    va_end(ap);
    ck_assert(reply && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

static void open_account(int64_t rpm, int64_t tpm, int64_t key_rpm, int64_t key_tpm)
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

/* The script's answer in words: word, left, open, most, currency, mode, then what rates are told. */
struct answer {
    char text[256];
    const char *word[ANSWERS];
    int count;
};

static int64_t number(const struct answer *a, int i)
{
    ck_assert_int_lt(i, a->count);
    return number_of(a->word[i]);
}

static bool is(const struct answer *a, const char *word)
{
    return strcmp(a->word[0], word) == 0;
}

static struct answer *admit_for(struct answer *a, const char *request, int64_t tokens,
                                const char *amount)
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

static struct answer *admit(struct answer *a, unsigned request, int64_t tokens)
{
    char name[16];

    snprintf(name, sizeof name, "req_%u", request);
    return admit_for(a, name, tokens, "1");
}

static void release(unsigned request)
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

/* The call's END: it used so many tokens. */
static void end(unsigned request, int64_t used)
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

/* Moves every time that rates and entries keep back by so much. */
static void pass(int64_t us)
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

/* Redis's clock, with what was passed. */
static int64_t now_us(void)
{
    AUTO_STRING time = fixture_ask(&redis, "TIME");
    char *rest;
    int64_t seconds = strtoll(time, &rest, 10);

    return seconds * 1000000 + strtoll(rest, NULL, 10) + passed_us;
}

/* ---- against the exact bucket */

/* Theoretical arrival times in microseconds times the limit, so that nothing is rounded: as if each call came as early, or
 * as late, as it can have. */
struct gcra {
    int64_t limit;
    int128 early, late;
};

static int128 later(int128 a, int128 b)
{
    return a > b ? a : b;
}

static int64_t rounded_cost(int64_t n, int64_t limit)
{
    return (int64_t)(((int128)n * MINUTE + limit - 1) / limit);
}

/* `burst` as the script has it, microseconds. */
static void check_verdict(struct gcra *g, const struct answer *a, int64_t n, int64_t burst,
                          int64_t before, int64_t after)
{
    int128 exact = (int128)n * MINUTE, rounded = (int128)rounded_cost(n, g->limit) * g->limit;
    int128 from = (int128)before * g->limit, to = (int128)after * g->limit;

    if (is(a, "OK")) {
        g->early = later(g->early, from) + exact;
        g->late = later(g->late, to) + rounded;
        ck_assert_msg(g->early - to <= (int128)g->limit * MINUTE, "more was admitted than may be");
    } else {
        ck_assert_str_eq(a->word[0], "RATE");
        ck_assert_msg(later(g->late, from) + rounded - from > (int128)burst * g->limit,
                      "it was refused and had room");
    }
}

static const int64_t limits[] = {1, 7, 59, 60, 61, 997, 10000, 1234567, 100000000};

START_TEST(requests_pass_as_the_exact_bucket_says)
{
    struct gcra g = {.limit = limits[_i]};
    int64_t burst = g.limit * rounded_cost(1, g.limit);
    unsigned admitted = 0, refused = 0;
    struct answer a;

    open_account(g.limit, 0, 0, 0);
    for (unsigned i = 0; i < 400; i++) {
        int64_t before = now_us();
        admit(&a, i, 0);
        check_verdict(&g, &a, 1, burst, before, now_us());
        admitted += is(&a, "OK");
        refused += is(&a, "RATE");
        if (draw(3) == 0)
            pass((int64_t)draw((uint64_t)(3 * MINUTE / g.limit + 2)));
    }
    ck_assert_uint_gt(admitted, 0);
    ck_assert(refused > 0 || g.limit >= 400);
}
END_TEST

START_TEST(tokens_pass_as_the_exact_bucket_says)
{
    struct gcra g = {.limit = limits[_i]};
    unsigned admitted = 0, refused = 0;
    struct answer a;

    open_account(0, 0, 0, g.limit);
    for (unsigned i = 0; i < 400; i++) {
        int64_t n = 1 + (int64_t)draw((uint64_t)g.limit);
        int64_t before = now_us();
        admit(&a, i, n);
        check_verdict(&g, &a, n, MINUTE, before, now_us());
        admitted += is(&a, "OK");
        refused += is(&a, "RATE");
        if (draw(2) == 0)
            pass((int64_t)draw(MINUTE));
    }
    ck_assert_uint_gt(admitted, 20);
    ck_assert_uint_gt(refused, 20);
}
END_TEST

/* The least whole number of microseconds that is not less than the exact cost: read from the entry and from the rate. */
START_TEST(costs_are_rounded_up_and_by_less_than_a_microsecond)
{
    int64_t limit = limits[_i];
    struct answer a;

    open_account(0, limit, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        int64_t n = 1 + (int64_t)draw((uint64_t)limit);
        ck_assert(is(admit(&a, i, n), "OK"));
        AUTO_STRING entry = fixture_ask(&redis, "HGET tg:{a17}:holds:acct req_%u", i);
        int64_t tokens, cost;
        ck_assert_int_eq(sscanf(entry, "1 w-a %*d %" SCNd64 " %" SCNd64 ":", &tokens, &cost), 2);
        ck_assert_int_eq(tokens, n);
        ck_assert((int128)cost * limit >= (int128)n * MINUTE);
        ck_assert((int128)(cost - 1) * limit < (int128)n * MINUTE);
        pass(MINUTE);
    }
    set("HSET tg:{a17}:account:acct rpm %" PRId64, limit);
    set("HSET tg:{a17}:rate:acct requests %" PRId64, now_us() - passed_us + MINUTE / 2);
    AUTO_STRING before = fixture_ask(&redis, "HGET tg:{a17}:rate:acct requests");
    if (!is(admit(&a, 100, 1), "OK"))
        return; /* of one a minute none fits */
    AUTO_STRING after = fixture_ask(&redis, "HGET tg:{a17}:rate:acct requests");
    ck_assert_int_eq(number_of(after) - number_of(before), rounded_cost(1, limit));
}
END_TEST

/* What a call used, counted when it was admitted. */
struct use {
    int64_t at, tokens, used;
    bool is_open;
};

static void expect_bound(const struct use *uses, size_t count, int64_t limit)
{
    for (size_t i = 0; i < count; i++) {
        int128 sum = 0;
        for (size_t k = i; k < count; k++) {
            sum += uses[k].used;
            int128 w = uses[k].at - uses[i].at;
            ck_assert_msg(sum * MINUTE <= (int128)limit * (MINUTE + w),
                          "%zu calls from the %zuth on used more than the bound", k - i + 1, i);
        }
    }
}

/* Calls end in any order, after any time, having used anything up to what they reserved. */
START_TEST(what_was_used_stays_within_the_bound_whatever_is_given_back)
{
    enum { CALLS = 300 };
    static struct use uses[CALLS];
    int64_t limit = limits[2 + _i % 7];
    size_t count = 0, refused = 0;
    struct answer a;

    open_account(0, limit, 0, limit);
    seed += (uint64_t)_i * 7919;
    while (count < CALLS) {
        uint64_t step = draw(4);
        if (step == 0) {
            pass((int64_t)draw(draw(5) ? MINUTE / 20 : 2 * MINUTE));
        } else if (step == 1 && count > 0) {
            size_t k = draw(count);
            if (uses[k].is_open)
                end((unsigned)k, uses[k].used);
            uses[k].is_open = false;
        } else {
            struct use u = {.tokens = 1 + (int64_t)draw((uint64_t)limit), .is_open = true};
            u.used = draw(3) ? (int64_t)draw((uint64_t)u.tokens + 1) / 10 : u.tokens;
            admit(&a, (unsigned)count, u.tokens);
            u.at = now_us(); /* later than it was: the bound is a little wider than it must be */
            if (is(&a, "OK"))
                uses[count++] = u;
            else
                refused++;
        }
    }
    expect_bound(uses, count, limit);
    ck_assert_uint_gt(refused, 10);
}
END_TEST

/* ---- giving back */

#define LEFT_TOKENS 10 /* of the answer: limit, left, reset of requests, then of tokens */

START_TEST(what_a_call_did_not_use_goes_back_when_it_ends)
{
    struct answer a;

    open_account(0, 1000, 0, 0);
    ck_assert(is(admit(&a, 1, 900), "OK"));
    ck_assert(is(admit(&a, 2, 200), "RATE"));
    end(1, 100);
    ck_assert(is(admit(&a, 2, 200), "OK"));
    ck_assert_int_ge(number(&a, LEFT_TOKENS), 700);
    ck_assert_int_le(number(&a, LEFT_TOKENS), 760); /* and what came back by time meanwhile */
}
END_TEST

START_TEST(a_released_hold_gives_all_back_to_account_and_key)
{
    struct answer a;

    open_account(0, 1000, 0, 500);
    ck_assert(is(admit(&a, 1, 500), "OK"));
    ck_assert_int_le(number(&a, LEFT_TOKENS), 10);
    release(1);
    ck_assert(is(admit(&a, 2, 500), "OK"));
    release(2);
    AUTO_STRING moved = fixture_ask(&redis, "HGET tg:{a17}:rate:acct given");
    ck_assert_int_gt(number_of(moved), 2 * 29 * 1000000);
}
END_TEST

START_TEST(a_call_gives_back_once)
{
    struct answer a;

    open_account(0, 1000, 0, 0);
    ck_assert(is(admit(&a, 1, 400), "OK"));
    ck_assert(is(admit(&a, 2, 600), "OK"));
    end(1, 0);
    AUTO_STRING once = fixture_ask(&redis, "HGETALL tg:{a17}:rate:acct");
    records--;
    end(1, 0); /* its record is shipped again */
    release(1);
    AUTO_STRING again = fixture_ask(&redis, "HGETALL tg:{a17}:rate:acct");
    ck_assert_str_eq(once, again);
}
END_TEST

/* Reserved 30 s of the limit, of which nothing was used, but which had long run off when others used the limit. */
START_TEST(what_has_run_off_is_not_given_back)
{
    struct answer a;

    open_account(0, 60, 0, 0);
    ck_assert(is(admit(&a, 1, 30), "OK"));
    pass(100 * 1000000);
    ck_assert(is(admit(&a, 2, 60), "OK"));
    end(1, 0);
    ck_assert(is(admit(&a, 3, 2), "RATE"));
}
END_TEST

/* The second booking was moved nearer by what the first gave back, so it had run off when it ended. */
START_TEST(what_others_gave_back_is_not_given_back_again)
{
    struct answer a;

    open_account(0, 60, 0, 0);
    ck_assert(is(admit(&a, 1, 30), "OK"));
    ck_assert(is(admit(&a, 2, 30), "OK"));
    end(1, 0);
    pass(50 * 1000000);
    ck_assert(is(admit(&a, 3, 60), "OK"));
    end(2, 0);
    ck_assert(is(admit(&a, 4, 2), "RATE"));
}
END_TEST

START_TEST(a_hold_that_was_put_again_gives_nothing_back)
{
    struct answer a;

    open_account(0, 60, 0, 0);
    ck_assert(is(admit(&a, 1, 60), "OK"));
    set("HSET tg:{a17}:holds:acct req_1 %s", "1 w-a 1700000000000");
    end(1, 0);
    ck_assert(is(admit(&a, 2, 5), "RATE"));
}
END_TEST

START_TEST(a_call_that_used_more_than_it_reserved_changes_no_rate)
{
    struct answer a;

    open_account(0, 60, 0, 0);
    ck_assert(is(admit(&a, 1, 10), "OK"));
    AUTO_STRING before = fixture_ask(&redis, "HGETALL tg:{a17}:rate:acct");
    end(1, 1000);
    AUTO_STRING after = fixture_ask(&redis, "HGETALL tg:{a17}:rate:acct");
    ck_assert_str_eq(before, after);
}
END_TEST

/* ---- refusals */

/* Every key with its DUMP. */
static char *everything(void)
{
    return fixture_ask(
        &redis, "EVAL %s 0",
        "local all = redis.call('KEYS', '*') table.sort(all) "
        "for i = 1, #all do all[i] = all[i] .. redis.sha1hex(redis.call('DUMP', all[i])) end "
        "return table.concat(all, ' ')");
}

START_TEST(a_refusal_writes_nothing_and_takes_nothing)
{
    static const struct {
        int64_t rpm, tpm, key_rpm, key_tpm, tokens;
        int concurrency;
        const char *amount, *word, *scope, *what;
    } rows[] = {
        {1, 0, 0, 0, 5, 0, "1", "RATE", "account", "requests"},
        {9, 0, 1, 0, 5, 0, "1", "RATE", "key", "requests"},
        {9, 10, 9, 0, 6, 0, "1", "RATE", "account", "tokens"},
        {9, 99, 9, 10, 6, 0, "1", "RATE", "key", "tokens"},
        {9, 5, 9, 0, 6, 0, "1", "TOO_LARGE", "account", "tokens"},
        {9, 99, 9, 5, 6, 0, "1", "TOO_LARGE", "key", "tokens"},
        {9, 99, 9, 99, 5, 0, "1000001", "CREDIT", NULL, NULL},
        {9, 99, 9, 99, 5, 1, "1", "CONCURRENCY", NULL, NULL},
    };
    struct answer a;

    open_account(rows[_i].rpm, rows[_i].tpm, rows[_i].key_rpm, rows[_i].key_tpm);
    ck_assert(is(admit(&a, 1, 5), "OK"));
    set("HSET tg:{a17}:account:acct concurrency %d", rows[_i].concurrency);
    AUTO_STRING before = everything();
    admit_for(&a, "req_2", rows[_i].tokens, rows[_i].amount);
    ck_assert_str_eq(a.word[0], rows[_i].word);
    if (rows[_i].scope) {
        ck_assert_str_eq(a.word[12], rows[_i].scope);
        ck_assert_str_eq(a.word[13], rows[_i].what);
        ck_assert_int_eq(number(&a, 16) > 0, is(&a, "RATE"));
    }
    AUTO_STRING after = everything();
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(after_the_wait_that_was_told_the_call_passes_and_not_before)
{
    struct answer a;
    int64_t wait;

    open_account(7, 1000, 11, 700);
    for (unsigned i = 0; i < 50; i++) {
        int64_t n = 1 + (int64_t)draw(700);
        if (is(admit(&a, i, n), "OK"))
            continue;
        wait = number(&a, 16);
        if (wait > 2 * MINUTE / 10) {
            pass(wait - MINUTE / 10); /* a tenth of a minute is longer than the test itself takes */
            ck_assert(is(admit(&a, i, n), "RATE"));
            wait = MINUTE / 10;
        }
        pass(wait);
        ck_assert(is(admit(&a, i, n), "OK"));
    }
}
END_TEST

START_TEST(asking_again_for_the_same_call_books_nothing_more)
{
    struct answer a;

    open_account(10, 100, 0, 0);
    ck_assert(is(admit(&a, 1, 50), "OK"));
    AUTO_STRING before = fixture_ask(&redis, "HGETALL tg:{a17}:rate:acct");
    ck_assert(is(admit(&a, 1, 50), "OK"));
    AUTO_STRING after = fixture_ask(&redis, "HGETALL tg:{a17}:rate:acct");
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(an_account_without_limits_keeps_nothing)
{
    struct answer a;

    open_account(0, 0, 0, 0);
    ck_assert(is(admit(&a, 1, 1000), "OK"));
    ck_assert_int_eq(a.count, 6);
    AUTO_STRING kept = fixture_ask(&redis, "EXISTS tg:{a17}:rate:acct tg:{a17}:rate:key:17key");
    ck_assert_str_eq(kept, "0");
}
END_TEST

/* As after a failover to a server whose clock is behind: no longer than a minute is waited. */
START_TEST(a_clock_that_went_back_delays_by_a_minute_at_most)
{
    struct answer a;

    open_account(60, 600, 0, 0);
    ck_assert(is(admit(&a, 1, 100), "OK"));
    pass(-INT64_C(3600) * 1000000);
    ck_assert(is(admit(&a, 2, 100), "RATE"));
    ck_assert_int_le(number(&a, 16), MINUTE / 6);
}
END_TEST

START_TEST(a_rate_that_is_not_used_is_forgotten)
{
    struct answer a;

    open_account(60, 600, 0, 0);
    ck_assert(is(admit(&a, 1, 100), "OK"));
    AUTO_STRING seconds = fixture_ask(&redis, "TTL tg:{a17}:rate:acct");
    ck_assert_int_ge(number_of(seconds), 61); /* not before it means nothing */
    ck_assert_int_le(number_of(seconds), 120);
}
END_TEST

static void start(void)
{
    fixture_start(&redis, false);
}

static void stop(void)
{
    fixture_stop(&redis);
}

int main(void)
{
    TCase *t = tcase_create("rates");

    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, start, stop);
    tcase_add_loop_test(t, requests_pass_as_the_exact_bucket_says, 0, ARRAY_LEN(limits));
    tcase_add_loop_test(t, tokens_pass_as_the_exact_bucket_says, 0, ARRAY_LEN(limits));
    tcase_add_loop_test(t, costs_are_rounded_up_and_by_less_than_a_microsecond, 0,
                        ARRAY_LEN(limits));
    tcase_add_loop_test(t, what_was_used_stays_within_the_bound_whatever_is_given_back, 0, 14);
    tcase_add_test(t, what_a_call_did_not_use_goes_back_when_it_ends);
    tcase_add_test(t, a_released_hold_gives_all_back_to_account_and_key);
    tcase_add_test(t, a_call_gives_back_once);
    tcase_add_test(t, what_has_run_off_is_not_given_back);
    tcase_add_test(t, what_others_gave_back_is_not_given_back_again);
    tcase_add_test(t, a_hold_that_was_put_again_gives_nothing_back);
    tcase_add_test(t, a_call_that_used_more_than_it_reserved_changes_no_rate);
    tcase_add_loop_test(t, a_refusal_writes_nothing_and_takes_nothing, 0, 8);
    tcase_add_test(t, after_the_wait_that_was_told_the_call_passes_and_not_before);
    tcase_add_test(t, asking_again_for_the_same_call_books_nothing_more);
    tcase_add_test(t, an_account_without_limits_keeps_nothing);
    tcase_add_test(t, a_clock_that_went_back_delays_by_a_minute_at_most);
    tcase_add_test(t, a_rate_that_is_not_used_is_forgotten);
    return run_tests(t, "rates");
}
