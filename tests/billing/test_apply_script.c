/* test_apply_script.c - the apply scripts on a real Redis, one claim at a time: a record counts once, a gap or a conflict changes
 * nothing, and what cannot be booked is set aside. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/apply_story.h"

START_TEST(a_record_counts_once_however_often_it_is_sent)
{
    open_account();
    tell((struct fact){.kind = CALL, .amount = 5});
    apply(0, 2, 2, "OK 2 ");
    apply(0, 1, 2, "OK 2 ");
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "-5");
}
END_TEST

START_TEST(a_gap_changes_nothing)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = CALL, .amount = 5});
    tell((struct fact){.kind = CALL, .amount = 5});
    apply(0, 2, 2, "GAP 0  0 0 0");
    AUTO_STRING dump = fixture_dump(&redis);
    ck_assert_str_eq(dump, "");
}
END_TEST

START_TEST(a_batch_is_applied_up_to_its_gap)
{
    AUTO_CLEAR(batch) b;

    open_account();
    for (int i = 0; i < 3; i++)
        tell((struct fact){.kind = CALL, .amount = 5});
    batch_init(&b);
    start(&b, 0);
    add_fact(&b, &story.facts[0][1]);
    add_fact(&b, &story.facts[0][3]);
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, "GAP 2 ", 6) == 0, "%s", answer);
    expect_field("tg:{a17}:account:acct0", "balance", "-5");
    apply(0, 3, 4, "OK 4 ");
    expect_field("tg:{a17}:account:acct0", "balance", "-15");
}
END_TEST

START_TEST(the_same_number_with_another_crc_is_a_conflict)
{
    open_account();
    snprintf(story.facts[0][0].line, sizeof story.facts[0][0].line, "{another}");
    tell((struct fact){.kind = CALL, .amount = 5});
    apply(0, 1, 2, "CONFLICT 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "0");
}
END_TEST

START_TEST(another_installation_is_refused_and_nothing_is_written)
{
    AUTO_CLEAR(batch) b;

    open_account();
    free(fixture_ask(&redis, "HSET tg:{a17}:state installation inst-1 partitions 64"));
    AUTO_STRING before = fixture_dump(&redis);
    batch_init(&b);
    batch_start(&b, account_partition, "inst-2", "w-x", FROM_JOURNAL);
    add_fact(&b, &story.facts[0][0]);
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_str_eq(answer, "INSTALLATION inst-1 64");
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

/* Not even what it had shipped before is a duplicate: its process must learn it. */
START_TEST(of_a_retired_writer_only_what_the_archive_has_is_applied)
{
    AUTO_CLEAR(batch) b;

    open_account();
    tell((struct fact){.kind = CALL, .amount = 5});
    set_field("tg:{a17}:state", "retired w-a", "fenced");
    AUTO_STRING before = fixture_dump(&redis);
    apply(0, 1, 2, "RETIRED fenced");
    apply(0, 1, 1, "RETIRED fenced");
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
    batch_init(&b);
    batch_start(&b, account_partition, INSTALLATION, "w-a", FROM_ARCHIVE);
    add_fact(&b, &story.facts[0][1]);
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, "OK 2 ", 5) == 0, "%s", answer);
    expect_field("tg:{a17}:account:acct0", "balance", "-5");
}
END_TEST

START_TEST(a_partition_whose_script_failed_midway_is_parked_and_never_retried)
{
    open_account();
    tell((struct fact){.kind = CALL, .amount = 5});
    set_field("tg:{a17}:state", "applying", "w-a 2");
    apply(0, 2, 2, "PARKED a script failed midway at record w-a 2");
    freeReplyObject(fixture_command(&redis, "HDEL tg:{a17}:state applying"));
    apply(0, 2, 2, "PARKED a script failed midway");
    expect_field("tg:{a17}:account:acct0", "balance", "0");
}
END_TEST

/* Whatever key has a wrong type: the record before it is whole, the record itself left no trace but its parking. */
START_TEST(a_key_of_a_wrong_type_parks_before_its_record_wrote_anything)
{
    static const char *const keys[] = {"account:acct0", "holds:acct0", "debits:2026-11",
                                       "events:acct0", "index:acct0"};

    open_account();
    tell((struct fact){.kind = ACCOUNT, .subject = 1, .revision = 1});
    tell((struct fact){.kind = CALL, .amount = 5});
    freeReplyObject(fixture_command(&redis, "DEL tg:{a17}:%s", keys[_i]));
    freeReplyObject(fixture_command(&redis, "SET tg:{a17}:%s text", keys[_i]));
    apply(0, 2, 3, "PARKED record w-a 3: ");
    ck_assert_uint_eq(cursor_of(0), 2);
    AUTO_STRING dump = fixture_dump(&redis);
    ck_assert_ptr_null(strstr(dump, "call-w-a-3"));
    if (_i > 0)
        expect_field("tg:{a17}:account:acct0", "balance", "0");
}
END_TEST

