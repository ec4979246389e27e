/* script_model.c - apply, admit, hold and sweep as plain C. Sums are taken over the records that were booked, so that no order of
 * booking can be wrong by itself. */
#include "tests/billing/script_model_claim.h"
#include "tests/billing/script_model_grants.h"
#include "tests/billing/script_model_rate.h"
#include "tests/billing/script_model_spent.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/mem.h"

#define NUMBER_MAX INT64_C(9999999999999999) /* 16 digits: what one record or hold may move */

const char *const fence_texts[] = {NULL, "fenced", "over"};
const char *const verb_texts[] = {"renew", "release"};
const char *const answer_texts[] = {"open", "answered", "failed"};
const char *const rebuild_texts[] = {"park", "delete", "empty", "done"};

void model_init(struct model *m, struct partition p)
{
    memset(m, 0, sizeof *m);
    m->partition = p;
}

static bool is_number(int64_t n)
{
    return n >= -NUMBER_MAX && n <= NUMBER_MAX;
}

/* ---- apply ---- */

static const char *why_not(const struct model *m, const struct fact *f)
{
    bool is_account_side = m->partition.side == SIDE_ACCOUNT;

    if (f->is_unreadable)
        return "record-is-unreadable";
    if (!is_number(f->amount) || !is_number(f->charged))
        return "amount-is-out-of-range";
    if (f->kind == RECORD_GRANT && f->amount <= 0)
        return "amount-is-out-of-range";
    if (f->kind == RECORD_EXPIRY && (f->amount < 0 || (f->amount == 0 && f->left > 0)))
        return "amount-is-out-of-range";
    if (f->kind == RECORD_CALL && is_account_side && model_was_charged(m, f->request))
        return "request-id-was-charged-already";
    if (!is_number(f->revision) || !is_number(f->limit) || !is_number(f->concurrency) ||
        !is_number(f->rpm) || !is_number(f->tpm))
        return "number-is-out-of-range";
    return NULL;
}

/* Of a refund that was booked just now: whether it, or one that it made begin or cease to count, does not count. */
static bool leaves_one_aside(const struct model *m, const struct fact *f,
                             const struct refunds *before)
{
    struct refunds after;

    model_refunds(m, f->request, &after);
    for (size_t i = 0; i < after.count; i++) {
        bool turned = after.list[i].fact == f;
        for (size_t k = 0; k < before->count; k++)
            turned = turned || (before->list[k].fact == after.list[i].fact &&
                                before->list[k].counts != after.list[i].counts);
        if (turned && !after.list[i].counts)
            return true;
    }
    return false;
}

/* The call is over: its hold goes, and what it did not use of the rates. */
static void end_call(struct model *m, const struct fact *f, int64_t now_us)
{
    struct model_hold *h = &m->holds[f->request];

    if (h->is_there)
        rates_give_back(m, h, f->subject, first_key_of(f->key), f->tokens, now_us);
    *h = (struct model_hold){.is_there = false};
    if (f->has_idem)
        claim_end(m, f->subject, f->idem,
                  (struct model_claim){.is_answered = f->is_complete,
                                       .request = f->request,
                                       .body = f->idem_body,
                                       .ends_ms = f->started_ms + DAY_MS},
                  now_us);
}

/* Whether something of it stands in suspense. */
static bool book(struct model *m, const struct fact *f, int64_t now_us)
{
    const char *reason = why_not(m, f);
    struct refunds before = {.count = 0};
    bool is_account_side = m->partition.side == SIDE_ACCOUNT;

    assert(m->booked_count < RECORDS_MAX);
    if (!reason && f->kind == RECORD_CALL && is_account_side)
        end_call(m, f, now_us);
    if (f->kind == RECORD_REFUND)
        model_refunds(m, f->request, &before);
    if (!reason && f->kind == RECORD_EXPIRY)
        reserve_release(m, f);
    m->has_refunds[f->request] = m->has_refunds[f->request] || f->kind == RECORD_REFUND;
    m->booked[m->booked_count].fact = f;
    m->booked[m->booked_count++].reason = reason;
    if (!reason && f->kind == RECORD_REFUND && is_account_side)
        return leaves_one_aside(m, f, &before);
    return reason != NULL;
}

static char *apply_answer(const struct record_cursor *c, const char *status,
                          const unsigned counts[3])
{
    char crc[16] = "";

    if (c->n)
        snprintf(crc, sizeof crc, "%08" PRIx32, c->crc);
    return xasprintf("%s %" PRIu64 " %s %u %u %u", status, c->n, crc, counts[0], counts[1],
                     counts[2]);
}

