/* apply_model.c - see the header. */
#include "tests/billing/apply_model.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

#define EXPECTED (8 * 1024 * 1024)

static bool comes_before(const struct fact *a, const struct fact *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->writer != b->writer ? a->writer < b->writer : a->n < b->n;
}

static bool is_newer(const struct fact *a, const struct fact *b)
{
    return a->revision != b->revision ? a->revision > b->revision : comes_before(b, a);
}

typedef bool fact_is_better(const struct fact *a, const struct fact *b);

/* The one of its kind and subject (and op, for credits) that counts; null when there is none. */
static const struct fact *best(enum kind kind, unsigned subject, unsigned op,
                               fact_is_better *better)
{
    const struct fact *found = NULL;

    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < story.count[w]; i++) {
            const struct fact *f = &story.facts[w][i];
            if (f->kind == kind && f->subject == subject && f->op == op &&
                (!found || better(f, found)))
                found = f;
        }
    return found;
}

/* A refund's month decides before its time. */
static bool refund_comes_before(const struct fact *a, const struct fact *b)
{
    return a->month != b->month ? a->month < b->month : comes_before(a, b);
}

static int by_order(const void *a, const void *b)
{
    return refund_comes_before(*(const struct fact *const *)a, *(const struct fact *const *)b) ? -1
                                                                                               : 1;
}

/* The first refund of each operation of one call, in order, and whether it counts. */
struct refunds {
    size_t count;
    const struct fact *fact[OPS];
    bool counts[OPS];
};

static struct refunds refunds_of(unsigned subject, unsigned call)
{
    const struct fact *first[OPS] = {NULL};
    struct refunds r = {0};
    int64_t left = CHARGED;

    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < story.count[w]; i++) {
            const struct fact *f = &story.facts[w][i];
            if (f->kind == REFUND && f->subject == subject && f->call == call && f->amount > 0 &&
                (!first[f->op] || refund_comes_before(f, first[f->op])))
                first[f->op] = f;
        }
    for (unsigned op = 0; op < OPS; op++)
        if (first[op])
            r.fact[r.count++] = first[op];
    if (r.count)
        qsort(r.fact, r.count, sizeof *r.fact, by_order);
    for (size_t i = 0; i < r.count; i++) {
        r.counts[i] = r.fact[i]->amount <= left;
        left -= r.counts[i] ? r.fact[i]->amount : 0;
    }
    return r;
}

struct sums {
    int64_t balance[2], debits[2];
    size_t calls[2];
    int64_t refunded[2][MONTHS];
    size_t refunds[2][MONTHS];
};

static void add_refunds(struct sums *s, unsigned subject, unsigned call)
{
    struct refunds r = refunds_of(subject, call);

    for (size_t i = 0; i < r.count; i++) {
        const struct fact *f = r.fact[i];
        if (!r.counts[i])
            continue;
        s->balance[f->currency] += f->amount;
        s->refunded[f->currency][f->month] += f->amount;
        s->refunds[f->currency][f->month]++;
    }
}

static struct sums sum_up(unsigned account)
{
    struct sums s = {0};

    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < story.count[w]; i++) {
            const struct fact *f = &story.facts[w][i];
            if (f->kind != CALL || f->subject != account || f->too_large)
                continue;
            s.balance[f->currency] -= f->amount;
            s.debits[f->currency] += f->amount;
            s.calls[f->currency]++;
        }
    for (unsigned op = 0; op < OPS; op++) {
        const struct fact *credit = best(CREDIT, account, op, comes_before);
        if (credit)
            s.balance[credit->currency] += credit->amount;
    }
    for (unsigned call = 0; call < REFUNDED; call++)
        add_refunds(&s, account, call);
    return s;
}

/* Of one form of operation the first counts. */
static const struct fact *first_of(enum kind kind, unsigned subject, enum form form, unsigned op)
{
    const struct fact *found = NULL;

    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < story.count[w]; i++) {
            const struct fact *f = &story.facts[w][i];
            if (f->kind == kind && f->subject == subject && f->form == form && f->op == op &&
                (!found || comes_before(f, found)))
                found = f;
        }
    return found;
}

enum member { WHOLE, CREDIT_LIMIT, RPM, STATE };

static bool names(const struct fact *f, enum member m)
{
    if (f->form == CREATE)
        return m != STATE;
    return m == STATE ? f->form == REVOKE
                      : f->form == LIMIT && m == (f->sets_limit ? CREDIT_LIMIT : RPM);
}

