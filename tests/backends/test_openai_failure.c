/* test_openai_failure.c - refusals, and all the ways in which a server can fail. */
#include <check.h>

#include "lib/base/mem.h"
#include "tests/backends/openai_fixture.h"
#include "tests/base/run.h"

START_TEST(a_refusal_is_handed_over_with_its_status_and_body)
{
    static const struct {
        const char *head;
        unsigned status;
        bool accepted;
        int64_t retry_after_ms;
    } refusals[] = {
        {"HTTP/1.1 400 Bad Request\r\n", 400, true, 0},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n", 429, false, 7000},
        {"HTTP/1.1 500 Oops\r\n", 500, true, 0},
        {"HTTP/1.1 503 Busy\r\nretry-after: 30\r\n", 503, false, 30000},
    };

    for (size_t i = 0; i < ARRAY_LEN(refusals) * 2; i++) {
        AUTO_STRING answer = xasprintf("%s" UNTIL_CLOSE "{\"error\":{\"code\":%u}}",
                                       refusals[i / 2].head, refusals[i / 2].status);
        const struct upstream_step script[] = {
            {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, answer, 0}, {UPSTREAM_CLOSE, NULL, 0}};
        struct call c;

        run_script(&c, script, i % 2);
        ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
        ck_assert_uint_eq(c.result.status, refusals[i / 2].status);
        ck_assert(c.result.accepted == refusals[i / 2].accepted);
        ck_assert_int_eq(c.result.retry_after_ms, refusals[i / 2].retry_after_ms);
        ck_assert(strstr(c.refusal.data, "{\"error\":{\"code\":") == c.refusal.data);
        ck_assert_int_eq(c.starts + c.events, 0);
        check_bucket(&c, USAGE_INPUT, 0, USAGE_MISSING);
        call_close(&c);
    }
}
END_TEST

START_TEST(of_an_endless_refusal_64_kb_are_kept)
{
    static char filler[1025];
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, "HTTP/1.1 500 Oops\r\n" UNTIL_CLOSE, 0},
        {UPSTREAM_REPEAT, filler, 1000},
        {UPSTREAM_EOF, NULL, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    memset(filler, 'x', sizeof filler - 1);
    run_script(&c, script, true);
    ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
    ck_assert_uint_eq(c.refusal.len, BACKEND_REFUSAL_MAX);
    call_close(&c);
}
END_TEST

START_TEST(an_error_with_a_good_status_is_a_refusal)
{
    static const struct {
        const char *text;
        unsigned status;
    } errors[] = {
        {"{\"error\":{\"message\":\"m\",\"code\":429}}", 429},
        {"{\"error\":{\"message\":\"m\",\"code\":\"rate\"}}", 502},
        {"{\"error\":\"m\"}", 502},
    };

    for (size_t i = 0; i < ARRAY_LEN(errors) * 2; i++) {
        AUTO_STRING answer = xasprintf(REPLY_HEAD UNTIL_CLOSE "%s", errors[i / 2].text);
        const struct upstream_step script[] = {
            {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, answer, 0}, {UPSTREAM_CLOSE, NULL, 0}};
        struct call c;

        run_script(&c, script, i % 2);
        ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
        ck_assert_uint_eq(c.result.status, errors[i / 2].status);
        ck_assert_str_eq(c.refusal.data, errors[i / 2].text);
        call_close(&c);
    }
}
END_TEST

static const struct broken {
    const char *answer;
    bool stream;
    const char *says;
    int events;
} broken[] = {
    {"HTTP/1.1 307 Elsewhere\r\nLocation: /v2\r\n" UNTIL_CLOSE, false, "status 307", 0},
    {"HTTP/1.1 307 Elsewhere\r\nLocation: /v2\r\n" UNTIL_CLOSE, true, "status 307", 0},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, "", 0},
    {"", false, "", 0},
    {"HTTP/1.1 200 OK\r\nContent-Le", true, "", 0},
    {REPLY_HEAD "Content-Length: 400\r\n\r\n{\"choices\":[", false, "", 0},
    {REPLY_HEAD UNTIL_CLOSE, false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE "<html>", false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE "[]", false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE "{\"choices\":[]", false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE REPLY, true, "where a stream was asked for", 0},
    {SSE_HEAD UNTIL_CLOSE, true, "in the middle of the answer", 0},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a"), true, "in the middle of the answer", 1},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a") "data: {\"cho", true, "in the middle of an event", 1},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a") "data: {]}\n\n" CHUNK("b"), true, "no JSON", 1},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a") "data: {\"error\":{\"message\":\"gpu\"}}\n\n" DONE, true,
     "reports an error", 2},
    {SSE_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\nzz\r\n", true, "", 0},
    {SSE_HEAD "Content-Length: 4000\r\n\r\n" FINISH, true, "", 1},
};

