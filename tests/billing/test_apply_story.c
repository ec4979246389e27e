/* test_apply_story.c - whatever the order of writers, the duplicates, the gaps and the losses, Redis ends with what the model says
 * of the set of records, and so does a rebuild from zero. SEED=n repeats what was printed. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/apply_model.h"

static uint64_t chance;

/* A small generator of our own, so that a printed seed repeats a run. */
static uint64_t draw(uint64_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (chance >> 11) % below;
}

static int64_t draw_amount(void)
{
    static const int64_t special[] = {0, 9007199254740991, 9007199254740992, 9007199254740993,
                                      9999999999999999};

    return draw(15) ? (int64_t)draw(5000000000) : special[draw(ARRAY_LEN(special))];
}

/* Small enough that several of a call may count, and large enough that not all do. A call has one currency. */
static void draw_refund(struct fact *f)
{
    f->call = (unsigned)draw(REFUNDED);
    f->currency = f->call == 2;
    f->month = (unsigned)draw(MONTHS);
    f->amount = draw(20) ? 1 + (int64_t)draw(CHARGED * 6 / 10) : 0;
    if (draw(10) == 0)
        f->amount = CHARGED + 1;
}

static void draw_setting(struct fact *f)
{
    unsigned die = (unsigned)draw(6);

    f->form = die < 2 ? CREATE : die == 5 && f->kind == KEY ? REVOKE : LIMIT;
    f->sets_limit = f->kind == ACCOUNT && draw(2);
    f->limit = f->kind == ACCOUNT ? (int64_t)draw(3) * 1000000000 : 0;
    f->rpm = (int64_t)draw(4) * 60;
}

static struct fact draw_fact(unsigned writer)
{
    struct fact f = {.writer = writer, .subject = (unsigned)draw(ACCOUNTS), .at = (int64_t)draw(6)};
    unsigned die = (unsigned)draw(100);

    if (story.side == SIDE_MODEL)
        f.kind = die < 60 ? CALL : die < 80 ? REFUND : CATALOGUE;
    else
        f.kind = die < 55 ? CALL : die < 65 ? ACCOUNT : die < 75 ? KEY : die < 85 ? CREDIT : REFUND;
    f.revision = f.kind == CALL || f.kind == CREDIT || f.kind == REFUND ? 0 : 1 + (int64_t)draw(6);
    f.currency = f.kind != REFUND && draw(12) == 0;
    if (f.kind == CALL || f.kind == CREDIT)
        f.amount = draw_amount();
    if (f.kind == CREDIT && draw(3) == 0)
        f.amount = -f.amount;
    f.adjusts = f.kind == CREDIT && draw(3) == 0;
    f.month = f.kind == CREDIT ? (unsigned)draw(MONTHS) : 0;
    f.too_large = f.kind == CALL && f.amount > 0 && draw(40) == 0;
    f.has_hold = f.kind == CALL && !f.too_large && story.side == SIDE_ACCOUNT && draw(2);
    f.op = f.kind == CALL || f.kind == CATALOGUE ? 0 : (unsigned)draw(OPS);
    if (f.kind == ACCOUNT || f.kind == KEY)
        draw_setting(&f);
    if (f.kind == REFUND)
        draw_refund(&f);
    return f;
}

/* One writer after another, account 0 to 3 opened by the last: the order a rebuild may well have. */
static void draw_story(size_t facts)
{
    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < facts; i++)
            tell(draw_fact(w));
    for (unsigned a = 0; story.side == SIDE_ACCOUNT && a < ACCOUNTS; a++)
        tell((struct fact){.kind = ACCOUNT, .writer = WRITERS - 1, .subject = a, .revision = 3});
}

