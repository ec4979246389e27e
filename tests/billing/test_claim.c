/* test_claim.c - claims as the worker's side keeps them: placed with a hold, put again, lost to another, freed, and answers. */
#include <check.h>
#include <stdarg.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"

#define WAIT_MS   60000
#define LOOK_MS   10
#define KEY       "00112233445566778899aabbccddeeff"
#define OTHER_KEY "ffffffff445566778899aabbccddeeff"
#define BODY      "ffeeddccbbaa99887766554433221100"

struct call {
    struct hold *hold;
    struct event event;
    bool is_answered;
    struct admission_answer answer;
};

struct stored {
    bool is_known, is_there, has_failed;
    char text[64];
};

static struct fixture fixture;
static struct loop *loop;
static struct redis *redis;
static struct admission *admission;
static char partition[PARTITION_NAME];
static bool is_ready;

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

static void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    freeReplyObject(redisvCommand(fixture.client, format, ap));
    va_end(ap);
}

static void open_partition(void)
{
    set("HSET tg:{%s}:state installation inst-1 partitions 64 run_id %s", partition,
        redis_run_id(redis, SPAN("")));
    set("HSET tg:{%s}:account:acct opened 1 currency CNY mode prepaid balance 100 room 100 "
        "credit_limit 0 concurrency 0 revision 1",
        partition);
    set("HSET tg:{%s}:key:17abcdefghij owner_kind account owner acct state active expires_at 0",
        partition);
}

static void start(void)
{
    struct redis_handlers handlers = {on_ready, on_lost};
    struct admission_config how = {.installation = "inst-1",
                                   .writer = "w-a",
                                   .turn = 1,
                                   .recovering_wait_ms = 600,
                                   .stored_answers = 1 << 20};
    struct err err;

    is_ready = false;
    fixture_start(&fixture, false);
    AUTO_STRING address = xasprintf("unix:%s", fixture.socket);
    struct redis_config config = {
        .address = address, .connect_ms = 2000, .command_ms = 5000, .pending_max = 1000};
    loop = loop_new(&err);
    redis = redis_new(loop, &config, &handlers, NULL, &err);
    admission = admission_new(loop, redis, &how);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    partition_name(partition_of(SIDE_ACCOUNT, SPAN("acct")), partition);
    open_partition();
}

static void stop(void)
{
    admission_free(KEEP(admission));
    redis_free(KEEP(redis));
    loop_free(KEEP(loop));
    fixture_stop(&fixture);
}

static void on_answer(void *arg, const struct admission_answer *answer, const struct err *err)
{
    struct call *c = arg;

    (void)err;
    c->is_answered = true;
    c->answer = *answer;
}

static void ask(struct call *c, const char *request_id)
{
    struct admission_request request = {.request_id = request_id,
                                        .account = "acct",
                                        .key = "17abcdefghij",
                                        .first_key = "17abcdefghij",
                                        .amount_nanos = 1,
                                        .currency = "CNY",
                                        .model = "demo/m",
                                        .zone = "",
                                        .also = {1, {{OTHER_KEY, BODY}}}};
    struct claim claim;

    *c = (struct call){.event = {.account = "acct", .idempotency = {KEY, BODY}}};
    c->event.started_at = clock_now();
    memcpy(c->event.request_id, request_id, strlen(request_id));
    claim_of(&c->event, &claim);
    request.claim = &claim;
    c->hold = admission_admit(admission, &request, on_answer, c);
}

static enum verdict await(struct call *c)
{
    ck_assert(loop_run_until(loop, &c->is_answered, WAIT_MS));
    return c->answer.verdict;
}

static void on_state(void *arg, enum claim_state state)
{
    (void)state;
    *(bool *)arg = true;
}

