/* earnings.c - the sums of a creator's models, split as a close would split them. */
#include "gateway/earnings.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/model_sums.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define JSON_MAX (8 * 1024 * 1024)

/* What a row comes to for the creator. */
struct share {
    const struct earning_row *row;
    int64_t calls, gross, earned, refunded, refunds;
};

struct reading {
    char creator[ID_TEXT];
    const struct model_sums *sums;
    struct share *shares;
    size_t share_count;
    earnings_on_json *on_json;
    void *arg;
};

static void on_sums(void *arg, const struct model_sums *sums, const struct err *err);
static void share_sold(struct reading *r);
static void share_returned(struct reading *r);
static int64_t left_before(const struct model_sums *sums, const struct earning_row *row);
static void write_json(struct reading *r, struct buf *json);

void earnings_read(struct redis *redis, const char *creator, struct period period,
                   earnings_on_json *on_json, void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);

    snprintf(r->creator, sizeof r->creator, "%s", creator);
    r->on_json = on_json;
    r->arg = arg;
    model_sums_read(redis, creator, period, on_sums, r);
}

static void on_sums(void *arg, const struct model_sums *sums, const struct err *err)
{
    struct reading *r = arg;
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};
    struct err too_long;

    if (!err) {
        r->sums = sums;
        r->shares = xcalloc(sums->sold.count + sums->returned.count, sizeof *r->shares);
        share_sold(r);
        share_returned(r);
        write_json(r, &json);
        if (!buf_ok(&json, "the earnings", &too_long))
            err = &too_long;
    }
    r->on_json(r->arg, err ? NULL : &json, err);
    free(r->shares);
    free(r);
}

/* ------------------------------------------------------------------ the creator's share */

/* Within one set of terms a day earns what the running total's share grew by. */
static void share_sold(struct reading *r)
{
    const struct earning_rows *sold = &r->sums->sold;
    int64_t total = 0, earned = 0;

    for (size_t i = 0; i < sold->count; i++) {
        const struct earning_row *row = &sold->row[i];
        int64_t now;

        if (i == 0 || strcmp(row->terms, row[-1].terms) != 0)
            total = earned = 0;
        total += row->nanos;
        now = earning_row_share(row, total, r->creator);
        r->shares[r->share_count++] = (struct share){
            .row = row, .calls = row->calls, .gross = row->nanos, .earned = now - earned};
        earned = now;
    }
}

/* What is given back restates the month of its calls: from what was left before to what is left. */
static void share_returned(struct reading *r)
{
    const struct model_sums *sums = r->sums;

    for (size_t i = 0; i < sums->returned.count; i++) {
        const struct earning_row *row = &sums->returned.row[i];
        int64_t before;

        if (period_compare(row->period, sums->period) != 0)
            continue;
        before = left_before(sums, row);
        r->shares[r->share_count++] =
            (struct share){.row = row,
                           .refunded = row->nanos,
                           .refunds = earning_row_share(row, before, r->creator) -
                                      earning_row_share(row, before - row->nanos, r->creator)};
    }
}

static int64_t left_before(const struct model_sums *sums, const struct earning_row *row)
{
    bool is_earlier = period_compare(row->orig, sums->period) != 0;
    const struct earning_rows *sold = is_earlier ? &sums->earlier : &sums->sold;
    int64_t left = 0;

    for (size_t i = 0; i < sold->count; i++)
        if (strcmp(sold->row[i].terms, row->terms) == 0 &&
            (!is_earlier || period_compare(sold->row[i].orig, row->orig) == 0))
            left += sold->row[i].nanos;
    for (size_t i = 0; i < sums->returned.count; i++) {
        const struct earning_row *other = &sums->returned.row[i];

        if (strcmp(other->terms, row->terms) == 0 && period_compare(other->orig, row->orig) == 0 &&
            period_compare(other->period, row->period) < 0)
            left -= other->nanos;
    }
    return left;
}

/* ------------------------------------------------------------------ grouping */

/* A sum over shares that agree in one column. */
struct group {
    const char *name;
    struct share sums;
};

static const char *share_model(const struct share *s)
{
    return s->row->model;
}

/* What is given back is of no day. */
static const char *share_day(const struct share *s)
{
    return s->row->day[0] ? s->row->day : NULL;
}

static int compare_groups(const void *a, const void *b)
{
    return strcmp(((const struct group *)a)->name, ((const struct group *)b)->name);
}

static void add_to(struct share *sums, const struct share *s)
{
    sums->calls += s->calls;
    sums->gross += s->gross;
    sums->earned += s->earned;
    sums->refunded += s->refunded;
    sums->refunds += s->refunds;
}

static void write_amount(struct jw *w, const char *name, int64_t nanos)
{
    char text[DECIMAL_TEXT];

    jw_string_member(w, name, decimal_format(nanos, text));
}

static void write_sums(struct jw *w, const struct share *s, bool with_refunds)
{
    jw_int_member(w, "calls", s->calls);
    write_amount(w, "gross", s->gross);
    if (with_refunds)
        write_amount(w, "refunded", s->refunded);
    write_amount(w, "earned", s->earned);
    if (!with_refunds)
        return;
    write_amount(w, "refunds", s->refunds);
    write_amount(w, "net", s->earned - s->refunds);
}

static void write_groups(const struct reading *r, const char *currency, const char *list,
                         const char *label, const char *(*column)(const struct share *),
                         struct jw *w)
{
    struct group *groups = xcalloc(r->share_count, sizeof *groups);
    size_t count = 0, g;

    for (size_t i = 0; i < r->share_count; i++) {
        const struct share *s = &r->shares[i];

        if (strcmp(s->row->currency, currency) != 0 || !column(s))
            continue;
        for (g = 0; g < count && strcmp(groups[g].name, column(s)) != 0; g++)
            ;
        if (g == count)
            groups[count++].name = column(s);
        add_to(&groups[g].sums, s);
    }
    if (count)
        qsort(groups, count, sizeof *groups, compare_groups);
    jw_key(w, list);
    jw_array(w);
    for (g = 0; g < count; g++) {
        jw_object(w);
        jw_string_member(w, label, groups[g].name);
        write_sums(w, &groups[g].sums, column == share_model);
        jw_object_end(w);
    }
    jw_array_end(w);
    free(groups);
}

static void write_currency(const struct reading *r, const char *currency, struct jw *w)
{
    struct share all = {.row = NULL};

    for (size_t i = 0; i < r->share_count; i++)
        if (strcmp(r->shares[i].row->currency, currency) == 0)
            add_to(&all, &r->shares[i]);
    jw_object(w);
    jw_string_member(w, "currency", currency);
    write_sums(w, &all, true);
    write_groups(r, currency, "models", "model", share_model, w);
    write_groups(r, currency, "days", "day", share_day, w);
    jw_object_end(w);
}

static bool is_first_of_currency(const struct reading *r, size_t share)
{
    for (size_t i = 0; i < share; i++)
        if (strcmp(r->shares[i].row->currency, r->shares[share].row->currency) == 0)
            return false;
    return true;
}

static void write_json(struct reading *r, struct buf *json)
{
    struct jw w;

    jw_init(&w, json);
    jw_object(&w);
    jw_string_member(&w, "creator", r->creator);
    jw_string_member(&w, "period", r->sums->period.text);
    jw_key(&w, "currencies");
    jw_array(&w);
    for (size_t i = 0; i < r->share_count; i++)
        if (is_first_of_currency(r, i))
            write_currency(r, r->shares[i].row->currency, &w);
    jw_array_end(&w);
    jw_object_end(&w);
}
