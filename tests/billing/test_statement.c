/* Statements: worked examples of tests/data/split-vectors.json (carry_nanos, refund_restates,
 * past_zero, co_creators_two_stage), and random months against an independent computation. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/split.h"
#include "billing/statement_files.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define FEN      INT64_C(10000000)
#define ROUNDS   300
#define CREATORS 5
#define MODELS   6

static struct event event_of(const char *model, const char *currency, int64_t nanos, int64_t share,
                             const struct owner *owners, size_t owner_count)
{
    struct event e = {.owner_count = owner_count, .share_bp = share, .period = {"2026-11"}};

    snprintf(e.account, sizeof e.account, "acme%llu", (unsigned long long)rand_below(3));
    snprintf(e.model, sizeof e.model, "%s", model);
    memcpy(e.owners, owners, owner_count * sizeof *owners);
    snprintf(e.contract, sizeof e.contract, "%s@2026-01-01T00:00:00.000Z", owners[0].id);
    memcpy(e.amount.currency, currency, CURRENCY_TEXT);
    e.amount.nanos = nanos;
    return e;
}

static void make(struct tally *t, struct terms *terms, struct statements *out)
{
    struct err err = {0};

    ck_assert(period_parse(SPAN("2026-11"), &terms->period, NULL));
    tally_sort(t);
    ck_assert_msg(statements_make(t, terms, false, out, &err), "%s", err.text);
}

static json_t *load_vectors(void)
{
    const char *top = getenv("TOP_SRCDIR");
    char path[4096];
    json_t *vectors;

    snprintf(path, sizeof path, "%s/tests/data/split-vectors.json", top ? top : ".");
    vectors = json_load_file(path, 0, NULL);
    ck_assert_msg(vectors, "cannot read %s", path);
    return vectors;
}

START_TEST(what_is_not_paid_is_carried_to_the_next_month)
{
    AUTO_JSON vectors = load_vectors();
    json_t *rows = json_object_get(vectors, "carry_nanos"), *row;
    const struct owner ann = {"ann", 1};
    int64_t carry = 0;
    size_t i;

    ck_assert_uint_gt(json_array_size(rows), 0);
    json_array_foreach(rows, i, row)
    {
        AUTO_CLEAR(tally) t;
        AUTO_CLEAR(terms) terms;
        AUTO_CLEAR(statements) s = {0};
        struct event e = event_of("ann/chat", "CNY",
                                  json_integer_value(json_object_get(row, "gross")), 7000, &ann, 1);

        tally_init(&t);
        terms_init(&terms);
        tally_add(&t, &e);
        sum_table_row(terms.openings, SPAN("ann CNY"))->nanos = carry;
        make(&t, &terms, &s);
        ck_assert_uint_eq(s.count, 1);
        ck_assert_int_eq(s.rows[0].opening, carry);
        ck_assert_int_eq(s.rows[0].earned, json_integer_value(json_object_get(row, "creator")));
        ck_assert_int_eq((int64_t)books_balance(s.books, "platform:revenue", "CNY"),
                         json_integer_value(json_object_get(row, "platform")));
        ck_assert_int_eq(s.rows[0].payout,
                         FEN * json_integer_value(json_object_get(row, "paid_minor")));
        carry = json_integer_value(json_object_get(row, "carry"));
        ck_assert_int_eq(s.rows[0].closing, carry);
    }
}
END_TEST

/* A month of ann/chat under 7000: what it sold (0: nothing), what is given back in it of what was
 * left of October (prior), or of itself when there is no prior. */
static void make_month_of_ann(int64_t sold, int64_t given_back, int64_t prior, int64_t opening,
                              struct statements *out, struct tally *t, struct terms *terms)
{
    const struct owner ann = {"ann", 1};
    struct event e = event_of("ann/chat", "CNY", sold, 7000, &ann, 1);
    struct refund r;
    char name[PARTIES_TEXT];
    struct parties parties;

    refund_of_event(&e, &r);
    r.amount.nanos = given_back;
    if (prior) {
        ck_assert(period_parse(SPAN("2026-10"), &r.orig_period, NULL));
        parties = parties_of_refund(&r);
        sum_table_row(terms->priors, span_of(parties_name_of_period(&parties, r.orig_period, name)))
            ->nanos = prior;
    }
    if (sold)
        tally_add(t, &e);
    if (given_back)
        tally_add_refund(t, &r);
    sum_table_row(terms->openings, SPAN("ann CNY"))->nanos = opening;
    make(t, terms, out);
    ck_assert_uint_eq(out->count, 1);
}

