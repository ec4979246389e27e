/* statement.c - parties are split, their parts sorted to creators, creators' balances carried,
 * and all of it posted twice, so that the books prove the sums. */
#include "billing/statement.h"

#include <assert.h>
#include <stdio.h>

#include "billing/split.h"
#include "lib/base/mem.h"

#define NAME_TEXT (ID_TEXT + CURRENCY_TEXT)

/* Of one party: what there was to split before this period's refunds, what is left after them. */
struct nets {
    int64_t base, after;
    bool is_earlier; /* the base was split in an earlier period */
};
struct split {
    int64_t gross[OWNERS_MAX], earned[OWNERS_MAX], platform;
};

static bool split_parties(const struct tally *t, const struct terms *terms, struct statements *out,
                          struct err *err);
static bool split_party(const struct party *p, const struct terms *terms, struct statements *out,
                        struct err *err);
static bool find_nets(const struct party *p, const struct terms *terms, struct nets *out,
                      struct err *err);
static void split_net(const struct party *p, int64_t net, struct split *out);
static void add_lines(const struct party *p, const struct nets *nets, const struct split *base,
                      const struct split *after, struct statements *out);
static struct sum_table *name_statements(const struct statements *s, const struct terms *terms);
static const char *name_of(const char *creator, const char *currency, char out[NAME_TEXT]);
static bool make_rows(struct statements *s, const struct sum_table *names, bool is_preview,
                      struct err *err);
static bool assign_lines(struct statements *s, const struct sum_table *names, struct err *err);
static int compare_lines(const void *a, const void *b);
static bool settle(struct statement *s, struct err *err);
static bool add(int64_t *to, int64_t nanos, const struct statement *s, struct err *err);
static void post_all(struct statements *s, const struct tally *t);
static void post_refunds(struct statements *s, const struct tally *t);
static void post_clients(struct statements *s, const struct sum_table *accounts, int sign);
static const char *payable(const char *creator, char out[BOOK_ACCOUNT_TEXT]);

bool statements_make(struct tally *t, const struct terms *terms, bool is_preview,
                     struct statements *out, struct err *err)
{
    AUTO_CLEAR(statements)
    s = {.period = terms->period, .books = books_new(), .platform_refunds = sum_table_new()};
    AUTO(sum_table) names = NULL;

    if (!split_parties(t, terms, &s, err))
        return false;
    names = name_statements(&s, terms);
    if (!make_rows(&s, names, is_preview, err) || !assign_lines(&s, names, err))
        return false;
    for (size_t i = 0; i < s.count; i++)
        if (!settle(&s.rows[i], err))
            return false;
    post_all(&s, t);
    *out = s;
    s = (struct statements){0};
    return true;
}

void statements_clear(struct statements *s)
{
    free(s->rows);
    free(s->lines);
    sum_table_free(s->platform_refunds);
    books_free(s->books);
    *s = (struct statements){0};
}

static bool split_parties(const struct tally *t, const struct terms *terms, struct statements *out,
                          struct err *err)
{
    size_t lines = 0;

    for (size_t i = 0; i < t->party_count; i++)
        lines += t->parties[i].owner_count;
    out->lines = xcalloc(lines, sizeof *out->lines);
    for (size_t i = 0; i < t->party_count; i++)
        if (!split_party(&t->parties[i], terms, out, err))
            return false;
    return true;
}

/* The platform's part goes straight into the books, whose entry is ended in post_all(). */
static bool split_party(const struct party *p, const struct terms *terms, struct statements *out,
                        struct err *err)
{
    struct split base, after;
    struct nets nets;

    if (!find_nets(p, terms, &nets, err))
        return false;
    split_net(p, nets.base, &base);
    split_net(p, nets.after, &after);
    add_lines(p, &nets, &base, &after, out);
    if (!nets.is_earlier)
        books_post(out->books, "platform:revenue", p->currency, base.platform);
    sum_table_row(out->platform_refunds, span_of(p->currency))->nanos +=
        base.platform - after.platform;
    return true;
}

