/* script_model_grants.c - unlike the script, which goes from record to record, the model goes through what calls have cost
 * in one sweep over all points at which something changes, in 128 bits. */
#include "tests/billing/script_model_grants.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/mem.h"

#define STEPS_MAX   64
#define RESERVED_MS 60000

struct step {
    const struct fact *fact;
    int128 counted;
};

/* A grant, with the steps that count. */
struct grant {
    const struct fact *fact;
    struct step steps[STEPS_MAX];
    size_t step_count;
    int128 taken, left;
    bool is_over;
};

struct grants {
    struct grant list[OPS];
    size_t count;
};

static const struct fact *fact_of(const struct model *m, size_t i, enum record_kind kind)
{
    const struct fact *f = m->booked[i].fact;

    return f->kind == kind && !m->booked[i].reason ? f : NULL;
}

static bool is_earlier(const struct fact *a, const struct fact *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    if (a->writer != b->writer)
        return a->writer < b->writer;
    return a->n[SIDE_ACCOUNT] < b->n[SIDE_ACCOUNT];
}

/* The first of the steps of that operation that begin there; null when there is none. */
static const struct fact *step_at(const struct model *m, unsigned account, unsigned op,
                                  int128 taken)
{
    const struct fact *first = NULL;

    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = fact_of(m, i, RECORD_EXPIRY);
        if (f && f->subject == account && f->op == op && f->taken == taken &&
            (!first || is_earlier(f, first)))
            first = f;
    }
    return first;
}

static void follow_steps(const struct model *m, struct grant *g)
{
    const struct fact *step;

    while (!g->is_over && (step = step_at(m, g->fact->subject, g->fact->op, g->taken))) {
        int128 rest = g->fact->amount - g->taken;
        ck_assert_uint_lt(g->step_count, STEPS_MAX);
        struct step *s = &g->steps[g->step_count++];
        s->fact = step;
        s->counted = step->amount < rest ? step->amount : rest;
        g->taken += s->counted;
        g->is_over = step->left == 0 || g->taken == g->fact->amount;
    }
}

static bool is_used_before(const struct fact *a, const struct fact *b)
{
    if (a->expires_at != b->expires_at)
        return a->expires_at < b->expires_at;
    return a->at != b->at ? a->at < b->at : a->op < b->op;
}

static int by_use(const void *a, const void *b)
{
    return is_used_before(((const struct grant *)a)->fact, ((const struct grant *)b)->fact) ? -1
                                                                                            : 1;
}

/* In the order in which they are used. */
static void grants_of(const struct model *m, unsigned account, struct grants *out)
{
    out->count = 0;
    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = fact_of(m, i, RECORD_GRANT);
        if (!f || f->subject != account || !model_is_first_of_its_op(m, f))
            continue;
        out->list[out->count] = (struct grant){.fact = f};
        follow_steps(m, &out->list[out->count++]);
    }
    if (out->count)
        qsort(out->list, out->count, sizeof *out->list, by_use);
}

int128 grants_taken(const struct model *m, unsigned account, unsigned currency)
{
    struct grants all;
    int128 sum = 0;

    grants_of(m, account, &all);
    for (size_t i = 0; i < all.count; i++)
        sum += all.list[i].fact->currency == currency ? all.list[i].taken : 0;
    return sum;
}

static int128 spent_in(const struct model *m, unsigned account, unsigned currency)
{
    int128 sum = 0;

    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = fact_of(m, i, RECORD_CALL);
        if (f && f->subject == account && f->currency == currency)
            sum += f->amount;
    }
    return sum;
}

/* ---- what is left ---- */

static int128 step_point(const struct grant *g, size_t step)
{
    int64_t spent = g->steps[step].fact->spent;

    return spent > g->fact->spent ? spent : g->fact->spent;
}

/* The next point after `at` at which a grant begins or is taken back; `end` when there is none. */
static int128 next_point(const struct grants *all, unsigned currency, int128 at, int128 end)
{
    int128 next = end;

    for (size_t i = 0; i < all->count; i++) {
        const struct grant *g = &all->list[i];
        if (g->fact->currency != currency)
            continue;
        if (g->fact->spent > at && g->fact->spent < next)
            next = g->fact->spent;
        for (size_t s = 0; s < g->step_count; s++)
            if (step_point(g, s) > at && step_point(g, s) < next)
                next = step_point(g, s);
    }
    return next;
}

