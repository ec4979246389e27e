/* script_model.c - the five programs as plain C. Sums are taken over the records that were booked, so that no order of
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
#define WAIT_MS    10000
#define LIVE_MS    30000
#define FORGET_MS  86400000

const char *const fence_texts[] = {NULL, "fenced", "over"};
const char *const verb_texts[] = {"renew", "raise", "release"};
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

/* ---- what the records that were booked add up to ---- */

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

/* As far as is remembered: what is past stands in the archive alone. */
static bool was_charged(const struct model *m, unsigned request)
{
    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = booked(m, i, RECORD_CALL);
        if (f && f->request == request && !f->is_past)
            return true;
    }
    return false;
}

static unsigned open_holds(const struct model *m, unsigned account)
{
    unsigned open = 0;

    for (unsigned r = 0; r < REQUESTS; r++)
        open += account_of(r) == account && m->holds[r].is_there;
    return open;
}

bool model_is_over(const struct model *m, unsigned request, int64_t now_us)
{
    return was_charged(m, request) || now_us / 1000 < m->released_until[request];
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
    if (f->kind == RECORD_CALL && is_account_side && was_charged(m, f->request))
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
        m->is_installed = true;
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
    if (account.concurrency && open_holds(m, ask->account) >= account.concurrency)
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
               (int64_t)model_room(m, ask->account), open_holds(m, ask->account),
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
    if (ask->verb == RAISE && amount > old && model_room(m, ask->account) + old < amount)
        return "CREDIT";
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
    m->is_installed = true;
    buf_add_string(&answer, "OK");
    for (size_t i = 0; i < ask->count; i++)
        buf_printf(&answer, " %s", change(m, ask, i, now_us));
    return xstrdup(answer.data);
}

/* ---- recovered ---- */

static void say(struct model *m, const struct recovered_ask *ask, bool is_behind, int64_t now)
{
    bool is_back = !is_behind && !ask->is_coming;

    m->live[ask->writer].run = is_back ? ask->run : 0;
    m->live[ask->writer].token = is_back ? 0 : ask->token;
    m->live[ask->writer].ms = now;
    m->live[ask->writer].turn = ask->turn;
}

/* A partition that knows nothing, though there was something to know, cannot say who is live. */
static void begin_to_wait(struct model *m, const struct recovered_ask *ask, int64_t now)
{
    m->pending_blank = m->pending_blank || (!m->is_installed && !ask->is_new);
    m->is_installed = true;
    m->run = 0;
    m->pending_run = ask->run;
    m->pending_since = now;
    m->pending_last = 0;
    for (unsigned w = 0; w < WRITERS; w++)
        if (m->live[w].ms > m->pending_last)
            m->pending_last = m->live[w].ms;
}

/* Live are those whose word is not much older than the last word before the wait; after a day a word is forgotten. */
static bool all_are_back(struct model *m, unsigned run, int64_t now)
{
    bool back = true;

    for (unsigned w = 0; w < WRITERS; w++) {
        if (m->live[w].ms && m->live[w].run != run && m->live[w].ms > m->pending_last - LIVE_MS)
            back = false;
        if (m->live[w].ms < now - FORGET_MS)
            m->live[w].ms = m->live[w].turn = 0;
    }
    return back;
}

