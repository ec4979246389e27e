/* test_apply_script.c - the apply scripts on a real Redis. Whatever the order of writers, the duplicates, the gaps and the
 * losses, Redis must end with what the model says of the set of records, and so must a rebuild from zero. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/billing/apply_story.h"

static const struct partition account_partition = {SIDE_ACCOUNT, 17};
static uint64_t chance;

/* A small generator of our own, so that a printed seed repeats a run. */
static uint64_t draw(uint64_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (chance >> 11) % below;
}

/* ---- random stories ---- */

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

static uint64_t cursor_of(unsigned writer)
{
    AUTO_STRING answer = fixture_ask(&redis, "HGET tg:{%s}:cursors %s",
                                     story.side == SIDE_ACCOUNT ? "a17" : "m00", writers[writer]);

    return strtoull(answer, NULL, 10);
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

/* ---- single claims ---- */

static void expect_field(const char *key, const char *field, const char *expected)
{
    AUTO_STRING found = fixture_ask(&redis, "HGET %s %s", key, field);

    ck_assert_msg(strcmp(found, expected) == 0, "%s %s is %s, not %s", key, field, found, expected);
}

static void set_field(const char *key, const char *field, const char *value)
{
    freeReplyObject(fixture_command(&redis, "HSET %s %s %s", key, field, value));
}

static void open_account(void)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .revision = 1});
    apply(0, 1, 1, "OK 1 ");
}

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

static struct fact refund(unsigned writer, unsigned op, int64_t at, int64_t amount)
{
    return (struct fact){.kind = REFUND, .writer = writer, .op = op, .at = at, .amount = amount};
}

START_TEST(a_refund_asked_for_of_two_writers_counts_once_and_the_first_of_them)
{
    open_account();
    tell(refund(0, 1, 20, 300));
    tell(refund(1, 1, 10, 200));
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "300");
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "200");
    expect_field("tg:{a17}:refunded", "2026-11 acct0 CNY", "200");
    expect_field("tg:{a17}:refunded", "2026-11 acct0 CNY count", "1");
    compare_with_model("two writers", 0);
}
END_TEST

START_TEST(a_refund_above_the_call_is_in_suspense_and_not_in_the_balance)
{
    open_account();
    tell(refund(0, 1, 20, 700));
    tell(refund(1, 2, 30, 700));
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "700");
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "700");
    expect_field("tg:{a17}:account:acct0", "room", "700");
    expect_field("tg:{a17}:suspense", "refund call0-0 op2", "refund-is-above-the-call 700 w-b 1");
    compare_with_model("the later of the two", 0);
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

START_TEST(the_earliest_of_a_repeated_credit_counts_also_when_it_comes_last)
{
    open_account();
    tell((struct fact){.kind = CREDIT, .amount = 700, .at = 9, .op = 1});
    tell((struct fact){.kind = CREDIT, .writer = 1, .amount = 500, .at = 3, .op = 1});
    tell((struct fact){.kind = CREDIT, .writer = 2, .amount = 900, .at = 30, .op = 1});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "700");
    apply(1, 1, 1, "OK 1 ");
    apply(2, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "500");
    expect_field("tg:{a17}:account:acct0", "room", "500");
    compare_with_model("a credit thrice", 0);
}
END_TEST

/* As two consoles may have written them while neither knew of the other. */
START_TEST(of_a_credit_and_an_adjustment_of_one_operation_the_earlier_counts)
{
    open_account();
    tell((struct fact){.kind = CREDIT, .amount = 700, .at = 9, .op = 1, .month = 1});
    tell((struct fact){
        .kind = CREDIT, .writer = 1, .amount = -500, .at = 3, .op = 1, .adjusts = true});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:booked", "2026-12 credit acct0 CNY", "700");
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "-500");
    expect_field("tg:{a17}:booked", "2026-11 adjust acct0 CNY", "-500");
    expect_field("tg:{a17}:booked", "2026-12 credit acct0 CNY", "(nil)");
    compare_with_model("a credit that was an adjustment", 0);
}
END_TEST

START_TEST(a_sum_in_another_currency_is_in_suspense_until_it_is_zero)
{
    open_account();
    tell((struct fact){.kind = CALL, .currency = 1, .amount = 40});
    tell((struct fact){.kind = CREDIT, .currency = 1, .amount = 40});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:suspense", "currency acct0 USD", "account-has-another-currency -40");
    expect_field("tg:{a17}:account:acct0", "foreign:USD", "-40");
    apply(0, 3, 3, "OK 3 ");
    expect_field("tg:{a17}:suspense", "currency acct0 USD", "(nil)");
    compare_with_model("a foreign call made good", 0);
}
END_TEST