char *model_apply(struct model *m, const struct apply_ask *ask, int64_t now_us)
{
    struct record_cursor *c = &m->cursors[ask->writer];
    unsigned counts[3] = {0}; /* applied, seen before, suspended */

    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION " INSTALLATION " 64");
    if (m->fences[ask->writer] && !ask->is_archived)
        return xasprintf("RETIRED %s", fence_texts[m->fences[ask->writer]]);
    if (m->applying[0] && !m->parked[0])
        snprintf(m->parked, sizeof m->parked, "a script failed midway at record %s", m->applying);
    if (m->parked[0])
        return xasprintf("PARKED %s", m->parked);
    for (size_t i = 0; i < ask->count; i++) {
        const struct fact *f = ask->facts[i];
        uint64_t n = f->n[m->partition.side];
        if (n > c->n + 1)
            return apply_answer(c, "GAP", counts);
        if (n == c->n && f->crc != c->crc)
            return apply_answer(c, "CONFLICT", counts);
        if (n <= c->n) {
            counts[1]++;
            continue;
        }
        counts[0]++;
        counts[2] += book(m, f, now_us);
        *c = (struct record_cursor){n, f->crc};
    }
    return apply_answer(c, "OK", counts);
}

/* ---- admit ---- */

/* The key's or account's word against the call; null when it may go on. */
static const char *bars(const struct model *m, const struct admit_ask *ask, int64_t now_us)
{
    struct fact key, account;
    bool is_key = model_key(m, ask->key, &key);
    int64_t now = ask->now_nanos ? ask->now_nanos : now_us * 1000;

    if (!is_number(ask->amount) || ask->amount < 0 || !is_number(ask->tokens))
        return "MALFORMED";
    if (m->is_installed && ask->is_stranger)
        return "INSTALLATION";
    if (m->fences[ask->writer])
        return "RETIRED";
    if (m->parked[0])
        return "PARKED";
    if (!m->is_installed || m->run != ask->run)
        return "RECOVERING";
    if (!is_key || key.is_of_creator || key.owner != ask->account)
        return "KEY_UNKNOWN";
    if (key.is_revoked)
        return "KEY_REVOKED";
    if (key.expires_at && now >= key.expires_at)
        return "KEY_EXPIRED";
    if (key.has_models != ask->knows_models || key.has_scopes != ask->knows_scopes)
        return "KEY_CHANGED";
    if (!model_account(m, ask->account, &account))
        return "ACCOUNT_UNKNOWN";
    return account.zone == ask->zone ? NULL : "ZONE";
}

static void place(struct model *m, unsigned request, struct model_hold hold)
{
    m->holds[request] = hold;
    m->held[account_of(request)] = true;
}

/* What the verdict is, once key and account let the call in. */
static const char *judge(const struct model *m, const struct admit_ask *ask,
                         const struct booking *late, int64_t now_us)
{
    struct fact account;

    if (!model_account(m, ask->account, &account) || ask->currency != account.currency)
        return "CURRENCY";
    if (m->holds[ask->request].is_there)
        return "OK";
    if (model_is_over(m, ask->request, now_us))
        return "OVER";
    if (late)
        return late->fits ? "RATE" : "TOO_LARGE";
    if (account.concurrency && model_open_holds(m, ask->account) >= account.concurrency)
        return "CONCURRENCY";
    if (ask->amount && budget_over(m, ask, NULL))
        return "BUDGET";
    return ask->amount && model_room(m, ask->account) < ask->amount ? "CREDIT" : "OK";
}

static char *admit_answer(const struct model *m, const struct admit_ask *ask, const char *verdict,
                          const struct bookings *all, const struct booking *late)
{
    struct fact account;
    AUTO_CLEAR(buf) answer;

    (void)model_account(m, ask->account, &account); /* it was found by judge() */
    buf_init(&answer, 512);
    buf_printf(&answer, "%s %" PRId64 " %u %" PRId64 " %s %s", verdict,
               (int64_t)model_room(m, ask->account), model_open_holds(m, ask->account),
               account.concurrency, currency_texts[account.currency],
               account.is_postpaid ? "postpaid" : "prepaid");
    rates_tell(all, late, &answer);
    if (strcmp(verdict, "BUDGET") == 0)
        (void)budget_over(m, ask, &answer);
    return xstrdup(answer.data);
}

static char *zone_answer(const struct model *m, unsigned id)
{
    struct fact account;

    (void)model_account(m, id, &account); /* it was found by bars() */
    return xasprintf("ZONE %s", zone_texts[account.zone]);
}

