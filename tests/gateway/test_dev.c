/* What a development machine keeps, its clock, and its catalogue. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/catalogue.h"
#include "gateway/dev_catalogue.h"
#include "gateway/dev_clock.h"
#include "gateway/dev_config.h"
#include "gateway/listeners.h"
#include "gateway/options.h"
#include "gateway/redis_child.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/net/pki.h"
#include "tests/base/run.h"

static char folder[64];

static void enter_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/tollgate-dev-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
    char command[128];

    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf -- %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(what_is_kept_is_found_again)
{
    AUTO_CLEAR(dev_state) a = {.path = NULL};
    AUTO_CLEAR(dev_state) b = {.path = NULL};
    struct stat st;
    struct err err;

    ck_assert(dev_state_load(".", &a, &err));
    ck_assert_uint_eq(strlen(a.account_op), 27);
    ck_assert_str_ne(a.account_op, a.credit_op);
    ck_assert_ptr_null(a.key);
    a.clock_offset_ms = -5;
    dev_state_set(&a.since, "2026-11-01T00:00:00.000Z");
    dev_state_set(&a.key, "sk-tg-x");
    ck_assert(dev_state_save(&a, &err));
    ck_assert(dev_state_load(".", &b, &err));
    ck_assert_int_eq(b.clock_offset_ms, -5);
    ck_assert_str_eq(b.account_op, a.account_op);
    ck_assert_str_eq(b.creator_key_op, a.creator_key_op);
    ck_assert_str_eq(b.key, "sk-tg-x");
    ck_assert_ptr_null(b.upstream);
    ck_assert_int_eq(stat("dev.json", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(damaged_state_is_refused)
{
    AUTO_CLEAR(dev_state) s = {.path = NULL};
    struct err err;

    ck_assert(file_write_atomic("dev.json", 0600, SPAN("{\"format\":1"), &err));
    ck_assert(!dev_state_load(".", &s, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "dev.json"));
    ck_assert(
        file_write_atomic("dev.json", 0600, SPAN("{\"format\":9,\"clock_offset_ms\":0}"), &err));
    ck_assert(!dev_state_load(".", &s, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "format 9"));
}
END_TEST

/* A file of the journal that was last written at this (real) time. */
static void write_segment(const char *name, int64_t at)
{
    struct timespec times[2] = {{.tv_sec = at / NANOS_PER_SECOND},
                                {.tv_sec = at / NANOS_PER_SECOND}};
    struct err err;

    ck_assert(dir_ensure("journal/0001", 0700, &err));
    ck_assert(file_write_atomic(name, 0600, SPAN("x"), &err));
    ck_assert_int_eq(utimensat(AT_FDCWD, name, times, 0), 0);
}

START_TEST(the_clock_goes_where_it_is_told)
{
    int64_t offset = 0, wanted, before;
    struct err err;

    ck_assert(clock_parse(SPAN("2030-01-01T00:00:00Z"), &wanted, &err));
    ck_assert(dev_clock_set("2030-01-01T00:00:00Z", "journal", &offset, &err));
    ck_assert_int_lt(llabs(clock_now() - wanted), NANOS_PER_SECOND);
    before = clock_now();
    clock_set_offset(0);
    ck_assert(dev_clock_set(NULL, "journal", &offset, &err));
    ck_assert_int_lt(llabs(clock_now() - before), NANOS_PER_SECOND);
    ck_assert(!dev_clock_set("tomorrow", "journal", &offset, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "RFC 3339"));
}
END_TEST

START_TEST(the_clock_never_stands_before_what_was_written)
{
    int64_t month_ms = INT64_C(30) * 24 * 3600 * 1000, offset = month_ms;
    int64_t written, now = clock_now() / NANOS_PER_SECOND * NANOS_PER_SECOND;
    char text[CLOCK_TEXT];
    struct err err;

    write_segment("journal/0001/00000001.seg", now - 7200 * NANOS_PER_SECOND);
    write_segment("journal/0001/00000002.open", now - 3600 * NANOS_PER_SECOND);
    written = now - 3600 * NANOS_PER_SECOND + month_ms * NANOS_PER_MS;
    ck_assert(
        !dev_clock_set(clock_format(written - NANOS_PER_SECOND, text), "journal", &offset, &err));
    ck_assert_int_eq(err.code, ERR_DENIED);
    ck_assert_int_eq(offset, month_ms);
    ck_assert(
        dev_clock_set(clock_format(written + NANOS_PER_SECOND, text), "journal", &offset, &err));
    ck_assert_int_lt(offset, month_ms);
}
END_TEST

static bool count_change(void *arg, const struct catalogue_change *change, struct err *err)
{
    (void)change, (void)err;
    ++*(int *)arg;
    return true;
}

