/* script_draw.c - draws stories. What is rare in life (a lost suffix, a late END, two writers who set one thing) is common
 * here; amounts that doubles cannot hold are among the usual ones. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/billing/script_story.h"

#define UNDER_WAY   16
#define OPENING_MAX 32
#define AT_BASE     (INT64_C(1791000000) * NANOS_PER_SECOND)
#define EXPIRY_BASE (STORY_START_US * 1000)

/* What a story is about: some mistakes need much of one thing before they show. */
enum theme { EVERYTHING, CALLS, RECORDS, RECOVERY, GRANTS, LIMITS, THEMES };

struct dice {
    uint64_t chance;
    enum theme theme;
    bool commutes;
    unsigned first; /* of the calls that are under way; those before it are most often over */
};

static const unsigned weights[THEMES][OP_KINDS] = {
    [EVERYTHING] = {[OP_GRANTS] = 100,
                    [OP_ANSWER] = 60,
                    [OP_TAKE_UP] = 10,
                    [OP_REBUILD] = 12,
                    [OP_RETIRE] = 14,
                    [OP_WRITE] = 220,
                    [OP_APPLY] = 200,
                    [OP_FORGE] = 8,
                    [OP_ADMIT] = 220,
                    [OP_HOLD] = 160,
                    [OP_RECOVERED] = 30,
                    [OP_SWEEP] = 60,
                    [OP_TICK] = 90,
                    [OP_KEEP] = 20,
                    [OP_LOSE] = 12,
                    [OP_LOSE_ALL] = 4,
                    [OP_DIE] = 1,
                    [OP_BACK] = 80},
    [CALLS] = {[OP_GRANTS] = 60,
               [OP_ANSWER] = 120,
               [OP_TAKE_UP] = 20,
               [OP_RETIRE] = 36,
               [OP_WRITE] = 200,
               [OP_APPLY] = 80,
               [OP_ADMIT] = 350,
               [OP_HOLD] = 200,
               [OP_SWEEP] = 30,
               [OP_TICK] = 100,
               [OP_BACK] = 100},
    [RECORDS] = {[OP_GRANTS] = 60,
                 [OP_WRITE] = 400,
                 [OP_APPLY] = 300,
                 [OP_FORGE] = 10,
                 [OP_KEEP] = 10,
                 [OP_LOSE] = 10,
                 [OP_BACK] = 40},
    [GRANTS] = {[OP_GRANTS] = 300,
                [OP_WRITE] = 200,
                [OP_APPLY] = 200,
                [OP_ADMIT] = 150,
                [OP_HOLD] = 60,
                [OP_TICK] = 60,
                [OP_KEEP] = 4,
                [OP_LOSE] = 4,
                [OP_BACK] = 40},
    [LIMITS] = {[OP_WRITE] = 240,
                [OP_APPLY] = 200,
                [OP_ADMIT] = 300,
                [OP_HOLD] = 40,
                [OP_TICK] = 10,
                [OP_BACK] = 40},
    [RECOVERY] = {[OP_ANSWER] = 10,
                  [OP_TAKE_UP] = 20,
                  [OP_REBUILD] = 60,
                  [OP_RETIRE] = 24,
                  [OP_WRITE] = 60,
                  [OP_APPLY] = 60,
                  [OP_ADMIT] = 80,
                  [OP_HOLD] = 60,
                  [OP_RECOVERED] = 300,
                  [OP_SWEEP] = 100,
                  [OP_TICK] = 150,
                  [OP_KEEP] = 20,
                  [OP_LOSE] = 20,
                  [OP_LOSE_ALL] = 10,
                  [OP_DIE] = 1,
                  [OP_BACK] = 30},
};

static uint64_t draw(struct dice *d, uint64_t below)
{
    d->chance ^= d->chance << 13;
    d->chance ^= d->chance >> 7;
    d->chance ^= d->chance << 17;
    return (d->chance >> 11) % below;
}

static bool one_in(struct dice *d, uint64_t n)
{
    return draw(d, n) == 0;
}