char *model_recovered(struct model *m, const struct recovered_ask *ask, int64_t now_us)
{
    uint64_t cursor = m->cursors[ask->writer].n;
    bool is_behind = cursor < ask->n;
    bool was_coming = m->live[ask->writer].ms && !m->live[ask->writer].run;
    bool was_back = m->live[ask->writer].ms && m->live[ask->writer].run == ask->run;
    int64_t now = now_us / 1000;

    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (m->fences[ask->writer])
        return xstrdup("RETIRED");
    if (m->parked[0]) {
        m->live[ask->writer].run = m->live[ask->writer].token = 0;
        m->live[ask->writer].ms = now;
        return xasprintf("PARKED %s", m->parked);
    }
    if (!ask->is_coming && !was_back && (!was_coming || m->live[ask->writer].token != ask->token))
        return xstrdup("AGAIN");
    bool closes = !was_coming && (is_behind || (ask->is_again && !was_back));
    bool admits = m->run == ask->run && !closes;
    if (!admits && m->pending_run != ask->run)
        begin_to_wait(m, ask, now);
    say(m, ask, is_behind, now);
    bool may = !admits && !m->is_rebuilding;
    bool back = may && all_are_back(m, ask->run, now) && !m->pending_blank;
    if (may && (back || now - m->pending_since >= WAIT_MS)) {
        m->run = ask->run;
        m->pending_run = 0;
        m->pending_blank = m->blank_is_emptied = false;
        admits = true;
    }
    if (is_behind)
        return xasprintf("BEHIND %" PRIu64, cursor);
    return xstrdup(admits && !ask->is_coming ? "OK" : "WAIT");
}

char *model_retired(struct model *m, const struct retired_ask *ask)
{
    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (!ask->is_over) {
        if (!m->fences[ask->writer])
            m->fences[ask->writer] = FENCED;
        m->live[ask->writer].ms = m->live[ask->writer].turn = 0;
        return xstrdup("OK");
    }
    if (m->parked[0])
        return xstrdup("PARKED");
    if (m->cursors[ask->writer].n < ask->n)
        return xstrdup("BEHIND");
    m->fences[ask->writer] = OVER;
    return xstrdup("OK");
}

/* ---- rebuild ---- */

/* Words of writers stay, but all of them have to come back. */
static void empty(struct model *m)
{
    for (unsigned w = 0; w < WRITERS; w++)
        m->live[w].run = m->live[w].token = 0;
    m->parked[0] = m->applying[0] = '\0';
    m->run = m->pending_run = 0;
    m->is_rebuilding = true;
    m->blank_is_emptied = m->pending_blank;
}

/* All but state, the words of writers, and how far they were booked. */
static void delete_all(struct model *m)
{
    struct model rest;

    model_init(&rest, m->partition);
    rest.is_installed = m->is_installed;
    rest.is_rebuilding = m->is_rebuilding;
    memcpy(rest.parked, m->parked, sizeof rest.parked);
    memcpy(rest.applying, m->applying, sizeof rest.applying);
    memcpy(rest.live, m->live, sizeof rest.live);
    memcpy(rest.fences, m->fences, sizeof rest.fences);
    for (unsigned w = 0; w < WRITERS; w++)
        rest.before[w] = m->before[w].n < m->cursors[w].n ? m->cursors[w] : m->before[w];
    rest.run = m->run;
    rest.pending_run = m->pending_run;
    rest.pending_since = m->pending_since;
    rest.pending_last = m->pending_last;
    rest.pending_blank = m->pending_blank;
    rest.blank_is_emptied = m->blank_is_emptied;
    *m = rest;
}

char *model_rebuild(struct model *m, const struct rebuild_ask *ask)
{
    bool is_parked = m->parked[0];

    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (ask->verb == PARK   ? is_parked
        : ask->verb == DONE ? is_parked || !m->is_rebuilding
                            : !is_parked)
        return xstrdup("NOTHING");
    switch (ask->verb) {
    case PARK:
        m->pending_blank = m->pending_blank || !m->is_installed;
        m->is_installed = true;
        snprintf(m->parked, sizeof m->parked, "%s", REBUILD_REASON);
        break;
    case DELETE:
        delete_all(m);
        break;
    case EMPTY:
        empty(m);
        break;
    case DONE:
        for (unsigned w = 0; w < WRITERS; w++)
            if (m->before[w].n <= m->cursors[w].n)
                m->before[w] = (struct record_cursor){.n = 0};
        m->is_rebuilding = false;
        break;
    }
    return xstrdup("OK");
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
