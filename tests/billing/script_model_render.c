/* script_model_render.c - the model of a partition as the lines that Redis is compared with, key by key. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/crypto.h"
#include "tests/billing/script_model_claim.h"
#include "tests/billing/script_model_grants.h"
#include "tests/billing/script_model_rate.h"
#include "tests/billing/script_model_spent.h"
#include "tests/billing/script_model_terms.h"

struct page {
    const struct model *m;
    struct buf *out;
    int64_t now_us;
};

static void state_lines(const struct page *p);
static void writer_lines(const struct page *p);
static void record_lines(const struct page *p);
static void mark_line(const struct page *p, unsigned account);
static void account_lines(const struct page *p, unsigned account);
static void foreign_lines(const struct page *p, unsigned account);
static void debit_lines(const struct page *p, unsigned account);
static void booked_lines(const struct page *p, unsigned account);
static void first_lines(const struct page *p);
static void swept_lines(const struct page *p);
static void hold_lines(const struct page *p, unsigned account);
static void refund_lines(const struct page *p, unsigned request);
static void refunded_lines(const struct page *p);
static void key_lines(const struct page *p, unsigned key);
static void gross_lines(const struct page *p);
static void catalogue_lines(const struct page *p);

/* "tg:{a17}:account:acct0 balance = " */
static void name(const struct page *p, const char *what, const char *rest)
{
    char key[PARTITION_KEY];

    buf_add_span(p->out, partition_key(p->m->partition, what, rest, key));
    buf_add_char(p->out, ' ');
}

void model_render(const struct model *m, int64_t now_us, struct buf *out)
{
    struct page page = {m, out, now_us}, *p = &page;

    state_lines(p);
    writer_lines(p);
    record_lines(p);
    swept_lines(p);
    first_lines(p);
    for (unsigned a = 0; a < ACCOUNTS && m->partition.side == SIDE_ACCOUNT; a++) {
        mark_line(p, a);
        account_lines(p, a);
        foreign_lines(p, a);
        debit_lines(p, a);
        booked_lines(p, a);
        model_render_grants(m, a, out);
        hold_lines(p, a);
    }
    for (unsigned request = 0; request < REQUESTS; request++)
        refund_lines(p, request);
    refunded_lines(p);
    claim_lines(m, now_us, out);
    for (unsigned k = 0; k < KEYS; k++)
        key_lines(p, k);
    if (m->partition.side == SIDE_ACCOUNT)
        model_render_spent(m, out);
    if (m->partition.side == SIDE_MODEL) {
        gross_lines(p);
        catalogue_lines(p);
    }
}

static void state_text(const struct page *p, const char *field, const char *value)
{
    name(p, "state", NULL);
    buf_printf(p->out, "%s = %s\n", field, value);
}

static void state_number(const struct page *p, const char *field, const char *prefix, int64_t n)
{
    name(p, "state", NULL);
    buf_printf(p->out, "%s = %s%" PRId64 "\n", field, prefix, n);
}

static void state_lines(const struct page *p)
{
    const struct model *m = p->m;

    if (m->is_installed) {
        state_text(p, "installation", INSTALLATION);
        state_number(p, "partitions", "", PARTITIONS);
    }
    if (m->parked[0])
        state_text(p, "parked", m->parked);
    if (m->applying[0])
        state_text(p, "applying", m->applying);
    if (m->run)
        state_number(p, "run_id", "run-", m->run);
    if (m->is_rebuilding)
        state_text(p, "rebuilding", "1");
    if (m->pending_blank)
        state_text(p, "pending_blank", m->blank_is_emptied ? "emptied" : "1");
    for (unsigned w = 0; w < WRITERS; w++)
        if (m->fences[w]) {
            name(p, "state", NULL);
            buf_printf(p->out, "retired %s = %s\n", writer_texts[w], fence_texts[m->fences[w]]);
        }
    if (!m->pending_run)
        return;
    state_number(p, "pending_run", "run-", m->pending_run);
    state_number(p, "pending_since", "", m->pending_since);
    state_number(p, "pending_last", "", m->pending_last);
}

static void cursor_line(const struct page *p, const char *key, unsigned writer,
                        const struct record_cursor *c)
{
    if (!c->n)
        return;
    name(p, key, NULL);
    buf_printf(p->out, "%s = %" PRIu64 " %08" PRIx32 "\n", writer_texts[writer], c->n, c->crc);
}

