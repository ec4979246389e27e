/* test_settlement_refusal.c - every reason for which a period is not closed, and that each is named. */
#include <stdio.h>

#include "billing/closes.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define DECEMBER "2026-12-01T09:00:00Z"

START_TEST(a_first_line_that_belies_its_records_is_found)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING path = archive_path(w->archive, w->writer[1].id, 1);

    run_command("zstd -dcq %s | sed '1s/\"events\":0/\"events\":1/' | zstd -qf -o %s.new - && mv "
                "%s.new %s",
                path, path, path, path);
    world_refuses(w, "2026-11", "does not hold what its first line states");
    world_free(w);
}
END_TEST

START_TEST(a_running_period_is_not_closed)
{
    struct world *w = world_november("2026-11-30T15:59:59Z");

    world_refuses(w, "2026-11", "2026-11 is not over: it ends at 2026-11-30T16:00:00.000Z");
    world_clock("2026-11-30T16:00:01Z");
    world_close(w, "2026-11");
    world_free(w);
}
END_TEST

START_TEST(a_period_before_the_first_writer_is_not_closed)
{
    struct world *w = world_november(DECEMBER);

    world_refuses(w, "2026-10", "nothing was metered in 2026-10");
    world_close(w, "2026-11");
    world_free(w);
}
END_TEST

START_TEST(clocks_must_agree)
{
    struct world *w = world_november(DECEMBER);

    w->redis_ahead = -70 * NANOS_PER_SECOND;
    world_refuses(w, "2026-11", "clocks of this machine and of Redis are 70 s apart");
    w->redis_ahead = 50 * NANOS_PER_SECOND;
    world_close(w, "2026-11");
    world_free(w);
}
END_TEST

START_TEST(redis_must_be_there)
{
    struct world *w = world_november(DECEMBER);

    w->redis_is_away = true;
    world_refuses(w, "2026-11", "Redis cannot be compared with the archive: connection refused");
    world_free(w);
}
END_TEST

START_TEST(a_difference_of_one_nano_is_named)
{
    static const char *const names[SIDES] = {
        "acme CNY", "ann/duo 2026-11-02 CNY ann@2026-01-01T00:00:00.000Z 7000 ann:2,bob:1"};

    for (int side = 0; side < SIDES; side++) {
        struct world *w = world_november(DECEMBER);

        ck_assert_ptr_nonnull(sum_table_find(w->redis.side[side], span_of(names[side])));
        sum_table_row(w->redis.side[side], span_of(names[side]))->nanos++;
        world_refuses(w, "2026-11", names[side]);
        world_refuses(
            w, "2026-11",
            side == SIDE_ACCOUNT
                ? "has 2.471136001 in 2 calls in Redis, but 2.471136 in 2 calls in the archive"
                : "has 0.002002001 in 1 calls in Redis");
        world_refuses(w, "2026-11", side == SIDE_ACCOUNT ? "partition a" : "partition m");
        sum_table_row(w->redis.side[side], span_of(names[side]))->nanos--;
        sum_table_row(w->redis.side[side], span_of(names[side]))->calls++;
        world_refuses(w, "2026-11", names[side]);
        sum_table_row(w->redis.side[side], span_of(names[side]))->calls--;
        sum_table_row(w->redis.side[side], SPAN("zed CNY"))->nanos = 1;
        world_refuses(w, "2026-11",
                      "zed CNY\" has 0.000000001 in 0 calls in Redis, but nothing in the archive");
        world_free(w);
    }
}
END_TEST

START_TEST(suspense_must_be_empty)
{
    struct world *w = world_november(DECEMBER);

    reasons_add(&w->redis.suspense, "suspense of partition a17 is not empty: \"w 1\" why");
    world_refuses(w, "2026-11", "suspense of partition a17 is not empty");
    world_free(w);
}
END_TEST

START_TEST(every_registered_writer_must_have_sealed)
{
    struct world *w = world_november(DECEMBER);

    world_begin(w, 2, "2026-11");
    world_refuses(w, "2026-11", "writer w-0000000000000003 has not sealed 2026-11");
    world_seal(w, 2);
    world_archive(w, 2);
    world_begin(w, 3, "2026-12");
    world_close(w, "2026-11");
    world_free(w);
}
END_TEST

START_TEST(a_seal_must_state_what_is_there)
{
    static const char *const wrong[] = {"states 1 records", "other sums", "other heads"};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct world *w = world_november(DECEMBER);

        world_begin(w, 2, "2026-11");
        if (i == 0)
            w->writer[2].totals.records = 1;
        if (i == 1)
            ck_assert(writer_totals_add(&w->writer[2].totals, &(struct money){5, "CNY"}, NULL));
        if (i == 2)
            w->writer[2].heads.at[0][5] = (struct record_cursor){1, 7};
        world_seal(w, 2);
        world_archive(w, 2);
        world_refuses(w, "2026-11", wrong[i]);
        world_free(w);
    }
}
END_TEST

