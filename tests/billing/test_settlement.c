/* test_settlement.c - closing a period: what comes out, that it stays, and that money is carried. */
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "billing/closes.h"
#include "billing/journal.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define DECEMBER "2026-12-01T09:00:00Z"

START_TEST(a_close_has_a_statement_for_every_creator)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING dir = close_dir(w->archive, period_text("2026-11"));

    world_close(w, "2026-11");
    AUTO_STRING csv = file_text(dir, "statements.csv");
    AUTO_STRING lines = file_text(dir, "lines.csv");
    AUTO_STRING jsonl = file_text(dir, "statements.jsonl");
    /* ann/chat: 2.469134 + 0.00001 = 2.469144, of it 70 % are 1.7284008; ann/duo: 0.002002, pool
     * 0.0014014, two thirds of it. */
    ck_assert_str_eq(
        csv, "statement,creator,period,currency,opening,gross,refunds,earned,adjustments,tax,"
             "payout,closing\r\n"
             "2026-11-000001,ann,2026-11,CNY,0,2.470478667,0,1.729335067,0,0,1.72,0.009335067\r\n"
             "2026-11-000002,bob,2026-11,CNY,0,0.000667333,0,0.000467133,0,0,0,0.000467133\r\n");
    ck_assert_str_eq(
        lines,
        "statement,creator,period,currency,orig_period,model,contract,share_bp,owners,weight,"
        "model_calls,model_gross,model_refunds,model_net,gross,refunded,earned,refunds,"
        "platform\r\n"
        "2026-11-000001,ann,2026-11,CNY,2026-11,ann/"
        "chat,ann@2026-01-01T00:00:00.000Z,7000,ann:1,1,2,2.469144,0,2.469144,"
        "2.469144,0,1.7284008,0,0.7407432\r\n"
        "2026-11-000001,ann,2026-11,CNY,2026-11,ann/"
        "duo,ann@2026-01-01T00:00:00.000Z,7000,\"ann:2,bob:1\",2,1,0.002002,0,0.002002,"
        "0.001334667,0,0.000934267,0,0.0004004\r\n"
        "2026-11-000002,bob,2026-11,CNY,2026-11,ann/"
        "duo,ann@2026-01-01T00:00:00.000Z,7000,\"ann:2,bob:1\",1,1,0.002002,0,0.002002,"
        "0.000667333,0,0.000467133,0,0.0002002\r\n");
    ck_assert_ptr_nonnull(strstr(
        jsonl, "{\"statement\":\"2026-11-000001\",\"creator\":\"ann\",\"period\":\"2026-11\","
               "\"currency\":\"CNY\",\"opening\":\"0\",\"gross\":\"2.470478667\",\"refunds\":\"0\","
               "\"earned\":\"1.729335067\",\"adjustments\":\"0\",\"tax\":\"0\",\"payout\":\"1.72\","
               "\"closing\":\"0.009335067\"}\n"));
    ck_assert_ptr_nonnull(
        strstr(jsonl, "\"platform\":\"0.7413438\",\"books\":{\"clients\":\"-2.471146\","
                      "\"platform\":\"0.7413438\",\"payable\":\"0.0098022\",\"payouts\":\"1.72\","
                      "\"brought_forward\":\"0\"}}]}\n"));
    world_free(w);
}
END_TEST

START_TEST(events_stand_in_the_order_of_their_ends)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING dir = close_dir(w->archive, period_text("2026-11"));
    const unsigned order[] = {1, 0, 2};
    const char *at;

    world_close(w, "2026-11");
    run_command("zstd -qd %s/events.jsonl.zst -o %s/events.jsonl", dir, w->top);
    AUTO_STRING events = file_text(w->top, "events.jsonl");
    at = events;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        at = strstr(at, w->event[order[i]].request_id);
        ck_assert_ptr_nonnull(at);
    }
    world_free(w);
}
END_TEST

START_TEST(closing_again_and_exporting_give_the_same_bytes)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING dir = close_dir(w->archive, period_text("2026-11"));
    AUTO_STRING out = world_path(w, "out");
    AUTO_STRING again = world_path(w, "again");
    AUTO_CLEAR(settlement_report) report = {0};
    AUTO_CLEAR(settlement_report) exported = {0};
    struct err err;

    world_close(w, "2026-11");
    world_clock("2027-02-01T00:00:00Z");
    w->redis_is_away = true;
    ck_assert(settlement_close(&w->sources, period_text("2026-11"), out, &report, &err));
    ck_assert(report.was_kept);
    ck_assert(dirs_are_equal(dir, out));
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(settlement_export(w->archive, period_text("2026-11"), again, &exported, &err),
                      "%s", err.text);
        ck_assert(dirs_are_equal(dir, again));
    }
    ck_assert_str_eq(exported.dir, again);
    ck_assert_uint_eq(json_array_size(exported.statements), 3);
    world_free(w);
}
END_TEST

