/* test_admission.c - holds from the caller's side, on a real Redis. */
#include "billing/admission.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/sweeper.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"

#define WAIT_MS 60000
#define LOOK_MS 5
#define CALLS   200

/* One call and what it was told. */
struct call {
    struct hold *hold;
    bool is_answered, is_raised, has_failed;
    unsigned answers;
    struct admission_answer answer;
    struct err err;
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

static void open_partition(const char *room)
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

static void start(void)
{
    is_ready = false;
    fixture_start(&fixture, false);
    connect_redis();
}

static void stop(void)
{
    admission_free(KEEP(admission));
    redis_free(KEEP(redis));
    loop_free(KEEP(loop));
    fixture_stop(&fixture);
}

static void turn(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
}

static void on_answer(void *arg, const struct admission_answer *answer, const struct err *err)
{
    struct call *c = arg;

    c->is_answered = true;
    c->answers++;
    c->answer = *answer;
    c->has_failed = err != NULL;
    if (err)
        c->err = *err;
}

static void ask(struct call *c, const char *request_id, int64_t nanos)
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

static void await(struct call *c)
{
    ck_assert(loop_run_until(loop, &c->is_answered, WAIT_MS));
}

static enum verdict verdict_of(const char *request_id, int64_t nanos)
{
    struct call c;