static void put_hold(const struct fact *f)
{
    char account[16], amount[32];
    char keys[8][PARTITION_KEY];
    struct span key[8], args[8];

    snprintf(account, sizeof account, "acct%u", f->subject);
    snprintf(amount, sizeof amount, "%" PRIu64, draw(4000000000));
    key[0] = partition_key(account_partition, "state", NULL, keys[0]);
    key[1] = partition_key(account_partition, "account", account, keys[1]);
    key[2] = partition_key(account_partition, "holds", account, keys[2]);
    key[3] = partition_key(account_partition, "index", account, keys[3]);
    key[4] = partition_key(account_partition, "held", NULL, keys[4]);
    key[5] = partition_key(account_partition, "rate", account, keys[5]);
    key[6] = partition_key(account_partition, "released", f->line, keys[6]);
    key[7] = partition_key(account_partition, "rate:key", "17key", keys[7]);
    args[0] = SPAN(INSTALLATION);
    args[1] = SPAN("64");
    args[2] = span_of(account);
    args[3] = span_of(writers[f->writer]);
    args[4] = SPAN("renew");
    args[5] = span_of(f->line);
    args[6] = span_of(amount);
    args[7] = SPAN(" 2026-11-22 17key demo/m");
    AUTO_STRING answer = fixture_eval(&redis, SCRIPT_HOLD, key, 8, args, 8);
    ck_assert_msg(strcmp(answer, "OK OK") == 0 || strcmp(answer, "OK OVER") == 0, "%s", answer);
}

static void step_writer(unsigned w)
{
    uint64_t cursor = cursor_of(w), from = cursor + 1, to = from + draw(7);
    unsigned die = (unsigned)draw(10);

    if (die < 2 && cursor > 0)
        from -= draw(cursor < 9 ? cursor : 9);
    if (to > story.count[w])
        to = story.count[w];
    if (die == 2 && cursor + 2 <= story.count[w]) {
        apply(w, cursor + 2, story.count[w] < cursor + 4 ? story.count[w] : cursor + 4, "GAP");
        ck_assert_uint_eq(cursor_of(w), cursor);
        return;
    }
    for (uint64_t n = from; n <= to; n++)
        if (story.facts[w][n - 1].has_hold && draw(3))
            put_hold(&story.facts[w][n - 1]);
    if (from <= to)
        apply(w, from, to, "OK");
}

static bool is_done(void)
{
    for (unsigned w = 0; w < WRITERS; w++)
        if (cursor_of(w) < story.count[w])
            return false;
    return true;
}

static void play_at_random(void)
{
    struct snapshot *earlier = fixture_snapshot(&redis);

    for (unsigned step = 0; step < 3000 && !is_done(); step++) {
        step_writer((unsigned)draw(WRITERS));
        if (draw(25) == 0) {
            snapshot_free(earlier);
            earlier = fixture_snapshot(&redis);
        }
        if (draw(40) == 0)
            fixture_restore(&redis, earlier);
    }
    snapshot_free(earlier);
    ck_assert(is_done());
}

static void play_in_order(void)
{
    for (unsigned w = 0; w < WRITERS; w++)
        for (uint64_t n = 1; n <= story.count[w]; n += 50)
            apply(w, n, n + 49 < story.count[w] ? n + 49 : story.count[w], "OK");
}

static void check_random_stories(enum partition_side side)
{
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : rand_u64() >> 16;

    for (unsigned round = 0; round < 6; round++, seed++) {
        chance = seed * 2862933555777941757U + 3037000493U;
        begin_story(side);
        draw_story(60);
        play_at_random();
        compare_with_model("at random", seed);
        freeReplyObject(fixture_command(&redis, "FLUSHALL"));
        play_in_order();
        compare_with_model("rebuilt from zero", seed);
    }
}

START_TEST(any_order_with_losses_and_repeats_ends_as_the_model_says)
{
    check_random_stories(SIDE_ACCOUNT);
}
END_TEST

START_TEST(earnings_and_catalogue_end_as_the_model_says_in_any_order)
{
    check_random_stories(SIDE_MODEL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("apply_story");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, any_order_with_losses_and_repeats_ends_as_the_model_says);
    tcase_add_test(t, earnings_and_catalogue_end_as_the_model_says_in_any_order);
    return run_tests(t, "apply_story");
}