START_TEST(an_export_never_mixes_with_other_files)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");
    AUTO_CLEAR(settlement_report) report = {0};
    struct err err = {0};

    ck_assert(!settlement_export(w->archive, period_text("2026-11"), out, &report, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    world_close(w, "2026-11");
    run_command("mkdir %s && touch %s/payouts.csv", out, out);
    ck_assert(!settlement_export(w->archive, period_text("2026-11"), out, &report, &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.text, "payouts.csv"));
    world_free(w);
}
END_TEST

START_TEST(a_bundle_is_never_replaced_by_one_of_another_period_or_kind)
{
    struct world *w = world_november("2026-11-30T00:00:00Z");
    AUTO_STRING out = world_path(w, "out");
    AUTO_STRING csv = NULL;
    AUTO_STRING kept = NULL;
    struct settlement_report report = {0};
    struct err err = {0};

    ck_assert(settlement_preview(&w->sources, period_text("2026-11"), out, &report, &err));
    csv = file_text(out, "statements.csv");
    settlement_report_clear(&report);
    ck_assert(!settlement_preview(&w->sources, period_text("2026-12"), out, &report, &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.text, "holds the preview of 2026-11"));
    settlement_report_clear(&report);
    world_clock(DECEMBER);
    ck_assert(!settlement_close(&w->sources, period_text("2026-11"), out, &report, &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    ck_assert(!close_exists(w->archive, period_text("2026-11")));
    world_close(w, "2026-11");
    ck_assert(!settlement_export(w->archive, period_text("2026-11"), out, &report, &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    kept = file_text(out, "statements.csv");
    ck_assert_str_eq(kept, csv);
    settlement_report_clear(&report);
    world_free(w);
}
END_TEST

/* November's world with a call in December, sealed; the clock in January. */
static void go_on_to_december(struct world *w)
{
    struct event e;

    e = world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 3, "2026-12-03T10:00:00.000Z");
    world_forget_sums(w);
    world_write(w, 0, &e);
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    world_clock("2027-01-01T00:00:00Z");
}

START_TEST(a_closing_balance_is_the_next_opening)
{
    struct world *w = world_november(DECEMBER);

    world_close(w, "2026-11");
    go_on_to_december(w);
    world_close(w, "2026-12");
    AUTO_STRING dir = close_dir(w->archive, period_text("2026-12"));
    AUTO_STRING csv = file_text(dir, "statements.csv");
    /* bob earned nothing, but what he has left is stated again. 0.009335067 + 0.0000042. */
    ck_assert_ptr_nonnull(strstr(csv,
                                 "2026-12-000001,ann,2026-12,CNY,0.009335067,0.000006,0,0.0000042,"
                                 "0,0,0,0.009339267\r\n"));
    ck_assert_ptr_nonnull(
        strstr(csv, "2026-12-000002,bob,2026-12,CNY,0.000467133,0,0,0,0,0,0,0.000467133\r\n"));
    world_free(w);
}
END_TEST

/* The first line stays; what follows can no longer be read as records. */
static void spoil_lines(const struct world *w, unsigned writer, uint64_t segment)
{
    AUTO_STRING path = archive_path(w->archive, w->writer[writer].id, segment);

    run_command("zstd -dcq %s | sed '2,$s/{/[/' | zstd -qf -o %s.new - && mv %s.new %s", path, path,
                path, path);
}

START_TEST(only_segments_that_may_hold_the_period_are_read)
{
    struct world *w = world_november(DECEMBER);
    struct err err;

    world_close(w, "2026-11");
    go_on_to_december(w);
    spoil_lines(w, 1, 1); /* calls of November alone */
    world_close(w, "2026-12");
    AUTO_STRING december = close_dir(w->archive, period_text("2026-12"));
    AUTO_STRING november = close_dir(w->archive, period_text("2026-11"));
    struct settlement_proof proof = {.dir = december, .archive = w->archive};
    struct settlement_verdict verdict;
    ck_assert_msg(settlement_verify(&proof, &verdict, &err), "%s", err.text);
    proof.dir = november;
    ck_assert(!settlement_verify(&proof, &verdict, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "00000001.jsonl.zst"));
    world_free(w);
}
END_TEST

START_TEST(a_preview_needs_no_end_of_the_period)
{
    struct world *w = world_new("2026-11-20T00:00:00Z");
    AUTO_STRING out = world_path(w, "out");
    AUTO_CLEAR(settlement_report) report = {0};
    struct event e;
    struct err err;

    world_begin(w, 0, "2026-11");
    world_contract(w, 0, "ann", WORLD_FROM, 7000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2.00", "8.00");
    for (int i = 0; i < 2; i++) {
        e = world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 1000000,
                        "2026-11-03T10:00:00.000Z");
        world_write(w, 0, &e);
        world_archive(w, 0);
        ck_assert_msg(settlement_preview(&w->sources, period_text("2026-11"), out, &report, &err),
                      "%s", err.text);
        AUTO_STRING csv = file_text(out, "statements.csv");
        AUTO_STRING manifest = file_text(out, "manifest.json");
        ck_assert_ptr_nonnull(strstr(csv, i == 0 ? "preview,ann,2026-11,CNY,0,2,0,1.4,0,0,1.4,0"
                                                 : "preview,ann,2026-11,CNY,0,4,0,2.8,0,0,2.8,0"));
        ck_assert_ptr_nonnull(strstr(manifest, "\"kind\":\"preview\""));
        ck_assert_ptr_nonnull(strstr(manifest, i == 0 ? "\"segments\":1" : "\"segments\":2"));
        ck_assert_ptr_nonnull(strstr(manifest, "\"sealed_at\":null"));
        settlement_report_clear(&report);
    }
    ck_assert(settlement_preview(&w->sources, period_text("2026-11"), NULL, &report, &err));
    ck_assert_ptr_null(report.dir);
    ck_assert_uint_eq(json_array_size(report.statements), 2);
    ck_assert(!close_exists(w->archive, period_text("2026-11")));
    world_free(w);
}
END_TEST

/* Opens what a worker or the console would, and lets `fill` write. */
static void run_journal(const struct journal_config *config,
                        void (*fill)(struct journal *j, void *), void *arg)
{
    int notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct err err;
    AUTO(journal) j = journal_open(config, NULL, &err);
    size_t added;

    ck_assert_msg(j != NULL, "%s", err.text);
    ck_assert_msg(journal_start(j, notify_fd, &err), "%s", err.text);
    if (fill)
        fill(j, arg);
    journal_free(KEEP(j));
    close(notify_fd);
    ck_assert_msg(archive_add_sealed(config->archive, config->root, &added, &err), "%s", err.text);
    ck_assert_uint_ge(added, 1);
}

static void change(struct journal *j, const char *object, const char *id, const char *body)
{
    AUTO_STRING record = xasprintf("{\"object\":\"%s\",\"id\":\"%s\",\"revision\":1,"
                                   "\"at\":\"2026-11-01T00:00:00.000Z\",\"op\":\"1\",\"body\":%s}",
                                   object, id, body);
    const struct journal_change change = {RECORD_CATALOGUE, span_of(record), partition_catalogue()};
    struct err err;

    ck_assert_msg(journal_change(j, &change, NULL, NULL, &err), "%s", err.text);
}

static void sell_three(struct journal *j, void *arg)
{
    struct world *w = arg;

    change(j, "contract", "ann@" WORLD_FROM,
           "{\"creator\":\"ann\",\"from\":\"" WORLD_FROM "\",\"share_bp\":7000}");
    change(j, "price", "basic@" WORLD_FROM,
           "{\"id\":\"basic\",\"from\":\"" WORLD_FROM
           "\",\"currency\":\"CNY\",\"units\":{\"input_tokens\":\"2\"}}");
    for (int i = 0; i < 3; i++) {
        struct event e =
            world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 1000000, "2026-11-10T00:00:00Z");

        ck_assert(journal_reserve(j, NULL));
        e.started_at = e.ended_at = journal_now(j) / NANOS_PER_MS * NANOS_PER_MS;
        journal_begin(j, &e, NULL, NULL);
        journal_call(j, &e, NULL, NULL);
        ledger_sums_add_event(&w->redis, &e);
    }
}

START_TEST(what_journals_wrote_and_sealed_is_closed)
{
    struct world *w = world_new("2026-11-10T00:00:00Z");
    AUTO_STRING root = world_path(w, "journal");
    AUTO_STRING dir = close_dir(w->archive, period_text("2026-11"));
    const struct journal_config config = {.root = root,
                                          .archive = w->archive,
                                          .installation = WORLD_INSTALLATION,
                                          .segment_bytes = 1 << 20,
                                          .segment_age_ms = 3600000};
    struct settlement_verdict v;
    struct err err;

    world_begin(w, 3, "2026-12");
    world_price(w, 3, "basic", WORLD_FROM, "CNY", "2", "8");
    ck_assert(dir_ensure(root, 0700, NULL));
    run_journal(&config, sell_three, w);
    world_refuses(w, "2026-11", "has not sealed 2026-11");
    world_clock(DECEMBER);
    run_journal(&config, NULL, NULL);
    world_close(w, "2026-11");
    AUTO_STRING csv = file_text(dir, "statements.csv");
    ck_assert_ptr_nonnull(strstr(csv, "2026-11-000001,ann,2026-11,CNY,0,6,0,4.2,0,0,4.2,0\r\n"));
    ck_assert_msg(
        settlement_verify(&(struct settlement_proof){.dir = dir, .archive = w->archive}, &v, &err),
        "%s", err.text);
    ck_assert_int_eq(v.events, 3);
    world_free(w);
}
END_TEST

/* Some writers, models and accounts; ends in any order, many in the same millisecond. */
START_TEST(a_random_month_closes_and_proves_itself)
{
    static const char *const owners[] = {"ann:1", "ann:3,bob:2", "ann:1,bob:1,cid:1", "bob:1"};
    static const int64_t shares[] = {7000, 7000, 7000, 8000};
    struct world *w = world_new(DECEMBER);
    AUTO_STRING dir = close_dir(w->archive, period_text("2026-11"));
    AUTO_STRING out = world_path(w, "events.jsonl");
    int64_t last = 0, first = period_start(period_text("2026-11")) / NANOS_PER_MS;
    struct settlement_verdict v;
    struct err err;
    char *at, *line;

    for (unsigned i = 0; i < 3; i++)
        world_begin(w, i, "2026-11");
    world_contract(w, 2, "ann", WORLD_FROM, 7000);
    world_contract(w, 0, "bob", WORLD_FROM, 8000);
    world_price(w, 2, "cny", WORLD_FROM, "CNY", "2.00", "8.00");
    world_price(w, 1, "jpy", WORLD_FROM, "JPY", "0.123456789", "8");
    for (int i = 0; i < 300; i++) {
        unsigned kind = (unsigned)rand_below(4), writer = (unsigned)rand_below(3);
        char ended[CLOCK_TEXT], model[32], account[32];
        struct event e;

        clock_format((first + (int64_t)rand_below(40) * 60000000) * NANOS_PER_MS, ended);
        snprintf(model, sizeof model, "%.3s/m%u", owners[kind], kind);
        snprintf(account, sizeof account, "account-%llu", (unsigned long long)rand_below(5));
        e = world_event(w, account, model, (size_t)rand_below(2), owners[kind], shares[kind],
                        (int64_t)rand_below(3000000), ended);
        world_write(w, writer, &e);
        if (rand_below(50) == 0)
            world_archive(w, writer);
    }
    for (unsigned i = 0; i < 3; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    world_close(w, "2026-11");
    ck_assert_msg(
        settlement_verify(&(struct settlement_proof){.dir = dir, .archive = w->archive}, &v, &err),
        "%s", err.text);
    ck_assert_int_eq(v.events, 300);
    run_command("zstd -qd %s/events.jsonl.zst -o %s", dir, out);
    AUTO_STRING events = file_text(w->top, "events.jsonl");
    for (at = events; (line = strsep(&at, "\n")) && *line;) {
        int64_t ended;
        char *time = strstr(line, "\"ended_at\":\"") + 12;

        ck_assert(clock_parse((struct span){time, 24}, &ended, NULL));
        ck_assert_int_ge(ended, last);
        last = ended;
    }
    world_free(w);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("settlement");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_close_has_a_statement_for_every_creator);
    tcase_add_test(tcase, events_stand_in_the_order_of_their_ends);
    tcase_add_test(tcase, closing_again_and_exporting_give_the_same_bytes);
    tcase_add_test(tcase, an_export_never_mixes_with_other_files);
    tcase_add_test(tcase, a_bundle_is_never_replaced_by_one_of_another_period_or_kind);
    tcase_add_test(tcase, a_closing_balance_is_the_next_opening);
    tcase_add_test(tcase, only_segments_that_may_hold_the_period_are_read);
    tcase_add_test(tcase, a_preview_needs_no_end_of_the_period);
    tcase_add_test(tcase, what_journals_wrote_and_sealed_is_closed);
    tcase_add_test(tcase, a_random_month_closes_and_proves_itself);
    return run_tests(tcase, "settlement");
}