/* What happens when calls have cost `at` (or, at the end, more). */
static void change_at(struct grant *g, int128 at, bool is_end)
{
    if (is_end ? g->fact->spent >= at : g->fact->spent == at)
        g->left = g->fact->amount;
    for (size_t s = 0; s < g->step_count; s++) {
        if (is_end ? step_point(g, s) < at : step_point(g, s) != at)
            continue;
        g->left = g->left > g->steps[s].counted ? g->left - g->steps[s].counted : 0;
        if (g->is_over && s + 1 == g->step_count)
            g->left = 0;
    }
}

static void use_grants(struct grants *all, unsigned currency, int128 end)
{
    int128 next;

    for (int128 at = 0;; at = next) {
        for (size_t i = 0; i < all->count; i++)
            if (all->list[i].fact->currency == currency)
                change_at(&all->list[i], at, at == end);
        if (at == end)
            return;
        next = next_point(all, currency, at, end);
        int128 cost = next - at;
        for (size_t i = 0; i < all->count; i++) {
            struct grant *g = &all->list[i];
            int128 used = g->fact->currency != currency ? 0 : g->left < cost ? g->left : cost;
            g->left -= used;
            cost -= used;
        }
    }
}

/* ---- the script's answers ---- */

void reserve_release(struct model *m, const struct fact *expiry)
{
    struct model_reserve *r = &m->reserves[expiry->subject];

    if (r->is_there && r->op == expiry->op && r->taken == expiry->taken)
        r->is_there = false;
}

static char *look(const struct model *m, unsigned account)
{
    AUTO_CLEAR(buf) out = {.max = 4096};
    struct grants all;
    struct fact is;
    bool is_open = model_account(m, account, &is);
    int128 spent = is_open ? spent_in(m, account, is.currency) : 0;

    buf_printf(&out, "OK %" PRId64 " %" PRId64 " %" PRId64,
               is_open ? (int64_t)model_balance(m, account, is.currency) : 0,
               (int64_t)model_room(m, account), (int64_t)spent);
    grants_of(m, account, &all);
    if (is_open)
        use_grants(&all, is.currency, spent);
    for (size_t i = 0; i < all.count; i++) {
        const struct grant *g = &all.list[i];
        if (is_open && g->fact->currency == is.currency && !g->is_over)
            buf_printf(&out, " op%u %" PRId64 " %" PRId64 " %" PRId64, g->fact->op, g->fact->amount,
                       (int64_t)g->left, g->fact->expires_at);
    }
    return xstrdup(out.data);
}

static const char *bars(const struct model *m, const struct grants_ask *ask)
{
    if (!m->is_installed || ask->is_stranger)
        return "INSTALLATION";
    if (m->fences[ask->writer])
        return "RETIRED";
    if (m->parked[0])
        return "PARKED";
    return m->run != ask->run ? "RECOVERING" : NULL;
}

static const char *decide(struct model *m, const struct grants_ask *ask, int64_t now_us,
                          struct fact *decided)
{
    struct model_reserve *r = &m->reserves[ask->account];
    struct grants all;
    struct grant *g = NULL;
    struct fact is;
    bool is_own = model_account(m, ask->account, &is);

    grants_of(m, ask->account, &all);
    for (size_t i = 0; i < all.count; i++)
        g = all.list[i].fact->op == ask->op ? &all.list[i] : g;
    if (!g || g->is_over)
        return "NOTHING";
    if (ask->now_nanos < g->fact->expires_at)
        return "EARLY";
    if (r->is_there && r->writer != ask->writer && now_us / 1000 < r->ms + RESERVED_MS)
        return "WAIT";
    r->is_there = false;
    decided->currency = g->fact->currency;
    decided->spent = (int64_t)spent_in(m, ask->account, g->fact->currency);
    decided->taken = (int64_t)g->taken;
    use_grants(&all, g->fact->currency, decided->spent);
    is_own = is_own && is.currency == g->fact->currency;
    int128 room = model_room(m, ask->account), amount = g->left;
    if (is_own && room < amount)
        amount = room > 0 ? room : 0;
    decided->amount = (int64_t)amount;
    decided->left = (int64_t)(g->left - amount);
    if (!amount && decided->left)
        return "WAIT";
    if (amount && is_own)
        *r = (struct model_reserve){.is_there = true,
                                    .amount = decided->amount,
                                    .taken = decided->taken,
                                    .ms = now_us / 1000,
                                    .op = ask->op,
                                    .writer = ask->writer};
    return NULL;
}

char *model_grants(struct model *m, const struct grants_ask *ask, int64_t now_us,
                   struct fact *decided)
{
    const char *word = ask->is_look ? NULL : bars(m, ask);