static void writer_lines(const struct page *p)
{
    for (unsigned w = 0; w < WRITERS; w++) {
        cursor_line(p, "cursors", w, &p->m->cursors[w]);
        cursor_line(p, "before", w, &p->m->before[w]);
        if (!p->m->live[w].ms)
            continue;
        name(p, "live", NULL);
        buf_printf(p->out, "%s = ", writer_texts[w]);
        if (p->m->live[w].run)
            buf_printf(p->out, RUN_FMT, p->m->live[w].run);
        else
            buf_add_char(p->out, '-');
        if (p->m->live[w].token)
            buf_printf(p->out, "t%u", p->m->live[w].token);
        buf_printf(p->out, " %" PRId64 " %u\n", p->m->live[w].ms, p->m->live[w].turn);
    }
}

static void call_line(const struct page *p, const struct fact *f)
{
    char account[16];

    snprintf(account, sizeof account, ACCOUNT_FMT, f->subject);
    name(p, "events", account);
    buf_printf(p->out, "+ %s\n", f->line);
    name(p, "index", account);
    buf_printf(p->out, REQUEST_FMT " =\n", f->request);
}

static void model_call_line(const struct page *p, const struct fact *f)
{
    char model[16];

    snprintf(model, sizeof model, MODEL_FMT, f->model);
    name(p, "calls", model);
    buf_printf(p->out, "+ %s\n", f->line);
}

/* Where each record stands whole: in suspense, among the calls of its account and of its model, or among what is not a call. */
static void record_lines(const struct page *p)
{
    enum partition_side side = p->m->partition.side;

    for (size_t i = 0; i < p->m->booked_count; i++) {
        const struct fact *f = p->m->booked[i].fact;
        if (p->m->booked[i].reason) {
            name(p, "suspense", NULL);
            buf_printf(p->out, "%s %" PRIu64 " = %s %s\n", writer_texts[f->writer], f->n[side],
                       p->m->booked[i].reason, f->line);
        } else if (f->kind == RECORD_LOST || f->is_past) {
            ; /* the cursor, and what it adds up to, say that it was there */
        } else if (f->kind != RECORD_CALL && (f->kind != RECORD_REFUND || side == SIDE_ACCOUNT)) {
            name(p, "records", NULL);
            buf_printf(p->out, "+ %s\n", f->line);
        } else if (f->kind == RECORD_CALL) {
            side == SIDE_ACCOUNT ? call_line(p, f) : model_call_line(p, f);
        }
        if (model_funds(p->m, i) && model_is_first_of_its_op(p->m, f)) {
            name(p, "ops", NULL);
            buf_printf(
                p->out, ACCOUNT_FMT " op%u = %" PRId64 " %s %" PRIu64 " %" PRId64 " %s %s %s",
                f->subject, f->op, f->at, writer_texts[f->writer], f->n[side], f->amount,
                currency_texts[f->currency], record_kind_name(f->kind), period_texts[f->period]);
            if (f->kind == RECORD_GRANT)
                buf_printf(p->out, " %" PRId64, f->expires_at);
            buf_add_char(p->out, '\n');
        }
    }
}

/* What one kind of money came to in a period. */
static void booked_line(const struct page *p, unsigned account, enum record_kind kind,
                        unsigned cell)
{
    unsigned period = cell / CURRENCIES, currency = cell % CURRENCIES, count = 0;
    int64_t sum = 0;
    char text[96];

    for (size_t i = 0; i < p->m->booked_count; i++) {
        const struct fact *f = model_funds(p->m, i);
        if (!f || f->kind != kind || f->subject != account || f->period != period ||
            f->currency != currency || !model_is_first_of_its_op(p->m, f))
            continue;
        sum += f->amount;
        count++;
    }
    if (!count)
        return;
    snprintf(text, sizeof text, "%s %s " ACCOUNT_FMT " %s", period_texts[period],
             record_kind_name(kind), account, currency_texts[currency]);
    name(p, "booked", NULL);
    buf_printf(p->out, "%s = %" PRId64 "\n", text, sum);
    name(p, "booked", NULL);
    buf_printf(p->out, "%s count = %u\n", text, count);
}

static void booked_lines(const struct page *p, unsigned account)
{
    for (unsigned cell = 0; cell < PERIODS * CURRENCIES; cell++) {
        booked_line(p, account, RECORD_CREDIT, cell);
        booked_line(p, account, RECORD_ADJUST, cell);
        booked_line(p, account, RECORD_GRANT, cell);
    }
}

