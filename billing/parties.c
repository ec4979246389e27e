/* parties.c - one spelling of who shares. */
#include "billing/parties.h"

#include <stdio.h>

static void add_terms(const struct parties *p, char *out, int n);

struct parties parties_of_event(const struct event *e)
{
    return (struct parties){.model = e->model,
                            .currency = e->amount.currency,
                            .contract = e->contract,
                            .share_bp = e->share_bp,
                            .owner_count = e->owner_count,
                            .owners = e->owners};
}

struct parties parties_of_refund(const struct refund *r)
{
    return (struct parties){.model = r->model,
                            .currency = r->amount.currency,
                            .contract = r->contract,
                            .share_bp = r->share_bp,
                            .owner_count = r->owner_count,
                            .owners = r->owners};
}

const char *parties_name_of_day(const struct parties *p, const char *day, char out[PARTIES_TEXT])
{
    add_terms(p, out, snprintf(out, PARTIES_TEXT, "%s %s ", p->model, day));
    return out;
}

const char *parties_name_of_period(const struct parties *p, struct period period,
                                   char out[PARTIES_TEXT])
{
    add_terms(p, out, snprintf(out, PARTIES_TEXT, "%s %s ", period.text, p->model));
    return out;
}

static void add_terms(const struct parties *p, char *out, int n)
{
    n += snprintf(out + n, PARTIES_TEXT - (size_t)n, "%s %s %lld ", p->currency, p->contract,
                  (long long)p->share_bp);
    for (size_t i = 0; i < p->owner_count; i++)
        n += snprintf(out + n, PARTIES_TEXT - (size_t)n, "%s%s:%lld", i ? "," : "", p->owners[i].id,
                      (long long)p->owners[i].weight);
}
