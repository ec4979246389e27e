/* What stands in suspense, and the record that drops it: in either order they leave the same. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"

#define INSTALLATION "inst-1"
#define WRITER       "w-0000000000000001"
#define CONSOLE      "w-0000000000000002"
#define RESOLVE      "{\"kind\":\"resolve\"}"

static struct fixture redis;
static const struct partition partition = {SIDE_ACCOUNT, 5};

static void start_redis(void)
{
    fixture_start(&redis, false);
}

static void stop_redis(void)
{
    fixture_stop(&redis);
}

static void apply(const char *writer, uint64_t n, const char *kind, unsigned fields,
                  const char *const *field)
{
    AUTO_CLEAR(batch) b;

    batch_init(&b);
    batch_start(&b, partition, INSTALLATION, writer, FROM_JOURNAL);
    batch_record(&b, (struct record_cursor){n, (uint32_t)n}, kind, span_of(RESOLVE), 0, fields);
    for (unsigned i = 0; i < fields; i++)
        batch_field_text(&b, field[i]);
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, "OK", 2) == 0, "%s", answer);
}

static void suspend(uint64_t n)
{
    apply(WRITER, n, "suspend", 1, (const char *const[]){"record-is-unreadable"});
}

static void resolve(uint64_t n, const char *entry, const char *as)
{
    apply(CONSOLE, n, "resolve", 3, (const char *const[]){entry, as, "-"});
}

static bool is_in_suspense(const char *entry)
{
    AUTO_STRING found = fixture_ask(&redis, "HEXISTS tg:{a05}:suspense %b", entry, strlen(entry));

    return strcmp(found, "1") == 0;
}

START_TEST(what_is_dropped_leaves_suspense)
{
    suspend(1);
    suspend(2);
    ck_assert(is_in_suspense(WRITER " 1") && is_in_suspense(WRITER " 2"));
    resolve(1, WRITER ":1", "dropped");
    ck_assert(!is_in_suspense(WRITER " 1") && is_in_suspense(WRITER " 2"));
}
END_TEST

START_TEST(what_was_dropped_before_it_came_does_not_come_into_suspense)
{
    suspend(1);
    resolve(1, WRITER ":1", "dropped");
    AUTO_STRING one = fixture_dump(&redis);
    free(fixture_ask(&redis, "FLUSHALL"));
    resolve(1, WRITER ":1", "dropped");
    suspend(1);
    AUTO_STRING other = fixture_dump(&redis);
    ck_assert_str_eq(one, other);
    ck_assert(!is_in_suspense(WRITER " 1"));
}
END_TEST

START_TEST(what_is_resolved_as_booked_stays_until_it_is)
{
    suspend(1);
    resolve(1, WRITER ":1", "booked");
    ck_assert(is_in_suspense(WRITER " 1"));
}
END_TEST

START_TEST(a_lost_number_moves_the_cursor_and_nothing_else)
{
    apply(WRITER, 1, "lost", 0, NULL);
    AUTO_STRING cursor = fixture_ask(&redis, "HGET tg:{a05}:cursors " WRITER);
    AUTO_STRING keys = fixture_ask(&redis, "DBSIZE");
    ck_assert_str_eq(cursor, "1 00000001");
    ck_assert_str_eq(keys, "1");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("suspense");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start_redis, stop_redis);
    tcase_add_test(tcase, what_is_dropped_leaves_suspense);
    tcase_add_test(tcase, what_was_dropped_before_it_came_does_not_come_into_suspense);
    tcase_add_test(tcase, what_is_resolved_as_booked_stays_until_it_is);
    tcase_add_test(tcase, a_lost_number_moves_the_cursor_and_nothing_else);
    return run_tests(tcase, "suspense");
}
