/* test_openai_steer.c - a call that is cancelled ends once, and one that is paused reads no more. */
#include <check.h>

#include "tests/backends/openai_fixture.h"
#include "tests/base/run.h"

START_TEST(a_cancelled_call_closes_its_connection_at_once_and_fully)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a") CHUNK("b") CHUNK("c"), 0},
        {UPSTREAM_EOF, NULL, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    struct call c;

    call_open(&c, &config);
    c.cancel_at = 2;
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
    ck_assert_int_eq(c.events, 2);
    check_bucket(&c, USAGE_OUTPUT, 2, USAGE_COUNTED);
    upstream_join(u);
    ck_assert(upstream_saw_full_close(u));
    call_close(&c);
}
END_TEST

START_TEST(a_call_can_be_cancelled_before_any_answer)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0}, {UPSTREAM_EOF, NULL, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};

    for (int waited = 0; waited < 2; waited++) {
        AUTO(upstream) u = upstream_new(scripts, 1);
        struct backend_config config = config_of(upstream_url(u));
        struct backend_request r = asking(true);
        bool never = false;
        struct call c;

        call_open(&c, &config);
        call_start(&c, &r);
        if (waited)
            ck_assert(!loop_run_until(c.loop, &never, 50));
        backend_cancel(c.call);
        ck_assert_int_eq(c.ends, 0);
        ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
        ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
        ck_assert(c.result.accepted || !waited);
        ck_assert_int_eq(c.starts + c.events, 0);
        call_close(&c);
    }
}
END_TEST

START_TEST(cancelling_in_the_last_event_still_ends_once)
{
    static const struct upstream_step plain[] = {{UPSTREAM_READ, NULL, 0},
                                                 {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE REPLY, 0},
                                                 {UPSTREAM_CLOSE, NULL, 0}};
    static const struct upstream_step stream[] = {{UPSTREAM_READ, NULL, 0},
                                                  {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE FINISH, 0},
                                                  {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {plain, stream};

    for (int i = 0; i < 2; i++) {
        AUTO(upstream) u = upstream_new(scripts + i, 1);
        struct backend_config config = config_of(upstream_url(u));
        struct backend_request r = asking(i == 1);
        struct call c;

        call_open(&c, &config);
        c.pause_at = c.cancel_at = i + 1;
        call_run(&c, &r);
        ck_assert_int_eq(c.events, i + 1);
        ck_assert_int_eq(c.closing, 1);
        ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
        call_close(&c);
    }
}
END_TEST

START_TEST(a_paused_call_reads_no_more_until_resumed)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
        {UPSTREAM_WAIT, NULL, 60},       {UPSTREAM_REPEAT, CHUNK("b"), 100},
        {UPSTREAM_SEND, FINISH DONE, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    bool never = false;
    struct call c;

    call_open(&c, &config);
    c.pause_at = 1;
    call_start(&c, &r);
    ck_assert(!loop_run_until(c.loop, &never, 200));
    ck_assert_int_eq(c.events, 1);
    backend_resume(c.call);
    ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert_int_eq(c.content, 101);
    call_close(&c);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("steering");

    tcase_add_test(t, a_cancelled_call_closes_its_connection_at_once_and_fully);
    tcase_add_test(t, a_call_can_be_cancelled_before_any_answer);
    tcase_add_test(t, cancelling_in_the_last_event_still_ends_once);
    tcase_add_test(t, a_paused_call_reads_no_more_until_resumed);
    return run_tests(t, "openai_steer");
}