START_TEST(earlier_events_are_closed_first)
{
    struct world *w = world_new("2026-12-01T09:00:00Z");
    AUTO_CLEAR(settlement_report) report = {0};
    struct err err;
    struct event e;

    world_begin(w, 0, "2026-10");
    world_contract(w, 0, "ann", WORLD_FROM, 7000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2.00", "8.00");
    e = world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 1000000, "2026-10-03T10:00:00.000Z");
    world_write(w, 0, &e);
    world_seal(w, 0);
    world_seal(w, 0);
    world_archive(w, 0);
    world_refuses(w, "2026-11", "2026-10 has 1 event and must be closed first");
    ck_assert(settlement_status(&w->sources, NULL, &report, &err));
    ck_assert_str_eq(report.period.text, "2026-10");
    ck_assert_uint_eq(report.reasons.count, 0);
    world_close(w, "2026-10");
    world_forget_sums(w);
    world_close(w, "2026-11");
    world_refuses(w, "2026-09", "2026-11 is closed already");
    world_free(w);
}
END_TEST

START_TEST(a_damaged_archive_is_refused)
{
    static const struct {
        const char *command, *says;
    } damages[] = {
        {"truncate -s -20 %s/w-0000000000000002/00000001.jsonl.zst", "00000001.jsonl.zst"},
        {"rm %s/w-0000000000000002/00000001.jsonl.zst", "has not sealed 2026-11"},
        {"printf x | dd of=%s/w-0000000000000002/00000001.jsonl.zst bs=1 seek=300 conv=notrunc "
         "status=none",
         "00000001.jsonl.zst"},
        {"cd %s && cp -r w-0000000000000002 w-zzzzzzzzzzzzzzzz", "a writer that is not registered"},
    };

    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        struct world *w = world_november(DECEMBER);
        const char *dir = strstr(damages[i].command, "%s");

        run_command("%.*s%s%s", (int)(dir - damages[i].command), damages[i].command, w->archive,
                    dir + 2);
        world_refuses(w, "2026-11", damages[i].says);
        world_free(w);
    }
}
END_TEST

START_TEST(a_request_that_stands_twice_is_named)
{
    struct world *w = world_november(DECEMBER);
    struct event twin = w->event[0];

    world_begin(w, 2, "2026-11");
    world_write(w, 2, &twin);
    world_seal(w, 2);
    world_archive(w, 2);
    world_refuses(w, "2026-11", twin.request_id);
    world_refuses(w, "2026-11", "w-0000000000000001 and as record");
    world_refuses(w, "2026-11", "of writer w-0000000000000003");
    world_free(w);
}
END_TEST

START_TEST(an_amount_must_follow_from_its_price)
{
    for (int i = 0; i < 3; i++) {
        struct world *w = world_november(DECEMBER);
        AUTO_CLEAR(settlement_report) report = {0};
        struct event e =
            world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 3, "2026-11-03T10:00:00.000Z");
        struct err err = {0};

        if (i == 0)
            e.amount.nanos++;
        if (i == 1)
            snprintf(e.price, sizeof e.price, "other@%s", WORLD_FROM);
        if (i == 2)
            e.share_bp = 9999;
        world_begin(w, 2, "2026-11");
        world_write(w, 2, &e);
        world_seal(w, 2);
        world_archive(w, 2);
        ck_assert(!settlement_close(&w->sources, period_text("2026-11"), NULL, &report, &err));
        ck_assert_ptr_nonnull(strstr(err.text, e.request_id));
        ck_assert(!close_exists(w->archive, period_text("2026-11")));
        world_free(w);
    }
}
END_TEST

START_TEST(status_says_what_is_missing)
{
    struct world *w = world_november(DECEMBER);
    AUTO_CLEAR(settlement_report) report = {0};
    AUTO_CLEAR(buf) text = {.max = 65536};
    AUTO_JSON json = NULL;
    struct err err;
    struct jw jw;

    w->redis_is_away = true;
    ck_assert(settlement_status(&w->sources, NULL, &report, &err));
    ck_assert_str_eq(report.period.text, "2026-11");
    ck_assert_int_eq(report.state, SETTLEMENT_OVER);
    ck_assert_uint_eq(report.reasons.count, 1);
    ck_assert_uint_eq(report.period_count, 1);
    ck_assert_uint_eq(report.periods[0].events, 3);
    ck_assert_uint_eq(report.writer_count, 2);
    ck_assert(report.writers[0].is_sealed);
    jw_init(&jw, &text);
    settlement_report_json(&report, &jw);
    json = json_parse(buf_span(&text), &err);
    ck_assert_msg(json != NULL, "%s", err.text);
    ck_assert_str_eq(json_string_value(json_object_get(json, "state")), "over");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "reasons")), 1);
    world_free(w);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("refusal");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_first_line_that_belies_its_records_is_found);
    tcase_add_test(tcase, a_running_period_is_not_closed);
    tcase_add_test(tcase, a_period_before_the_first_writer_is_not_closed);
    tcase_add_test(tcase, clocks_must_agree);
    tcase_add_test(tcase, redis_must_be_there);
    tcase_add_test(tcase, a_difference_of_one_nano_is_named);
    tcase_add_test(tcase, suspense_must_be_empty);
    tcase_add_test(tcase, every_registered_writer_must_have_sealed);
    tcase_add_test(tcase, a_seal_must_state_what_is_there);
    tcase_add_test(tcase, earlier_events_are_closed_first);
    tcase_add_test(tcase, a_damaged_archive_is_refused);
    tcase_add_test(tcase, a_request_that_stands_twice_is_named);
    tcase_add_test(tcase, an_amount_must_follow_from_its_price);
    tcase_add_test(tcase, status_says_what_is_missing);
    return run_tests(tcase, "settlement_refusal");
}
