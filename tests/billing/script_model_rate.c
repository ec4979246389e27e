/* script_model_rate.c - a rate is known by the end of what is booked of it; what lies ahead of now may be at most the
 * burst. */
#include "tests/billing/script_model_rate.h"

#include <inttypes.h>

#define MINUTE_US   INT64_C(60000000)
#define GIVEN_WRAPS INT64_C(1000000000000000)
#define IDLE_MS     120000

bool rate_is_kept(const struct model_rate *r, int64_t now_us)
{
    return now_us / 1000 < r->ends_ms;
}

static unsigned of_scope(enum scope scope, const struct admit_ask *ask)
{
    return scope == OF_ACCOUNT ? ask->account : first_key_of(ask->key);
}

static int64_t cells(int64_t n, int64_t limit)
{
    return (int64_t)(((int128)n * MINUTE_US + limit - 1) / limit);
}

static int64_t left_of(const struct booking *b)
{
    int64_t free = b->burst - b->ahead;

    return b->is_of_tokens ? (int64_t)((int128)free * b->limit / MINUTE_US)
                           : free / cells(1, b->limit);
}

static void weigh(const struct model *m, const struct admit_ask *ask, int64_t now_us,
                  struct booking b, struct bookings *all)
{
    const struct model_rate *r = &m->rates[b.scope][of_scope(b.scope, ask)];
    int64_t n = b.is_of_tokens ? ask->tokens : 1;
    int64_t until = b.is_of_tokens ? r->tokens : r->requests;

    if (!b.limit)
        return;
    b.burst = b.is_of_tokens ? MINUTE_US : b.limit * cells(1, b.limit);
    b.ahead = rate_is_kept(r, now_us) && until > now_us ? until - now_us : 0;
    if (b.ahead > b.burst)
        b.ahead = b.burst;
    b.fits = n <= b.limit;
    b.cost = b.fits ? cells(n, b.limit) : 0;
    all->list[all->count++] = b;
}

void rates_weigh(const struct model *m, const struct admit_ask *ask, int64_t now_us,
                 struct bookings *out)
{
    struct fact of[SCOPES];

    *out = (struct bookings){.count = 0};
    if (!model_account(m, ask->account, &of[OF_ACCOUNT]) || !model_key(m, ask->key, &of[OF_KEY]))
        return;
    for (int scope = OF_ACCOUNT; scope <= OF_KEY; scope++) {
        weigh(m, ask, now_us, (struct booking){.scope = (enum scope)scope, .limit = of[scope].rpm},
              out);
        weigh(m, ask, now_us,
              (struct booking){
                  .scope = (enum scope)scope, .is_of_tokens = true, .limit = of[scope].tpm},
              out);
    }
}

static int64_t wait_of(const struct booking *b)
{
    return b->fits ? b->ahead + b->cost - b->burst : INT64_MAX;
}

const struct booking *rates_late(const struct bookings *all)
{
    const struct booking *late = NULL;

    for (size_t i = 0; i < all->count; i++)
        if (wait_of(&all->list[i]) > (late ? wait_of(late) : 0))
            late = &all->list[i];
    return late;
}

static void tell_tightest(const struct bookings *all, bool of_tokens, struct buf *answer)
{
    const struct booking *tightest = NULL;

    for (size_t i = 0; i < all->count; i++) {
        const struct booking *b = &all->list[i];
        if (b->is_of_tokens == of_tokens && (!tightest || left_of(b) < left_of(tightest)))
            tightest = b;
    }
    if (tightest)
        buf_printf(answer, " %" PRId64 " %" PRId64 " %" PRId64, tightest->limit, left_of(tightest),
                   tightest->ahead);
    else
        buf_add_string(answer, " 0 0 0");
}

void rates_tell(const struct bookings *all, const struct booking *late, struct buf *answer)
{
    if (!all->count)
        return;
    tell_tightest(all, false, answer);
    tell_tightest(all, true, answer);
    if (late)
        buf_printf(answer, " %s %s %" PRId64 " %" PRId64 " %" PRId64,
                   late->scope == OF_ACCOUNT ? "account" : "key",
                   late->is_of_tokens ? "tokens" : "requests", late->limit, left_of(late),
                   late->fits ? wait_of(late) : 0);
}

void rates_book(struct model *m, const struct admit_ask *ask, struct bookings *all, int64_t now_us,
                struct model_hold *hold)
{
    for (size_t i = 0; i < all->count; i++) {
        struct booking *b = &all->list[i];
        struct model_rate *r = &m->rates[b->scope][of_scope(b->scope, ask)];
        if (!rate_is_kept(r, now_us))
            *r = (struct model_rate){.requests = 0};
        b->ahead += b->cost;
        r->ends_ms = now_us / 1000 + IDLE_MS;
        if (!b->is_of_tokens) {
            r->requests = now_us + b->ahead;
            continue;
        }
        r->tokens = now_us + b->ahead;
        hold->tokens = ask->tokens;
        hold->shares[b->scope] = (struct share){true, b->cost, r->tokens, r->given};
    }
}

/* What others gave back since has moved the end of this booking nearer; what is past cannot go back. */
static void give_back(struct model_rate *r, const struct share *s, int64_t unused, int64_t tokens,
                      int64_t now_us)
{
    int64_t moved = r->given - s->given, back;

    if (!s->is_there || !rate_is_kept(r, now_us) || !r->tokens)
        return;
    moved += moved < 0 ? GIVEN_WRAPS : 0;
    back = (int64_t)((int128)s->cost * unused / tokens);
    if (back > s->finish - moved - now_us)
        back = s->finish - moved - now_us;
    if (back <= 0)
        return;
    r->tokens -= back;
    r->given = (r->given + back) % GIVEN_WRAPS;
}

void rates_give_back(struct model *m, const struct model_hold *hold, unsigned account, unsigned key,
                     int64_t used, int64_t now_us)
{
    if (used >= hold->tokens)
        return;
    give_back(&m->rates[OF_ACCOUNT][account], &hold->shares[OF_ACCOUNT], hold->tokens - used,
              hold->tokens, now_us);
    give_back(&m->rates[OF_KEY][key], &hold->shares[OF_KEY], hold->tokens - used, hold->tokens,
              now_us);
}
