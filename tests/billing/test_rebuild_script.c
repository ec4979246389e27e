/* When a partition that is rebuilt may admit again. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"

#define INSTALLATION "inst-1"
#define RUN          "run-1"

static struct fixture redis;

static void start_redis(void)
{
    fixture_start(&redis, false);
}

static void stop_redis(void)
{
    fixture_stop(&redis);
}

static void expect(const char *answer, const char *begins)
{
    ck_assert_msg(strncmp(answer, begins, strlen(begins)) == 0, "%s, not %s", answer, begins);
}

static void step(const char *verb, const char *expected)
{
    const struct span keys[] = {SPAN("tg:{a05}:state"), SPAN("tg:{a05}:live"),
                                SPAN("tg:{a05}:cursors"), SPAN("tg:{a05}:before")};
    const struct span args[] = {SPAN(INSTALLATION), SPAN("64"), span_of(verb), SPAN("why")};
    AUTO_STRING answer =
        fixture_eval(&redis, SCRIPT_REBUILD, keys, ARRAY_LEN(keys), args, ARRAY_LEN(args));

    expect(answer, expected);
}

/* A writer that is back and has everything asks whether it may admit. */
static void ask(const char *writer, const char *history, const char *expected)
{
    const struct span keys[] = {SPAN("tg:{a05}:state"), SPAN("tg:{a05}:live"),
                                SPAN("tg:{a05}:cursors")};
    struct span args[] = {SPAN(INSTALLATION), SPAN("64"),   span_of(writer),  SPAN(RUN),
                          SPAN("0"),          SPAN("1"),    span_of(history), SPAN("coming"),
                          SPAN("t1"),         SPAN("first")};

    free(fixture_eval(&redis, SCRIPT_RECOVERED, keys, 3, args, ARRAY_LEN(args)));
    args[7] = SPAN("back");
    AUTO_STRING answer = fixture_eval(&redis, SCRIPT_RECOVERED, keys, 3, args, ARRAY_LEN(args));

    expect(answer, expected);
}

START_TEST(it_admits_once_it_is_filled_and_everybody_is_back)
{
    ask("w-1", "new", "OK");
    ask("w-2", "new", "OK");
    step("park", "OK");
    ask("w-1", "old", "PARKED");
    step("empty", "OK");
    ask("w-1", "old", "WAIT");
    ask("w-2", "old", "WAIT");
    step("done", "OK");
    ask("w-1", "old", "OK");
    step("done", "NOTHING");
    step("empty", "NOTHING");
}
END_TEST

START_TEST(it_waits_for_a_live_writer_that_has_not_said_that_it_is_back)
{
    ask("w-1", "new", "OK");
    ask("w-2", "new", "OK");
    step("park", "OK");
    step("empty", "OK");
    step("done", "OK");
    ask("w-1", "old", "WAIT");
    ask("w-2", "old", "OK");
}
END_TEST

START_TEST(one_that_knew_nothing_waits_for_whoever_may_live)
{
    step("park", "OK");
    step("empty", "OK");
    ask("w-1", "old", "WAIT");
    step("done", "OK");
    ask("w-1", "old", "WAIT");
    free(fixture_ask(&redis, "HINCRBY tg:{a05}:state pending_since -10001"));
    ask("w-1", "old", "OK");
    ask("w-2", "old", "OK");
}
END_TEST

/* What the partition says of having known nothing. */
static void blank_is(const char *expected)
{
    AUTO_STRING said = fixture_ask(&redis, "HGET tg:{a05}:state pending_blank");

    ck_assert_str_eq(said, expected);
}

/* Until it admits, every console that starts would else take what the one before it has filled. */
START_TEST(one_that_knew_nothing_says_that_it_was_emptied_until_it_admits)
{
    ask("w-1", "old", "WAIT");
    blank_is("1");
    step("park", "OK");
    step("empty", "OK");
    ask("w-1", "old", "WAIT");
    step("done", "OK");
    ask("w-1", "old", "WAIT");
    blank_is("emptied");
    free(fixture_ask(&redis, "HINCRBY tg:{a05}:state pending_since -10001"));
    ask("w-1", "old", "OK");
    blank_is("(nil)");
}
END_TEST

