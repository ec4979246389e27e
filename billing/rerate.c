/* rerate.c - a catalogue record may stand behind the events that name it, so prices are read first. */
#include "billing/rerate.h"

#include <stdio.h>

#include "billing/archive_scan.h"

#define ROW_TEXT (MODEL_TEXT + CURRENCY_TEXT + 1)

struct rating {
    const struct terms *terms; /* null: not read yet, events are passed over */
    struct rerate *out;
};

static bool scan(const char *archive, const char *installation, struct period period,
                 struct rating *rating, struct terms *terms, struct err *err);
static bool on_call(void *arg, const struct event *e, struct span line, struct err *err);
static bool rate(const struct terms *t, const struct event *e, int64_t *nanos, struct err *err);

void rerate_clear(struct rerate *r)
{
    sum_table_free(r->booked);
    sum_table_free(r->rerated);
    reasons_clear(&r->differences);
    *r = (struct rerate){.booked = NULL};
}

bool rerate_period(const char *archive, const char *installation, struct period period,
                   struct rerate *out, struct err *err)
{
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(terms) again;
    struct rating rating = {.out = out};

    *out = (struct rerate){.booked = sum_table_new(), .rerated = sum_table_new()};
    terms_init(&terms);
    terms_init(&again);
    if (!scan(archive, installation, period, &rating, &terms, err))
        return false;
    rating.terms = &terms;
    if (!scan(archive, installation, period, &rating, &again, err))
        return false;
    sum_table_sort(out->booked);
    sum_table_sort(out->rerated);
    return true;
}

static bool scan(const char *archive, const char *installation, struct period period,
                 struct rating *rating, struct terms *terms, struct err *err)
{
    AUTO_CLEAR(archive_scan)
    s = {.archive = archive,
         .installation = installation,
         .period = period,
         .terms = terms,
         .on_call = on_call,
         .arg = rating};

    return archive_scan_run(&s, err) && reasons_none(&s.damage, err);
}

static bool on_call(void *arg, const struct event *e, struct span line, struct err *err)
{
    struct rating *r = arg;
    char name[ROW_TEXT];
    struct sum *booked, *rerated;
    int64_t nanos = 0;
    struct err why;

    (void)line;
    (void)err;
    if (!r->terms)
        return true;
    snprintf(name, sizeof name, "%s %s", e->model, e->amount.currency);
    booked = sum_table_row(r->out->booked, span_of(name));
    rerated = sum_table_row(r->out->rerated, span_of(name));
    booked->nanos += e->amount.nanos;
    booked->calls++;
    if (!rate(r->terms, e, &nanos, &why)) {
        reasons_add(&r->out->differences, "%s", why.text);
        rerated->calls++;
    }
    rerated->nanos += nanos;
    return true;
}

/* False: it can't be rated, or comes out differently. */
static bool rate(const struct terms *t, const struct event *e, int64_t *nanos, struct err *err)
{
    const struct price *price = terms_price(t, e->price);
    char stated[DECIMAL_TEXT], due[DECIMAL_TEXT];

    if (!price)
        return err_set(err, ERR_CORRUPT, "event %s names price %s, which is nowhere stated",
                       e->request_id, e->price);
    if (strcmp(price->currency, e->amount.currency) != 0)
        return err_set(err, ERR_CORRUPT, "event %s is in %s, but price %s in %s", e->request_id,
                       e->amount.currency, price->version, price->currency);
    if (!price_rate(price, &e->used, nanos, err))
        return err_context(err, "event %s", e->request_id);
    return *nanos == e->amount.nanos ||
           err_set(err, ERR_CORRUPT, "event %s states %s, but price %s gives %s for its units",
                   e->request_id, decimal_format(e->amount.nanos, stated), price->version,
                   decimal_format(*nanos, due));
}

void rerate_write(const struct rerate *r, size_t row, struct jw *w)
{
    const struct sum *booked = sum_table_at(r->booked, row);
    const struct sum *rerated = sum_table_at(r->rerated, row);
    const char *blank = strrchr(booked->name, ' ');
    char decimal[DECIMAL_TEXT];

    jw_object(w);
    jw_span_member(w, "model", (struct span){booked->name, (size_t)(blank - booked->name)});
    jw_string_member(w, "currency", blank + 1);
    jw_int_member(w, "events", booked->calls);
    jw_string_member(w, "amount", decimal_format(booked->nanos, decimal));
    jw_string_member(w, "rerated", decimal_format(rerated->nanos, decimal));
    jw_string_member(w, "difference", decimal_format(rerated->nanos - booked->nanos, decimal));
    jw_int_member(w, "different", rerated->calls);
    jw_object_end(w);
}