static bool says_the_same(const struct fact *a, const struct fact *b)
{
    return a->kind == b->kind && a->subject == b->subject && a->op == b->op &&
           a->is_complete == b->is_complete &&
           (a->kind == RECORD_WEBHOOK || a->period == b->period);
}

/* Webhooks and notices: of what says the same the first stands. */
static void first_line(const struct page *p, const struct fact *f)
{
    bool is_notice = f->kind == RECORD_NOTICE;
    char place[32];

    for (size_t i = 0; i < p->m->booked_count; i++)
        if (!p->m->booked[i].reason && says_the_same(p->m->booked[i].fact, f) &&
            model_comes_before(p->m->booked[i].fact, f, SIDE_ACCOUNT))
            return;
    snprintf(place, sizeof place, ACCOUNT_FMT ":%s", f->subject, period_texts[f->period]);
    name(p, is_notice ? "notices" : "webhooks", is_notice ? place : NULL);
    buf_printf(p->out, "%s " FIRST_FMT " = %" PRId64 " %s %" PRIu64 " " FIRST_BODY_FMT "\n",
               first_ways[is_notice][f->is_complete], f->subject, f->op, f->at,
               writer_texts[f->writer], f->n[SIDE_ACCOUNT], f->amount);
}

static void first_lines(const struct page *p)
{
    for (size_t i = 0; i < p->m->booked_count; i++) {
        const struct fact *f = p->m->booked[i].fact;

        if (!p->m->booked[i].reason && (f->kind == RECORD_WEBHOOK || f->kind == RECORD_NOTICE))
            first_line(p, f);
    }
}

/* Up to when calls stand in the archive alone. */
static void mark_line(const struct page *p, unsigned account)
{
    int64_t last = 0;

    for (size_t i = 0; i < p->m->booked_count; i++) {
        const struct fact *f = p->m->booked[i].fact;
        if (f->kind == RECORD_CALL && f->is_past && f->subject == account &&
            !p->m->booked[i].reason && fact_ended_ms(f) > last)
            last = fact_ended_ms(f);
    }
    if (!last)
        return;
    name(p, "trimmed", NULL);
    buf_printf(p->out, ACCOUNT_FMT " = %" PRId64 "-0\n", account, last);
}

static void account_text(const struct page *p, unsigned account, const char *field,
                         const char *value)
{
    char id[16];

    snprintf(id, sizeof id, ACCOUNT_FMT, account);
    name(p, "account", id);
    buf_printf(p->out, "%s = %s\n", field, value);
}

static void account_number(const struct page *p, unsigned account, const char *field, int128 n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, (int64_t)n);
    account_text(p, account, field, text);
}

static void terms_of(const struct page *p, enum record_kind kind, const char *what,
                     unsigned subject)
{
    char id[16], key[PARTITION_KEY + 1];
    struct span text;

    snprintf(id, sizeof id, kind == RECORD_KEY ? KEY_FMT : ACCOUNT_FMT, subject);
    text = partition_key(p->m->partition, what, id, key);
    key[text.len] = ' ';
    key[text.len + 1] = '\0';
    terms_lines(p->m, kind, subject, key, p->out);
}

/* `room` of an account that is not opened is there when something is held, and else it may be there as 0. */
static void account_lines(const struct page *p, unsigned account)
{
    int128 room = model_room(p->m, account);
    struct fact is;
    bool is_open = model_account(p->m, account, &is);

    terms_of(p, RECORD_ACCOUNT, "terms:account", account);
    if (is_open || room)
        account_number(p, account, "room", room);
    if (!is_open)
        return;
    account_text(p, account, "opened", "1");
    account_text(p, account, "currency", currency_texts[is.currency]);
    account_text(p, account, "mode", is.is_postpaid ? "postpaid" : "prepaid");
    account_number(p, account, "credit_limit", is.limit);
    account_number(p, account, "concurrency", is.concurrency);
    account_number(p, account, "rpm", is.rpm);
    account_number(p, account, "budget_day", is.budget_day);
    account_number(p, account, "budget_month", is.budget_month);
    account_number(p, account, "tpm", is.tpm);
    account_text(p, account, "zone", zone_texts[is.zone]);
    for (unsigned i = 0; i < MODELS; i++) {
        char day[64], month[64];
        if (!is.model_budgets[i].is_there)
            continue;
        snprintf(day, sizeof day, "budget_day:" MODEL_FMT, i);
        snprintf(month, sizeof month, "budget_month:" MODEL_FMT, i);
        account_number(p, account, day, is.model_budgets[i].day);
        account_number(p, account, month, is.model_budgets[i].month);
    }
    account_number(p, account, "balance", model_balance(p->m, account, is.currency));
}

