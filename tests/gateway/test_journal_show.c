/* test_journal_show.c - whatever Redis has asked again, a list of writers is told once, with the time known. */
#include "gateway/journal_show.h"

#include <check.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "billing/archive.h"
#include "gateway/options.h"
#include "gateway/service.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/net/fake_redis.h"

#define WAIT_MS 15000
#define WRITER  "w-0123456789abcdef"
#define NOW_S   1795000000

static struct loop *loop;
static struct redis *redis;
static struct fake_redis fake;
static struct options options;
static struct http_request *const request =
    (struct http_request *)&options; /* nobody looks into it */
static bool is_ready, is_answered;
static unsigned refusals; /* so many questions for the time are refused first */
static char answer[4096];

void __wrap_request_keep(struct http_request *r, struct http_request **slot);
void __wrap_reply_built(struct http_request *r, const struct buf *json);
void __wrap_reply_err(struct http_request *r, const struct err *err);

void __wrap_request_keep(struct http_request *r, struct http_request **slot)
{
    *slot = r;
}

void __wrap_reply_built(struct http_request *r, const struct buf *json)
{
    ck_assert_ptr_eq(r, request);
    ck_assert(!is_answered);
    ck_assert(span_copy(buf_span(json), answer, sizeof answer));
    is_answered = true;
}

void __wrap_reply_err(struct http_request *r UNUSED, const struct err *err)
{
    ck_abort_msg("%s", err->text);
}

static void on_ready(void *arg UNUSED)
{
    is_ready = true;
}

static void on_lost(void *arg UNUSED, const struct err *err)
{
    ck_abort_msg("%s", err->text);
}

/* Whoever is refused asks again, and what was asked after it is answered before. */
static void redis_answer(struct fake_redis *f UNUSED, const char *words, struct buf *reply)
{
    AUTO_STRING word = xasprintf("run %" PRId64 " 1", (int64_t)(NOW_S - 3600) * 1000);

    if (strcmp(words, "TIME") == 0 && refusals > 0) {
        refusals--;
        buf_printf(reply, "-LOADING Redis is loading the dataset in memory\r\n");
    } else if (strcmp(words, "TIME") == 0) {
        buf_printf(reply, "*2\r\n$10\r\n%d\r\n$1\r\n0\r\n", NOW_S);
    } else {
        ck_assert_str_eq(words, "HGETALL tg:{a00}:live");
        buf_printf(reply, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(WRITER), WRITER,
                   strlen(word), word);
    }
}

static void start(void)
{
    struct redis_config config = {.connect_ms = 2000, .command_ms = 10000, .pending_max = 100};
    struct redis_handlers handlers = {on_ready, on_lost};
    AUTO_STRING address = NULL;
    struct err err;

    enter_scratch_folder();
    ck_assert_int_eq(mkdir("journal", 0700), 0);
    ck_assert(archive_register("archive", "inst", WRITER, (struct period){"2026-11"}, &err));
    options = (struct options){.journal = "journal", .archive = "archive"};
    loop = loop_new(&err);
    fake_redis_start(&fake, loop, 'a', false, redis_answer);
    config.address = address = xasprintf("redis://%s", fake.where);
    redis = redis_new(loop, &config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
}

static void stop(void)
{
    redis_free(redis);
    fake_redis_stop(&fake);
    loop_free(loop);
    leave_scratch_folder();
}

/* Of two questions that are on their way at once the second would be answered first. */
START_TEST(a_writer_that_was_silent_is_said_to_be_however_late_the_time_comes)
{
    struct console console = {.options = &options, .ledger = {.redis = redis}};

    refusals = (unsigned)_i;
    journal_get(&console, request, NULL);
    ck_assert(loop_run_until(loop, &is_answered, WAIT_MS));
    ck_assert_uint_eq(refusals, 0);
    ck_assert_ptr_nonnull(strstr(answer, "\"writer\":\"" WRITER "\",\"where\":\"silent\""));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal_show");

    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, a_writer_that_was_silent_is_said_to_be_however_late_the_time_comes, 0,
                        3);
    return run_tests(t, "journal_show");
}