START_TEST(a_revoked_key_never_comes_back)
{
    open_account();
    tell((struct fact){.kind = KEY, .revision = 1});
    tell((struct fact){.kind = KEY, .writer = 1, .revision = 2, .form = REVOKE});
    tell((struct fact){.kind = KEY, .writer = 2, .revision = 3, .op = 1});
    for (unsigned i = 0; i < WRITERS; i++) {
        unsigned w = (i + (unsigned)_i) % WRITERS;
        apply(w, 1, story.count[w], "OK");
    }
    expect_field("tg:{a17}:key:17key0", "state", "revoked");
    compare_with_model("a revoked key", 0);
}
END_TEST

/* Whichever order their records come in. */
static void apply_from(unsigned first)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        unsigned w = (i + first) % WRITERS;
        apply(w, 1, story.count[w], "OK");
    }
}

START_TEST(two_changes_of_different_limits_both_stand)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .revision = 1, .rpm = 60, .limit = 5});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 1, .revision = 7, .op = 1, .rpm = 90});
    tell((struct fact){.kind = ACCOUNT,
                       .form = LIMIT,
                       .writer = 2,
                       .revision = 7,
                       .op = 2,
                       .sets_limit = true,
                       .limit = 70});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:account:acct0", "rpm", "90");
    expect_field("tg:{a17}:account:acct0", "credit_limit", "70");
    expect_field("tg:{a17}:account:acct0", "room", "70");
    compare_with_model("two limits", 0);
}
END_TEST

/* Two consoles wrote the operation; between them another one set the limit anew. */
START_TEST(a_repeated_change_does_not_set_the_old_limit_again)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .revision = 1, .rpm = 60});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 0, .revision = 10, .at = 1, .op = 1, .rpm = 5});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 1, .revision = 20, .at = 2, .op = 2, .rpm = 7});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 2, .revision = 30, .at = 3, .op = 1, .rpm = 5});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:account:acct0", "rpm", "7");
    compare_with_model("a repeated change", 0);
}
END_TEST

START_TEST(a_repeated_creation_does_not_set_the_first_limits_again)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .writer = 0, .revision = 1, .at = 1, .rpm = 60});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 1, .revision = 20, .at = 2, .op = 2, .rpm = 7});
    tell((struct fact){.kind = ACCOUNT, .writer = 2, .revision = 30, .at = 3, .rpm = 60});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:account:acct0", "rpm", "7");
    compare_with_model("a repeated creation", 0);
}
END_TEST

START_TEST(what_only_a_repetition_named_is_set_no_longer)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = KEY, .revision = 1, .rpm = 60});
    tell((struct fact){
        .kind = KEY, .form = LIMIT, .writer = 1, .revision = 9, .at = 9, .op = 1, .rpm = 7});
    tell((struct fact){
        .kind = KEY, .form = LIMIT, .writer = 2, .revision = 8, .at = 8, .op = 1, .rpm = 8});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:key:17key0", "rpm", "8");
    compare_with_model("the first of two", 0);
}
END_TEST

static void start_redis(void)
{
    fixture_start(&redis, false);
}

static void stop_redis(void)
{
    fixture_stop(&redis);
}

static Suite *suite(void)
{
    Suite *s = suite_create("apply_script");
    TCase *t = tcase_create("apply_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_record_counts_once_however_often_it_is_sent);
    tcase_add_test(t, a_refund_asked_for_of_two_writers_counts_once_and_the_first_of_them);
    tcase_add_test(t, a_refund_above_the_call_is_in_suspense_and_not_in_the_balance);
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
    tcase_add_test(t, the_earliest_of_a_repeated_credit_counts_also_when_it_comes_last);
    tcase_add_test(t, of_a_credit_and_an_adjustment_of_one_operation_the_earlier_counts);
    tcase_add_test(t, a_sum_in_another_currency_is_in_suspense_until_it_is_zero);
    tcase_add_loop_test(t, a_revoked_key_never_comes_back, 0, WRITERS);
    tcase_add_loop_test(t, two_changes_of_different_limits_both_stand, 0, WRITERS);
    tcase_add_loop_test(t, a_repeated_change_does_not_set_the_old_limit_again, 0, WRITERS);
    tcase_add_loop_test(t, a_repeated_creation_does_not_set_the_first_limits_again, 0, WRITERS);
    tcase_add_loop_test(t, what_only_a_repetition_named_is_set_no_longer, 0, WRITERS);
    tcase_add_test(t, any_order_with_losses_and_repeats_ends_as_the_model_says);
    tcase_add_test(t, earnings_and_catalogue_end_as_the_model_says_in_any_order);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
