/* Refunds restate: months of random calls and refunds are closed by the program and computed a
 * second time here, plainly, in 128 bits.
 *
 * The law: of every model, owners, contract, currency and month of calls, a creator's earned less
 * refunds, summed over all closes, is the split of what is left of that month's calls, to the nano:
 * as if what was given back had never been paid. */
#include <stdio.h>

#include "billing/bundle.h"
#include "billing/closes.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define ROUNDS         10
#define MONTHS         4
#define MODELS         4
#define CURRENCIES     2
#define CREATORS       3
#define CALLS_MAX      12 /* a month */
#define REFUNDS_MAX    10
#define OWNED_BY_CALLS (MONTHS * CALLS_MAX)

static const char *const months[MONTHS + 1] = {"2026-09", "2026-10", "2026-11", "2026-12",
                                               "2027-01"};
static const char *const creators[CREATORS] = {"ann", "bob", "cat"};
static const char *const currencies[CURRENCIES] = {"CNY", "JPY"};
static const int64_t minors[CURRENCIES] = {INT64_C(10000000), NANOS_PER_UNIT};
static const struct {
    const char *id, *owners;
    int64_t share_bp, weights[CREATORS];
} models[MODELS] = {
    {"ann/solo", "ann:1", 7000, {1, 0, 0}},
    {"ann/duo", "ann:3,bob:1", 7000, {3, 1, 0}},
    {"bob/trio", "ann:1,bob:1,cat:1", 7000, {1, 1, 1}},
    {"cat/odd", "cat:7", 3333, {0, 0, 7}},
};
/* ann owns the first three, so her contract counts there. */
static const int64_t contract_bp[CREATORS] = {7000, 5000, 3333};

static uint64_t chance;

static uint64_t draw(uint64_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (chance >> 11) % below;
}

/* ------------------------------------------------------------------ what happens */

struct fact {
    bool is_refund, counts;
    unsigned month, model, currency, call; /* call: which of the story's */
    struct event event;
    struct refund refund;
};
struct story {
    size_t call_count, fact_count;
    int64_t left[OWNED_BY_CALLS]; /* of each call */
    struct event calls[OWNED_BY_CALLS];
    unsigned call_month[OWNED_BY_CALLS], call_model[OWNED_BY_CALLS], call_currency[OWNED_BY_CALLS];
    struct fact facts[MONTHS * (CALLS_MAX + 2 * REFUNDS_MAX)];
};

static void tell_call(struct story *s, const struct world *w, unsigned month)
{
    unsigned model = (unsigned)draw(MODELS), currency = (unsigned)draw(CURRENCIES);
    int64_t tokens = 1 + (int64_t)draw(draw(2) ? 9 : 3000000);
    char ended[CLOCK_TEXT], account[16];
    struct fact *f = &s->facts[s->fact_count++];

    snprintf(ended, sizeof ended, "%s-%02uT%02u:00:00.%03uZ", months[month], 2 + (unsigned)draw(26),
             (unsigned)draw(24), (unsigned)draw(1000));
    snprintf(account, sizeof account, "acme%u", (unsigned)draw(3));
    *f = (struct fact){.month = month,
                       .model = model,
                       .currency = currency,
                       .call = (unsigned)s->call_count,
                       .counts = true};
    f->event = world_event(w, account, models[model].id, currency, models[model].owners,
                           models[model].share_bp, tokens, ended);
    s->calls[s->call_count] = f->event;
    s->left[s->call_count] = f->event.amount.nanos;
    s->call_month[s->call_count] = month;
    s->call_model[s->call_count] = model;
    s->call_currency[s->call_count++] = currency;
}

/* In the month's last days, each a second after the one before, so what counts follows from the
 * order of telling. */
static void tell_refund(struct story *s, unsigned month, unsigned number)
{
    unsigned call = (unsigned)draw(s->call_count);
    struct fact *f = &s->facts[s->fact_count++];
    char at[CLOCK_TEXT], op[24];
    int64_t nanos = draw(3)         ? 1 + (int64_t)draw((uint64_t)s->calls[call].amount.nanos)
                    : s->left[call] ? s->left[call]
                                    : s->calls[call].amount.nanos;

    snprintf(at, sizeof at, "%s-29T10:%02u:%02u.000Z", months[month], number / 60, number % 60);
    snprintf(op, sizeof op, "op-%u-%u", month, number);
    *f = (struct fact){.is_refund = true,
                       .month = month,
                       .model = s->call_model[call],
                       .currency = s->call_currency[call],
                       .call = call,
                       .counts = nanos <= s->left[call],
                       .refund = world_refund(&s->calls[call], op, nanos, at)};
    s->left[call] -= f->counts ? nanos : 0;
}

