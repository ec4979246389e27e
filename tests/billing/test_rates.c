/* test_rates.c - what a call gives back of the rates that it took, what a refusal says, and what Redis keeps of all this. */
#include <check.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/rates_fixture.h"

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

int main(void)
{
    TCase *t = tcase_create("rates");

    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, start, stop);
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