START_TEST(a_server_that_fails_breaks_the_call)
{
    const struct broken *b = &broken[_i];
    const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, b->answer, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, script, b->stream);
    ck_assert_msg(c.result.outcome == BACKEND_BROKEN, "%d: outcome %d", _i, c.result.outcome);
    ck_assert(c.result.accepted);
    ck_assert_msg(c.result.err.text[0] && strstr(c.result.err.text, b->says), "%d: %s", _i,
                  c.result.err.text);
    ck_assert_int_eq(c.events, b->events);
    ck_assert_int_eq(c.closing, 0);
    ck_assert_int_eq(c.starts, b->events > 0);
    check_bucket(&c, USAGE_INPUT, (int64_t)strlen(body) / 4, USAGE_ESTIMATED);
    call_close(&c);
}
END_TEST

START_TEST(a_reset_breaks_the_call)
{
    static const struct upstream_step before[] = {
        {UPSTREAM_READ, NULL, 0}, {UPSTREAM_RESET, NULL, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    static const struct upstream_step amid[] = {{UPSTREAM_READ, NULL, 0},
                                                {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
                                                {UPSTREAM_WAIT, NULL, 50},
                                                {UPSTREAM_RESET, NULL, 0},
                                                {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, before, true);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert(c.result.accepted);
    call_close(&c);
    run_script(&c, amid, true);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert_int_eq(c.content, 1);
    check_bucket(&c, USAGE_OUTPUT, 1, USAGE_COUNTED);
    call_close(&c);
}
END_TEST

START_TEST(a_stalled_server_times_out)
{
    static const struct upstream_step stalls[][4] = {
        {{UPSTREAM_READ, NULL, 0}, {UPSTREAM_EOF, NULL, 0}, {UPSTREAM_CLOSE, NULL, 0}},
        {{UPSTREAM_READ, NULL, 0},
         {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE "{", 0},
         {UPSTREAM_EOF, NULL, 0},
         {UPSTREAM_CLOSE, NULL, 0}},
        {{UPSTREAM_READ, NULL, 0},
         {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
         {UPSTREAM_EOF, NULL, 0},
         {UPSTREAM_CLOSE, NULL, 0}},
    };

    for (size_t i = 0; i < ARRAY_LEN(stalls); i++) {
        const struct upstream_step *const scripts[] = {stalls[i]};
        AUTO(upstream) u = upstream_new(scripts, 1);
        struct backend_config config = config_of(upstream_url(u));
        struct backend_request r = asking(i != 1);
        struct call c;

        *(i == 0 ? &config.first_byte_ms : &config.between_bytes_ms) = 150;
        call_open(&c, &config);
        call_run(&c, &r);
        ck_assert_int_eq(c.result.outcome, BACKEND_TIMED_OUT);
        ck_assert(c.result.accepted && c.result.err.text[0]);
        ck_assert_int_eq(c.events, i == 2);
        call_close(&c);
    }
}
END_TEST

/* Never silent for long, and still too slow as a whole. */
START_TEST(an_answer_that_takes_too_long_as_a_whole_times_out)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},   {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
        {UPSTREAM_WAIT, NULL, 300}, {UPSTREAM_SEND, CHUNK("b"), 0},
        {UPSTREAM_EOF, NULL, 0},    {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    struct call c;

    config.total_ms = 3000;
    call_open(&c, &config);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_TIMED_OUT);
    ck_assert(strstr(c.result.err.text, "within 3000 ms"));
    ck_assert(c.result.accepted);
    ck_assert_int_eq(c.starts, 1);
    call_close(&c);
}
END_TEST

START_TEST(a_server_that_is_not_there_has_accepted_nothing)
{
    static const struct upstream_step script[] = {{UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    struct upstream *u = upstream_new(scripts, 0);
    AUTO_STRING url = xstrdup(upstream_url(u));
    struct backend_config config = config_of(url);
    struct backend_request r = asking(false);
    struct call c;

    upstream_free(u);
    call_open(&c, &config);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert(!c.result.accepted);
    ck_assert(c.result.err.text[0]);
    check_bucket(&c, USAGE_INPUT, 0, USAGE_MISSING);
    call_close(&c);
}
END_TEST

START_TEST(a_reply_over_its_limit_breaks_the_call)
{
    static const struct upstream_step script[] = {{UPSTREAM_READ, NULL, 0},
                                                  {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE "{", 0},
                                                  {UPSTREAM_REPEAT, " ", 5000},
                                                  {UPSTREAM_EOF, NULL, 0},
                                                  {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, script, false);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert_int_eq(c.result.err.code, ERR_LIMIT);
    call_close(&c);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("failure");

    tcase_add_test(t, a_refusal_is_handed_over_with_its_status_and_body);
    tcase_add_test(t, of_an_endless_refusal_64_kb_are_kept);
    tcase_add_test(t, an_error_with_a_good_status_is_a_refusal);
    tcase_add_loop_test(t, a_server_that_fails_breaks_the_call, 0, (int)ARRAY_LEN(broken));
    tcase_add_test(t, a_reset_breaks_the_call);
    tcase_add_test(t, a_stalled_server_times_out);
    tcase_add_test(t, an_answer_that_takes_too_long_as_a_whole_times_out);
    tcase_add_test(t, a_server_that_is_not_there_has_accepted_nothing);
    tcase_add_test(t, a_reply_over_its_limit_breaks_the_call);
    return run_tests(t, "openai_failure");
}