/* Which operation the member has its value of; null: of none. */
static const struct fact *setter(enum kind kind, unsigned subject, enum member m)
{
    const struct fact *found = NULL;

    for (unsigned form = 0; form < FORMS; form++)
        for (unsigned op = 0; op < OPS; op++) {
            const struct fact *f = first_of(kind, subject, (enum form)form, op);
            if (f && names(f, m) && (!found || is_newer(f, found)))
                found = f;
        }
    return found;
}

static void expect_terms(struct buf *out, enum kind kind, unsigned subject)
{
    char values[VALUES];

    for (unsigned form = 0; form < FORMS; form++)
        for (unsigned op = 0; op < OPS; op++) {
            const struct fact *f = first_of(kind, subject, (enum form)form, op);
            if (f)
                buf_printf(out,
                           "tg:{a17}:terms:%s%u %s op%u = %" PRId64 " %" PRId64 " %s %" PRIu64
                           " %s\n",
                           kind == KEY ? "key:17key" : "account:acct", subject, forms[form], op,
                           f->revision, f->at, writers[f->writer], f->n, fact_values(f, values));
        }
}

static void expect_spent(struct buf *out, unsigned account, unsigned currency, const struct sums *s)
{
    static const char *const windows[] = {"2026-11-22", "2026-11"};
    static const char *const fields[] = {"account", "key:17key", "model:demo/m"};

    for (size_t w = 0; w < ARRAY_LEN(windows); w++)
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            buf_printf(out, "tg:{a17}:spent:acct%u:%s:%s %s = %" PRId64 "\n", account, windows[w],
                       currencies[currency], fields[i], s->debits[currency]);
    buf_printf(out, "tg:{a17}:spent:acct%u:2026-11-22:%s calls:demo/m = %zu\n", account,
               currencies[currency], s->calls[currency]);
}

static void expect_account(struct buf *out, unsigned account)
{
    const struct fact *is = setter(ACCOUNT, account, WHOLE);
    struct sums s = sum_up(account);
    char key[64];
    int64_t limit;

    expect_terms(out, ACCOUNT, account);
    snprintf(key, sizeof key, "tg:{a17}:account:acct%u", account);
    for (unsigned c = 0; c < ARRAY_LEN(currencies); c++) {
        bool foreign = (!is || is->currency != c) && s.balance[c] != 0;
        if (foreign)
            buf_printf(out, "%s foreign:%s = %" PRId64 "\n", key, currencies[c], s.balance[c]);
        if (foreign && is)
            buf_printf(
                out,
                "tg:{a17}:suspense currency acct%u %s = account-has-another-currency %" PRId64 "\n",
                account, currencies[c], s.balance[c]);
        if (s.balance[c] + s.debits[c])
            buf_printf(out, "%s funds:%s = %" PRId64 "\n", key, currencies[c],
                       s.balance[c] + s.debits[c]);
        if (s.calls[c])
            buf_printf(out,
                       "tg:{a17}:debits:2026-11 acct%u %s = %" PRId64 "\n"
                       "tg:{a17}:debits:2026-11 acct%u %s calls = %zu\n",
                       account, currencies[c], s.debits[c], account, currencies[c], s.calls[c]);
        if (s.calls[c])
            expect_spent(out, account, c, &s);
    }
    if (!is)
        return;
    limit = setter(ACCOUNT, account, CREDIT_LIMIT)->limit;
    buf_printf(
        out, "%s opened = 1\n%s currency = %s\n%s mode = %s\n%s credit_limit = %" PRId64 "\n", key,
        key, currencies[is->currency], key, is->limit ? "postpaid" : "prepaid", key, limit);
    buf_printf(out, "%s concurrency = 7\n%s rpm = %" PRId64 "\n%s tpm = 1000\n", key, key,
               setter(ACCOUNT, account, RPM)->rpm, key);
    buf_printf(out, "%s balance = %" PRId64 "\n%s room = %" PRId64 "\n", key,
               s.balance[is->currency], key, s.balance[is->currency] + limit);
}