START_TEST(a_request_id_is_never_charged_twice)
{
    open_account();
    tell((struct fact){.kind = CALL, .amount = 5});
    struct fact *again = tell((struct fact){.kind = CALL, .writer = 1, .amount = 5});
    snprintf(again->line, sizeof again->line, "%s", story.facts[0][1].line);
    apply(0, 2, 2, "OK 2 ");
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "-5");
    expect_field("tg:{a17}:suspense", "w-b 1", "request-id-was-charged-already {call-w-a-2}");
}
END_TEST

/* The time of the later of two calls stays, whichever is applied last. */
START_TEST(what_is_past_counts_and_enters_no_stream)
{
    static const int64_t times[] = {1790000000123, 1780000000000};
    AUTO_CLEAR(batch) b;

    open_account();
    tell((struct fact){.kind = CALL, .amount = 5});
    tell((struct fact){.kind = CALL, .amount = 7});
    tell((struct fact){.kind = CREDIT, .amount = 100});
    batch_init(&b);
    start(&b, 0);
    for (size_t i = 0; i < 3; i++) {
        batch_past(&b, times[i % 2]);
        add_fact(&b, &story.facts[0][1 + i]);
    }
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, "OK 4 ", 5) == 0, "%s", answer);
    expect_field("tg:{a17}:account:acct0", "balance", "88");
    expect_field("tg:{a17}:debits:2026-11", "acct0 CNY calls", "2");
    expect_field("tg:{a17}:trimmed", "acct0", "1790000000123-0");
    AUTO_STRING dump = fixture_dump(&redis);
    ck_assert_ptr_null(strstr(dump, "{call-w-a-2}"));
    ck_assert_ptr_null(strstr(dump, "{call-w-a-3}"));
    ck_assert_ptr_null(strstr(dump, "{credit-w-a-4}"));
}
END_TEST

START_TEST(a_hold_ends_with_its_call_whatever_it_costs)
{
    char room[32];

    open_account();
    struct fact *f =
        tell((struct fact){.kind = CALL, .amount = 9007199254740993, .has_hold = true});
    set_field("tg:{a17}:account:acct0", "room", "70");
    freeReplyObject(fixture_command(&redis, "HSET tg:{a17}:holds:acct0 %s %s", f->line,
                                    "30 w-a 1700000000000"));
    apply(0, 2, 2, "OK 2 ");
    snprintf(room, sizeof room, "%" PRId64, INT64_C(100) - 9007199254740993);
    expect_field("tg:{a17}:account:acct0", "room", room);
    expect_field("tg:{a17}:holds:acct0", f->line, "(nil)");
}
END_TEST

START_TEST(sums_beyond_doubles_stay_exact)
{
    open_account();
    set_field("tg:{a17}:account:acct0", "balance", "999999999999999999");
    set_field("tg:{a17}:account:acct0", "room", "9007199254740993");
    tell((struct fact){.kind = CALL, .amount = 9999999999999999});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "990000000000000000");
    expect_field("tg:{a17}:account:acct0", "room", "-992800745259006");
}
END_TEST

/* {balance, room, debits, calls before}; HINCRBY would overflow or fail at each of them. */
START_TEST(a_sum_that_could_overflow_is_left_alone)
{
    static const char *const sums[][3] = {
        {"account:acct0", "balance", "-9223372036854775807"},
        {"account:acct0", "room", "-9200000000000000000"},
        {"debits:2026-11", "acct0 CNY", "9223372036854775807"},
        {"debits:2026-11", "acct0 CNY calls", "1000000000000000000"},
        {"account:acct0", "balance", "-0"},
        {"account:acct0", "room", "1.5"},
    };
    char key[64];

    open_account();
    tell((struct fact){.kind = CALL, .amount = 9});
    tell((struct fact){.kind = CALL, .subject = 1, .amount = 9});
    snprintf(key, sizeof key, "tg:{a17}:%s", sums[_i][0]);
    set_field(key, sums[_i][1], sums[_i][2]);
    apply(0, 2, 3, "OK 3 ");
    expect_field(key, sums[_i][1], sums[_i][2]);
    expect_field("tg:{a17}:suspense", "w-a 2", "sum-is-too-large {call-w-a-2}");
    expect_field("tg:{a17}:account:acct1", "foreign:CNY", "-9");
}
END_TEST

