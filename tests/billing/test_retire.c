/* The end of a lost writer: two people, what Redis held becomes its last segment, and what nobody holds is named. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/archive_retire.h"
#include "billing/retired_losses.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/faulty_disk.h"
#include "tests/billing/journal_fixture.h"

static struct journal_fixture f;
static char writer[WRITER_TEXT];
static struct fixture_lines lines;

/* A writer of `archived` calls that are archived and `shipped` that are not; its directory can still be looked at. */
static void write_calls(unsigned archived, unsigned shipped)
{
    struct journal *j;
    size_t done = 0, added;
    struct err err;

    fixture_open(&f);
    j = fixture_journal(&f);
    snprintf(writer, sizeof writer, "%s", journal_writer(j));
    for (unsigned i = 0; i < archived + shipped; i++) {
        fixture_call(j, i, fixture_count, &done);
        fixture_wait(&f, j, &done, i + 1);
        if (i + 1 == archived) {
            size_t sealed = 0;

            journal_seal(j, fixture_count, &sealed);
            fixture_wait(&f, j, &sealed, 1);
            ck_assert_msg(archive_add_sealed(f.archive, f.root, &added, &err), "%s", err.text);
        }
    }
    journal_free(j);
    AUTO_STRING dir = fixture_dir(&f, 1);
    fixture_read(dir, &lines);
}

static void leave(void)
{
    fixture_lines_clear(&lines);
    fixture_clear(&f);
}

static struct retirement agreed(void)
{
    struct retirement r = {.proposed_by = "ann", .by = "bob", .reason = "burnt", .at = clock_now()};

    r.proposed_at = r.at;
    memcpy(r.writer, writer, sizeof writer);
    snprintf(r.installation, sizeof r.installation, "%s", f.config.installation);
    return r;
}

/* All lines, from the last to the first: the order in which they are found means nothing. */
static struct retired_findings everything(struct span *spans)
{
    struct retired_findings found = {
        .cursors = lines.heads, .lines = spans, .line_count = lines.count};

    for (size_t i = 0; i < lines.count; i++)
        spans[i] = span_of(lines.line[lines.count - 1 - i]);
    return found;
}

static void retire(const struct retired_findings *found, struct retired_result *result)
{
    struct retirement r = agreed();
    struct err err;

    ck_assert_msg(archive_retire(f.archive, &r, found, result, &err), "%s", err.text);
}

/* Reads all, checking chain and numbers; how many records of a kind there are. */
static size_t count_archived(enum record_kind kind, struct record_heads *heads)
{
    struct err err;
    AUTO(archive_reader) r = archive_reader_open(f.archive, writer, &err);
    struct record_head head;
    struct span line;
    size_t count = 0;
    uint32_t crc;
    int got;

    while ((got = archive_reader_next(r, &head, &line, &crc, &err)) == 1)
        count += head.kind == kind;
    ck_assert_msg(got == 0, "%s", err.text);
    if (heads)
        *heads = archive_reader_header(r)->heads;
    return count;
}

START_TEST(what_redis_holds_becomes_the_last_segment)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result;
    struct record_heads heads;

    write_calls(7, 12);
    found = everything(spans);
    retire(&found, &result);
    ck_assert_uint_eq(result.saved, 12);
    ck_assert_uint_eq(result.lost, 0);
    ck_assert_uint_eq(count_archived(RECORD_CALL, &heads), 19);
    ck_assert(record_heads_equal(&heads, &lines.heads));
    ck_assert_uint_eq(count_archived(RECORD_SEAL, NULL), 1);
    ck_assert_uint_eq(count_archived(RECORD_RETIRE, NULL), 1);
    retire(&found, &result);
    ck_assert(result.was_done);
    ck_assert_uint_eq(count_archived(RECORD_CALL, NULL), 19);
    leave();
}
END_TEST

