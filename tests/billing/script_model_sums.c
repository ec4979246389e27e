/* script_model_sums.c - what the records that were booked add up to, in the model. */
#include <stdlib.h>

#include "tests/billing/script_model_grants.h"

static const struct fact *booked(const struct model *m, size_t i, enum record_kind kind)
{
    const struct fact *f = m->booked[i].fact;

    return f->kind == kind && !m->booked[i].reason ? f : NULL;
}

bool model_comes_before(const struct fact *a, const struct fact *b, enum partition_side side)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->writer != b->writer ? a->writer < b->writer : a->n[side] < b->n[side];
}

const struct fact *model_funds(const struct model *m, size_t i)
{
    const struct fact *credit = booked(m, i, RECORD_CREDIT);

    if (!credit)
        credit = booked(m, i, RECORD_ADJUST);
    return credit ? credit : booked(m, i, RECORD_GRANT);
}

bool model_is_first_of_its_op(const struct model *m, const struct fact *credit)
{
    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = model_funds(m, i);
        if (f && f->subject == credit->subject && f->op == credit->op &&
            model_comes_before(f, credit, SIDE_ACCOUNT))
            return false;
    }
    return true;
}

/* A refund's period comes before its time. */
static int by_turn(const void *a, const void *b)
{
    const struct fact *x = *(const struct fact *const *)a, *y = *(const struct fact *const *)b;

    if (x->period != y->period)
        return x->period < y->period ? -1 : 1;
    return model_comes_before(x, y, SIDE_ACCOUNT) ? -1 : model_comes_before(y, x, SIDE_ACCOUNT);
}

void model_refunds(const struct model *m, unsigned request, struct refunds *out)
{
    const struct fact *all[RECORDS_MAX];
    bool seen[OPS] = {false};
    int128 total = 0;
    size_t n = 0;

    *out = (struct refunds){.count = 0};
    if (!m->has_refunds[request])
        return;
    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = booked(m, i, RECORD_REFUND);
        if (f && f->request == request)
            all[n++] = f;
    }
    if (n)
        qsort(all, n, sizeof *all, by_turn);
    for (size_t i = 0; i < n; i++) {
        if (seen[all[i]->op])
            continue;
        seen[all[i]->op] = true;
        out->list[out->count].fact = all[i];
        out->list[out->count].counts = total + all[i]->amount <= all[i]->charged;
        if (out->list[out->count++].counts)
            total += all[i]->amount;
    }
}

static int128 refunded(const struct model *m, unsigned account, unsigned currency)
{
    int128 sum = 0;

    for (unsigned request = account; request < REQUESTS; request += ACCOUNTS) {
        struct refunds r;
        model_refunds(m, request, &r);
        for (size_t i = 0; i < r.count; i++)
            if (r.list[i].counts && r.list[i].fact->currency == currency)
                sum += r.list[i].fact->amount;
    }
    return sum;
}

int128 model_balance(const struct model *m, unsigned account, unsigned currency)
{
    int128 sum = refunded(m, account, currency) - grants_taken(m, account, currency);

    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *call = booked(m, i, RECORD_CALL), *credit = model_funds(m, i);
        if (call && call->subject == account && call->currency == currency)
            sum -= call->amount;
        if (credit && credit->subject == account && credit->currency == currency &&
            model_is_first_of_its_op(m, credit))
            sum += credit->amount;
    }
    return sum;
}

int128 model_room(const struct model *m, unsigned account)
{
    struct fact is;
    int128 room =
        model_account(m, account, &is) ? model_balance(m, account, is.currency) + is.limit : 0;

    for (unsigned r = 0; r < REQUESTS; r++)
        if (account_of(r) == account && m->holds[r].is_there)
            room -= m->holds[r].amount;
    return m->reserves[account].is_there ? room - m->reserves[account].amount : room;
}

bool model_was_charged(const struct model *m, unsigned request)
{
    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = booked(m, i, RECORD_CALL);
        if (f && f->request == request && !f->is_past)
            return true;
    }
    return false;
}

unsigned model_open_holds(const struct model *m, unsigned account)
{
    unsigned open = 0;

    for (unsigned r = 0; r < REQUESTS; r++)
        open += account_of(r) == account && m->holds[r].is_there;
    return open;
}

bool model_is_over(const struct model *m, unsigned request, int64_t now_us)
{
    return model_was_charged(m, request) || now_us / 1000 < m->released_until[request];
}