/* Currencies that are not the account's, or that came before it was opened. */
static void foreign_lines(const struct page *p, unsigned account)
{
    struct fact is;
    bool is_open = model_account(p->m, account, &is);
    char field[24];

    for (unsigned c = 0; c < CURRENCIES; c++) {
        int128 sum = model_balance(p->m, account, c);
        if (!sum || (is_open && is.currency == c))
            continue;
        snprintf(field, sizeof field, "foreign:%s", currency_texts[c]);
        account_number(p, account, field, sum);
        if (!is_open)
            continue;
        name(p, "suspense", NULL);
        buf_printf(p->out,
                   "currency " ACCOUNT_FMT " %s = account-has-another-currency %" PRId64 "\n",
                   account, currency_texts[c], (int64_t)sum);
    }
}

static void debit_lines(const struct page *p, unsigned account)
{
    for (unsigned cell = 0; cell < PERIODS * CURRENCIES; cell++) {
        unsigned period = cell / CURRENCIES, currency = cell % CURRENCIES, calls = 0;
        int64_t sum = 0;
        for (size_t i = 0; i < p->m->booked_count; i++) {
            const struct fact *f = p->m->booked[i].fact;
            if (f->kind != RECORD_CALL || p->m->booked[i].reason || f->subject != account ||
                f->period != period || f->currency != currency)
                continue;
            sum += f->amount;
            calls++;
        }
        if (!calls)
            continue;
        name(p, "debits", period_texts[period]);
        buf_printf(p->out, ACCOUNT_FMT " %s = %" PRId64 "\n", account, currency_texts[currency],
                   sum);
        name(p, "debits", period_texts[period]);
        buf_printf(p->out, ACCOUNT_FMT " %s calls = %u\n", account, currency_texts[currency],
                   calls);
    }
}

static void entry_line(const struct page *p, const char *key, const char *account, unsigned request,
                       const struct model_hold *h)
{
    if (!h->is_there)
        return;
    name(p, key, account);
    buf_printf(p->out, REQUEST_FMT " = ", request);
    model_render_hold(h, request, p->out);
    buf_add_char(p->out, '\n');
}

static void share_text(const struct share *s, struct buf *out)
{
    if (s->is_there)
        buf_printf(out, " %" PRId64 ":%" PRId64 ":%" PRId64, s->cost, s->finish, s->given);
    else
        buf_add_string(out, " -");
}

void model_render_hold(const struct model_hold *h, unsigned request, struct buf *out)
{
    buf_printf(out, "%" PRId64 " %s %" PRId64, h->amount, writer_texts[h->writer], h->renewed_ms);
    if (h->shares[OF_ACCOUNT].is_there || h->shares[OF_KEY].is_there) {
        buf_printf(out, " %" PRId64, h->tokens);
        share_text(&h->shares[OF_ACCOUNT], out);
        share_text(&h->shares[OF_KEY], out);
    }
    buf_printf(out, " %s " KEY_FMT " " MODEL_FMT, h->day, h->key, model_of(request));
}

static void rate_number(const struct page *p, const char *what, const char *id, const char *field,
                        int64_t n)
{
    name(p, what, id);
    buf_printf(p->out, "%s = %" PRId64 "\n", field, n);
}

static void rate_lines(const struct page *p, const char *what, const char *id,
                       const struct model_rate *r)
{
    if (!rate_is_kept(r, p->now_us))
        return;
    if (r->requests)
        rate_number(p, what, id, "requests", r->requests);
    if (!r->tokens)
        return;
    rate_number(p, what, id, "tokens", r->tokens);
    rate_number(p, what, id, "given", r->given);
}

/* Every refund of the call, and those that do not count once more in suspense. */
static void refund_lines(const struct page *p, unsigned request)
{
    enum partition_side side = p->m->partition.side;
    struct refunds all;
    char id[16];

    model_refunds(p->m, request, &all);
    snprintf(id, sizeof id, REQUEST_FMT, request);
    for (size_t i = 0; i < all.count; i++) {
        const struct fact *f = all.list[i].fact;
        name(p, "refunds", id);
        buf_printf(p->out, "op%u = %s %" PRId64 " %s %" PRIu64 " %" PRId64 " %" PRId64 " %s\n",
                   f->op, period_texts[f->period], f->at, writer_texts[f->writer], f->n[side],
                   f->amount, f->charged, side == SIDE_ACCOUNT ? f->line : "");
        if (all.list[i].counts || side == SIDE_MODEL)
            continue;
        name(p, "suspense", NULL);
        buf_printf(p->out, "refund %s op%u = refund-is-above-the-call %" PRId64 " %s %" PRIu64 "\n",
                   id, f->op, f->amount, writer_texts[f->writer], f->n[side]);
    }
}