START_TEST(a_writer_that_archived_nothing_is_completed_too)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result;

    write_calls(0, 9);
    found = everything(spans);
    retire(&found, &result);
    ck_assert_uint_eq(result.saved, 9);
    ck_assert_uint_eq(count_archived(RECORD_CALL, NULL), 9);
    leave();
}
END_TEST

/* Of the account's partition, as it was before the record. */
static struct record_cursor cursor_before(const struct record_place *place)
{
    struct record_cursor found = {0};

    for (size_t i = 0; i < lines.count; i++) {
        struct span line = span_of(lines.line[i]);
        struct record_head head;
        struct err err;

        ck_assert(record_head_parse(line, &head, &err));
        if (head.place.partition[SIDE_ACCOUNT] == place->partition[SIDE_ACCOUNT] &&
            head.place.n[SIDE_ACCOUNT] + 1 == place->n[SIDE_ACCOUNT])
            found =
                (struct record_cursor){head.place.n[SIDE_ACCOUNT], crc32c(0, line.data, line.len)};
    }
    return found;
}

/* One whose account never had it, while its model had applied it and a later one. */
START_TEST(a_record_that_nobody_holds_is_named_by_its_number)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result, again;
    struct record_head head;
    struct err err;
    size_t kept = 0, victim = 8;
    AUTO_CLEAR(buf) record = {.max = RECORD_BYTES_MAX};
    char expected[64], name[PARTITION_NAME];

    write_calls(4, 12);
    found = everything(spans);
    ck_assert(record_head_parse(span_of(lines.line[victim]), &head, &err));
    for (size_t i = 0; i < lines.count; i++) {
        struct record_head other;

        ck_assert(record_head_parse(span_of(lines.line[i]), &other, &err));
        bool is_gone = other.place.partition[SIDE_ACCOUNT] == head.place.partition[SIDE_ACCOUNT] &&
                       other.place.n[SIDE_ACCOUNT] >= head.place.n[SIDE_ACCOUNT];
        if (!is_gone)
            spans[kept++] = span_of(lines.line[i]);
    }
    found.line_count = kept;
    found.cursors.at[SIDE_ACCOUNT][head.place.partition[SIDE_ACCOUNT]] = cursor_before(&head.place);
    retire(&found, &result);
    ck_assert_uint_ge(result.lost, 1);
    ck_assert(result.is_lost[SIDE_MODEL][head.place.partition[SIDE_MODEL]]);
    ck_assert(!result.is_lost[SIDE_ACCOUNT][head.place.partition[SIDE_ACCOUNT]]);
    ck_assert_uint_eq(count_archived(RECORD_LOST, NULL), result.lost);
    ck_assert_uint_eq(count_archived(RECORD_CALL, NULL), 4 + result.saved);
    ck_assert_msg(archive_retire_record(f.archive, writer, &record, &err), "%s", err.text);
    buf_add_char(&record, '\0');
    snprintf(expected, sizeof expected, "[\"%s\",%llu,",
             partition_name((struct partition){SIDE_MODEL, head.place.partition[SIDE_MODEL]}, name),
             (unsigned long long)head.place.n[SIDE_MODEL]);
    ck_assert_msg(strstr(record.data, expected), "%s lacks %s", record.data, expected);
    AUTO_CLEAR(retired_losses) losses = {.count = 0};
    ck_assert_msg(retired_losses_read(f.archive, writer, &losses, &err), "%s", err.text);
    ck_assert(retired_losses_have(&losses, &head.place));
    retire(&found, &again);
    ck_assert(again.was_done && again.saved == 0 && again.lost == 0);
    ck_assert(memcmp(again.is_lost, result.is_lost, sizeof again.is_lost) == 0);
    leave();
}
END_TEST

static struct retired_call call_of(const char *line)
{
    struct retired_call call = {.account = "acct"};
    const char *id = strstr(line, "\"request_id\":\"") + strlen("\"request_id\":\"");