char *model_admit(struct model *m, const struct admit_ask *ask, int64_t now_us)
{
    const char *verdict = bars(m, ask, now_us);
    struct bookings all;
    struct barred_by by;

    if (verdict && strcmp(verdict, "ZONE") == 0)
        return zone_answer(m, ask->account);
    if (verdict)
        return xstrdup(verdict);
    verdict = claim_bars(m, ask, now_us, &by);
    if (verdict)
        return xasprintf("%s " REQUEST_FMT " %u", verdict, by.request, by.name);
    rates_weigh(m, ask, now_us, &all);
    const struct booking *late = rates_late(&all);
    verdict = judge(m, ask, late, now_us);
    if (strcmp(verdict, "OVER") == 0)
        return xstrdup(verdict);
    if (strcmp(verdict, "OK") == 0 && !m->holds[ask->request].is_there) {
        struct model_hold hold = {.is_there = true,
                                  .amount = ask->amount,
                                  .renewed_ms = now_us / 1000,
                                  .writer = ask->writer,
                                  .key = first_key_of(ask->key)};
        memcpy(hold.day, ask->day, sizeof hold.day);
        rates_book(m, ask, &all, now_us, &hold);
        place(m, ask->request, hold);
        claim_place(m, ask, now_us);
    }
    bool is_about_rates = strcmp(verdict, "RATE") == 0 || strcmp(verdict, "TOO_LARGE") == 0;
    return admit_answer(m, ask, verdict, &all, is_about_rates ? late : NULL);
}

/* ---- hold ---- */

static const char *change(struct model *m, const struct hold_ask *ask, size_t i, int64_t now_us)
{
    unsigned request = ask->entries[i].request;
    int64_t amount = ask->entries[i].amount;
    struct model_hold hold = m->holds[request];
    int64_t old = hold.is_there ? hold.amount : 0;

    if (!is_number(amount) || amount < 0)
        return "MALFORMED";
    if (ask->verb == RELEASE) {
        if (hold.is_there)
            rates_give_back(m, &hold, ask->account, first_key_of(ask->key), 0, now_us);
        m->holds[request] = (struct model_hold){.is_there = false};
        m->released_until[request] = now_us / 1000 + MARK_MS;
        return "OK";
    }
    if (!hold.is_there && model_is_over(m, request, now_us))
        return "OVER";
    if (!hold.is_there) {
        hold.key = first_key_of(ask->key);
        memcpy(hold.day, ask->day, sizeof hold.day);
    }
    hold.is_there = true;
    hold.amount = amount > old ? amount : old;
    hold.renewed_ms = now_us / 1000;
    hold.writer = ask->writer;
    place(m, request, hold);
    return "OK";
}

char *model_hold(struct model *m, const struct hold_ask *ask, int64_t now_us)
{
    AUTO_CLEAR(buf) answer;

    buf_init(&answer, 256);
    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (m->parked[0])
        return xstrdup("PARKED");
    buf_add_string(&answer, "OK");
    for (size_t i = 0; i < ask->count; i++)
        buf_printf(&answer, " %s", change(m, ask, i, now_us));
    return xstrdup(answer.data);
}

/* ---- sweep ---- */

static bool is_unrenewed(const struct model *m, unsigned request)
{
    const struct model_hold *now = &m->holds[request], *then = &m->seen[request];

    return then->is_there && then->amount == now->amount && then->writer == now->writer &&
           then->renewed_ms == now->renewed_ms && then->tokens == now->tokens &&
           then->key == now->key && strcmp(then->day, now->day) == 0;
}

static void look(struct model *m, const struct sweep_ask *ask, bool is_first, struct buf *answer)
{
    bool any = false;

    for (unsigned r = ask->account; r < REQUESTS; r += ACCOUNTS) {
        struct model_hold *h = &m->holds[r];
        if (h->is_there && !is_first && is_unrenewed(m, r)) {
            buf_printf(answer, " " REQUEST_FMT " ", r);
            model_render_hold(h, r, answer);
            assert(m->swept_count < SWEPT_MAX);
            m->swept[m->swept_count].request = r;
            m->swept[m->swept_count++].hold = *h;
            *h = (struct model_hold){.is_there = false};
        }
        m->seen[r] = *h;
        any = any || h->is_there;
    }
    if (!any)
        m->held[ask->account] = false;
    m->looks[ask->account].run = any ? ask->run : 0;
}

static void forget_look(struct model *m, unsigned account)
{
    m->looks[account].run = 0;
    for (unsigned r = account; r < REQUESTS; r += ACCOUNTS)
        m->seen[r].is_there = false;
}

char *model_sweep(struct model *m, const struct sweep_ask *ask, int64_t now_us)
{
    AUTO_CLEAR(buf) answer;
    bool is_first = m->looks[ask->account].run != ask->run;

    buf_init(&answer, 8192);
    if (!m->is_installed || ask->is_stranger)
        return xstrdup("INSTALLATION");
    if (m->parked[0])
        return xstrdup("PARKED");
    if (m->run != ask->run) {
        forget_look(m, ask->account);
        return xstrdup("RECOVERING");
    }
    if (!is_first && now_us / 1000 - m->looks[ask->account].ms < LOOK_MS)
        return xstrdup("SOON");
    buf_add_string(&answer, "OK");
    look(m, ask, is_first, &answer);
    m->looks[ask->account].ms = now_us / 1000;
    return xstrdup(answer.data);
}