/* Round ones are drawn again and again, so that sums come back to zero. */
static int64_t draw_amount(struct dice *d)
{
    static const int64_t special[] = {0,
                                      1,
                                      9007199254740991,
                                      9007199254740992,
                                      9007199254740993,
                                      9999999999999999,
                                      10000000000000000,
                                      INT64_MAX};

    if (one_in(d, 25))
        return special[draw(d, ARRAY_LEN(special))];
    return one_in(d, 5) ? 1000000000 : (int64_t)draw(d, 5000000000);
}

static int64_t draw_revision(struct dice *d)
{
    return one_in(d, 60) ? INT64_C(10000000000000000) : (int64_t)draw(d, 12);
}

static int64_t draw_tokens(struct dice *d)
{
    return one_in(d, 8) ? (int64_t)draw(d, 2000) : (int64_t)draw(d, 60);
}

/* Accounts and keys of one number belong together at first. */
static unsigned usual_key(struct dice *d, unsigned request)
{
    unsigned account = account_of(request);

    return one_in(d, d->theme == LIMITS ? 2 : 6) ? (unsigned)draw(d, KEYS / 2) * 2 + account % 2
                                                 : account;
}

static unsigned draw_request(struct dice *d)
{
    return one_in(d, 8) ? (unsigned)draw(d, d->first + UNDER_WAY)
                        : d->first + (unsigned)draw(d, UNDER_WAY);
}

static void draw_call(struct dice *d, struct fact *f)
{
    f->request = draw_request(d);
    if (d->commutes) /* a call is its writer's own */
        f->request = (f->request / WRITERS * WRITERS + f->writer) % REQUESTS;
    f->subject = account_of(f->request);
    f->model = model_of(f->request);
    f->key = usual_key(d, f->request);
    f->period = (unsigned)draw(d, PERIODS);
    f->currency = one_in(d, 8);
    f->amount = draw_amount(d);
    f->tokens = draw_tokens(d);
    f->has_idem = one_in(d, 3);
    f->idem = (unsigned)draw(d, IDEMS);
    f->idem_body = (unsigned)draw(d, 8) == 0;
    f->zone = one_in(d, 2) ? 0 : (unsigned)draw(d, ZONES);
    f->is_complete = draw(d, 3) > 0;
}

/* Quarters of what a few calls cost, so that one more is often one too many, and of the same price for each call. Of
 * every third call they have more digits than are exact as doubles. */
static void draw_refund(struct dice *d, struct fact *f)
{
    f->request = (unsigned)draw(d, 6);
    f->subject = account_of(f->request);
    f->model = model_of(f->request);
    f->orig_period = f->request % PERIODS;
    f->period = f->orig_period + (unsigned)draw(d, PERIODS - f->orig_period);
    f->currency = f->request % 5 == 4;
    f->op = (unsigned)draw(d, OPS);
    f->charged = 1600000000 * (int64_t)(1 + f->request) * (f->request % 3 ? 1 : 1500001);
    f->amount = f->charged / 4 * (int64_t)(1 + draw(d, 4));
    if (one_in(d, 40))
        f->amount = draw_amount(d) + 1;
}

static void draw_rates(struct dice *d, struct fact *f)
{
    static const int64_t rpm[] = {0, 0, 0, 0, 0, 1, 2, 3, 7, 60, 100000000};
    static const int64_t tpm[] = {0, 0, 0, 60, 61, 100, 700, 700, 3000, 3000, 100000000};

    f->rpm = rpm[draw(d, ARRAY_LEN(rpm))];
    f->tpm = tpm[draw(d, ARRAY_LEN(tpm))];
}

/* Round calls fit a budget exactly. */
static void draw_budgets(struct dice *d, struct fact *f)
{
    uint64_t n = d->theme == LIMITS ? 2 : 4;

    f->budget_day = one_in(d, n) ? 1000000000 * (int64_t)(1 + draw(d, 12)) : 0;
    f->budget_month = one_in(d, n) ? 1000000000 * (int64_t)(1 + draw(d, 30)) : 0;
}

