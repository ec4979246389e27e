/* The log: a line is JSON, whole, in one write; and nothing that happens to it reaches the caller. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "tests/base/run.h"

static unsigned write_count;
static bool refuse_memory;
static int reader = -1;

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    write_count += fd == STDERR_FILENO;
    return __real_write(fd, bytes, n);
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
    return refuse_memory ? NULL : __real_realloc(p, n);
}

/* From here on the test reads what goes to stderr. */
static void catch_stderr(void)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    reader = ends[0];
    write_count = 0;
}

static struct span caught(void)
{
    static char text[65536];
    ssize_t n = read(reader, text, sizeof text);

    return (struct span){text, n > 0 ? (size_t)n : 0};
}

START_TEST(a_message_is_one_line_of_json_in_one_write)
{
    static const char *const members[] = {"time", "level", "process", "event", "text", NULL};
    const char *level = "", *process = "", *event = "", *text = "", *at = "";
    int64_t before = clock_now(), nanos;
    struct span line;
    AUTO_JSON message = NULL;

    log_set_process("worker 3");
    catch_stderr();
    log_warn("journal_sync_failed", "say \"%s\"\n%d", "x", 7);
    line = caught();
    ck_assert_uint_eq(write_count, 1);
    ck_assert_uint_gt(line.len, 0);
    ck_assert_ptr_eq(memchr(line.data, '\n', line.len), line.data + line.len - 1);
    message = json_parse(line, NULL);
    ck_assert(json_only_members(message, members, "line", NULL));
    ck_assert(json_get_string(message, "level", &level, "line", NULL));
    ck_assert(json_get_string(message, "process", &process, "line", NULL));
    ck_assert(json_get_string(message, "event", &event, "line", NULL));
    ck_assert(json_get_string(message, "text", &text, "line", NULL));
    ck_assert(json_get_string(message, "time", &at, "line", NULL));
    ck_assert_str_eq(level, "warn");
    ck_assert_str_eq(process, "worker 3");
    ck_assert_str_eq(event, "journal_sync_failed");
    ck_assert_str_eq(text, "say \"x\"\n7");
    ck_assert(clock_parse(span_of(at), &nanos, NULL));
    ck_assert_int_ge(nanos, before - NANOS_PER_MS);
    ck_assert_int_le(nanos, clock_now());
}
END_TEST

START_TEST(lower_levels_are_silent)
{
    catch_stderr();
    log_debug("e", "not by default");
    ck_assert_uint_eq(caught().len, 0);
    log_set_level(LOG_ERROR);
    log_warn("e", "too low");
    ck_assert_uint_eq(caught().len, 0);
    log_error("e", "high enough");
    ck_assert_uint_gt(caught().len, 0);
    log_set_level(LOG_DEBUG);
    log_debug("e", "now it is");
    ck_assert_uint_gt(caught().len, 0);
}
END_TEST

START_TEST(an_outcome_is_told_at_every_level)
{
    catch_stderr();
    log_set_level(LOG_ERROR);
    log_outcome("reloaded", "as was asked for");
    ck_assert_ptr_nonnull(strstr(caught().data, "\"level\":\"info\""));
    ck_assert_ptr_nonnull(strstr(caught().data, "\"event\":\"reloaded\""));
}
END_TEST

START_TEST(levels_have_their_words)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    enum log_level level;

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        ck_assert(log_level_parse(words[i], &level));
        ck_assert_uint_eq(level, i);
    }
    ck_assert(!log_level_parse("warning", &level));
    ck_assert(!log_level_parse("", &level));
}
END_TEST

START_TEST(the_longest_and_strangest_text_is_still_one_line_of_json)
{
    char text[5000];
    struct span line;
    AUTO_JSON message = NULL;

    memset(text, '\x01', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    catch_stderr();
    log_error("e", "%s", text);
    line = caught();
    ck_assert_uint_eq(write_count, 1);
    message = json_parse(line, NULL);
    ck_assert_ptr_nonnull(message);
    memset(text, '\xff', sizeof text - 1);
    log_error("e", "%s", text);
    json_decref(message);
    message = json_parse(caught(), NULL);
    ck_assert_ptr_nonnull(message);
}
END_TEST

START_TEST(without_memory_a_line_still_says_so)
{
    struct span line;

    catch_stderr();
    refuse_memory = true;
    log_error("e", "text");
    refuse_memory = false;
    line = caught();
    ck_assert(span_equal(line, SPAN("{\"level\":\"error\",\"event\":\"log_line_lost\"}\n")));
}
END_TEST

static volatile sig_atomic_t pipe_signals;

static void on_pipe(int number)
{
    (void)number;
    pipe_signals++;
}

START_TEST(a_reader_that_went_away_raises_no_signal_now_or_later)
{
    sigset_t blocked;

    signal(SIGPIPE, on_pipe);
    catch_stderr();
    close(reader);
    log_error("e", "nobody listens");
    ck_assert_int_eq(pipe_signals, 0);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    ck_assert(!sigismember(&blocked, SIGPIPE));
    ck_assert(__real_write(STDERR_FILENO, "x", 1) < 0 && errno == EPIPE);
    ck_assert_int_eq(pipe_signals, 1);
}
END_TEST

START_TEST(a_signal_that_was_waiting_before_still_comes)
{
    sigset_t set;

    signal(SIGPIPE, on_pipe);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    catch_stderr();
    close(reader);
    log_error("e", "nobody listens");
    ck_assert_int_eq(pipe_signals, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    ck_assert_int_eq(pipe_signals, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("log");

    tcase_add_test(tcase, a_message_is_one_line_of_json_in_one_write);
    tcase_add_test(tcase, lower_levels_are_silent);
    tcase_add_test(tcase, an_outcome_is_told_at_every_level);
    tcase_add_test(tcase, levels_have_their_words);
    tcase_add_test(tcase, the_longest_and_strangest_text_is_still_one_line_of_json);
    tcase_add_test(tcase, without_memory_a_line_still_says_so);
    tcase_add_test(tcase, a_reader_that_went_away_raises_no_signal_now_or_later);
    tcase_add_test(tcase, a_signal_that_was_waiting_before_still_comes);
    return run_tests(tcase, "log");
}