/* The same operation once more, later, and perhaps with another amount. */
static void repeat_refund(struct story *s, unsigned number)
{
    const struct fact *first = &s->facts[s->fact_count - 1];
    struct fact *f = &s->facts[s->fact_count++];

    *f = *first;
    f->counts = false;
    f->refund.at += (int64_t)(1 + number) * NANOS_PER_MS;
    if (draw(2))
        f->refund.amount.nanos = 1;
}

static void tell_month(struct story *s, const struct world *w, unsigned month)
{
    unsigned calls = (unsigned)draw(CALLS_MAX), refunds = (unsigned)draw(REFUNDS_MAX);

    if (month == 0)
        calls += calls == 0;
    for (unsigned i = 0; i < calls; i++)
        tell_call(s, w, month);
    for (unsigned i = 0; i < refunds; i++) {
        tell_refund(s, month, i);
        if (draw(3) == 0)
            repeat_refund(s, i);
    }
}

/* ------------------------------------------------------------------ the same, computed here */

static void divide(int128 total, const int64_t *weights, size_t n, int128 *parts)
{
    int128 sum = 0, given = 0;

    for (size_t i = 0; i < n; i++)
        sum += weights[i];
    for (size_t i = 0; i < n; i++) {
        parts[i] = total * weights[i] / sum;
        given += parts[i];
    }
    for (; given < total; given++) {
        size_t best = 0;

        for (size_t i = 1; i < n; i++)
            if (total * weights[i] - parts[i] * sum > total * weights[best] - parts[best] * sum)
                best = i;
        parts[best]++;
    }
}

static void share(unsigned model, int128 net, int128 parts[CREATORS])
{
    const int64_t stage[] = {models[model].share_bp, 10000 - models[model].share_bp};
    int64_t weights[CREATORS];
    int128 two[2], owned[CREATORS];
    size_t n = 0, at[CREATORS];

    divide(net, stage, 2, two);
    memset(parts, 0, sizeof(int128[CREATORS]));
    for (size_t c = 0; c < CREATORS; c++) {
        if (models[model].weights[c] == 0)
            continue;
        weights[n] = models[model].weights[c];
        at[n++] = c;
    }
    divide(two[0], weights, n, owned);
    for (size_t i = 0; i < n; i++)
        parts[at[i]] = owned[i];
}

struct books_of_mine {
    int128 net[MONTHS][MODELS][CURRENCIES]; /* of the calls of that month, so far */
    int128 balance[CREATORS][CURRENCIES];
    int128 settled[CREATORS][CURRENCIES]; /* earned less refunds, over all closes */
};
struct expected {
    int128 earned[CREATORS][CURRENCIES], refunds[CREATORS][CURRENCIES];
    int128 opening[CREATORS][CURRENCIES], payout[CREATORS][CURRENCIES];
    int128 clients[CURRENCIES];
};

static void close_mine(const struct story *s, unsigned month, struct books_of_mine *mine,
                       struct expected *e)
{
    int128 before[MONTHS][MODELS][CURRENCIES];

    memset(e, 0, sizeof *e);
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *f = &s->facts[i];

        if (f->is_refund || f->month != month)
            continue;
        mine->net[month][f->model][f->currency] += f->event.amount.nanos;
        e->clients[f->currency] -= f->event.amount.nanos;
    }
    memcpy(before, mine->net, sizeof before);
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *f = &s->facts[i];

        if (!f->is_refund || !f->counts || f->month != month)
            continue;
        mine->net[s->call_month[f->call]][f->model][f->currency] -= f->refund.amount.nanos;
        e->clients[f->currency] += f->refund.amount.nanos;
    }
    for (unsigned o = 0; o <= month; o++)
        for (unsigned m = 0; m < MODELS; m++)
            for (unsigned k = 0; k < CURRENCIES; k++) {
                int128 was[CREATORS], is[CREATORS];

                share(m, before[o][m][k], was);
                share(m, mine->net[o][m][k], is);
                for (unsigned c = 0; c < CREATORS; c++) {
                    e->earned[c][k] += o == month ? was[c] : 0;
                    e->refunds[c][k] += was[c] - is[c];
                }
            }
    for (unsigned c = 0; c < CREATORS; c++)
        for (unsigned k = 0; k < CURRENCIES; k++) {
            int128 balance = mine->balance[c][k] + e->earned[c][k] - e->refunds[c][k];

            e->opening[c][k] = mine->balance[c][k];
            e->payout[c][k] = balance > 0 ? balance / minors[k] * minors[k] : 0;
            mine->balance[c][k] = balance - e->payout[c][k];
            mine->settled[c][k] += e->earned[c][k] - e->refunds[c][k];
        }
}

