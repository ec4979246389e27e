/* script_model_render.c - the model of a partition as the lines that Redis is compared with: the whole, and what it says of itself,
 * its writers and their records. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/billing/script_model_claim.h"
#include "tests/billing/script_model_grants.h"
#include "tests/billing/script_model_page.h"
#include "tests/billing/script_model_spent.h"

static void state_lines(const struct page *p);
static void writer_lines(const struct page *p);
static void record_lines(const struct page *p);
static void mark_line(const struct page *p, unsigned account);
static void booked_lines(const struct page *p, unsigned account);
static void first_lines(const struct page *p);

void page_key(const struct page *p, const char *what, const char *rest)
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
    page_key(p, "state", NULL);
    buf_printf(p->out, "%s = %s\n", field, value);
}

static void state_number(const struct page *p, const char *field, const char *prefix, int64_t n)
{
    page_key(p, "state", NULL);
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
            page_key(p, "state", NULL);
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
    page_key(p, key, NULL);
    buf_printf(p->out, "%s = %" PRIu64 " %08" PRIx32 "\n", writer_texts[writer], c->n, c->crc);
}

static void writer_lines(const struct page *p)
{
    for (unsigned w = 0; w < WRITERS; w++) {
        cursor_line(p, "cursors", w, &p->m->cursors[w]);
        cursor_line(p, "before", w, &p->m->before[w]);
        if (!p->m->live[w].ms)
            continue;
        page_key(p, "live", NULL);
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
    page_key(p, "events", account);
    buf_printf(p->out, "+ %s\n", f->line);
    page_key(p, "index", account);
    buf_printf(p->out, REQUEST_FMT " =\n", f->request);
}

static void model_call_line(const struct page *p, const struct fact *f)
{
    char model[16];

    snprintf(model, sizeof model, MODEL_FMT, f->model);
    page_key(p, "calls", model);
    buf_printf(p->out, "+ %s\n", f->line);
}

/* Where each record stands whole: in suspense, among the calls of its account and of its model, or among what is not a call. */
static void record_lines(const struct page *p)
{
    enum partition_side side = p->m->partition.side;

    for (size_t i = 0; i < p->m->booked_count; i++) {
        const struct fact *f = p->m->booked[i].fact;
        if (p->m->booked[i].reason) {
            page_key(p, "suspense", NULL);
            buf_printf(p->out, "%s %" PRIu64 " = %s %s\n", writer_texts[f->writer], f->n[side],
                       p->m->booked[i].reason, f->line);
        } else if (f->kind == RECORD_LOST || f->is_past) {
            ; /* the cursor, and what it adds up to, say that it was there */
        } else if (f->kind != RECORD_CALL && (f->kind != RECORD_REFUND || side == SIDE_ACCOUNT)) {
            page_key(p, "records", NULL);
            buf_printf(p->out, "+ %s\n", f->line);
        } else if (f->kind == RECORD_CALL) {
            side == SIDE_ACCOUNT ? call_line(p, f) : model_call_line(p, f);
        }
        if (model_funds(p->m, i) && model_is_first_of_its_op(p->m, f)) {
            page_key(p, "ops", NULL);
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
    page_key(p, "booked", NULL);
    buf_printf(p->out, "%s = %" PRId64 "\n", text, sum);
    page_key(p, "booked", NULL);
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
    page_key(p, is_notice ? "notices" : "webhooks", is_notice ? place : NULL);
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
    page_key(p, "trimmed", NULL);
    buf_printf(p->out, ACCOUNT_FMT " = %" PRId64 "-0\n", account, last);
}
