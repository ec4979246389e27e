/* test_trimmer.c - what may leave Redis's streams: nothing that the archive does not have. */
#include <stdio.h>

#include "billing/trimmer.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"
#include "tests/billing/settlement_fixture.h"

#define WAIT_MS 60000
#define OLD     "600000" /* a stream id's milliseconds, of long ago */
#define KEPT    10

static struct fixture server;
static struct world *w;
static struct loop *loop;
static struct redis *redis;
static struct archive_index *archived;
static bool is_ready, is_over;
static char partition[PARTITION_NAME];

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

static void start(void)
{
    static const struct redis_handlers handlers = {on_ready, on_lost};
    struct redis_config config = {.connect_ms = 2000, .command_ms = 20000, .pending_max = 1024};
    struct err err;

    fixture_start(&server, false);
    AUTO_STRING address = xasprintf("unix:%s", server.socket);
    config.address = address;
    w = world_new("2026-11-20T10:00:00Z");
    world_begin(w, 0, "2026-11");
    world_begin(w, 1, "2026-11");
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2.00", "8.00");
    archived = archive_index_new(w->archive);
    loop = loop_new(&err);
    redis = redis_new(loop, &config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    partition_name(partition_of(SIDE_ACCOUNT, SPAN("acme")), partition);
}

static void stop(void)
{
    redis_free(redis);
    loop_free(loop);
    archive_index_free(archived);
    world_free(w);
    fixture_stop(&server);
}

/* A call of acme, by that writer, as apply_account books it; as long ago as `ms` says ("*": now). */
static void book(unsigned writer, const char *ms)
{
    struct event e =
        world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 5, "2026-11-03T10:00:00.000Z");
    size_t before = w->writer[writer].lines.len;

    world_write_only(w, writer, &e);
    struct span all = buf_span(&w->writer[writer].lines);
    AUTO_STRING line = xstrndup(all.data + before, all.len - before - 1);
    AUTO_STRING id = xasprintf(strcmp(ms, "*") == 0 ? "%s" : "%s-*", ms);
    AUTO_STRING at = fixture_ask(&server, "XADD tg:{%s}:events:acme %s r %s", partition, id, line);
    free(fixture_ask(&server, "HSET tg:{%s}:index:acme %s %s", partition, e.request_id, at));
}

static void book_many(unsigned writer, const char *ms, int count)
{
    for (int i = 0; i < count; i++)
        book(writer, ms);
}

static void look(void *arg)
{
    struct trimmer *t = arg;

    is_over = trimmer_passes(t) > 0;
}

/* Until all of `count` trimmers have been over all streams. */
static void trim_with(size_t count)
{
    const struct trimmer_config config = {.keep_ms = 600000, .keep_entries = KEPT, .rest_ms = 20};
    struct trimmer *t[4];

    for (size_t i = 0; i < count; i++)
        t[i] = trimmer_new(loop, redis, archived, &config);
    for (size_t i = 0; i < count; i++) {
        for (int turns = 0; !(look(t[i]), is_over) && turns < WAIT_MS / 10; turns++) {
            bool never = false;
            ck_assert(!loop_run_until(loop, &never, 10));
        }
        ck_assert(is_over);
    }
    for (size_t i = 0; i < count; i++)
        trimmer_free(t[i]);
}

static void expect_left(int entries)
{
    AUTO_STRING stream = fixture_ask(&server, "XLEN tg:{%s}:events:acme", partition);
    AUTO_STRING index = fixture_ask(&server, "HLEN tg:{%s}:index:acme", partition);

    ck_assert_int_eq(number_of(stream), entries);
    ck_assert_int_eq(number_of(index), entries);
}

START_TEST(what_the_archive_has_goes_and_the_newest_stay)
{
    book_many(0, OLD, 400);
    world_archive(w, 0);
    trim_with(1);
    expect_left(KEPT);
    AUTO_STRING mark = fixture_ask(&server, "HGET tg:{%s}:trimmed acme", partition);
    ck_assert_str_eq(mark, OLD "-389");
}
END_TEST