START_TEST(a_refund_restates_its_month)
{
    AUTO_JSON vectors = load_vectors();
    json_t *rows = json_object_get(vectors, "refund_restates"), *row;
    size_t i;

    ck_assert_uint_gt(json_array_size(rows), 0);
    json_array_foreach(rows, i, row)
    {
        int64_t gross = json_integer_value(json_object_get(row, "gross"));
        int64_t refund = json_integer_value(json_object_get(row, "refund"));

        for (int is_earlier = 0; is_earlier < 2; is_earlier++) {
            AUTO_CLEAR(tally) t;
            AUTO_CLEAR(terms) terms;
            AUTO_CLEAR(statements) s = {0};
            int128 platform;

            tally_init(&t);
            terms_init(&terms);
            make_month_of_ann(is_earlier ? 0 : gross, refund, is_earlier ? gross : 0, 0, &s, &t,
                              &terms);
            ck_assert_int_eq(-s.rows[0].refunds,
                             json_integer_value(json_object_get(row, "creator")));
            platform = sum_table_find(s.platform_refunds, SPAN("CNY"))->nanos;
            ck_assert_int_eq(-(int64_t)platform,
                             json_integer_value(json_object_get(row, "platform")));
            ck_assert_int_eq(s.lines[0].refunded, refund);
            ck_assert_int_eq((int64_t)s.lines[0].net, gross - refund);
        }
    }
}
END_TEST

START_TEST(what_is_owed_after_a_refund_is_worked_off)
{
    AUTO_JSON vectors = load_vectors();
    json_t *rows = json_object_get(vectors, "past_zero"), *row;
    int64_t balance = 0, sold_before = 0;
    size_t i;

    ck_assert_uint_gt(json_array_size(rows), 0);
    json_array_foreach(rows, i, row)
    {
        AUTO_CLEAR(tally) t;
        AUTO_CLEAR(terms) terms;
        AUTO_CLEAR(statements) s = {0};
        int64_t gross = FEN * json_integer_value(json_object_get(row, "gross"));

        tally_init(&t);
        terms_init(&terms);
        make_month_of_ann(gross > 0 ? gross : 0, gross < 0 ? -gross : 0, sold_before, balance, &s,
                          &t, &terms);
        ck_assert_int_eq(s.rows[0].earned - s.rows[0].refunds,
                         FEN * json_integer_value(json_object_get(row, "share")));
        ck_assert_int_eq(s.rows[0].payout, FEN * json_integer_value(json_object_get(row, "paid")));
        balance = s.rows[0].closing;
        sold_before = gross > 0 ? gross : 0;
        ck_assert_int_eq(balance, FEN * json_integer_value(json_object_get(row, "balance")));
    }
}
END_TEST

