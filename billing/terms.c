/* terms.c - versions by name, sorted once, found by halving. */
#include "billing/terms.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

#define SHARE_BP_MAX 10000

static bool add_price(struct terms *t, const char *id, int64_t revision, const json_t *body,
                      struct err *err);
static bool add_contract(struct terms *t, const char *id, int64_t revision, const json_t *body,
                         struct err *err);
static int compare_prices(const void *a, const void *b);
static int compare_contracts(const void *a, const void *b);
static struct term_price *find_price(const struct terms *t, const char *version);
static struct term_contract *find_contract(const struct terms *t, const char *version);
static bool check_amount(const struct term_price *p, const struct event *e, struct err *err);
static bool use_contract(struct terms *t, const struct parties *p, const char *what,
                         const char *request_id, struct err *err);
static void note_owners(struct terms *t, const struct parties *p);

void terms_init(struct terms *t)
{
    *t = (struct terms){
        .owners = sum_table_new(), .openings = sum_table_new(), .funds = sum_table_new(), .priors = sum_table_new()};
}

void terms_clear(struct terms *t)
{
    free(t->prices);
    free(t->contracts);
    sum_table_free(t->owners);
    sum_table_free(t->openings);
    sum_table_free(t->funds);
    sum_table_free(t->priors);
    *t = (struct terms){0};
}

bool terms_add(struct terms *t, const char *object, const char *id, int64_t revision,
               const json_t *body, struct err *err)
{
    if (strcmp(object, "price") == 0)
        return add_price(t, id, revision, body, err);
    if (strcmp(object, "contract") == 0)
        return add_contract(t, id, revision, body, err);
    return true;
}

static bool add_price(struct terms *t, const char *id, int64_t revision, const json_t *body,
                      struct err *err)
{
    struct term_price p = {.revision = revision};

    if (!price_parse(body, NULL, &p.price, err))
        return false;
    if (strcmp(p.price.version, id) != 0)
        return err_set(err, ERR_CORRUPT, "price %s stands under the name %.100s", p.price.version,
                       id);
    t->prices = xrealloc_array(t->prices, t->price_count + 1, sizeof *t->prices);
    t->prices[t->price_count++] = p;
    return true;
}

static bool add_contract(struct terms *t, const char *id, int64_t revision, const json_t *body,
                         struct err *err)
{
    struct term_contract c = {.revision = revision};
    const char *creator, *from;

    if (!json_get_string(body, "creator", &creator, "contract", err) ||
        !json_get_string(body, "from", &from, "contract", err) ||
        !json_get_int(body, "share_bp", &c.share_bp, "contract", err) ||
        !clock_parse(span_of(from), &c.from, err))
        return err_context(err, "contract %.100s", id);
    if (c.share_bp < 0 || c.share_bp > SHARE_BP_MAX || !id_is_valid(span_of(creator)) ||
        !span_copy(span_of(creator), c.creator, sizeof c.creator) ||
        strcmp(version_make(creator, c.from, c.version), id) != 0)
        return err_set(err, ERR_CORRUPT, "contract %.100s is malformed", id);
    t->contracts = xrealloc_array(t->contracts, t->contract_count + 1, sizeof *t->contracts);
    t->contracts[t->contract_count++] = c;
    return true;
}

/* The highest revision of a version comes first and stays. */
void terms_sort(struct terms *t)
{
    size_t kept = 0;

    if (t->price_count > 1)
        qsort(t->prices, t->price_count, sizeof *t->prices, compare_prices);
    for (size_t i = 0; i < t->price_count; i++)
        if (kept == 0 || strcmp(t->prices[kept - 1].price.version, t->prices[i].price.version) != 0)
            t->prices[kept++] = t->prices[i];
    t->price_count = kept;
    kept = 0;
    if (t->contract_count > 1)
        qsort(t->contracts, t->contract_count, sizeof *t->contracts, compare_contracts);
    for (size_t i = 0; i < t->contract_count; i++)
        if (kept == 0 || strcmp(t->contracts[kept - 1].version, t->contracts[i].version) != 0)
            t->contracts[kept++] = t->contracts[i];
    t->contract_count = kept;
}