START_TEST(what_is_not_archived_stays)
{
    book_many(0, OLD, 30);
    world_archive(w, 0);
    book_many(0, OLD, 300);
    trim_with(1);
    expect_left(300);
    world_archive(w, 0);
    trim_with(1);
    expect_left(KEPT);
}
END_TEST

START_TEST(one_that_must_stay_keeps_those_behind_it)
{
    book_many(0, OLD, 20);
    book(1, OLD);
    book_many(0, OLD, 60);
    world_archive(w, 0);
    trim_with(1);
    expect_left(61);
    world_archive(w, 1);
    trim_with(1);
    expect_left(KEPT);
}
END_TEST

START_TEST(what_is_young_stays)
{
    book_many(0, OLD, 25);
    book_many(0, "*", 40);
    world_archive(w, 0);
    trim_with(1);
    expect_left(40);
}
END_TEST

START_TEST(several_may_trim_at_once)
{
    book_many(0, OLD, 450);
    world_archive(w, 0);
    trim_with(3);
    expect_left(KEPT);
}
END_TEST

/* Redis lost the stream between look and script, and it begins elsewhere now. */
START_TEST(another_stream_of_that_name_is_left_alone)
{
    AUTO_STRING stream = xasprintf("tg:{%s}:events:acme", partition);
    AUTO_STRING index = xasprintf("tg:{%s}:index:acme", partition);
    AUTO_STRING trimmed = xasprintf("tg:{%s}:trimmed", partition);
    const struct span keys[] = {span_of(stream), span_of(index), span_of(trimmed)};
    const struct span args[] = {SPAN(OLD "-7"), SPAN(OLD "-9"), SPAN("acme"), SPAN("req_x")};

    book_many(0, OLD, 12);
    AUTO_STRING none = fixture_eval(&server, SCRIPT_TRIM, keys, 3, args, ARRAY_LEN(args));
    ck_assert_str_eq(none, "0");
    expect_left(12);
    free(fixture_ask(&server, "XTRIM %s MINID " OLD "-7", stream));
    AUTO_STRING some = fixture_eval(&server, SCRIPT_TRIM, keys, 3, args, ARRAY_LEN(args));
    ck_assert_str_eq(some, "3");
}
END_TEST

START_TEST(records_of_changes_are_trimmed_alike)
{
    AUTO_STRING line = xstrndup(w->writer[0].lines.data, w->writer[0].lines.len - 1);

    for (int i = 0; i < 30; i++)
        free(fixture_ask(&server, "XADD tg:{m00}:records " OLD "-* r %s", line));
    trim_with(1);
    AUTO_STRING before = fixture_ask(&server, "XLEN tg:{m00}:records");
    ck_assert_str_eq(before, "30");
    world_archive(w, 0);
    trim_with(1);
    AUTO_STRING after = fixture_ask(&server, "XLEN tg:{m00}:records");
    ck_assert_int_eq(number_of(after), KEPT);
}
END_TEST

START_TEST(a_trimmer_may_be_freed_while_redis_is_asked)
{
    const struct trimmer_config config = {.keep_entries = KEPT, .rest_ms = 1};
    bool never = false;

    book_many(0, OLD, 40);
    world_archive(w, 0);
    for (int ms = 1; ms < 20; ms++) {
        struct trimmer *t = trimmer_new(loop, redis, archived, &config);
        ck_assert(!loop_run_until(loop, &never, ms));
        trimmer_free(t);
    }
    ck_assert(!loop_run_until(loop, &never, 50));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("trimmer");

    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, what_the_archive_has_goes_and_the_newest_stay);
    tcase_add_test(tcase, what_is_not_archived_stays);
    tcase_add_test(tcase, one_that_must_stay_keeps_those_behind_it);
    tcase_add_test(tcase, what_is_young_stays);
    tcase_add_test(tcase, several_may_trim_at_once);
    tcase_add_test(tcase, another_stream_of_that_name_is_left_alone);
    tcase_add_test(tcase, records_of_changes_are_trimmed_alike);
    tcase_add_test(tcase, a_trimmer_may_be_freed_while_redis_is_asked);
    return run_tests(tcase, "trimmer");
}