START_TEST(more_than_was_left_is_never_given_back)
{
    const struct owner ann = {"ann", 1};
    AUTO_CLEAR(tally) t;
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(statements) s = {0};
    struct event e = event_of("ann/chat", "CNY", 5, 7000, &ann, 1);
    struct refund r;
    struct err err = {0};

    tally_init(&t);
    terms_init(&terms);
    ck_assert(period_parse(SPAN("2026-11"), &terms.period, NULL));
    refund_of_event(&e, &r);
    r.amount.nanos = 6;
    tally_add(&t, &e);
    tally_add_refund(&t, &r);
    tally_sort(&t);
    ck_assert(!statements_make(&t, &terms, false, &s, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
}
END_TEST

START_TEST(co_owners_share_in_two_stages)
{
    AUTO_JSON vectors = load_vectors();
    json_t *example = json_object_get(vectors, "co_creators_two_stage");
    const struct owner owners[] = {{"c1", 3}, {"c2", 2}, {"c3", 1}};
    AUTO_CLEAR(tally) t;
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(statements) s = {0};
    struct event e = event_of(
        "c1/chat", "CNY", json_integer_value(json_object_get(example, "total")), 7000, owners, 3);

    tally_init(&t);
    terms_init(&terms);
    tally_add(&t, &e);
    make(&t, &terms, &s);
    ck_assert_uint_eq(s.count, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(s.rows[i].earned, json_integer_value(json_object_get(
                                               json_object_get(example, "shares"), owners[i].id)));
    ck_assert_str_eq(s.rows[0].number, "2026-11-000001");
    ck_assert_str_eq(s.rows[2].number, "2026-11-000003");
}
END_TEST

/* Largest remainder as one would do it by hand: the naive way, in 128 bits. */
static void divide(int64_t total, const int64_t *weights, size_t n, int64_t *parts)
{
    int128 sum = 0, given = 0;

    for (size_t i = 0; i < n; i++)
        sum += weights[i];
    for (size_t i = 0; i < n; i++) {
        parts[i] = (int64_t)((int128)total * weights[i] / sum);
        given += parts[i];
    }
    for (; given < total; given++) {
        size_t best = 0;
        int128 most = -1;

        for (size_t i = 0; i < n; i++) {
            int128 rest = (int128)total * weights[i] - (int128)parts[i] * sum;

            if (rest > most) {
                most = rest;
                best = i;
            }
        }
        parts[best]++;
    }
}

/* A random platform: models with owners, and what each sold in each currency. */
struct month {
    struct owner owners[MODELS][CREATORS];
    size_t owner_count[MODELS];
    int64_t share[MODELS], sold[MODELS][2];
    int64_t opening[CREATORS][2];
};
static const char *const currencies[] = {"CNY", "JPY"};

static void make_month(struct month *m)
{
    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < MODELS; i++) {
        m->share[i] = (int64_t)rand_below(10001);
        while (m->owner_count[i] == 0)
            for (unsigned c = 0; c < CREATORS; c++)
                if (rand_below(2) && m->owner_count[i] < CREATORS) {
                    struct owner *o = &m->owners[i][m->owner_count[i]];

                    if (m->owner_count[i] > 0 && o[-1].id[1] >= (char)('0' + c))
                        continue;
                    snprintf(o->id, sizeof o->id, "c%u", c);
                    o->weight = 1 + (int64_t)rand_below(rand_below(2) ? 5 : 1000000007);
                    m->owner_count[i]++;
                }
    }
    for (size_t c = 0; c < CREATORS; c++)
        for (size_t k = 0; k < 2; k++)
            m->opening[c][k] = rand_below(2) ? 0 : (int64_t)rand_below(2 * FEN);
}

static void sell(struct month *m, struct tally *t)
{
    size_t calls = 1 + (size_t)rand_below(60);

    for (size_t i = 0; i < calls; i++) {
        size_t model = (size_t)rand_below(MODELS), currency = (size_t)rand_below(2);
        int64_t nanos = (int64_t)rand_below(rand_below(2) ? 7 : 3000000000);
        char name[MODEL_TEXT];
        struct event e;

        snprintf(name, sizeof name, "%s/m%zu", m->owners[model][0].id, model);
        e = event_of(name, currencies[currency], nanos, m->share[model], m->owners[model],
                     m->owner_count[model]);
        m->sold[model][currency] += nanos;
        tally_add(t, &e);
    }
}

static void open_balances(const struct month *m, struct terms *terms)
{
    char name[32];

    for (size_t c = 0; c < CREATORS; c++)
        for (size_t k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "c%zu %s", c, currencies[k]);
            if (m->opening[c][k])
                sum_table_row(terms->openings, span_of(name))->nanos = m->opening[c][k];
        }
}

static void recompute(const struct month *m, int64_t earned[CREATORS][2], int64_t platform[2])
{
    memset(earned, 0, sizeof(int64_t[CREATORS][2]));
    platform[0] = platform[1] = 0;
    for (size_t i = 0; i < MODELS; i++)
        for (size_t k = 0; k < 2; k++) {
            const int64_t stage[] = {m->share[i], 10000 - m->share[i]};
            int64_t two[2], weights[CREATORS], parts[CREATORS];

            divide(m->sold[i][k], stage, 2, two);
            for (size_t o = 0; o < m->owner_count[i]; o++)
                weights[o] = m->owners[i][o].weight;
            divide(two[0], weights, m->owner_count[i], parts);
            for (size_t o = 0; o < m->owner_count[i]; o++)
                earned[m->owners[i][o].id[1] - '0'][k] += parts[o];
            platform[k] += two[1];
        }
}

START_TEST(statements_add_up_to_what_clients_paid)
{
    for (int round = 0; round < ROUNDS; round++) {
        AUTO_CLEAR(tally) t;
        AUTO_CLEAR(terms) terms;
        AUTO_CLEAR(statements) s = {0};
        struct month m;
        int64_t earned[CREATORS][2], platform[2], gross[2] = {0}, shares[2] = {0}, sold[2] = {0};

        tally_init(&t);
        terms_init(&terms);
        make_month(&m);
        sell(&m, &t);
        open_balances(&m, &terms);
        make(&t, &terms, &s);
        recompute(&m, earned, platform);
        for (size_t i = 0; i < s.count; i++) {
            const struct statement *r = &s.rows[i];
            size_t c = (size_t)(r->creator[1] - '0'), k = strcmp(r->currency, "CNY") ? 1 : 0;
            int64_t minor = k ? NANOS_PER_UNIT : FEN;

            if (i > 0) {
                int order = strcmp(s.rows[i - 1].creator, r->creator);

                ck_assert(order < 0 ||
                          (order == 0 && strcmp(s.rows[i - 1].currency, r->currency) < 0));
            }
            ck_assert_int_eq(r->earned, earned[c][k]);
            ck_assert_int_eq(r->opening, m.opening[c][k]);
            ck_assert_int_eq(r->payout, (r->opening + r->earned) / minor * minor);
            ck_assert_int_eq(r->closing, r->opening + r->earned - r->payout);
            ck_assert(r->closing >= 0 && r->closing < minor);
            gross[k] += r->gross;
            shares[k] += r->earned;
            earned[c][k] = 0;
        }
        for (size_t c = 0; c < CREATORS; c++)
            ck_assert(earned[c][0] == 0 && earned[c][1] == 0);
        for (size_t i = 0; i < MODELS; i++)
            for (size_t k = 0; k < 2; k++)
                sold[k] += m.sold[i][k];
        for (size_t k = 0; k < 2; k++) {
            ck_assert_int_eq(gross[k], sold[k]);
            ck_assert_int_eq(shares[k] + platform[k], sold[k]);
            ck_assert_int_eq((int64_t)books_balance(s.books, "platform:revenue", currencies[k]),
                             platform[k]);
            ck_assert_int_eq((int64_t)books_total(s.books, "", currencies[k]), 0);
            ck_assert_int_eq((int64_t)books_total(s.books, "client:", currencies[k]), -sold[k]);
        }
    }
}
END_TEST

START_TEST(lines_add_up_to_their_statement)
{
    AUTO_CLEAR(tally) t;
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(statements) s = {0};
    struct month m;

    tally_init(&t);
    terms_init(&terms);
    make_month(&m);
    sell(&m, &t);
    make(&t, &terms, &s);
    ck_assert_uint_gt(s.line_count, 0);
    for (size_t i = 0; i < s.count; i++) {
        int64_t gross = 0, earned = 0;

        for (size_t l = 0; l < s.line_count; l++) {
            if (s.lines[l].statement != i)
                continue;
            gross += s.lines[l].gross;
            earned += s.lines[l].earned;
            ck_assert_str_eq(s.lines[l].owner->id, s.rows[i].creator);
        }
        ck_assert_int_eq(gross, s.rows[i].gross);
        ck_assert_int_eq(earned, s.rows[i].earned);
    }
}
END_TEST

START_TEST(a_sum_beyond_int64_is_refused)
{
    const struct owner ann = {"ann", 1};
    AUTO_CLEAR(tally) t;
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(statements) s = {0};
    struct event e = event_of("ann/chat", "CNY", AMOUNT_NANOS_MAX, 7000, &ann, 1);
    struct err err = {0};

    tally_init(&t);
    terms_init(&terms);
    ck_assert(period_parse(SPAN("2026-11"), &terms.period, NULL));
    for (int i = 0; i < 1100; i++)
        tally_add(&t, &e);
    tally_sort(&t);
    ck_assert(!statements_make(&t, &terms, false, &s, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
}
END_TEST

START_TEST(an_entry_that_does_not_sum_to_zero_ends_the_process)
{
    AUTO(books) b = books_new();

    books_post(b, "client:acme", "CNY", -3);
    books_post(b, "creator:ann:payable", "CNY", 2);
    books_entry_end(b);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("statement");

    tcase_add_test(tcase, what_is_not_paid_is_carried_to_the_next_month);
    tcase_add_test(tcase, a_refund_restates_its_month);
    tcase_add_test(tcase, what_is_owed_after_a_refund_is_worked_off);
    tcase_add_test(tcase, more_than_was_left_is_never_given_back);
    tcase_add_test(tcase, co_owners_share_in_two_stages);
    tcase_add_test(tcase, statements_add_up_to_what_clients_paid);
    tcase_add_test(tcase, lines_add_up_to_their_statement);
    tcase_add_test(tcase, a_sum_beyond_int64_is_refused);
    tcase_add_test_raise_signal(tcase, an_entry_that_does_not_sum_to_zero_ends_the_process,
                                SIGABRT);
    return run_tests(tcase, "statement");
}