static void expect_key(struct buf *out, unsigned subject)
{
    const struct fact *is = setter(KEY, subject, WHOLE);
    char key[64];

    expect_terms(out, KEY, subject);
    if (!is)
        return;
    snprintf(key, sizeof key, "tg:{a17}:key:17key%u", subject);
    buf_printf(out, "%s owner_kind = account\n%s owner = acct0\n%s hash = %s\n%s state = %s\n", key,
               key, key, is->line, key, setter(KEY, subject, STATE) ? "revoked" : "active");
    buf_printf(out, "%s expires_at = 0\n%s rpm = %" PRId64 "\n%s tpm = 1000\n%s access = \n", key,
               key, setter(KEY, subject, RPM)->rpm, key, key);
}

static void expect_booked(struct buf *out, unsigned account, unsigned cell)
{
    unsigned month = cell / 4, currency = cell / 2 % 2, count = 0;
    bool adjusts = cell % 2;
    int64_t sum = 0;
    char name[96];

    for (unsigned op = 0; op < OPS; op++) {
        const struct fact *f = best(CREDIT, account, op, comes_before);
        bool is_there = f && f->month == month && f->currency == currency && f->adjusts == adjusts;
        sum += is_there ? f->amount : 0;
        count += is_there;
    }
    if (!count)
        return;
    snprintf(name, sizeof name, "tg:{a17}:booked %s %s acct%u %s", months[month],
             adjusts ? "adjust" : "credit", account, currencies[currency]);
    buf_printf(out, "%s = %" PRId64 "\n%s count = %u\n", name, sum, name, count);
}

static void expect_credits(struct buf *out, unsigned account)
{
    for (unsigned op = 0; op < OPS; op++) {
        const struct fact *f = best(CREDIT, account, op, comes_before);
        if (f)
            buf_printf(
                out, "tg:{a17}:ops acct%u op%u = %" PRId64 " %s %" PRIu64 " %" PRId64 " %s %s %s\n",
                account, op, f->at, writers[f->writer], f->n, f->amount, currencies[f->currency],
                f->adjusts ? "adjust" : "credit", months[f->month]);
    }
    for (unsigned cell = 0; cell < MONTHS * 4; cell++)
        expect_booked(out, account, cell);
}

static void expect_records(struct buf *out, const char *side)
{
    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < story.count[w]; i++) {
            const struct fact *f = &story.facts[w][i];
            if (f->kind == REFUND && f->amount <= 0)
                buf_printf(out, "tg:{%s}:suspense %s %" PRIu64 " = amount-is-out-of-range %s\n",
                           side, writers[w], f->n, f->line);
            else if (f->kind == REFUND && story.side == SIDE_MODEL)
                continue;
            else if (f->too_large)
                buf_printf(out, "tg:{%s}:suspense %s %" PRIu64 " = amount-is-out-of-range %s\n",
                           side, writers[w], f->n, f->line);
            else if (f->kind != CALL)
                buf_printf(out, "tg:{%s}:records + %s\n", side, f->line);
            else if (story.side == SIDE_ACCOUNT)
                buf_printf(out, "tg:{a17}:events:acct%u + %s\ntg:{a17}:index:acct%u %s = \n",
                           f->subject, f->line, f->subject, f->line);
            else
                buf_printf(out, "tg:{m00}:calls:demo/m%u + %s\n", f->subject, f->line);
        }
}

static void expect_gross(struct buf *out)
{
    for (unsigned m = 0; m < ACCOUNTS; m++)
        for (unsigned c = 0; c < ARRAY_LEN(currencies); c++) {
            struct sums s = sum_up(m);
            if (s.calls[c])
                buf_printf(out,
                           "tg:{m00}:gross:2026-11 demo/m%u 2026-11-22 %s = %" PRId64 "\n"
                           "tg:{m00}:gross:2026-11 demo/m%u 2026-11-22 %s calls = %zu\n",
                           m, currencies[c], s.debits[c], m, currencies[c], s.calls[c]);
        }
}

static void expect_refunds(struct buf *out, const char *side, unsigned subject, unsigned call)
{
    struct refunds r = refunds_of(subject, call);
    bool on_account = story.side == SIDE_ACCOUNT;

    for (size_t i = 0; i < r.count; i++) {
        const struct fact *f = r.fact[i];
        buf_printf(out,
                   "tg:{%s}:refunds:call%u-%u op%u = %s %" PRId64 " %s %" PRIu64 " %" PRId64
                   " %d %s\n",
                   side, subject, call, f->op, months[f->month], f->at, writers[f->writer], f->n,
                   f->amount, CHARGED, on_account ? f->line : "");
        if (on_account && !r.counts[i])
            buf_printf(out,
                       "tg:{a17}:suspense refund call%u-%u op%u = refund-is-above-the-call %" PRId64
                       " %s %" PRIu64 "\n",
                       subject, call, f->op, f->amount, writers[f->writer], f->n);
    }
}