/* What refunds add up under: nothing else of them makes a difference. */
static void refund_sum_name(const struct fact *f, enum partition_side side, char out[96])
{
    if (side == SIDE_ACCOUNT)
        snprintf(out, 96, "%s " ACCOUNT_FMT " %s", period_texts[f->period], f->subject,
                 currency_texts[f->currency]);
    else
        snprintf(out, 96, RETURN_FMT, period_texts[f->period], period_texts[f->orig_period],
                 f->model, currency_texts[f->currency]);
}

struct refund_sum {
    char name[96];
    int64_t nanos;
    unsigned count;
};

static void add_refund(struct refund_sum *sums, size_t *n, const struct fact *f,
                       enum partition_side side)
{
    char sum[96];
    size_t i = 0;

    refund_sum_name(f, side, sum);
    while (i < *n && strcmp(sums[i].name, sum) != 0)
        i++;
    if (i == *n) {
        sums[i] = (struct refund_sum){.count = 0};
        memcpy(sums[(*n)++].name, sum, sizeof sum);
    }
    sums[i].nanos += f->amount;
    sums[i].count++;
}

static void refunded_lines(const struct page *p)
{
    static struct refund_sum sums[RECORDS_MAX];
    size_t n = 0;

    for (unsigned request = 0; request < REQUESTS; request++) {
        struct refunds all;
        model_refunds(p->m, request, &all);
        for (size_t i = 0; i < all.count; i++)
            if (all.list[i].counts)
                add_refund(sums, &n, all.list[i].fact, p->m->partition.side);
    }
    for (size_t i = 0; i < n; i++) {
        name(p, "refunded", NULL);
        buf_printf(p->out, "%s = %" PRId64 "\n", sums[i].name, sums[i].nanos);
        name(p, "refunded", NULL);
        buf_printf(p->out, "%s count = %u\n", sums[i].name, sums[i].count);
    }
}

static void swept_lines(const struct page *p)
{
    for (size_t i = 0; i < p->m->swept_count; i++) {
        unsigned request = p->m->swept[i].request;

        name(p, "swept", NULL);
        buf_printf(p->out, "+ " REQUEST_FMT " " ACCOUNT_FMT " ", request, request % ACCOUNTS);
        model_render_hold(&p->m->swept[i].hold, request, p->out);
        buf_add_char(p->out, '\n');
    }
}

static void hold_lines(const struct page *p, unsigned account)
{
    const struct model *m = p->m;
    char id[16], request[16];

    snprintf(id, sizeof id, ACCOUNT_FMT, account);
    for (unsigned r = account; r < REQUESTS; r += ACCOUNTS) {
        entry_line(p, "holds", id, r, &m->holds[r]);
        entry_line(p, "looks", id, r, &m->seen[r]);
        if (p->now_us / 1000 >= m->released_until[r])
            continue;
        snprintf(request, sizeof request, REQUEST_FMT, r);
        name(p, "released", request);
        buf_add_string(p->out, "= 1\n");
    }
    if (m->looks[account].run) {
        name(p, "looks", id);
        buf_printf(p->out, " run = " RUN_FMT "\n", m->looks[account].run);
        name(p, "looks", id);
        buf_printf(p->out, " at = %" PRId64 "\n", m->looks[account].ms);
    }
    rate_lines(p, "rate", id, &m->rates[OF_ACCOUNT][account]);
    if (m->held[account]) {
        name(p, "held", NULL);
        buf_printf(p->out, "has %s\n", id);
    }
}

static void key_text(const struct page *p, unsigned key, const char *field, const char *value)
{
    char id[16];

    snprintf(id, sizeof id, KEY_FMT, key);
    name(p, "key", id);
    buf_printf(p->out, "%s = %s\n", field, value);
}

static void key_number(const struct page *p, unsigned key, const char *field, int64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, n);
    key_text(p, key, field, text);
}