/* A creation sets all, a change one thing or two. */
static void draw_form(struct dice *d, struct fact *f, bool may_revoke)
{
    f->op = (unsigned)draw(d, SETTING_OPS);
    f->form = one_in(d, 3) ? SETTING_CREATE : may_revoke ? SETTING_REVOKE : SETTING_LIMIT;
    f->sets = f->form == SETTING_CREATE   ? SETS_ALL
              : f->form == SETTING_REVOKE ? SETS_STATE
                                          : (SETS_RPM << draw(d, 2)) | (SETS_RPM << draw(d, 2));
}

/* What is not set is nothing. */
static void drop_unset(struct fact *f)
{
    if (!(f->sets & SETS_LIMIT))
        f->limit = 0;
    if (!(f->sets & SETS_CONCURRENCY))
        f->concurrency = 0;
    if (!(f->sets & SETS_RPM))
        f->rpm = 0;
    if (!(f->sets & SETS_TPM))
        f->tpm = 0;
    if (!(f->sets & SETS_EXPIRY))
        f->expires_at = 0;
    if (!(f->sets & SETS_MODELS))
        f->has_models = false;
    if (!(f->sets & SETS_SCOPES))
        f->has_scopes = false;
    if (!(f->sets & SETS_ZONE))
        f->zone = 0;
    if (!(f->sets & (SETS_BUDGETS | SETS_MODEL_BUDGETS)))
        f->budget_day = f->budget_month = 0;
}

static void draw_account(struct dice *d, struct fact *f)
{
    f->subject = (unsigned)draw(d, ACCOUNTS);
    draw_form(d, f, false);
    if (f->form == SETTING_LIMIT && one_in(d, 2))
        f->sets |= one_in(d, 2) ? SETS_LIMIT : SETS_CONCURRENCY;
    if (f->form == SETTING_LIMIT && one_in(d, 3))
        f->sets |= SETS_BUDGETS;
    if (f->form == SETTING_LIMIT && one_in(d, 4))
        f->sets |= SETS_ZONE;
    if (f->form == SETTING_LIMIT && one_in(d, 3))
        f->sets = SETS_MODEL_BUDGETS;
    f->zone = (unsigned)draw(d, ZONES);
    f->model = (unsigned)draw(d, MODELS);
    f->revision = draw_revision(d);
    f->currency = one_in(d, 8);
    f->is_postpaid = one_in(d, 3);
    f->limit = f->is_postpaid ? draw_amount(d) : 0;
    f->concurrency = one_in(d, 3) ? 0 : 1 + (int64_t)draw(d, 5);
    draw_rates(d, f);
    draw_budgets(d, f);
    drop_unset(f);
}

static void draw_key(struct dice *d, struct fact *f)
{
    f->subject = (unsigned)draw(d, KEYS);
    f->owner = one_in(d, 8) ? (unsigned)draw(d, ACCOUNTS / 2) * 2 + f->subject % 2 : f->subject;
    f->revision = draw_revision(d);
    f->is_of_creator = one_in(d, 30);
    draw_form(d, f, one_in(d, d->theme == CALLS || d->theme == LIMITS ? 200 : 20));
    if (f->form == SETTING_LIMIT && one_in(d, 3))
        f->sets |= one_in(d, 2) ? SETS_EXPIRY : one_in(d, 2) ? SETS_MODELS : SETS_SCOPES;
    if (f->form == SETTING_LIMIT && one_in(d, 3))
        f->sets |= SETS_BUDGETS;
    if (f->form == SETTING_LIMIT && one_in(d, 5)) {
        f->form = SETTING_HASH;
        f->sets = SETS_HASH;
    }
    f->has_models = one_in(d, 3);
    f->has_scopes = one_in(d, 3);
    draw_rates(d, f);
    draw_budgets(d, f);
    if (one_in(d, 6))
        f->expires_at = EXPIRY_BASE + (int64_t)draw(d, 4) * 50 * NANOS_PER_SECOND;
    if (f->form == SETTING_CREATE && f->subject >= FIRST_KEYS && !one_in(d, 4)) {
        f->sets |= SETS_ROTATION;
        f->grace = (int64_t)draw(d, 3) * 100;
        f->replaced_until = EXPIRY_BASE + (int64_t)draw(d, 4) * 50 * NANOS_PER_SECOND;
    }
    drop_unset(f);
}