    ck_assert(
        span_copy((struct span){id, strcspn(id, "\"")}, call.request_id, sizeof call.request_id));
    return call;
}

/* Found by its hold, or by the sweeper's note, or both; whose END came later it cannot say. */
START_TEST(a_call_without_an_end_is_named_once_and_one_that_ended_is_not)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result;
    struct retired_call open = {.account = "acct"};
    AUTO_CLEAR(buf) record = {.max = RECORD_BYTES_MAX};
    struct err err;

    write_calls(4, 5);
    found = everything(spans);
    request_id_make(open.request_id);
    struct retired_call calls[] = {open, call_of(lines.line[1]), open, call_of(lines.line[7])};
    found.calls = calls;
    found.call_count = ARRAY_LEN(calls);
    retire(&found, &result);
    ck_assert_msg(archive_retire_record(f.archive, writer, &record, &err), "%s", err.text);
    buf_add_char(&record, '\0');
    AUTO_STRING expected =
        xasprintf("\"open_calls\":1,\"open\":[{\"request_id\":\"%s\"", open.request_id);
    ck_assert_msg(strstr(record.data, expected), "%s lacks %s", record.data, expected);
    leave();
}
END_TEST

START_TEST(every_month_that_it_lived_in_is_sealed)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result;
    struct journal *j;
    size_t done = 0;

    fixture_open(&f);
    j = fixture_journal(&f);
    snprintf(writer, sizeof writer, "%s", journal_writer(j));
    for (unsigned i = 0; i < 6; i++) {
        if (i == 3)
            fixture_set_clock(FIXTURE_NOW + 20 * 24 * 3600 * NANOS_PER_SECOND);
        fixture_call(j, i, fixture_count, &done);
        fixture_wait(&f, j, &done, i + 1);
    }
    journal_free(j);
    AUTO_STRING dir = fixture_dir(&f, 1);
    fixture_read(dir, &lines);
    fixture_set_clock(FIXTURE_NOW + 60 * 24 * 3600 * NANOS_PER_SECOND);
    found = everything(spans);
    retire(&found, &result);
    ck_assert_uint_eq(count_archived(RECORD_CALL, NULL), 6);
    ck_assert_uint_eq(count_archived(RECORD_SEAL, NULL), 3);
    leave();
}
END_TEST

START_TEST(what_contradicts_the_archive_is_refused)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result;
    struct retirement r;
    struct err err;

    write_calls(0, 6);
    r = agreed();
    found = everything(spans);
    for (unsigned i = 0; i < PARTITIONS; i++)
        found.cursors.at[SIDE_ACCOUNT][i].crc ^= 1;
    ck_assert(!archive_retire(f.archive, &r, &found, &result, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_uint_eq(count_archived(RECORD_CALL, NULL), 0);
    leave();
}
END_TEST

static void retire_by_two(void)
{
    struct retirement wanted = agreed(), out;
    struct err err;

    snprintf(wanted.by, sizeof wanted.by, "ann");
    ck_assert_msg(retirement_ask(f.archive, &wanted, &out, &err), "%s", err.text);
    snprintf(wanted.by, sizeof wanted.by, "bob");
    ck_assert_msg(retirement_ask(f.archive, &wanted, &out, &err), "%s", err.text);
    ck_assert(retirement_is_final(f.archive, writer));
}

START_TEST(it_takes_two_people_within_a_day)
{
    struct retirement wanted = {.reason = "burnt", .by = "ann"}, out;
    struct journal_config again;
    struct journal *j;
    struct err err;

    write_calls(1, 1);
    memcpy(wanted.writer, writer, sizeof writer);
    snprintf(wanted.installation, sizeof wanted.installation, "%s", f.config.installation);
    ck_assert_msg(retirement_ask(f.archive, &wanted, &out, &err), "%s", err.text);
    ck_assert_str_eq(out.proposed_by, "ann");
    ck_assert_str_eq(out.by, "");
    ck_assert(!retirement_ask(f.archive, &wanted, &out, &err) && err.code == ERR_EXISTS);
    fixture_set_clock(clock_now() + 25 * 3600 * NANOS_PER_SECOND);
    snprintf(wanted.by, sizeof wanted.by, "bob");
    ck_assert(retirement_ask(f.archive, &wanted, &out, &err));
    ck_assert_str_eq(out.proposed_by, "bob"); /* hers had lapsed */
    ck_assert(!retirement_is_final(f.archive, writer));
    snprintf(wanted.by, sizeof wanted.by, "ann");
    ck_assert(retirement_ask(f.archive, &wanted, &out, &err));
    ck_assert_str_eq(out.by, "ann");
    ck_assert(retirement_is_final(f.archive, writer));
    AUTO_STRING dir = fixture_dir(&f, 1);
    again = f.config;
    j = journal_open_dir(&again, dir, &err);
    ck_assert(!j && err.code == ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "was retired"));
    j = journal_open(&again, NULL, &err);
    ck_assert_str_ne(journal_writer(j), writer);
    journal_free(j);
    leave();
}
END_TEST

