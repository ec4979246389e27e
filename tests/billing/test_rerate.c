/* test_rerate.c - a month rated once more by the versions that its events name. */
#include <stdio.h>

#include "billing/rerate.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define DECEMBER "2026-12-02T00:00:00Z"
#define LATER    "2026-11-20T00:00:00.000Z" /* when a second version takes effect */

static struct rerate rerate(const struct world *w)
{
    struct rerate r;
    struct err err;

    ck_assert_msg(rerate_period(w->archive, WORLD_INSTALLATION, period_text("2026-11"), &r, &err),
                  "%s", err.text);
    return r;
}

static char *rows_of(const struct rerate *r)
{
    struct buf out = {.max = 4096};
    struct jw w;

    for (size_t i = 0; i < sum_table_count(r->booked); i++) {
        jw_init(&w, &out);
        rerate_write(r, i, &w);
        buf_add_char(&out, '\n');
    }
    return out.data;
}

START_TEST(a_month_costs_what_was_charged)
{
    struct world *w = world_november(DECEMBER);
    AUTO_CLEAR(rerate) r = rerate(w);
    int128 total = 0, events = 0;

    for (size_t i = 0; i < sum_table_count(r.booked); i++) {
        const struct sum *booked = sum_table_at(r.booked, i);
        const struct sum *again = sum_table_find(r.rerated, span_of(booked->name));

        ck_assert_ptr_nonnull(again);
        ck_assert(again->nanos == booked->nanos && again->calls == 0);
        total += booked->nanos;
        events += booked->calls;
    }
    for (size_t i = 0; i < w->event_count; i++)
        total -= w->event[i].amount.nanos;
    ck_assert(total == 0 && events == (int128)w->event_count && events > 0);
    ck_assert_uint_eq(r.differences.count, 0);
    world_free(w);
}
END_TEST

/* Each by its own version, though the catalogue's record of the second stands behind the calls. */
START_TEST(every_event_is_rated_by_the_version_that_it_names)
{
    struct world *w = world_new(DECEMBER);
    struct event before, after;

    world_begin(w, 0, "2026-11");
    world_contract(w, 0, "alice", WORLD_FROM, 7000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2", "8");
    world_price(w, 0, "basic", LATER, "CNY", "200", "800");
    before = world_event(w, "acme", "alice/m", 0, "alice:1", 7000, 1000000, "2026-11-10T00:00:00Z");
    after = world_event(w, "acme", "alice/m", 1, "alice:1", 7000, 1000000, "2026-11-21T00:00:00Z");
    world_write(w, 0, &before);
    world_write(w, 0, &after);
    world_seal(w, 0);
    world_archive(w, 0);
    AUTO_CLEAR(rerate) r = rerate(w);
    AUTO_STRING rows = rows_of(&r);
    ck_assert_uint_eq(r.differences.count, 0);
    ck_assert_int_gt(after.amount.nanos, 99 * before.amount.nanos);
    ck_assert_ptr_nonnull(strstr(rows, "\"model\":\"alice/m\",\"currency\":\"CNY\",\"events\":2,"));
    ck_assert_ptr_nonnull(strstr(rows, "\"difference\":\"0\",\"different\":0}"));
    world_free(w);
}
END_TEST

START_TEST(what_was_booked_by_another_price_is_found_to_the_nano)
{
    struct world *w = world_new(DECEMBER);
    struct event good, wrong, lost;

    world_begin(w, 0, "2026-11");
    world_contract(w, 0, "alice", WORLD_FROM, 7000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2", "8");
    good = world_event(w, "acme", "alice/m", 0, "alice:1", 7000, 1000000, "2026-11-10T00:00:00Z");
    wrong = lost = good;
    request_id_make(wrong.request_id);
    request_id_make(lost.request_id);
    wrong.amount.nanos += 1;
    snprintf(lost.price, sizeof lost.price, "basic@" LATER);
    world_write(w, 0, &good);
    world_write(w, 0, &wrong);
    world_write(w, 0, &lost);
    world_seal(w, 0);
    world_archive(w, 0);
    AUTO_CLEAR(rerate) r = rerate(w);
    AUTO_STRING rows = rows_of(&r);
    ck_assert_uint_eq(r.differences.count, 2);
    ck_assert_ptr_nonnull(strstr(r.differences.sentence[0], wrong.request_id));
    ck_assert_ptr_nonnull(strstr(r.differences.sentence[0], "but price basic@"));
    ck_assert_ptr_nonnull(strstr(r.differences.sentence[1], "which is nowhere stated"));
    ck_assert_ptr_nonnull(strstr(rows, "\"events\":3,"));
    ck_assert_ptr_nonnull(strstr(rows, "\"different\":2}"));
    world_free(w);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("rerate");

    tcase_add_test(t, a_month_costs_what_was_charged);
    tcase_add_test(t, every_event_is_rated_by_the_version_that_it_names);
    tcase_add_test(t, what_was_booked_by_another_price_is_found_to_the_nano);
    return run_tests(t, "rerate");
}