#define BEHIND_THE_AMOUNT 4 /* fields of a call, itself included */

START_TEST(text_that_is_no_amount_is_set_aside)
{
    static const char *const texts[] = {"-0",
                                        "--5",
                                        "+5",
                                        "05",
                                        "5.0",
                                        "",
                                        "1e3",
                                        " 5",
                                        "0x5",
                                        "10000000000000000",
                                        "-10000000000000000",
                                        "nan",
                                        "-5"};
    AUTO_CLEAR(batch) b;

    open_account();
    struct fact *f = tell((struct fact){.kind = CALL, .amount = 9});
    batch_init(&b);
    start(&b, 0);
    add_fact(&b, f);
    b.args.piece[b.args.count - BEHIND_THE_AMOUNT] = (struct piece){b.bytes.len, strlen(texts[_i])};
    buf_add_string(&b.bytes, texts[_i]);
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, "OK 2 ", 5) == 0, "%s", answer);
    expect_field("tg:{a17}:suspense", "w-a 2", "amount-is-out-of-range {call-w-a-2}");
    expect_field("tg:{a17}:account:acct0", "balance", "0");
}
END_TEST

START_TEST(numbers_go_up_to_the_last_exact_double_and_no_further)
{
    static const struct {
        uint64_t cursor, n;
        const char *answer;
    } rows[] = {
        {9007199254740990, 9007199254740991, "OK 9007199254740991 "},
        {9007199254740991, 9007199254740992, "OK 9007199254740992 "},
        {9007199254740992, 9007199254740993, "MALFORMED 9007199254740993"},
        {9007199254740990, 9007199254740992, "GAP 9007199254740990 "},
    };
    char cursor[64];

    open_account();
    struct fact *f = tell((struct fact){.kind = CALL, .amount = 9});
    snprintf(cursor, sizeof cursor, "%" PRIu64 " 00000000", rows[_i].cursor);
    set_field("tg:{a17}:cursors", "w-a", cursor);
    f->n = rows[_i].n;
    apply(0, 2, 2, rows[_i].answer);
}
END_TEST

START_TEST(a_malformed_batch_writes_nothing)
{
    AUTO_CLEAR(batch) b;

    open_account();
    AUTO_STRING before = fixture_dump(&redis);
    tell((struct fact){.kind = CALL, .amount = 9});
    tell((struct fact){.kind = CALL, .amount = 9});
    batch_init(&b);
    start(&b, 0);
    add_fact(&b, &story.facts[0][1]);
    add_fact(&b, &story.facts[0][2]);
    b.args.count--;
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_str_eq(answer, "MALFORMED 3");
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("apply_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_record_counts_once_however_often_it_is_sent);
    tcase_add_test(t, a_gap_changes_nothing);
    tcase_add_test(t, a_batch_is_applied_up_to_its_gap);
    tcase_add_test(t, the_same_number_with_another_crc_is_a_conflict);
    tcase_add_test(t, another_installation_is_refused_and_nothing_is_written);
    tcase_add_test(t, of_a_retired_writer_only_what_the_archive_has_is_applied);
    tcase_add_test(t, a_partition_whose_script_failed_midway_is_parked_and_never_retried);
    tcase_add_loop_test(t, a_key_of_a_wrong_type_parks_before_its_record_wrote_anything, 0, 5);
    tcase_add_test(t, a_request_id_is_never_charged_twice);
    tcase_add_test(t, what_is_past_counts_and_enters_no_stream);
    tcase_add_test(t, a_hold_ends_with_its_call_whatever_it_costs);
    tcase_add_test(t, sums_beyond_doubles_stay_exact);
    tcase_add_loop_test(t, a_sum_that_could_overflow_is_left_alone, 0, 6);
    tcase_add_loop_test(t, text_that_is_no_amount_is_set_aside, 0, 13);
    tcase_add_loop_test(t, numbers_go_up_to_the_last_exact_double_and_no_further, 0, 4);
    tcase_add_test(t, a_malformed_batch_writes_nothing);
    return run_tests(t, "apply_script");
}