/* Of few amounts, so that the steps of one make chains. */
static int64_t draw_part(struct dice *d)
{
    return (int64_t)draw(d, 4) * 500000000;
}

/* Of few, where grants are the theme: steps of one meet what is set aside for another. */
static unsigned draw_money_op(struct dice *d)
{
    return (unsigned)draw(d, d->theme == GRANTS ? 2 : OPS);
}

static void draw_grant(struct dice *d, struct fact *f)
{
    f->kind = one_in(d, 3) ? RECORD_EXPIRY : RECORD_GRANT;
    f->spent = (int64_t)draw(d, 40) * 500000000;
    f->expires_at = EXPIRY_BASE + (int64_t)draw(d, 4) * 50 * NANOS_PER_SECOND;
    f->amount = one_in(d, 3) ? f->amount : draw_part(d);
    if (d->theme == GRANTS && one_in(d, 2) && f->amount < INT64_MAX / 16 &&
        f->amount > -INT64_MAX / 16)
        f->amount *= 16; /* so that what is free seldom covers it */
    if (f->kind == RECORD_GRANT)
        return;
    f->taken = draw_part(d);
    f->left = draw_part(d);
}

static void draw_credit(struct dice *d, struct fact *f)
{
    f->subject = (unsigned)draw(d, ACCOUNTS);
    f->op = draw_money_op(d);
    f->currency = one_in(d, 8);
    f->period = (unsigned)draw(d, PERIODS);
    f->amount = draw_amount(d) * (one_in(d, 4) ? -1 : 1);
    if (one_in(d, 4))
        f->kind = RECORD_ADJUST;
    else if (d->theme == GRANTS ? draw(d, 4) > 0 : one_in(d, 2))
        draw_grant(d, f);
}

static void draw_object(struct dice *d, struct fact *f)
{
    f->subject = (unsigned)draw(d, MODELS);
    f->revision = draw_revision(d);
    snprintf(f->body, sizeof f->body, "{\"text\":%u}", (unsigned)draw(d, 1000));
}

/* A webhook, or a notice. */
static void draw_first(struct dice *d, struct fact *f)
{
    f->kind = one_in(d, 2) ? RECORD_WEBHOOK : RECORD_NOTICE;
    f->subject = (unsigned)draw(d, ACCOUNTS);
    f->op = (unsigned)draw(d, OPS);
    f->period = (unsigned)draw(d, PERIODS);
    f->is_complete = one_in(d, 3);
    f->amount = (int64_t)draw(d, 1000); /* what it says, which nothing looks at */
}

static void draw_lost(struct dice *d, struct fact *f)
{
    f->subject = (unsigned)draw(d, 2);
    f->side = (enum partition_side)draw(d, SIDES);
}

static struct fact draw_fact(struct dice *d)
{
    static const struct {
        unsigned upto;
        enum record_kind kind;
        void (*draw)(struct dice *, struct fact *);
    } kinds[] = {{52, RECORD_CALL, draw_call},     {60, RECORD_ACCOUNT, draw_account},
                 {70, RECORD_KEY, draw_key},       {82, RECORD_CREDIT, draw_credit},
                 {90, RECORD_REFUND, draw_refund}, {94, RECORD_CATALOGUE, draw_object},
                 {98, RECORD_NOTICE, draw_first},  {100, RECORD_LOST, draw_lost}};
    unsigned die = (unsigned)draw(d, d->theme == CALLS ? 66 : 100), k = 0;
    struct fact f = {.writer = (unsigned)draw(d, WRITERS),
                     .at = AT_BASE + (int64_t)draw(d, 6) * NANOS_PER_SECOND};