    ask(&c, request_id, nanos);
    await(&c);
    hold_settled(c.hold, 0);
    ck_assert_uint_eq(c.answers, 1);
    return c.answer.verdict;
}

static void expect_field(const char *what, const char *field, const char *expected)
{
    AUTO_STRING found = fixture_ask(&fixture, "HGET tg:{%s}:%s %s", partition, what, field);

    ck_assert_msg(strcmp(found, expected) == 0, "%s %s is %s, not %s", what, field, found,
                  expected);
}

/* Until the field says so, or what stands there instead. */
static void await_field(const char *what, const char *field, const char *expected)
{
    for (int waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
        AUTO_STRING found = fixture_ask(&fixture, "HGET tg:{%s}:%s %s", partition, what, field);
        if (strcmp(found, expected) == 0)
            return;
        turn(LOOK_MS);
    }
    expect_field(what, field, expected);
}

START_TEST(two_hundred_calls_at_once_on_credit_for_fifty_admit_fifty)
{
    static struct call calls[CALLS];
    unsigned admitted = 0;

    for (unsigned i = 0; i < CALLS; i++) {
        char request_id[16];
        snprintf(request_id, sizeof request_id, "req_%u", i);
        ask(&calls[i], request_id, 100000000);
    }
    for (unsigned i = 0; i < CALLS; i++) {
        await(&calls[i]);
        admitted += calls[i].answer.verdict == VERDICT_ADMITTED;
        if (calls[i].answer.verdict != VERDICT_ADMITTED) {
            ck_assert_int_eq(calls[i].answer.verdict, VERDICT_CREDIT);
            ck_assert_int_eq(calls[i].answer.left.nanos, 0);
        }
    }
    ck_assert_uint_eq(admitted, 50);
    expect_field("account:acct", "room", "0");
    for (unsigned i = 0; i < CALLS; i++)
        hold_abandon(calls[i].hold);
    await_field("account:acct", "room", "5000000000");
}
END_TEST

START_TEST(the_answer_says_what_is_left_and_how_many_are_open)
{
    struct call a, b;

    set("HSET tg:{%s}:account:acct concurrency 1", partition);
    ask(&a, "req_a", 2000000000);
    await(&a);
    ck_assert_int_eq(a.answer.verdict, VERDICT_ADMITTED);
    ck_assert_int_eq(a.answer.left.nanos, 3000000000);
    ck_assert_str_eq(a.answer.left.currency, "CNY");
    ck_assert_int_eq(a.answer.open, 1);
    ck_assert_int_eq(a.answer.open_max, 1);
    ask(&b, "req_b", 1);
    await(&b);
    ck_assert_int_eq(b.answer.verdict, VERDICT_CONCURRENCY);
    ck_assert_int_eq(b.answer.retry_after_ms, 1000);
    hold_settled(a.hold, 0);
    hold_settled(b.hold, 0);
}
END_TEST

/* {command that makes the world so, the verdict}. */
START_TEST(each_refusal_has_its_verdict)
{
    static const struct {
        const char *world;
        enum verdict verdict;
        bool has_failed;
    } rows[] = {
        {"HSET tg:{%s}:state installation inst-2", VERDICT_WRONG_REDIS, true},
        {"HSET tg:{%s}:state parked why", VERDICT_UNAVAILABLE, true},
        {"HSET tg:{%s}:index:acct req_1 1-1", VERDICT_UNAVAILABLE, true},
        {"SET tg:{%s}:state text", VERDICT_UNAVAILABLE, true},
        {"DEL tg:{%s}:key:17abcdefghij", VERDICT_KEY_UNKNOWN, false},
        {"HSET tg:{%s}:key:17abcdefghij state revoked", VERDICT_KEY_REVOKED, false},
        {"HSET tg:{%s}:key:17abcdefghij expires_at 1700000000000000000", VERDICT_KEY_EXPIRED,
         false},
        {"DEL tg:{%s}:account:acct", VERDICT_ACCOUNT_UNKNOWN, false},
        {"HSET tg:{%s}:account:acct room 0", VERDICT_CREDIT, false},
        {"HDEL tg:{%s}:state run_id", VERDICT_RECOVERING, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call c;
        set("FLUSHALL");
        open_partition("5000000000");
        set(rows[i].world, partition);
        ask(&c, "req_1", 1);
        await(&c);
        ck_assert_msg(c.answer.verdict == rows[i].verdict, "row %zu: %d", i, c.answer.verdict);
        ck_assert_int_eq(c.has_failed, rows[i].has_failed);
        hold_abandon(c.hold);
    }
}
END_TEST

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void ask_at(struct call *c, const char *request_id, const char *at, const char *zone)
{
    struct admission_request request = {.request_id = request_id,
                                        .account = "acct",
                                        .key = "17abcdefghij",
                                        .first_key = "17abcdefghij",
                                        .amount_nanos = 7,
                                        .currency = "CNY",
                                        .model = "demo/m",
                                        .zone = zone};

    ck_assert(clock_parse(span_of(at), &request.started_at, NULL));
    *c = (struct call){0};
    c->hold = admission_admit(admission, &request, on_answer, c);
    await(c);
}

/* Of an entry in `holds`. */
static void expect_day(const char *request_id, const char *day)
{
    AUTO_STRING entry = fixture_ask(&fixture, "HGET tg:{%s}:holds:acct %s", partition, request_id);

    ck_assert_msg(strstr(entry, day), "%s counts on another day: %s", request_id, entry);
}

/* 23:30 of the day before in New York, 13:30 in Tokyo. */
START_TEST(a_call_counts_on_the_day_of_its_accounts_zone_whatever_was_thought)
{
    static const char at[] = "2026-11-22T04:30:00.000Z";
    struct call known, unknown, none, outdated;

    set("HSET tg:{%s}:account:acct zone America/New_York", partition);
    ask_at(&unknown, "req_1", at, "");
    ask_at(&known, "req_2", at, "America/New_York");
    ask_at(&outdated, "req_3", at, "Asia/Tokyo");
    set("HSET tg:{%s}:account:acct zone %s", partition, "");
    ask_at(&none, "req_4", at, "America/New_York");
    ck_assert_str_eq(hold_zone(unknown.hold), "America/New_York");
    ck_assert_str_eq(hold_began_on(unknown.hold), "2026-11-21");
    ck_assert_str_eq(hold_began_on(known.hold), "2026-11-21");
    ck_assert_str_eq(hold_began_on(outdated.hold), "2026-11-21");
    ck_assert_str_eq(hold_began_on(none.hold), "");
    expect_day("req_1", " 2026-11-21 ");
    expect_day("req_3", " 2026-11-21 ");
    expect_day("req_4", " 2026-11-22 ");
    for (struct call *const *c = (struct call *const[]){&known, &unknown, &none, &outdated, NULL};
         *c; c++) {
        ck_assert_int_eq((*c)->answer.verdict, VERDICT_ADMITTED);
        ck_assert_uint_eq((*c)->answers, 1);
        hold_settled((*c)->hold, 7);
    }
}
END_TEST

START_TEST(a_hold_keeps_its_day_when_the_zone_changes_under_it)
{
    struct call c;
    bool is_put = false;

    set("HSET tg:{%s}:account:acct zone America/New_York", partition);
    ask_at(&c, "req_1", "2026-11-22T04:30:00.000Z", "America/New_York");
    set("HSET tg:{%s}:account:acct zone Asia/Tokyo", partition);
    set("DEL tg:{%s}:holds:acct", partition);
    admission_put_again(admission, set_flag, &is_put);
    ck_assert(loop_run_until(loop, &is_put, WAIT_MS));
    expect_day("req_1", " 2026-11-21 ");
    ck_assert_str_eq(hold_began_on(c.hold), "2026-11-21");
    hold_settled(c.hold, 7);
}
END_TEST

START_TEST(a_zone_that_this_machine_does_not_know_admits_nobody)
{
    struct call c;

    set("HSET tg:{%s}:account:acct zone Mars/Olympus", partition);
    ask_at(&c, "req_1", "2026-11-22T04:30:00.000Z", "");
    ck_assert_int_eq(c.answer.verdict, VERDICT_UNAVAILABLE);
    ck_assert(c.has_failed);
    ck_assert_ptr_nonnull(strstr(c.err.text, "acct"));
    ck_assert_ptr_nonnull(strstr(c.err.text, "\"Mars/Olympus\" is not known to this machine"));
    hold_abandon(c.hold);
}
END_TEST

START_TEST(a_call_waits_while_the_partition_recovers)
{
    struct call c;

    set("HSET tg:{%s}:state run_id earlier", partition);
    ask(&c, "req_1", 1);
    turn(250);
    ck_assert(!c.is_answered);
    open_partition("5000000000");
    await(&c);
    ck_assert_int_eq(c.answer.verdict, VERDICT_ADMITTED);
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(an_abandoned_call_leaves_nothing_at_whatever_point)
{
    struct call c;

    ask(&c, "req_1", 1000000000);
    if (_i == 1)
        turn(1);
    if (_i == 2)
        await(&c);
    if (_i == 3) {
        set("HSET tg:{%s}:state run_id earlier", partition);
        turn(50);
    }
    hold_abandon(c.hold);
    turn(300);
    if (_i != 1)
        ck_assert_uint_eq(c.answers, _i == 2);
    await_field("account:acct", "room", "5000000000");
    await_field("holds:acct", "req_1", "(nil)");
}
END_TEST

static void on_raised(void *arg, bool raised)
{
    struct call *c = arg;

    c->is_answered = true;
    c->is_raised = raised;
}

START_TEST(a_hold_can_be_raised_as_far_as_credit_goes)
{
    struct call c;

    ask(&c, "req_1", 1000000000);
    await(&c);
    c.is_answered = false;
    hold_raise(c.hold, 5000000000, on_raised, &c);
    await(&c);
    ck_assert(c.is_raised);
    ck_assert_int_eq(hold_amount(c.hold), 5000000000);
    c.is_answered = false;
    hold_raise(c.hold, 5000000001, on_raised, &c);
    await(&c);
    ck_assert(!c.is_raised);
    ck_assert_int_eq(hold_amount(c.hold), 5000000000);
    c.is_answered = false;
    hold_raise(c.hold, 5000000001, on_raised, &c);
    hold_abandon(c.hold);
    turn(100);
    ck_assert(!c.is_answered);
    await_field("account:acct", "room", "5000000000");
}
END_TEST

START_TEST(holds_that_redis_lost_are_put_again)
{
    static struct call calls[CALLS];
    bool is_done = false;

    for (unsigned i = 0; i < CALLS; i++) {
        char request_id[16];
        snprintf(request_id, sizeof request_id, "req_%u", i);
        ask(&calls[i], request_id, 10000000);
    }
    for (unsigned i = 0; i < CALLS; i++)
        await(&calls[i]);
    set("FLUSHALL");
    open_partition("5000000000");
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(!is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
    AUTO_STRING open = fixture_ask(&fixture, "HLEN tg:{%s}:holds:acct", partition);
    ck_assert_str_eq(open, "200");
    expect_field("account:acct", "room", "3000000000");
    for (unsigned i = 0; i < CALLS; i++)
        hold_settled(calls[i].hold, 0);
    is_done = false;
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
}
END_TEST

static unsigned open_calls(void)
{
    AUTO_STRING open = fixture_ask(&fixture, "HLEN tg:{%s}:holds:acct", partition);

    return (unsigned)strtoul(open, NULL, 10);
}

START_TEST(a_parked_partition_is_passed_over_until_it_was_rebuilt)
{
    bool is_done = false;
    struct call c;

    ask(&c, "req_1", 10000000);
    await(&c);
    set("FLUSHALL");
    open_partition("5000000000");
    set("HSET tg:{%s}:state parked why", partition);
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
    ck_assert_uint_eq(open_calls(), 0);
    set("HDEL tg:{%s}:state parked", partition);
    is_done = false;
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
    ck_assert_uint_eq(open_calls(), 1);
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(without_redis_nobody_is_admitted)
{
    struct call c;

    fixture_kill(&fixture);
    ask(&c, "req_0", 1);
    await(&c);
    ck_assert_int_eq(c.answer.verdict, VERDICT_UNAVAILABLE);
    ck_assert(c.has_failed);
    hold_abandon(c.hold);
    turn(20);
    ck_assert_int_eq(verdict_of("req_1", 1), VERDICT_UNAVAILABLE);
    fixture_restart(&fixture);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    open_partition("5000000000");
    ck_assert_int_eq(verdict_of("req_2", 1), VERDICT_ADMITTED);
}
END_TEST

/* The release finds Redis away, comes again, and its mark keeps the admit out that may still be under way. */
START_TEST(a_release_is_repeated_until_redis_has_it)
{
    struct call c;

    ask(&c, "req_1", 1000000000);
    await(&c);
    fixture_kill(&fixture);
    turn(50);
    hold_abandon(c.hold);
    fixture_restart(&fixture);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    open_partition("4000000000");
    set("HSET tg:{%s}:holds:acct req_1 %s", partition, "1000000000 w-a 1700000000000");
    await_field("holds:acct", "req_1", "(nil)");
    expect_field("account:acct", "room", "5000000000");
    ck_assert_int_eq(verdict_of("req_1", 1), VERDICT_UNAVAILABLE);
}
END_TEST

START_TEST(it_can_be_freed_before_its_holds_and_answers)
{
    struct call c, d;

    ask(&c, "req_1", 1);
    await(&c);
    hold_raise(c.hold, 2, on_raised, &c);
    ask(&d, "req_2", 1);
    admission_free(KEEP(admission));
    turn(50);
    ck_assert(!d.is_answered);
    hold_abandon(c.hold);
    hold_settled(d.hold, 0);
}
END_TEST

struct seen {
    bool is_done, found, has_failed;
    struct key_state key;
    struct account_state account;
};

static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct seen *s = arg;

    *s = (struct seen){.is_done = true, .found = found, .has_failed = err != NULL};
    if (state)
        s->key = *state;
}

static struct seen read_key(const char *public_id)
{
    struct seen s = {0};

    key_read(redis, public_id, on_key, &s);
    ck_assert(loop_run_until(loop, &s.is_done, WAIT_MS));
    return s;
}

START_TEST(a_keys_state_is_read_from_the_partition_that_its_id_names)
{
    struct seen s;

    set("HSET tg:{a17}:state run_id %s", redis_run_id(redis, SPAN("")));
    set("HSET tg:{a00}:state run_id %s", redis_run_id(redis, SPAN("")));
    set("HSET tg:{a17}:key:17abcdefghij owner_kind creator owner alice state active expires_at 77 "
        "hash 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f pepper 0a1b2c3d");
    s = read_key("17abcdefghij");
    ck_assert(s.found && !s.has_failed && !s.key.revoked);
    ck_assert_int_eq(s.key.owner_kind, 'c');
    ck_assert_str_eq(s.key.owner, "alice");
    ck_assert_int_eq(s.key.expires_at, 77);
    ck_assert_uint_eq(s.key.hash[31], 31);
    ck_assert_str_eq(s.key.pepper, "0a1b2c3d");
    set("HSET tg:{a17}:key:17abcdefghij state revoked");
    ck_assert(read_key("17abcdefghij").key.revoked);
    ck_assert(!read_key("17abcdefghik").found);
    ck_assert(!read_key("64abcdefghij").found);
    ck_assert(!read_key("17}:x").found);
    set("HSET tg:{a17}:key:17abcdefghij hash 0001");
    ck_assert(read_key("17abcdefghij").has_failed);
    set("SET tg:{a17}:key:17abcdefghij text");
    ck_assert(read_key("17abcdefghij").has_failed);
}
END_TEST

START_TEST(a_key_is_neither_known_nor_unknown_while_its_partition_is_recovering)
{
    set("HSET tg:{a17}:key:17abcdefghij owner_kind creator owner alice state active expires_at 77 "
        "hash 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f pepper 0a1b2c3d");
    ck_assert(read_key("17abcdefghij").has_failed);
    ck_assert(read_key("17abcdefghik").has_failed);
    set("HSET tg:{a17}:state run_id earlier");
    ck_assert(read_key("17abcdefghij").has_failed);
    set("HSET tg:{a17}:state run_id %s", redis_run_id(redis, SPAN("")));
    ck_assert(read_key("17abcdefghij").found);
    ck_assert(!read_key("17abcdefghik").has_failed);
}
END_TEST

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct seen *s = arg;

    *s = (struct seen){.is_done = true, .found = found, .has_failed = err != NULL};
    if (state)
        s->account = *state;
}

static struct seen read_account(const char *account)
{
    struct seen s = {0};

    account_read(redis, account, on_account, &s);
    ck_assert(loop_run_until(loop, &s.is_done, WAIT_MS));
    return s;
}

START_TEST(an_accounts_state_is_read_with_its_open_calls)
{
    struct seen s;

    set("HSET tg:{%s}:account:acct balance -9223372036854775807", partition);
    set("HSET tg:{%s}:holds:acct r x", partition);
    s = read_account("acct");
    ck_assert(s.found && !s.has_failed && s.account.opened && s.account.prepaid);
    ck_assert_str_eq(s.account.currency, "CNY");
    ck_assert_int_eq(s.account.balance, -INT64_MAX);
    ck_assert_int_eq(s.account.room, 5000000000);
    ck_assert_int_eq(s.account.open, 1);
    ck_assert(!read_account("nobody").found);
    set("HDEL tg:{%s}:account:acct opened", partition);
    s = read_account("acct");
    ck_assert(s.found && !s.account.opened);
    set("SET tg:{%s}:account:acct text", partition);
    ck_assert(read_account("acct").has_failed);
}
END_TEST

START_TEST(the_sweeper_removes_what_two_looks_found_unrenewed)
{
    struct sweeper_config config = {"inst-1", 1000};
    AUTO(sweeper) s = sweeper_new(loop, redis, &config);

    for (int i = 0; i < 100; i++) {
        set("HSET tg:{%s}:holds:acct%d req_%d %s", partition, i, i, "7 w-dead 1700000000000");
        set("SADD tg:{%s}:held acct%d", partition, i);
    }
    await_field("looks:acct42", "req_42", "7 w-dead 1700000000000");
    ck_assert_uint_eq(sweeper_removed(s), 0);
    for (int waited = 0; waited < WAIT_MS && sweeper_removed(s) < 100; waited += LOOK_MS)
        turn(LOOK_MS);
    ck_assert_uint_eq(sweeper_removed(s), 100);
    expect_field("account:acct42", "room", "7");
    AUTO_STRING left =
        fixture_ask(&fixture, "EXISTS tg:{%s}:held tg:{%s}:holds:acct42", partition, partition);
    ck_assert_str_eq(left, "0");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("admission");

    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, two_hundred_calls_at_once_on_credit_for_fifty_admit_fifty);
    tcase_add_test(t, the_answer_says_what_is_left_and_how_many_are_open);
    tcase_add_test(t, each_refusal_has_its_verdict);
    tcase_add_test(t, a_call_counts_on_the_day_of_its_accounts_zone_whatever_was_thought);
    tcase_add_test(t, a_hold_keeps_its_day_when_the_zone_changes_under_it);
    tcase_add_test(t, a_zone_that_this_machine_does_not_know_admits_nobody);
    tcase_add_test(t, a_call_waits_while_the_partition_recovers);
    tcase_add_loop_test(t, an_abandoned_call_leaves_nothing_at_whatever_point, 0, 4);
    tcase_add_test(t, a_hold_can_be_raised_as_far_as_credit_goes);
    tcase_add_test(t, holds_that_redis_lost_are_put_again);
    tcase_add_test(t, a_parked_partition_is_passed_over_until_it_was_rebuilt);
    tcase_add_test(t, without_redis_nobody_is_admitted);
    tcase_add_test(t, a_release_is_repeated_until_redis_has_it);
    tcase_add_test(t, it_can_be_freed_before_its_holds_and_answers);
    tcase_add_test(t, a_keys_state_is_read_from_the_partition_that_its_id_names);
    tcase_add_test(t, a_key_is_neither_known_nor_unknown_while_its_partition_is_recovering);
    tcase_add_test(t, an_accounts_state_is_read_with_its_open_calls);
    tcase_add_test(t, the_sweeper_removes_what_two_looks_found_unrenewed);
    return run_tests(t, "admission");
}