static int compare_prices(const void *a, const void *b)
{
    const struct term_price *x = a, *y = b;
    int order = strcmp(x->price.version, y->price.version);

    return order ? order : x->revision > y->revision ? -1 : x->revision < y->revision;
}

static int compare_contracts(const void *a, const void *b)
{
    const struct term_contract *x = a, *y = b;
    int order = strcmp(x->version, y->version);

    return order ? order : x->revision > y->revision ? -1 : x->revision < y->revision;
}

bool terms_take_event(struct terms *t, const struct event *e, struct err *err)
{
    const struct parties parties = parties_of_event(e);
    struct term_price *p = find_price(t, e->price);

    if (!p)
        return err_set(err, ERR_CORRUPT, "event %s names price %s, which is nowhere stated",
                       e->request_id, e->price);
    if (!use_contract(t, &parties, "event", e->request_id, err) || !check_amount(p, e, err))
        return false;
    p->is_used = true;
    return true;
}

bool terms_take_refund(struct terms *t, const struct refund *r, struct err *err)
{
    const struct parties parties = parties_of_refund(r);
    char name[PARTIES_TEXT];

    if (!use_contract(t, &parties, "the refund of", r->request_id, err))
        return false;
    if (period_compare(r->orig_period, t->period) != 0) {
        parties_name_of_period(&parties, r->orig_period, name);
        sum_table_row(t->priors, span_of(name))->calls++;
    }
    return true;
}

static bool use_contract(struct terms *t, const struct parties *p, const char *what,
                         const char *request_id, struct err *err)
{
    struct term_contract *c = find_contract(t, p->contract);

    if (!c)
        return err_set(err, ERR_CORRUPT, "%s %s names contract %s, which is nowhere stated", what,
                       request_id, p->contract);
    if (c->share_bp != p->share_bp)
        return err_set(err, ERR_CORRUPT, "%s %s states a share of %lld, but contract %s %lld", what,
                       request_id, (long long)p->share_bp, c->version, (long long)c->share_bp);
    c->is_used = true;
    note_owners(t, p);
    return true;
}

const struct price *terms_price(const struct terms *t, const char *version)
{
    const struct term_price *found = find_price(t, version);

    return found ? &found->price : NULL;
}

static struct term_price *find_price(const struct terms *t, const char *version)
{
    size_t from = 0, to = t->price_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(version, t->prices[middle].price.version);

        if (order == 0)
            return &t->prices[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

static struct term_contract *find_contract(const struct terms *t, const char *version)
{
    size_t from = 0, to = t->contract_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(version, t->contracts[middle].version);

        if (order == 0)
            return &t->contracts[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

/* Nothing is owed for what was not used: such an event has no units, or its price gives zero for
 * them. */
static bool check_amount(const struct term_price *p, const struct event *e, struct err *err)
{
    char stated[DECIMAL_TEXT], due[DECIMAL_TEXT];
    int64_t nanos;

    if (strcmp(p->price.currency, e->amount.currency) != 0)
        return err_set(err, ERR_CORRUPT, "event %s is in %s, but price %s in %s", e->request_id,
                       e->amount.currency, p->price.version, p->price.currency);
    if (!price_rate(&p->price, &e->used, &nanos, err))
        return err_context(err, "event %s", e->request_id);
    return nanos == e->amount.nanos ||
           err_set(err, ERR_CORRUPT, "event %s states %s, but price %s gives %s for its units",
                   e->request_id, decimal_format(e->amount.nanos, stated), p->price.version,
                   decimal_format(nanos, due));
}

static void note_owners(struct terms *t, const struct parties *p)
{
    char name[MODEL_TEXT + OWNERS_MAX * (ID_TEXT + 24)];
    int n = snprintf(name, sizeof name, "%s ", p->model);

    for (size_t i = 0; i < p->owner_count; i++)
        n += snprintf(name + n, sizeof name - (size_t)n, "%s%s:%lld", i ? "," : "", p->owners[i].id,
                      (long long)p->owners[i].weight);
    sum_table_row(t->owners, span_of(name))->calls++;
}
