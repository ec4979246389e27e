/* test_key_check.c - what is said of a key while Redis loses what it knows under the question. */
#include "gateway/keyring.h"

#include <check.h>
#include <limits.h>

#include "billing/partition_server.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/net/fake_redis.h"

#define WAIT_MS 15000
#define KEY     "sk-tg-17abcdefghij-0123456789abcdefghijklmnopqrstuv"

static struct loop *loop;
static struct redis *redis;
static struct fake_redis fake;
static struct peppers peppers;
static struct keyring *keyring;
static bool is_ready, is_judged;
static enum key_verdict verdict;
static unsigned knows_for;   /* so many questions are answered by a partition that admits */
static unsigned recovers_in; /* so many are not, and then all; 0: never */
static int64_t recovering_wait_ms;

static void on_ready(void *arg UNUSED)
{
    is_ready = true;
}

static void on_lost(void *arg UNUSED, const struct err *err)
{
    ck_abort_msg("%s", err->text);
}

static void on_verdict(void *arg UNUSED, enum key_verdict v, const struct key_holder *holder UNUSED)
{
    is_judged = true;
    verdict = v;
}

/* It never knows the key. */
static void answer(struct fake_redis *f, const char *words, struct buf *reply)
{
    bool knows = knows_for > 0;

    if (knows)
        knows_for--;
    if (recovers_in && --recovers_in == 0)
        knows_for = UINT_MAX;
    if (strncmp(words, "HMGET tg:{a17}:key:", 19) == 0) {
        buf_printf(reply, "*13\r\n");
        for (int i = 0; i < 13; i++)
            buf_printf(reply, "$-1\r\n");
    } else if (knows && strcmp(words, "HGET tg:{a17}:state run_id") == 0) {
        buf_printf(reply, "$%zu\r\n%s\r\n", strlen(f->run_id), f->run_id);
    } else {
        buf_printf(reply, "$-1\r\n");
    }
}

static void start(void)
{
    struct redis_config config = {.connect_ms = 2000, .command_ms = 5000, .pending_max = 100};
    struct redis_handlers handlers = {on_ready, on_lost};
    struct keyring_config how = {
        .peppers = &peppers, .entries_max = 10, .recovering_wait_ms = recovering_wait_ms};
    AUTO_CLEAR(secret) secret = {.len = 0};
    AUTO_STRING address = NULL;
    struct err err;

    loop = loop_new(&err);
    fake_redis_start(&fake, loop, 'a', false, answer);
    config.address = address = xasprintf("redis://%s", fake.where);
    redis = redis_new(loop, &config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    ck_assert(secret_set(&secret, SPAN("a pepper of thirty-two characters"), &err));
    pepper_set(&peppers.of[PEPPER_IN_USE], &secret);
    keyring = keyring_new(loop, redis, &how);
}

static void start_and_wait(void)
{
    recovering_wait_ms = 10 * WAIT_MS;
    start();
}

static void stop(void)
{
    keyring_free(keyring);
    redis_free(redis);
    fake_redis_stop(&fake);
    loop_free(loop);
    peppers_clear(&peppers);
}

static enum key_verdict check_key(unsigned questions_known)
{
    AUTO_CLEAR(api_key) key;

    ck_assert(api_key_parse(SPAN(KEY), &key));
    knows_for = questions_known;
    ck_assert(!is_judged);
    (void)keyring_check(keyring, &key, false, on_verdict, NULL);
    ck_assert(loop_run_until(loop, &is_judged, WAIT_MS));
    return verdict;
}

START_TEST(a_key_is_unknown_only_where_its_partition_knew_all_of_the_time)
{
    ck_assert_int_eq(check_key(3), KEY_UNKNOWN);
}
END_TEST

/* Of its questions the first `_i` are answered before. */
START_TEST(a_redis_that_is_emptied_meanwhile_makes_no_key_unknown)
{
    ck_assert_int_eq(check_key((unsigned)_i), KEY_RECOVERING);
}
END_TEST

START_TEST(a_key_waits_until_its_partition_has_recovered)
{
    recovers_in = 2 + 3 * (unsigned)_i;
    ck_assert_int_eq(check_key(0), KEY_UNKNOWN);
}
END_TEST

START_TEST(who_no_longer_waits_is_told_nothing)
{
    AUTO_CLEAR(api_key) key;
    struct key_check *check;

    ck_assert(api_key_parse(SPAN(KEY), &key));
    check = keyring_check(keyring, &key, false, on_verdict, NULL);
    ck_assert_ptr_nonnull(check);
    while (fake.asked < 6) /* it waited, and was asked for again */
        ck_assert(!loop_run_until(loop, &is_judged, 10));
    key_check_cancel(check);
    recovers_in = 1;
    ck_assert_int_eq(check_key(0), KEY_UNKNOWN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key check");
    TCase *t = tcase_create("at once");

    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, a_key_is_unknown_only_where_its_partition_knew_all_of_the_time);
    tcase_add_loop_test(t, a_redis_that_is_emptied_meanwhile_makes_no_key_unknown, 0, 3);
    suite_add_tcase(suite, t);

    t = tcase_create("after a while");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, start_and_wait, stop);
    tcase_add_loop_test(t, a_key_waits_until_its_partition_has_recovered, 0, 3);
    tcase_add_test(t, who_no_longer_waits_is_told_nothing);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