/* ------------------------------------------------------------------ the program's */

static struct world *new_world(void)
{
    struct world *w = world_new("2026-09-01T09:00:00Z");

    for (unsigned i = 0; i < 2; i++)
        world_begin(w, i, months[0]);
    for (size_t c = 0; c < CREATORS; c++)
        world_contract(w, 0, creators[c], WORLD_FROM, contract_bp[c]);
    for (size_t k = 0; k < CURRENCIES; k++)
        world_price(w, 0, k ? "yen" : "yuan", WORLD_FROM, currencies[k], k ? "3.3" : "0.7", "1");
    return w;
}

static void write_fact(struct world *w, unsigned writer, const struct fact *f)
{
    if (f->is_refund)
        world_write_refund(w, writer, &f->refund, f->counts);
    else
        world_write(w, writer, &f->event);
}

/* Writes the month's facts, in the order told or in any other, and closes it. */
static void close_month(struct world *w, const struct story *s, unsigned month, bool shuffled)
{
    AUTO_CLEAR(settlement_report) report = {0};
    size_t order[ARRAY_LEN(s->facts)], n = 0;
    char next[CLOCK_TEXT];
    struct err err = {0};

    for (size_t i = 0; i < s->fact_count; i++)
        if (s->facts[i].month == month)
            order[n++] = i;
    for (size_t i = n; shuffled && i > 1; i--) {
        size_t other = (size_t)draw(i), kept = order[i - 1];

        order[i - 1] = order[other];
        order[other] = kept;
    }
    world_forget_sums(w);
    for (size_t i = 0; i < n; i++)
        write_fact(w, (unsigned)draw(2), &s->facts[order[i]]);
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    snprintf(next, sizeof next, "%s-01T09:00:00Z", months[month + 1]);
    world_clock(next);
    ck_assert_msg(settlement_close(&w->sources, period_text(months[month]), NULL, &report, &err),
                  "%s: %s", months[month], err.text);
}

static int128 amount_of(const json_t *row, const char *name)
{
    int64_t nanos;

    ck_assert_msg(
        decimal_parse(span_of(json_string_value(json_object_get(row, name))), &nanos, NULL), "%s",
        name);
    return nanos;
}

static size_t index_of(const json_t *row, const char *name, const char *const *words, size_t n)
{
    const char *word = json_string_value(json_object_get(row, name));

    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    ck_abort_msg("%s is %s", name, word);
}

#define IS(a, b)                                                                             \
    ck_assert_msg((a) == (b), "%s of %s %s: %lld, not %lld", #a, creators[c], currencies[k], \
                  (long long)(a), (long long)(b))

static void check_statement(const json_t *row, struct expected *e, const struct books_of_mine *mine)
{
    size_t c = index_of(row, "creator", creators, CREATORS);
    size_t k = index_of(row, "currency", currencies, CURRENCIES);

    IS(amount_of(row, "opening"), e->opening[c][k]);
    IS(amount_of(row, "earned"), e->earned[c][k]);
    IS(amount_of(row, "refunds"), e->refunds[c][k]);
    IS(amount_of(row, "payout"), e->payout[c][k]);
    IS(amount_of(row, "closing"), mine->balance[c][k]);
    e->earned[c][k] = e->refunds[c][k] = e->opening[c][k] = 0;
}

/* The five books of each currency sum to zero, and the clients' are what clients paid. */
static void check_trailer(const json_t *trailer, const struct expected *e)
{
    json_t *total;
    size_t i;

    json_array_foreach(json_object_get(trailer, "totals"), i, total)
    {
        size_t k = index_of(total, "currency", currencies, CURRENCIES);
        const json_t *books = json_object_get(total, "books");
        int128 sum = amount_of(books, "clients") + amount_of(books, "platform") +
                     amount_of(books, "payable") + amount_of(books, "payouts") +
                     amount_of(books, "brought_forward");

        ck_assert(sum == 0);
        ck_assert(amount_of(books, "clients") == e->clients[k]);
    }
}