/* Parked by a record that failed, put there before any writer had come. */
START_TEST(one_that_was_parked_before_anybody_came_says_likewise)
{
    free(fixture_ask(&redis, "HSET tg:{a05}:state parked why applying w-1"));
    step("empty", "OK");
    AUTO_STRING mark = fixture_ask(&redis, "HGET tg:{a05}:state pending_blank");
    ck_assert_str_eq(mark, "emptied");
    AUTO_STRING installation = fixture_ask(&redis, "HGET tg:{a05}:state installation");
    ck_assert_str_eq(installation, INSTALLATION);
}
END_TEST

START_TEST(the_first_start_of_all_waits_for_nobody)
{
    ask("w-1", "new", "OK");
}
END_TEST

/* Who reads a partition that names no run takes nothing for what was never there. */
START_TEST(only_a_parked_partition_loses_keys_and_names_no_run_from_then_on)
{
    const struct span keys[] = {SPAN("tg:{a05}:state"), SPAN("tg:{a05}:live"),
                                SPAN("tg:{a05}:cursors"), SPAN("tg:{a05}:before"),
                                SPAN("tg:{a05}:ops")};
    const struct span args[] = {SPAN(INSTALLATION), SPAN("64"), SPAN("delete"), SPAN("")};

    free(fixture_ask(&redis, "HSET tg:{a05}:ops x y"));
    ask("w-1", "new", "OK");
    AUTO_STRING refused = fixture_eval(&redis, SCRIPT_REBUILD, keys, 5, args, 4);
    expect(refused, "NOTHING");
    AUTO_STRING run = fixture_ask(&redis, "HGET tg:{a05}:state run_id");
    ck_assert_str_eq(run, RUN);
    step("park", "OK");
    AUTO_STRING done = fixture_eval(&redis, SCRIPT_REBUILD, keys, 5, args, 4);
    expect(done, "OK");
    AUTO_STRING left = fixture_ask(&redis, "EXISTS tg:{a05}:ops");
    ck_assert_str_eq(left, "0");
    AUTO_STRING none = fixture_ask(&redis, "HGET tg:{a05}:state run_id");
    ck_assert_str_eq(none, "(nil)");
}
END_TEST

/* Of what Redis says: one command, its whole answer. */
static void says(const char *command, const char *expected)
{
    AUTO_STRING said = fixture_ask(&redis, command);

    ck_assert_str_eq(said, expected);
}

START_TEST(how_far_a_writer_was_is_known_until_it_is_back)
{
    free(fixture_ask(&redis, "HSET tg:{a05}:cursors w-1 7 w-2 9"));
    step("park", "OK");
    step("delete", "OK");
    free(fixture_ask(&redis, "DEL tg:{a05}:cursors"));
    step("delete", "OK");
    step("empty", "OK");
    free(fixture_ask(&redis, "HSET tg:{a05}:cursors w-1 7 w-2 3"));
    step("done", "OK");
    says("HGET tg:{a05}:before w-1", "(nil)");
    says("HGET tg:{a05}:before w-2", "9");
    step("park", "OK");
    step("delete", "OK");
    says("HGET tg:{a05}:before w-2", "9");
}
END_TEST

/* Who is asked whether it lives can say so, and no more than that. */
START_TEST(a_parked_partition_hears_that_a_writer_lives)
{
    ask("w-1", "new", "OK");
    step("park", "OK");
    ask("w-1", "old", "PARKED");
    AUTO_STRING word = fixture_ask(&redis, "HGET tg:{a05}:live w-1");
    expect(word, "- ");
    ask("w-2", "old", "PARKED");
    AUTO_STRING first = fixture_ask(&redis, "HGET tg:{a05}:live w-2");
    ck_assert_str_eq(first + strlen(first) - 2, " 0");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("rebuild script");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start_redis, stop_redis);
    tcase_add_test(tcase, it_admits_once_it_is_filled_and_everybody_is_back);
    tcase_add_test(tcase, it_waits_for_a_live_writer_that_has_not_said_that_it_is_back);
    tcase_add_test(tcase, one_that_knew_nothing_waits_for_whoever_may_live);
    tcase_add_test(tcase, one_that_knew_nothing_says_that_it_was_emptied_until_it_admits);
    tcase_add_test(tcase, one_that_was_parked_before_anybody_came_says_likewise);
    tcase_add_test(tcase, the_first_start_of_all_waits_for_nobody);
    tcase_add_test(tcase, how_far_a_writer_was_is_known_until_it_is_back);
    tcase_add_test(tcase, a_parked_partition_hears_that_a_writer_lives);
    tcase_add_test(tcase, only_a_parked_partition_loses_keys_and_names_no_run_from_then_on);
    return run_tests(tcase, "rebuild script");
}