    if (d->theme == GRANTS && die >= 56)
        die = 72; /* money */
    if (d->theme == LIMITS && die >= 70)
        die = 52 + die % 18; /* accounts and keys */
    while (die >= kinds[k].upto)
        k++;
    f.kind = kinds[k].kind;
    kinds[k].draw(d, &f);
    f.is_unreadable = f.kind != RECORD_LOST && one_in(d, 60);
    f.is_past = one_in(d, 6);
    return f;
}

static int draw_shift(struct dice *d)
{
    unsigned die = (unsigned)draw(d, 12);

    return die == 0 ? 1 + (int)draw(d, 3) : die < 4 ? -1 - (int)draw(d, 6) : 0;
}

/* Mostly moments, in which rates have not run off; now and then what makes the scripts' own times go by. */
static int64_t draw_ms(struct dice *d)
{
    static const int64_t usual[] = {9999, 10000, 30001, 59999, 60000, 60001, 120000};

    if (one_in(d, 60))
        return 86400001;
    if (d->theme == CALLS && draw(d, 4))
        return (int64_t)draw(d, 150);
    return one_in(d, 2) ? (int64_t)draw(d, 3000) : usual[draw(d, ARRAY_LEN(usual))];
}

/* The account's place is that of the request, and the key one of its place. */
static void of_a_call(struct dice *d, struct op *op)
{
    op->request = draw_request(d);
    op->place = account_of(op->request) % 2;
    op->key = usual_key(d, op->request);
}

/* How long ago a call began: most often a moment, sometimes more than its claim stands. */
static int64_t draw_age(struct dice *d)
{
    static const int64_t long_ago[] = {DAY_MS - 1, DAY_MS, DAY_MS + 1, 2 * DAY_MS};

    return one_in(d, 10) ? long_ago[draw(d, ARRAY_LEN(long_ago))] : (int64_t)draw(d, 3);
}

static void draw_rest(struct dice *d, struct op *op)
{
    static const enum verb verbs[] = {RENEW, RENEW, RELEASE};

    switch (op->kind) {
    case OP_WRITE:
        op->fact = draw_fact(d);
        op->age_ms = draw_age(d);
        break;
    case OP_APPLY:
        op->count = 1 + draw(d, BATCH_MAX);
        op->shift = draw_shift(d);
        op->is_archived = one_in(d, 4);
        break;
    case OP_ADMIT:
        of_a_call(d, op);
        op->currency = one_in(d, 15);
        op->now_nanos =
            one_in(d, 4) ? EXPIRY_BASE + (int64_t)draw(d, 4) * 50 * NANOS_PER_SECOND : 0;
        op->amount = draw_amount(d);
        op->tokens = draw_tokens(d);
        op->is_outdated = one_in(d, 20);
        op->zone = one_in(d, 20) ? 1 : 0;
        op->began_ms_ago = one_in(d, 6) ? DAY_MS : 0;
        op->has_idem = one_in(d, 3);
        op->has_other_name = op->has_idem && one_in(d, 3);
        op->age_ms = (int64_t)draw(d, 3);
        break;
    case OP_ANSWER:
        of_a_call(d, op);
        op->answer = (enum answer_verb)draw(d, 3);
        op->is_stored = one_in(d, 2);
        op->has_other_name = one_in(d, 2);
        op->age_ms = draw_age(d);
        break;
    case OP_REBUILD:
        op->rebuild = (enum rebuild_verb)draw(d, 4);
        break;
    case OP_HOLD:
        of_a_call(d, op);
        op->verb = verbs[draw(d, ARRAY_LEN(verbs))];
        op->zone = (unsigned)draw(d, ZONES);
        op->began_ms_ago = one_in(d, 6) ? DAY_MS : 0;
        op->count = 1 + draw(d, ENTRIES_MAX);
        op->amount = draw_amount(d);
        break;
    case OP_SWEEP:
        of_a_call(d, op);
        break;
    case OP_GRANTS:
        of_a_call(d, op);
        op->count = draw_money_op(d);
        op->is_look = one_in(d, 3);
        op->now_nanos = EXPIRY_BASE + (int64_t)draw(d, 5) * 50 * NANOS_PER_SECOND;
        break;
    case OP_TICK:
        op->ms = draw_ms(d);
        break;
    case OP_RECOVERED:
        op->is_coming = one_in(d, 2);
        op->is_again = one_in(d, 3);
        op->is_stale = one_in(d, 8);
        op->shift = one_in(d, 3) ? 1 + (int)draw(d, 3) : 0;
        break;
    case OP_RETIRE:
        op->shift = one_in(d, 3) ? 1 + (int)draw(d, 3) : 0;
        op->is_over = draw(d, 3) > 0;
        break;
    default:
        op->count = 1 + draw(d, BATCH_MAX);
        op->is_again = one_in(d, 4);
        break;
    }
}