static void end(struct call *c, bool is_answered, struct span stored)
{
    struct claim claim;
    bool is_done = false;

    claim_of(&c->event, &claim);
    claims_end(admission_claims(admission), &claim, is_answered, stored, on_state, &is_done);
    ck_assert(!is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
}

/* "state request" of the claim, or "(nil)". */
static void expect_claim(const char *expected)
{
    AUTO_STRING claim = fixture_ask(&fixture, "GET tg:{%s}:idem:acct:" KEY, partition);

    ck_assert_msg(strncmp(claim, expected, strlen(expected)) == 0, "%s, not %s", claim, expected);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void put_again(void)
{
    bool is_done = false;

    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
}

static void turn(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
}

static void await_no_claim(void)
{
    for (int waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
        AUTO_STRING claim = fixture_ask(&fixture, "EXISTS tg:{%s}:idem:acct:" KEY, partition);
        if (strcmp(claim, "0") == 0)
            break;
        turn(LOOK_MS);
    }
    expect_claim("(nil)");
}

START_TEST(a_repetition_learns_which_call_has_the_key)
{
    struct call first, second;

    ask(&first, "req_1");
    ck_assert_int_eq(await(&first), VERDICT_ADMITTED);
    ask(&second, "req_2");
    ck_assert_int_eq(await(&second), VERDICT_CLAIMED);
    ck_assert_str_eq(second.answer.earlier, "req_1");
    ck_assert_int_gt(second.answer.retry_after_ms, 0);
    hold_abandon(second.hold);
    end(&first, true, SPAN(""));
    ask(&second, "req_2");
    ck_assert_int_eq(await(&second), VERDICT_ANSWERED);
    ck_assert_str_eq(second.answer.earlier, "req_1");
    hold_abandon(second.hold);
    hold_settled(first.hold, 0);
    turn(50);
    expect_claim("answered req_1");
}
END_TEST

START_TEST(a_claim_that_redis_lost_is_put_again_with_its_hold)
{
    struct call c;

    ask(&c, "req_1");
    await(&c);
    AUTO_STRING before = fixture_ask(&fixture, "GET tg:{%s}:idem:acct:" KEY, partition);
    set("FLUSHALL");
    open_partition();
    put_again();
    AUTO_STRING after = fixture_ask(&fixture, "GET tg:{%s}:idem:acct:" KEY, partition);
    ck_assert_str_eq(before, after);
    ck_assert(!hold_claim_is_lost(c.hold));
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(a_claim_in_a_parked_partition_does_not_keep_the_others_waiting)
{
    struct call c;

    ask(&c, "req_1");
    await(&c);
    set("FLUSHALL");
    open_partition();
    set("HSET tg:{%s}:state parked why", partition);
    put_again();
    expect_claim("(nil)");
    ck_assert(!hold_claim_is_lost(c.hold));
    set("HDEL tg:{%s}:state parked", partition);
    put_again();
    expect_claim("open req_1");
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(a_call_whose_key_was_given_to_another_learns_it)
{
    struct call c;

    ask(&c, "req_1");
    await(&c);
    set("SET tg:{%s}:idem:acct:" KEY " %s", partition, "open req_2 " BODY " 9999999999999 w-b 1");
    put_again();
    ck_assert(hold_claim_is_lost(c.hold));
    expect_claim("open req_2");
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(a_call_whose_key_was_given_to_another_by_its_other_name_learns_it)
{
    struct call c;

    ask(&c, "req_1");
    await(&c);
    set("DEL tg:{%s}:idem:acct:" KEY, partition);
    set("SET tg:{%s}:idem:acct:" OTHER_KEY " %s", partition,
        "open req_2 " BODY " 9999999999999 w-b 1");
    put_again();
    ck_assert(hold_claim_is_lost(c.hold));
    expect_claim("(nil)");
    hold_settled(c.hold, 0);
}
END_TEST

/* Abandoned at once, while its admit is on its way, and once it was placed. */
START_TEST(an_abandoned_call_leaves_its_key_free)
{
    struct call c;

    ask(&c, "req_1");
    if (_i == 1)
        turn(1);
    if (_i == 2)
        await(&c);
    hold_abandon(c.hold);
    turn(300);
    await_no_claim();
}
END_TEST

START_TEST(a_key_is_freed_on_the_next_connection_when_redis_went_meanwhile)
{
    struct call c;

    ask(&c, "req_1");
    await(&c);
    set("CLIENT KILL TYPE normal SKIPME yes");
    hold_abandon(c.hold);
    is_ready = false;
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    await_no_claim();
}
END_TEST

static void on_stored(void *arg, const struct span *stored, const struct err *err)
{
    struct stored *s = arg;

    s->is_known = true;
    s->has_failed = err != NULL;
    s->is_there = stored && span_copy(*stored, s->text, sizeof s->text);
}

static struct stored look(const char *request_id)
{
    struct stored s = {0};

    claims_stored(admission_claims(admission), "acct", request_id, on_stored, &s);
    ck_assert(loop_run_until(loop, &s.is_known, WAIT_MS));
    return s;
}

START_TEST(what_was_stored_is_found_by_its_call)
{
    struct stored s;
    struct call c;

    ask(&c, "req_1");
    await(&c);
    end(&c, true, SPAN("sealed"));
    s = look("req_1");
    ck_assert(s.is_there && !s.has_failed);
    ck_assert_str_eq(s.text, "sealed");
    s = look("req_2");
    ck_assert(!s.is_there && !s.has_failed);
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(without_redis_nothing_is_known)
{
    struct stored s;
    struct call c;

    ask(&c, "req_1");
    await(&c);
    fixture_kill(&fixture);
    s = look("req_1");
    ck_assert(!s.is_there && s.has_failed);
    end(&c, true, SPAN("sealed"));
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(a_claim_lasts_a_day_from_the_millisecond_that_the_record_has)
{
    struct event e = {.started_at = INT64_C(1700000000123999999)};
    struct claim claim;

    claim_of(&e, &claim);
    ck_assert_int_eq(claim.ends_ms, INT64_C(1700000000123) + 86400000);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("claim");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, a_repetition_learns_which_call_has_the_key);
    tcase_add_test(t, a_claim_that_redis_lost_is_put_again_with_its_hold);
    tcase_add_test(t, a_claim_in_a_parked_partition_does_not_keep_the_others_waiting);
    tcase_add_test(t, a_call_whose_key_was_given_to_another_learns_it);
    tcase_add_test(t, a_call_whose_key_was_given_to_another_by_its_other_name_learns_it);
    tcase_add_loop_test(t, an_abandoned_call_leaves_its_key_free, 0, 3);
    tcase_add_test(t, a_key_is_freed_on_the_next_connection_when_redis_went_meanwhile);
    tcase_add_test(t, what_was_stored_is_found_by_its_call);
    tcase_add_test(t, without_redis_nothing_is_known);
    tcase_add_test(t, a_claim_lasts_a_day_from_the_millisecond_that_the_record_has);
    return run_tests(t, "claim");
}