static void expect_refunded(struct buf *out, const char *side, unsigned subject)
{
    struct sums s = sum_up(subject);
    char name[64];

    for (unsigned c = 0; c < ARRAY_LEN(currencies); c++)
        for (unsigned m = 0; m < MONTHS; m++) {
            if (!s.refunds[c][m])
                continue;
            fact_sum_name(&(struct fact){.subject = subject, .currency = c}, name);
            buf_printf(out,
                       "tg:{%s}:refunded %s %s = %" PRId64 "\n"
                       "tg:{%s}:refunded %s %s count = %zu\n",
                       side, months[m], name, s.refunded[c][m], side, months[m], name,
                       s.refunds[c][m]);
        }
    for (unsigned call = 0; call < REFUNDED; call++)
        expect_refunds(out, side, subject, call);
}

static bool has_larger_digest(const struct fact *a, const struct fact *b)
{
    if (a->revision != b->revision)
        return a->revision > b->revision;
    AUTO_STRING digest_a =
        fixture_ask(&redis, "EVAL %s 0 %s", "return redis.sha1hex(ARGV[1])", a->line);
    AUTO_STRING digest_b =
        fixture_ask(&redis, "EVAL %s 0 %s", "return redis.sha1hex(ARGV[1])", b->line);
    return strcmp(digest_a, digest_b) > 0;
}

static void expect_catalogue(struct buf *out)
{
    int64_t highest = 0;

    for (unsigned o = 0; o < OBJECTS; o++) {
        const struct fact *f = best(CATALOGUE, o, 0, has_larger_digest);
        if (!f)
            continue;
        buf_printf(out, "tg:{m00}:catalogue model/demo/m%u = %" PRId64 " %s\n", o, f->revision,
                   f->line);
        highest = f->revision > highest ? f->revision : highest;
    }
    if (highest)
        buf_printf(out, "tg:{m00}:catalogue revision = %" PRId64 "\n", highest);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sort_lines(char *text)
{
    static char *lines[64 * 1024];
    AUTO_CLEAR(buf) out;
    size_t n = 0;
    char *rest = NULL;

    for (char *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest))
        lines[n++] = at;
    qsort(lines, n, sizeof *lines, by_text);
    buf_init(&out, EXPECTED);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s\n", lines[i]);
    return xstrndup(out.data, out.len);
}

static char *expected_state(void)
{
    AUTO_CLEAR(buf) out;
    const char *side = story.side == SIDE_ACCOUNT ? "a17" : "m00";

    buf_init(&out, EXPECTED);
    for (unsigned w = 0; w < WRITERS; w++)
        if (story.count[w])
            buf_printf(&out, "tg:{%s}:cursors %s = %zu %08" PRIx32 "\n", side, writers[w],
                       story.count[w], fact_crc(&story.facts[w][story.count[w] - 1]));
    for (unsigned i = 0; story.side == SIDE_ACCOUNT && i < ACCOUNTS; i++) {
        expect_account(&out, i);
        expect_key(&out, i);
        expect_credits(&out, i);
    }
    for (unsigned i = 0; i < ACCOUNTS; i++)
        expect_refunded(&out, side, i);
    if (story.side == SIDE_MODEL) {
        expect_gross(&out);
        expect_catalogue(&out);
    }
    expect_records(&out, side);
    AUTO_STRING text = xstrndup(out.data, out.len);
    return sort_lines(text);
}

void compare_with_model(const char *when, uint64_t seed)
{
    freeReplyObject(fixture_command(&redis, "DEL tg:{a17}:held"));
    AUTO_STRING expected = expected_state();
    AUTO_STRING found = fixture_dump(&redis);
    size_t i = 0;

    while (expected[i] && expected[i] == found[i])
        i++;
    while (i > 0 && expected[i - 1] != '\n')
        i--;
    ck_assert_msg(strcmp(expected, found) == 0,
                  "seed %" PRIu64 ", %s: expected\n%.300s\nfound\n%.300s", seed, when, expected + i,
                  found + i);
}