/* All calls of a retired directory, read as adoption does. */
static size_t count_found(const char *dir)
{
    struct record_heads nothing = {0};
    struct record_head head;
    struct span line;
    struct err err;
    size_t count = 0;
    uint32_t crc;
    int got;
    AUTO(journal) j = journal_open_retired(&f.config, dir, &err);

    ck_assert_msg(j != NULL, "%s", err.text);
    AUTO(journal_tail) tail = journal_tail_new(j, &nothing, &err);
    while ((got = journal_tail_next(tail, &head, &line, &crc, &err)) == 1)
        count += head.kind == RECORD_CALL;
    ck_assert_msg(got == 0, "%s", err.text);
    return count;
}

/* Also when opening it fails at the n-th operation, and is tried again, for every n. */
START_TEST(a_found_directory_is_read_whole_and_archived_no_further)
{
    int status = -1;
    size_t added;
    struct err err;

    write_calls(3, 5);
    AUTO_STRING dir = fixture_dir(&f, 1);
    ck_assert(!journal_open_retired(&f.config, dir, &err) && err.code == ERR_INPUT);
    retire_by_two();
    ck_assert(!journal_open_dir(&f.config, dir, &err) && err.code == ERR_CORRUPT);
    for (unsigned n = 1; !(WIFEXITED(status) && WEXITSTATUS(status) == 0); n++) {
        pid_t child = fork();

        if (child == 0) {
            struct journal *j;

            if (!freopen("/dev/null", "w", stderr))
                _exit(1);
            disk_arm(FAULT_EIO, n, NULL, NULL, 0);
            j = journal_open_retired(&f.config, dir, NULL);
            _exit(j && disk_count() < n ? 0 : 2);
        }
        ck_assert(waitpid(child, &status, 0) == child);
        ck_assert_uint_eq(count_found(dir), 8);
        ck_assert_uint_lt(n, 2000);
    }
    ck_assert_msg(archive_add_sealed(f.archive, f.root, &added, &err), "%s", err.text);
    ck_assert_uint_eq(added, 0);
    leave();
}
END_TEST

START_TEST(a_name_and_a_reason_must_be_ones)
{
    struct retirement wanted = {.reason = "a \"quote\"", .by = "ann"}, out;
    struct err err;

    write_calls(1, 0);
    memcpy(wanted.writer, writer, sizeof writer);
    ck_assert(!retirement_ask(f.archive, &wanted, &out, &err) && err.code == ERR_INPUT);
    snprintf(wanted.reason, sizeof wanted.reason, "burnt");
    snprintf(wanted.by, sizeof wanted.by, "ann bob");
    ck_assert(!retirement_ask(f.archive, &wanted, &out, &err) && err.code == ERR_INPUT);
    snprintf(wanted.by, sizeof wanted.by, "ann");
    memcpy(wanted.writer, "w-0000000000000000", WRITER_TEXT - 1);
    ck_assert(!retirement_ask(f.archive, &wanted, &out, &err) && err.code == ERR_NOT_FOUND);
    leave();
}
END_TEST