static struct op draw_op(struct dice *d)
{
    struct op op = {.writer = (unsigned)draw(d, WRITERS), .place = (unsigned)draw(d, PLACES)};
    unsigned sum = 0, k = 0;

    for (unsigned i = 0; i < OP_KINDS; i++)
        sum += weights[d->theme][i];
    for (uint64_t die = draw(d, sum); die >= weights[d->theme][k]; k++)
        die -= weights[d->theme][k];
    op.kind = (enum op_kind)k;
    op.is_stranger = one_in(d, 80);
    op.is_under_old_run = one_in(d, 60);
    op.is_old = one_in(d, 6);
    op.idem = (unsigned)draw(d, IDEMS);
    op.body = one_in(d, 8);
    draw_rest(d, &op);
    return op;
}

/* Accounts with keys and credit, so that calls can be admitted from the first. */
static size_t open_accounts(struct op *ops)
{
    size_t n = 0;

    for (unsigned a = 0; a < ACCOUNTS; a++) {
        struct fact account = {.kind = RECORD_ACCOUNT,
                               .subject = a,
                               .at = AT_BASE,
                               .sets = SETS_ALL,
                               .tpm = a % 2 ? 1000 : 0};
        struct fact key = {
            .kind = RECORD_KEY, .subject = a, .owner = a, .at = AT_BASE, .sets = SETS_ALL};
        struct fact credit = {.kind = RECORD_CREDIT,
                              .subject = a,
                              .at = AT_BASE,
                              .amount = INT64_C(20000000000),
                              .op = a % OPS};
        ops[n++] = (struct op){.kind = OP_WRITE, .fact = account};
        ops[n++] = (struct op){.kind = OP_WRITE, .fact = key};
        ops[n++] = (struct op){.kind = OP_WRITE, .fact = credit};
    }
    for (unsigned place = 0; place < PLACES; place++)
        ops[n++] = (struct op){.kind = OP_BACK, .place = place, .count = BATCH_MAX};
    return n;
}

/* What closes a partition to calls; most often its writers are back soon. */
static bool closes(const struct op *op)
{
    return op->kind == OP_LOSE || op->kind == OP_LOSE_ALL || op->kind == OP_RECOVERED;
}

void story_draw(struct story *s, uint64_t seed, size_t steps)
{
    struct dice d = {.chance = (seed + 1) * 0x9e3779b97f4a7c15U};

    d.theme = (enum theme)draw(&d, THEMES);
    d.commutes = draw(&d, 2);
    *s =
        (struct story){.commutes = d.commutes, .ops = xcalloc(steps + OPENING_MAX, sizeof *s->ops)};
    s->count = open_accounts(s->ops);
    while (s->count < steps) {
        const struct op *op = &s->ops[s->count++];
        d.first = (unsigned)(s->count * (REQUESTS - UNDER_WAY) / (steps + 1));
        s->ops[s->count - 1] = draw_op(&d);
        if (op->kind == OP_LOSE_ALL && one_in(&d, 3)) /* a console may be the first who comes */
            s->ops[s->count++] = (struct op){.kind = OP_RETIRE, .place = op->place};
        if (closes(op) && d.theme != RECOVERY && draw(&d, 3))
            s->ops[s->count++] =
                (struct op){.kind = OP_BACK, .place = op->place, .count = 1 + draw(&d, BATCH_MAX)};
    }
}