static void check_month(struct world *w, unsigned month, struct expected *e,
                        const struct books_of_mine *mine)
{
    AUTO_STRING dir = close_dir(w->archive, period_text(months[month]));
    AUTO_STRING text = file_text(dir, "statements.jsonl");
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n")) && *line) {
        AUTO_JSON row = json_parse(span_of(line), NULL);

        if (json_object_get(row, "statement"))
            check_statement(row, e, mine);
        else
            check_trailer(row, e);
    }
    for (unsigned c = 0; c < CREATORS; c++)
        for (unsigned k = 0; k < CURRENCIES; k++)
            ck_assert_msg(e->earned[c][k] == 0 && e->refunds[c][k] == 0 && e->opening[c][k] == 0,
                          "%s has no statement in %s", creators[c], currencies[k]);
}

static void check_proof(struct world *w, unsigned month)
{
    AUTO_STRING dir = close_dir(w->archive, period_text(months[month]));
    AUTO_STRING previous = month ? close_dir(w->archive, period_text(months[month - 1])) : NULL;
    const struct settlement_proof proof = {.dir = dir, .archive = w->archive, .previous = previous};
    struct settlement_verdict verdict;
    struct err err = {0};

    ck_assert_msg(settlement_verify(&proof, &verdict, &err), "%s", err.text);
    ck_assert(verdict.is_complete && verdict.is_chained == (month > 0));
}

static void check_law(const struct books_of_mine *mine)
{
    int128 due[CREATORS][CURRENCIES] = {{0}};

    for (unsigned o = 0; o < MONTHS; o++)
        for (unsigned m = 0; m < MODELS; m++)
            for (unsigned k = 0; k < CURRENCIES; k++) {
                int128 parts[CREATORS];

                share(m, mine->net[o][m][k], parts);
                for (unsigned c = 0; c < CREATORS; c++)
                    due[c][k] += parts[c];
            }
    for (unsigned c = 0; c < CREATORS; c++)
        for (unsigned k = 0; k < CURRENCIES; k++)
            IS(mine->settled[c][k], due[c][k]);
}

/* What does not name a writer or a record's number. */
static void check_same(const struct world *a, const struct world *b, unsigned month)
{
    static const char *const names[] = {"statements.csv", "statements.jsonl", "lines.csv"};
    AUTO_STRING dir_a = close_dir(a->archive, period_text(months[month]));
    AUTO_STRING dir_b = close_dir(b->archive, period_text(months[month]));

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_STRING text_a = file_text(dir_a, names[i]);
        AUTO_STRING text_b = file_text(dir_b, names[i]);

        ck_assert_str_eq(text_a, text_b);
    }
}

START_TEST(closes_with_refunds_are_what_plain_arithmetic_gives)
{
    uint64_t seed = (getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 20261122) + (uint64_t)_i;
    struct story *s = xcalloc(1, sizeof *s);
    struct world *w, *other;
    struct books_of_mine mine = {0};

    chance = seed * 2862933555777941757U + 3037000493U;
    w = new_world();
    other = new_world();
    for (unsigned month = 0; month < MONTHS; month++) {
        struct expected e;

        tell_month(s, w, month);
        close_mine(s, month, &mine, &e);
        close_month(w, s, month, false);
        check_month(w, month, &e, &mine);
        check_proof(w, month);
        close_month(other, s, month, true);
        check_same(w, other, month);
    }
    check_law(&mine);
    world_free(w);
    world_free(other);
    free(s);
}
END_TEST

/* ------------------------------------------------------------------ single claims */

#define CENT          INT64_C(10000000)
#define NANOS_A_TOKEN 700

/* ann/solo sold for so many nanos in September; so many of them are given back in October. */
static struct world *september(int64_t nanos)
{
    struct world *w = new_world();
    struct event e = world_event(w, "acme", "ann/solo", 0, "ann:1", 7000, nanos / NANOS_A_TOKEN,
                                 "2026-09-10T00:00:00.000Z");

    world_write(w, 0, &e);
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    return w;
}

static void close_now(struct world *w, const char *period, const char *now)
{
    world_clock(now);
    world_close(w, period);
}

