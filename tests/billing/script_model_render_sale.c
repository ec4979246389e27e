/* script_model_render_sale.c - refunds, what models earned, and the catalogue as the model has them, line by line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/crypto.h"
#include "tests/billing/script_model_page.h"

/* Every refund of the call, and those that do not count once more in suspense. */
void refund_lines(const struct page *p, unsigned request)
{
    enum partition_side side = p->m->partition.side;
    struct refunds all;
    char id[16];

    model_refunds(p->m, request, &all);
    snprintf(id, sizeof id, REQUEST_FMT, request);
    for (size_t i = 0; i < all.count; i++) {
        const struct fact *f = all.list[i].fact;
        page_key(p, "refunds", id);
        buf_printf(p->out, "op%u = %s %" PRId64 " %s %" PRIu64 " %" PRId64 " %" PRId64 " %s\n",
                   f->op, period_texts[f->period], f->at, writer_texts[f->writer], f->n[side],
                   f->amount, f->charged, side == SIDE_ACCOUNT ? f->line : "");
        if (all.list[i].counts || side == SIDE_MODEL)
            continue;
        page_key(p, "suspense", NULL);
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

void refunded_lines(const struct page *p)
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
        page_key(p, "refunded", NULL);
        buf_printf(p->out, "%s = %" PRId64 "\n", sums[i].name, sums[i].nanos);
        page_key(p, "refunded", NULL);
        buf_printf(p->out, "%s count = %u\n", sums[i].name, sums[i].count);
    }
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
    page_key(p, "gross", period_texts[period]);
    buf_printf(p->out, GROSS_FMT " = %" PRId64 "\n", model, day_texts[period],
               currency_texts[currency], sum);
    page_key(p, "gross", period_texts[period]);
    buf_printf(p->out, GROSS_FMT " calls = %u\n", model, day_texts[period],
               currency_texts[currency], calls);
}

void gross_lines(const struct page *p)
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

void catalogue_lines(const struct page *p)
{
    int64_t highest = -1;

    for (unsigned object = 0; object < MODELS; object++) {
        const struct fact *f = object_of(p->m, object);
        if (!f)
            continue;
        highest = f->revision > highest ? f->revision : highest;
        page_key(p, "catalogue", NULL);
        buf_printf(p->out, "model/" MODEL_FMT " = %" PRId64 " %s\n", object, f->revision, f->body);
    }
    if (highest < 0)
        return;
    page_key(p, "catalogue", NULL);
    buf_printf(p->out, "revision = %" PRId64 "\n", highest);
}