    if (ask->is_look)
        return look(m, ask->account);
    if (!word)
        word = decide(m, ask, now_us, decided);
    if (word)
        return xstrdup(word);
    return xasprintf("OK %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %s", decided->amount,
                     decided->left, decided->taken, decided->spent,
                     currency_texts[decided->currency]);
}

/* ---- what Redis keeps ---- */

static void name(const struct model *m, const char *what, unsigned account, struct buf *out)
{
    char key[PARTITION_KEY], id[16];

    snprintf(id, sizeof id, ACCOUNT_FMT, account);
    buf_add_span(out, partition_key(m->partition, what, id, key));
    buf_add_char(out, ' ');
}

static void common_name(const struct model *m, const char *what, struct buf *out)
{
    char key[PARTITION_KEY];

    buf_add_span(out, partition_key(m->partition, what, NULL, key));
    buf_add_char(out, ' ');
}

static void grant_lines(const struct model *m, const struct grant *g, struct buf *out)
{
    const struct fact *f = g->fact;

    name(m, "grants", f->subject, out);
    buf_printf(out, "op%u = %" PRId64 " %s %" PRIu64 " %" PRId64 " %s %s %" PRId64 " %" PRId64 "\n",
               f->op, f->at, writer_texts[f->writer], f->n[SIDE_ACCOUNT], f->amount,
               currency_texts[f->currency], period_texts[f->period], f->expires_at, f->spent);
    if (g->is_over)
        return;
    common_name(m, "expiring", out);
    buf_printf(out, ACCOUNT_FMT " op%u = %" PRId64 "\n", f->subject, f->op,
               f->expires_at / 1000000);
}

/* Also those that do not count, or whose grant is not there yet. */
static void step_lines(const struct model *m, unsigned account, struct buf *out)
{
    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = fact_of(m, i, RECORD_EXPIRY);
        if (!f || f->subject != account || step_at(m, account, f->op, f->taken) != f)
            continue;
        name(m, "grants", account, out);
        buf_printf(out,
                   "op%u %" PRId64 " = %" PRId64 " %s %" PRIu64 " %" PRId64 " %s %" PRId64
                   " %" PRId64 "\n",
                   f->op, f->taken, f->at, writer_texts[f->writer], f->n[SIDE_ACCOUNT], f->amount,
                   period_texts[f->period], f->spent, f->left);
    }
}

static void booked_lines(const struct model *m, const struct grants *all, unsigned account,
                         unsigned cell, struct buf *out)
{
    unsigned period = cell / CURRENCIES, currency = cell % CURRENCIES, count = 0;
    int128 sum = 0;
    char text[96];

    for (size_t i = 0; i < all->count; i++)
        for (size_t s = 0; s < all->list[i].step_count; s++) {
            const struct step *step = &all->list[i].steps[s];
            if (all->list[i].fact->currency != currency || step->fact->period != period)
                continue;
            sum += step->counted;
            count++;
        }
    if (!count)
        return;
    snprintf(text, sizeof text, "%s expiry " ACCOUNT_FMT " %s", period_texts[period], account,
             currency_texts[currency]);
    common_name(m, "booked", out);
    buf_printf(out, "%s = %" PRId64 "\n", text, (int64_t)-sum);
    common_name(m, "booked", out);
    buf_printf(out, "%s count = %u\n", text, count);
}

static void account_lines(const struct model *m, unsigned account, struct buf *out)
{
    const struct model_reserve *r = &m->reserves[account];

    for (unsigned c = 0; c < CURRENCIES; c++) {
        int128 funds = model_balance(m, account, c) + spent_in(m, account, c);
        if (!funds)
            continue;
        name(m, "account", account, out);
        buf_printf(out, "funds:%s = %" PRId64 "\n", currency_texts[c], (int64_t)funds);
    }
    if (!r->is_there)
        return;
    name(m, "account", account, out);
    buf_printf(out, "reserve = %" PRId64 " op%u %" PRId64 " %s %" PRId64 "\n", r->amount, r->op,
               r->taken, writer_texts[r->writer], r->ms);
}

void model_render_grants(const struct model *m, unsigned account, struct buf *out)
{
    struct grants all;

    grants_of(m, account, &all);
    for (size_t i = 0; i < all.count; i++)
        grant_lines(m, &all.list[i], out);
    step_lines(m, account, out);
    for (unsigned cell = 0; cell < PERIODS * CURRENCIES; cell++)
        booked_lines(m, &all, account, cell, out);
    account_lines(m, account, out);
}