static bool find_nets(const struct party *p, const struct terms *terms, struct nets *out,
                      struct err *err)
{
    const struct sum *prior;
    int128 base = p->gross;

    out->is_earlier = period_compare(p->orig_period, terms->period) != 0;
    if (out->is_earlier) {
        prior = sum_table_find(terms->priors, span_of(p->name));
        if (!prior)
            return err_set(err, ERR_CORRUPT, "there is no prior net of %.400s", p->name);
        base = prior->nanos;
    }
    if (base < p->refunds)
        return err_set(err, ERR_CORRUPT, "more was refunded of %.400s than was left of it",
                       p->name);
    return (nanos_fit(base, &out->base) && nanos_fit(base - p->refunds, &out->after)) ||
           err_set(err, ERR_LIMIT, "model %s earned more than can be settled in %s", p->model,
                   p->currency);
}

static void split_net(const struct party *p, int64_t net, struct split *out)
{
    int64_t weights[OWNERS_MAX];

    for (size_t i = 0; i < p->owner_count; i++)
        weights[i] = p->owners[i].weight;
    split_by_weight(net, weights, p->owner_count, out->gross);
    split_contract(net, p->share_bp, weights, p->owner_count, out->earned, &out->platform);
}

static void add_lines(const struct party *p, const struct nets *nets, const struct split *base,
                      const struct split *after, struct statements *out)
{
    for (size_t i = 0; i < p->owner_count; i++)
        out->lines[out->line_count++] =
            (struct statement_line){.party = p,
                                    .owner = &p->owners[i],
                                    .gross = nets->is_earlier ? 0 : base->gross[i],
                                    .earned = nets->is_earlier ? 0 : base->earned[i],
                                    .refunded = base->gross[i] - after->gross[i],
                                    .refunds = base->earned[i] - after->earned[i],
                                    .net = nets->after};
}

/* One for whoever earned, and for whoever has something left from before; in order. */
static struct sum_table *name_statements(const struct statements *s, const struct terms *terms)
{
    struct sum_table *names = sum_table_new();
    char name[NAME_TEXT];

    for (size_t i = 0; i < sum_table_count(terms->openings); i++) {
        const struct sum *opening = sum_table_at(terms->openings, i);

        if (opening->nanos != 0)
            sum_table_row(names, span_of(opening->name))->nanos = opening->nanos;
    }
    for (size_t i = 0; i < s->line_count; i++) {
        const struct statement_line *l = &s->lines[i];

        sum_table_row(names, span_of(name_of(l->owner->id, l->party->currency, name)));
    }
    sum_table_sort(names);
    return names;
}

static const char *name_of(const char *creator, const char *currency, char out[NAME_TEXT])
{
    snprintf(out, NAME_TEXT, "%s %s", creator, currency);
    return out;
}

static bool make_rows(struct statements *s, const struct sum_table *names, bool is_preview,
                      struct err *err)
{
    s->count = sum_table_count(names);
    s->rows = xcalloc(s->count, sizeof *s->rows);
    for (size_t i = 0; i < s->count; i++) {
        const struct sum *n = sum_table_at(names, i);
        const char *blank = strchr(n->name, ' ');
        struct statement *row = &s->rows[i];

        if (is_preview)
            snprintf(row->number, sizeof row->number, PREVIEW_NUMBER);
        else
            snprintf(row->number, sizeof row->number, "%s-%06zu", s->period.text, i + 1);
        if (!span_copy((struct span){n->name, (size_t)(blank - n->name)}, row->creator,
                       sizeof row->creator) ||
            !span_copy(span_of(blank + 1), row->currency, sizeof row->currency) ||
            !nanos_fit(n->nanos, &row->opening))
            return err_set(err, ERR_CORRUPT, "the opening of %.80s is malformed", n->name);
    }
    return true;
}