START_TEST(the_demo_catalogue_can_be_applied)
{
    AUTO(catalogue) empty = catalogue_new();
    AUTO_JSON one = dev_catalogue("2026-10-31T16:00:00.000Z", NULL);
    AUTO_JSON both = dev_catalogue("2026-10-31T16:00:00.000Z", "some-model.gguf");
    struct err err;
    int changes = 0;

    ck_assert_msg(catalogue_diff(empty, one, clock_now(), count_change, &changes, &err), "%s",
                  err.text);
    ck_assert_int_eq(changes, 4); /* creator, contract, price, model */
    ck_assert_msg(catalogue_diff(empty, both, clock_now(), count_change, &changes, &err), "%s",
                  err.text);
    ck_assert_int_eq(changes, 9);
}
END_TEST

START_TEST(the_example_catalogue_is_the_demo_catalogue)
{
    const char *top = getenv("TOP_SRCDIR");
    AUTO_JSON demo = dev_catalogue("2026-11-01T00:00:00+08:00", NULL);
    AUTO_CLEAR(buf) text = {.max = 65536};
    AUTO_JSON example = NULL;
    char path[512];
    struct err err;

    snprintf(path, sizeof path, "%s/conf/catalogue.json", top ? top : ".");
    ck_assert_msg(file_read(path, &text, &err), "%s", err.text);
    example = json_parse(buf_span(&text), &err);
    ck_assert_msg(example != NULL, "%s", err.text);
    ck_assert(json_equal(example, demo));
}
END_TEST

START_TEST(the_config_that_is_written_is_valid)
{
    struct dev_machine m = {.dir = folder,
                            .config = (char *)"tollgate.conf",
                            .redis_socket = (char *)"/tmp/redis $HOME \"x\".sock",
                            .upstream_key = (char *)"none",
                            .listeners = {.count = 3, .console = -1}};
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 65536};
    struct err err;

    snprintf(m.listeners.api_address, ADDR_TEXT, "127.0.0.1:1234");
    snprintf(m.listeners.console_address, ADDR_TEXT, "[::1]:1235");
    m.state.clock_offset_ms = -12345;
    m.state.upstream = (char *)"http://127.0.0.1:9/v1";
    ck_assert_msg(pki_ensure_dev(".", &err), "%s", err.text);
    ck_assert_msg(dev_config_write(&m, &err), "%s", err.text);
    ck_assert_msg(options_load("tollgate.conf", &o, &problems), "%s", problems.data);
    ck_assert_str_eq(o.listen, "127.0.0.1:1234");
    ck_assert_str_eq(o.redis, "unix:/tmp/redis $HOME \"x\".sock");
    ck_assert_int_eq(o.workers, 3);
    ck_assert_int_eq(o.clock_offset, -12345);
    ck_assert_uint_eq(o.backend_count, 2);
    ck_assert_str_eq(o.backends[1].url, "http://127.0.0.1:9/v1");
}
END_TEST

START_TEST(a_machine_without_redis_is_told_so)
{
    char *path = strdup(getenv("PATH"));
    struct err err;

    ck_assert_int_eq(setenv("PATH", "/nowhere", 1), 0);
    ck_assert(!redis_child_prepare("redis", "/tmp/x.sock", &err));
    ck_assert_int_eq(setenv("PATH", path, 1), 0);
    free(path);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "redis-server is not installed"));
}
END_TEST

START_TEST(a_port_that_another_uses_is_refused)
{
    AUTO_CLEAR(listeners) first = {.console = -1};
    AUTO_CLEAR(listeners) second = {.console = -1};
    struct err err;

    ck_assert_msg(listeners_open("127.0.0.1:0", "127.0.0.1:0", 3, &first, &err), "%s", err.text);
    ck_assert_uint_eq(first.count, 3);
    ck_assert(!listeners_open(first.api_address, "127.0.0.1:0", 1, &second, &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.text, first.api_address));
    listeners_clear(&first);
    ck_assert_msg(listeners_open(first.api_address, "127.0.0.1:0", 1, &second, &err), "%s",
                  err.text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, enter_folder, leave_folder);
    tcase_add_test(tcase, what_is_kept_is_found_again);
    tcase_add_test(tcase, damaged_state_is_refused);
    tcase_add_test(tcase, the_clock_goes_where_it_is_told);
    tcase_add_test(tcase, the_clock_never_stands_before_what_was_written);
    tcase_add_test(tcase, the_demo_catalogue_can_be_applied);
    tcase_add_test(tcase, the_example_catalogue_is_the_demo_catalogue);
    tcase_add_test(tcase, the_config_that_is_written_is_valid);
    tcase_add_test(tcase, a_machine_without_redis_is_told_so);
    tcase_add_test(tcase, a_port_that_another_uses_is_refused);
    return run_tests(tcase, "dev");
}
