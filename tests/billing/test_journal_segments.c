/* test_journal_segments.c - when a segment is sealed, and that what was promised to a call fits on the disk however full it
 * is. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "billing/journal_space.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/journal_fixture.h"

static struct journal_fixture f;
static bool disk_is_full;

int __real_posix_fallocate(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate(int fd, off_t offset, off_t length);

int __wrap_posix_fallocate(int fd, off_t offset, off_t length)
{
    return disk_is_full ? ENOSPC : __real_posix_fallocate(fd, offset, length);
}

static void set_up(void)
{
    disk_is_full = false;
    fixture_open(&f);
}

static void tear_down(void)
{
    fixture_clear(&f);
}

START_TEST(a_segment_is_sealed_when_asked_and_only_if_it_holds_something)
{
    struct journal *j = fixture_journal(&f);
    size_t durable = 0, sealed = 0;

    journal_seal(j, fixture_count, &sealed);
    fixture_wait(&f, j, &sealed, 1);
    ck_assert_uint_eq(fixture_sealed_segments(&f), 0);
    fixture_call(j, 1, fixture_count, &durable);
    journal_seal(j, fixture_count, &sealed);
    fixture_wait(&f, j, &sealed, 2);
    ck_assert_uint_eq(durable, 1);
    ck_assert_uint_eq(fixture_sealed_segments(&f), 1);
    journal_seal(j, fixture_count, &sealed);
    fixture_wait(&f, j, &sealed, 3);
    ck_assert_uint_eq(fixture_sealed_segments(&f), 1);
    fixture_call(j, 2, fixture_count, &durable);
    fixture_wait(&f, j, &durable, 2);
    journal_free(j);
    ck_assert_uint_eq(fixture_sealed_segments(&f), 2);
}
END_TEST

START_TEST(an_hour_old_segment_with_records_is_sealed)
{
    struct journal *j = fixture_without_thread(&f);

    for (int day = 1; day < 4; day++) {
        int64_t begins = FIXTURE_NOW + day * 86400 * NANOS_PER_SECOND;

        fixture_set_clock(begins);
        fixture_call(j, (unsigned)day, NULL, NULL);
        for (int minute = 0; minute < 60; minute += 5) {
            fixture_set_clock(begins + minute * 60 * NANOS_PER_SECOND);
            journal_tick(j);
            journal_completed(j);
            ck_assert_uint_eq(fixture_sealed_segments(&f), (size_t)day - 1);
        }
        fixture_set_clock(begins + 3601 * NANOS_PER_SECOND);
        journal_tick(j);
        journal_completed(j);
        ck_assert_uint_eq(fixture_sealed_segments(&f), (size_t)day);
    }
    journal_free(j);
}
END_TEST

START_TEST(a_full_segment_is_followed_by_the_next)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct segment_file *files;
    size_t durable = 0, count;

    for (unsigned i = 0; i < 400; i++) {
        fixture_call(j, i, fixture_count, &durable);
        journal_completed(j);
    }
    ck_assert_uint_eq(durable, 400);
    ck_assert_uint_gt(fixture_sealed_segments(&f), 3);
    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i + 1 < count; i++) {
        ck_assert_uint_eq(files[i].position + files[i].size, files[i + 1].position);
        ck_assert_uint_le(files[i].size, FIXTURE_SEGMENT);
    }
    segment_list_free(files, count);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 400);
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(what_is_reserved_fits_however_full_the_disk_is)
{
    struct journal *j = fixture_without_thread(&f);
    size_t durable = 0, calls = 0, ended = 0;
    struct event e;
    struct err err;

    disk_is_full = true;
    for (unsigned i = 0; i < 20; i++)
        fixture_call(j, i, fixture_count, &durable);
    journal_completed(j);
    ck_assert_uint_eq(durable, 20);
    while (journal_reserve(j, &err)) {
        e = fixture_event(j, (unsigned)(1000 + calls++));
        journal_begin(j, &e, NULL, NULL);
        journal_completed(j);
        ck_assert_uint_lt(calls, 1000);
    }
    ck_assert_int_eq(err.code, ERR_FULL);
    ck_assert_uint_gt(calls, 0);
    for (int i = 0; i < 2000; i++)
        journal_progress(j, &e);
    journal_completed(j);
    journal_seal(j, fixture_count, &ended);
    for (unsigned i = 0; i < calls; i++) {
        e = fixture_event(j, 1000 + i);
        journal_call(j, &e, fixture_count, &durable);
        journal_completed(j);
    }
    ck_assert_uint_eq(durable, 20 + calls);

    disk_is_full = false;
    journal_tick(j);
    journal_completed(j);
    ck_assert_uint_eq(ended, 1);
    ck_assert(journal_reserve(j, &err));
    journal_unreserve(j);
    journal_free(j);
}
END_TEST

START_TEST(no_more_is_written_than_the_disk_has_promised)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct segment_file *files;
    size_t count, calls = 0;
    struct event e = fixture_event(j, 0);
    struct err err;

    disk_is_full = true;
    for (size_t i = 0; i < OWNERS_MAX; i++) {
        memset(e.owners[i].id, (int)('a' + i), ID_TEXT - 1);
        e.owners[i].id[ID_TEXT - 1] = '\0';
        e.owners[i].weight = 1;
    }
    e.owner_count = OWNERS_MAX;
    while (journal_reserve(j, &err))
        calls++;
    for (size_t i = 0; i < calls; i++) {
        fixture_request_id((unsigned)i, e.request_id);
        journal_begin(j, &e, NULL, NULL);
        for (int k = 0; k < 50; k++)
            journal_progress(j, &e);
        journal_completed(j);
        journal_call(j, &e, NULL, NULL);
        journal_tick(j);
        journal_completed(j);
    }
    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_le(files[i].size, FIXTURE_SEGMENT);
    segment_list_free(files, count);
    journal_free(j);
}
END_TEST

START_TEST(room_for_many_calls_is_made_as_they_come)
{
    struct journal *j = fixture_journal(&f);
    struct err err;
    int calls = 0;

    for (int patience = 0; calls < 300 && patience < 60000; patience++) {
        if (journal_reserve(j, &err))
            calls++;
        else
            usleep(1000);
    }
    ck_assert_int_eq(calls, 300);
    journal_free(j);
}
END_TEST

START_TEST(space_is_never_promised_twice)
{
    struct journal_space s = {.segment_bytes = FIXTURE_SEGMENT, .free_bytes = 100000, .spares = 2};

    while (journal_space_fits(&s, CALL_ROOM))
        s.reserved++;
    ck_assert_uint_gt(s.reserved, 0);
    ck_assert_uint_le(s.reserved * CALL_ROOM, 100000 + 2 * FIXTURE_SEGMENT - SEGMENT_HEADER_MAX);
    ck_assert(!journal_space_may_roll(&s));
    s.spares += 4;
    ck_assert(journal_space_may_roll(&s));
    ck_assert_uint_gt(journal_space_spares_wanted(&s), 1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal_segments");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_segment_is_sealed_when_asked_and_only_if_it_holds_something);
    tcase_add_test(t, an_hour_old_segment_with_records_is_sealed);
    tcase_add_test(t, a_full_segment_is_followed_by_the_next);
    tcase_add_test(t, what_is_reserved_fits_however_full_the_disk_is);
    tcase_add_test(t, no_more_is_written_than_the_disk_has_promised);
    tcase_add_test(t, room_for_many_calls_is_made_as_they_come);
    tcase_add_test(t, space_is_never_promised_twice);
    return run_tests(t, "journal_segments");
}