static bool assign_lines(struct statements *s, const struct sum_table *names, struct err *err)
{
    char name[NAME_TEXT];

    for (size_t i = 0; i < s->line_count; i++) {
        struct statement_line *l = &s->lines[i];
        struct statement *row;
        const struct sum *n =
            sum_table_find(names, span_of(name_of(l->owner->id, l->party->currency, name)));

        l->statement = (size_t)(n - sum_table_at(names, 0));
        row = &s->rows[l->statement];
        if (!add(&row->gross, l->gross, row, err) || !add(&row->earned, l->earned, row, err) ||
            !add(&row->refunds, l->refunds, row, err))
            return false;
    }
    if (s->line_count > 1)
        qsort(s->lines, s->line_count, sizeof *s->lines, compare_lines);
    return true;
}

static int compare_lines(const void *a, const void *b)
{
    const struct statement_line *x = a, *y = b;

    if (x->statement != y->statement)
        return x->statement < y->statement ? -1 : 1;
    return strcmp(x->party->name, y->party->name);
}

static bool settle(struct statement *s, struct err *err)
{
    int64_t balance = s->opening;

    if (!add(&balance, s->earned, s, err) || !add(&balance, -s->refunds, s, err))
        return false;
    s->payout = payout_floor(balance, s->currency);
    s->closing = balance - s->payout;
    return true;
}

static bool add(int64_t *to, int64_t nanos, const struct statement *s, struct err *err)
{
    return nanos_fit((int128)*to + nanos, to) ||
           err_set(err, ERR_LIMIT, "creator %s: a sum in %s is more than can be settled",
                   s->creator, s->currency);
}

/* The first entry, begun with the platform's parts, is the period's sales; the second is its
 * refunds. */
static void post_all(struct statements *s, const struct tally *t)
{
    char account[BOOK_ACCOUNT_TEXT];

    for (size_t i = 0; i < s->count; i++)
        books_post(s->books, payable(s->rows[i].creator, account), s->rows[i].currency,
                   s->rows[i].earned);
    post_clients(s, t->accounts, -1);
    books_entry_end(s->books);
    post_refunds(s, t);
    for (size_t i = 0; i < s->count; i++) {
        const struct statement *row = &s->rows[i];

        books_post(s->books, payable(row->creator, account), row->currency, row->opening);
        books_post(s->books, "brought-forward", row->currency, -(int128)row->opening);
        books_entry_end(s->books);
        books_post(s->books, payable(row->creator, account), row->currency, -(int128)row->payout);
        snprintf(account, sizeof account, "creator:%s:payout", row->creator);
        books_post(s->books, account, row->currency, row->payout);
        books_entry_end(s->books);
        assert(books_balance(s->books, payable(row->creator, account), row->currency) ==
               row->closing);
    }
}

static void post_refunds(struct statements *s, const struct tally *t)
{
    char account[BOOK_ACCOUNT_TEXT];

    for (size_t i = 0; i < s->count; i++)
        books_post(s->books, payable(s->rows[i].creator, account), s->rows[i].currency,
                   -(int128)s->rows[i].refunds);
    for (size_t i = 0; i < sum_table_count(s->platform_refunds); i++) {
        const struct sum *p = sum_table_at(s->platform_refunds, i);

        books_post(s->books, "platform:revenue", p->name, -p->nanos);
    }
    post_clients(s, t->account_refunds, 1);
    books_entry_end(s->books);
}

/* What clients paid (sign -1), or got back. */
static void post_clients(struct statements *s, const struct sum_table *accounts, int sign)
{
    char account[BOOK_ACCOUNT_TEXT];

    for (size_t i = 0; i < sum_table_count(accounts); i++) {
        const struct sum *a = sum_table_at(accounts, i);
        const char *blank = strchr(a->name, ' ');

        snprintf(account, sizeof account, "client:%.*s", (int)(blank - a->name), a->name);
        books_post(s->books, account, blank + 1, sign * a->nanos);
    }
}

static const char *payable(const char *creator, char out[BOOK_ACCOUNT_TEXT])
{
    snprintf(out, BOOK_ACCOUNT_TEXT, "creator:%s:payable", creator);
    return out;
}