/* Retiring with the n-th operation failing, or the process dying there, for every n: the next attempt completes it. */
static void fail_everywhere(enum fault fault)
{
    struct span spans[64];
    struct retired_findings found;
    struct retired_result result;
    struct retirement wanted = {.reason = "burnt", .by = "ann"}, out;
    int status = -1;
    struct err err;

    write_calls(3, 5);
    found = everything(spans);
    memcpy(wanted.writer, writer, sizeof writer);
    snprintf(wanted.installation, sizeof wanted.installation, "%s", f.config.installation);
    AUTO_STRING retired = path_join(f.archive, "retired");
    AUTO_STRING last = archive_path(f.archive, writer, 2);
    for (unsigned n = 1; !(WIFEXITED(status) && WEXITSTATUS(status) == 0); n++) {
        pid_t child;

        fixture_remove(retired);
        unlink(last);
        child = fork();
        if (child == 0) {
            struct retirement mine = wanted;
            bool ok;

            snprintf(mine.by, sizeof mine.by, "ann");
            if (!freopen("/dev/null", "w", stderr))
                _exit(1);
            disk_arm(fault, n, NULL, NULL, 0);
            ok = retirement_ask(f.archive, &mine, &out, NULL);
            snprintf(mine.by, sizeof mine.by, "bob");
            ok = ok && retirement_ask(f.archive, &mine, &out, NULL) &&
                 archive_retire(f.archive, &out, &found, &result, NULL);
            _exit(ok && disk_count() < n ? 0 : 2);
        }
        ck_assert(waitpid(child, &status, 0) == child);
        out.by[0] = '\0';
        for (int asked = 0; !out.by[0] && asked < 3; asked++) {
            snprintf(wanted.by, sizeof wanted.by, asked % 2 ? "bob" : "ann");
            if (!retirement_ask(f.archive, &wanted, &out, &err))
                ck_assert_int_eq(err.code, ERR_EXISTS);
        }
        ck_assert_str_eq(out.by, "bob");
        ck_assert_msg(archive_retire(f.archive, &out, &found, &result, &err), "%s", err.text);
        ck_assert_uint_eq(count_archived(RECORD_CALL, NULL), 8);
        ck_assert_uint_eq(count_archived(RECORD_RETIRE, NULL), 1);
        ck_assert_uint_lt(n, 2000);
    }
    leave();
}

START_TEST(retiring_that_fails_anywhere_is_completed_by_the_next)
{
    fail_everywhere(FAULT_EIO);
}
END_TEST

START_TEST(retiring_that_dies_anywhere_is_completed_by_the_next)
{
    fail_everywhere(FAULT_DIES);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("retire");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, what_redis_holds_becomes_the_last_segment);
    tcase_add_test(tcase, a_writer_that_archived_nothing_is_completed_too);
    tcase_add_test(tcase, a_record_that_nobody_holds_is_named_by_its_number);
    tcase_add_test(tcase, a_call_without_an_end_is_named_once_and_one_that_ended_is_not);
    tcase_add_test(tcase, every_month_that_it_lived_in_is_sealed);
    tcase_add_test(tcase, what_contradicts_the_archive_is_refused);
    tcase_add_test(tcase, it_takes_two_people_within_a_day);
    tcase_add_test(tcase, a_found_directory_is_read_whole_and_archived_no_further);
    tcase_add_test(tcase, a_name_and_a_reason_must_be_ones);
    tcase_add_test(tcase, retiring_that_fails_anywhere_is_completed_by_the_next);
    tcase_add_test(tcase, retiring_that_dies_anywhere_is_completed_by_the_next);
    return run_tests(tcase, "retire");
}