static void rotation_lines(const struct page *p, unsigned key, const struct fact *is)
{
    char text[16];

    if (is->sets & SETS_ROTATION) {
        snprintf(text, sizeof text, KEY_FMT, first_key_of(key));
        key_text(p, key, "first_key", text);
        key_text(p, key, "replaces", text);
        key_number(p, key, "grace", is->grace);
    }
    if (is->sets & SETS_REPLACED) {
        snprintf(text, sizeof text, KEY_FMT, is->replaced_by);
        key_text(p, key, "replaced_by", text);
    }
}

static void key_lines(const struct page *p, unsigned key)
{
    struct fact is;
    char text[64];

    snprintf(text, sizeof text, KEY_FMT, key);
    if (key < FIRST_KEYS)
        rate_lines(p, "rate:key", text, &p->m->rates[OF_KEY][key]);
    terms_of(p, RECORD_KEY, "terms:key", key);
    if (!model_key(p->m, key, &is))
        return;
    key_number(p, key, "rpm", is.rpm);
    key_number(p, key, "budget_day", is.budget_day);
    key_number(p, key, "budget_month", is.budget_month);
    key_number(p, key, "tpm", is.tpm);
    key_number(p, key, "expires_at", is.expires_at);
    key_text(p, key, "owner_kind", is.is_of_creator ? "creator" : "account");
    snprintf(text, sizeof text, ACCOUNT_FMT, is.owner);
    key_text(p, key, "owner", text);
    snprintf(text, sizeof text, "hash-%u-%" PRIu64, is.hash_writer, is.hash_n);
    key_text(p, key, "hash", text);
    snprintf(text, sizeof text, "pepper%u", is.hash_writer);
    key_text(p, key, "pepper", text);
    key_text(p, key, "access", access_text(is.has_scopes, is.has_models));
    rotation_lines(p, key, &is);
    key_text(p, key, "state", is.is_revoked ? "revoked" : "active");
}

static void gross_line(const struct page *p, unsigned model, unsigned period, unsigned currency)
{
    int64_t sum = 0;
    unsigned calls = 0;

    for (size_t i = 0; i < p->m->booked_count; i++) {
        const struct fact *f = p->m->booked[i].fact;
        if (f->kind != RECORD_CALL || p->m->booked[i].reason || f->model != model ||
            f->period != period || f->currency != currency)
            continue;
        sum += f->amount;
        calls++;
    }
    if (!calls)
        return;
    name(p, "gross", period_texts[period]);
    buf_printf(p->out, GROSS_FMT " = %" PRId64 "\n", model, day_texts[period],
               currency_texts[currency], sum);
    name(p, "gross", period_texts[period]);
    buf_printf(p->out, GROSS_FMT " calls = %u\n", model, day_texts[period],
               currency_texts[currency], calls);
}

static void gross_lines(const struct page *p)
{
    for (unsigned model = 0; model < MODELS; model++)
        for (unsigned cell = 0; cell < PERIODS * CURRENCIES; cell++)
            gross_line(p, model, cell / CURRENCIES, cell % CURRENCIES);
}

/* The higher revision; of two bodies with one revision the one with the larger digest. */
static bool supersedes(const struct fact *a, const struct fact *b)
{
    char digest_a[SHA1_HEX], digest_b[SHA1_HEX];

    if (a->revision != b->revision)
        return a->revision > b->revision;
    sha1_hex(a->body, strlen(a->body), digest_a);
    sha1_hex(b->body, strlen(b->body), digest_b);
    return strcmp(digest_a, digest_b) > 0;
}

static const struct fact *object_of(const struct model *m, unsigned object)
{
    const struct fact *found = NULL;

    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = m->booked[i].fact;
        if (f->kind == RECORD_CATALOGUE && !m->booked[i].reason && f->subject == object &&
            (!found || supersedes(f, found)))
            found = f;
    }
    return found;
}

static void catalogue_lines(const struct page *p)
{
    int64_t highest = -1;

    for (unsigned object = 0; object < MODELS; object++) {
        const struct fact *f = object_of(p->m, object);
        if (!f)
            continue;
        highest = f->revision > highest ? f->revision : highest;
        name(p, "catalogue", NULL);
        buf_printf(p->out, "model/" MODEL_FMT " = %" PRId64 " %s\n", object, f->revision, f->body);
    }
    if (highest < 0)
        return;
    name(p, "catalogue", NULL);
    buf_printf(p->out, "revision = %" PRId64 "\n", highest);
}