static struct refund refund_in(struct world *w, const char *op, int64_t nanos, const char *at)
{
    struct refund r = world_refund(&w->event[0], op, nanos, at);

    world_write_refund(w, 0, &r, true);
    return r;
}

static void end_month(struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
}

static char *refunds_of_ann(const json_t *statements)
{
    return xstrdup(json_string_value(json_object_get(json_array_get(statements, 0), "refunds")));
}

START_TEST(a_preview_restates_calls_of_a_month_that_is_not_closed_yet)
{
    struct world *w = september(700 * CENT);
    AUTO_CLEAR(settlement_report) preview = {0};
    AUTO_CLEAR(settlement_report) closed = {0};
    struct err err = {0};

    struct refund refund = refund_in(w, "op-1", 333 * CENT + 1, "2026-10-03T00:00:00.000Z");
    world_archive(w, 0);
    world_clock("2026-10-04T00:00:00Z");
    ck_assert_msg(settlement_preview(&w->sources, period_text("2026-10"), NULL, &preview, &err),
                  "%s", err.text);
    world_forget_sums(w);
    ledger_sums_add_event(&w->redis, &w->event[0]);
    close_now(w, "2026-09", "2026-10-05T00:00:00Z");
    world_forget_sums(w);
    ledger_sums_add_refund(&w->redis, &refund);
    end_month(w);
    world_clock("2026-11-05T00:00:00Z");
    ck_assert_msg(settlement_close(&w->sources, period_text("2026-10"), NULL, &closed, &err), "%s",
                  err.text);
    AUTO_STRING before = refunds_of_ann(preview.statements);
    AUTO_STRING after = refunds_of_ann(closed.statements);
    ck_assert_str_eq(before, "2.331000001");
    ck_assert_str_eq(after, before);
    world_free(w);
}
END_TEST

START_TEST(a_month_with_nothing_but_a_refund_is_closed_before_the_next)
{
    struct world *w = september(700 * CENT);
    AUTO_CLEAR(settlement_report) report = {0};
    struct err err = {0};

    close_now(w, "2026-09", "2026-10-02T00:00:00Z");
    world_forget_sums(w);
    refund_in(w, "op-1", CENT, "2026-10-03T00:00:00.000Z");
    end_month(w);
    end_month(w);
    world_clock("2026-12-05T00:00:00Z");
    ck_assert(!settlement_close(&w->sources, period_text("2026-11"), NULL, &report, &err));
    ck_assert_msg(strstr(err.text, "2026-10 has 0 events, 1 refund and must be closed first"), "%s",
                  err.text);
    close_now(w, "2026-10", "2026-12-05T00:00:00Z");
    world_forget_sums(w);
    close_now(w, "2026-11", "2026-12-05T00:00:00Z");
    world_free(w);
}
END_TEST

START_TEST(a_refund_that_redis_lacks_keeps_the_month_open)
{
    struct world *w = september(700 * CENT);
    AUTO_CLEAR(settlement_report) report = {0};
    AUTO_CLEAR(buf) text = {.max = 65536};
    struct err err = {0};
    struct refund r;

    close_now(w, "2026-09", "2026-10-02T00:00:00Z");
    world_forget_sums(w);
    r = world_refund(&w->event[0], "op-1", CENT, "2026-10-03T00:00:00.000Z");
    world_write_refund(w, 1, &r, false);
    end_month(w);
    world_clock("2026-11-05T00:00:00Z");
    ck_assert(!settlement_close(&w->sources, period_text("2026-10"), NULL, &report, &err));
    settlement_report_text(&report, &text);
    ck_assert_msg(strstr(text.data,
                         "refunds of account \"acme CNY\" has nothing in Redis, but 0.01 "
                         "in 1 refunds in the archive"),
                  "%s", text.data);
    ck_assert_msg(strstr(text.data, "refunds of model \"2026-09 ann/solo CNY"), "%s", text.data);
    world_free(w);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("restatement");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, closes_with_refunds_are_what_plain_arithmetic_gives, 0, ROUNDS);
    tcase_add_test(tcase, a_preview_restates_calls_of_a_month_that_is_not_closed_yet);
    tcase_add_test(tcase, a_month_with_nothing_but_a_refund_is_closed_before_the_next);
    tcase_add_test(tcase, a_refund_that_redis_lacks_keeps_the_month_open);
    return run_tests(tcase, "restatement");
}
