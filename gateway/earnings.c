/* earnings.c - all model partitions' sums of a period, split for one creator. What was given back is
 * read with them; then, only if it is of earlier calls, what those months had come to. */
#include "gateway/earnings.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "gateway/earning_row.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define JSON_MAX (8 * 1024 * 1024)

struct rows {
    struct earning_row *row;
    size_t count;
};

/* What a row comes to for the creator. */
struct share {
    const struct earning_row *row;
    int64_t calls, gross, earned, refunded, refunds;
};

struct reading {
    struct redis *redis;
    char creator[ID_TEXT];
    struct period period;
    size_t waiting;
    struct err err;                      /* the first failure */
    struct rows sold, returned, earlier; /* earlier: what was sold in months that are corrected */
    bool has_asked_earlier;
    struct share *shares;
    size_t share_count;
    earnings_on_json *on_json;
    void *arg;
};

/* One hash of one partition on its way. */
struct part {
    struct reading *reading;
    struct period period;
    bool is_returned;
};

static void ask_all(struct reading *r, const char *what, struct period period, bool is_returned);
static void on_part(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_field(struct part *p, struct span field, struct span value);
static struct earning_row *row_like(struct rows *rows, const struct earning_row *like);
static bool is_same(const struct earning_row *a, const struct earning_row *b);
static bool ask_earlier(struct reading *r);
static void finish(struct reading *r);
static void share_sold(struct reading *r);
static void share_returned(struct reading *r);
static int64_t left_before(const struct reading *r, const struct earning_row *row);
static void write_json(struct reading *r, struct buf *json);

void earnings_read(struct redis *redis, const char *creator, struct period period,
                   earnings_on_json *on_json, void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);

    r->redis = redis;
    snprintf(r->creator, sizeof r->creator, "%s", creator);
    r->period = period;
    r->on_json = on_json;
    r->arg = arg;
    ask_all(r, "gross", period, false);
    ask_all(r, "refunded", period, true);
}

static void ask_all(struct reading *r, const char *what, struct period period, bool is_returned)
{
    r->waiting += PARTITIONS;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition at = {SIDE_MODEL, i};
        struct part *p = xcalloc(1, sizeof *p);
        char key[PARTITION_KEY];
        struct span argv[] = {SPAN("HGETALL"),
                              partition_key(at, what, is_returned ? NULL : period.text, key)};

        *p = (struct part){.reading = r, .period = period, .is_returned = is_returned};
        redis_command(r->redis, argv, ARRAY_LEN(argv), on_part, p);
    }
}

static void on_part(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct part *p = arg;
    struct reading *r = p->reading;

    if (err)
        r->err = *err;
    else if (redis_reply_type(reply) == REDIS_ERROR)
        err_set(&r->err, ERR_UNAVAILABLE, "Redis refused: %.*s", SPAN_FMT(redis_reply_text(reply)));
    for (size_t i = 0; !err && i + 1 < redis_reply_count(reply); i += 2)
        take_field(p, redis_reply_text(redis_reply_at(reply, i)),
                   redis_reply_text(redis_reply_at(reply, i + 1)));
    free(p);
    if (--r->waiting == 0 && (r->err.code || !ask_earlier(r)))
        finish(r);
}

static void take_field(struct part *p, struct span field, struct span value)
{
    struct reading *r = p->reading;
    bool is_earlier = !p->is_returned && period_compare(p->period, r->period) != 0;
    struct rows *rows = p->is_returned ? &r->returned : is_earlier ? &r->earlier : &r->sold;
    struct earning_row parsed, *row;
    bool counts;
    int64_t n;

    if (!(p->is_returned ? earning_row_parse_returned(field, &parsed, &counts)
                         : earning_row_parse_sold(field, &parsed, &counts)) ||
        !int64_parse(value, &n)) {
        err_set(&r->err, ERR_CORRUPT, "Redis holds a sum that can't be read: %.*s",
                (int)(field.len < 200 ? field.len : 200), field.data);
        return;
    }
    if (!earning_row_is_of(&parsed, r->creator))
        return;
    if (is_earlier)
        parsed.orig = p->period;
    row = row_like(rows, &parsed);
    if (counts)
        row->calls = n;
    else
        row->nanos = n;
}

static struct earning_row *row_like(struct rows *rows, const struct earning_row *like)
{
    for (size_t i = 0; i < rows->count; i++)
        if (is_same(&rows->row[i], like))
            return &rows->row[i];
    rows->row = xrealloc_array(rows->row, rows->count + 1, sizeof *rows->row);
    rows->row[rows->count] = *like;
    return &rows->row[rows->count++];
}

static bool is_same(const struct earning_row *a, const struct earning_row *b)
{
    return strcmp(a->terms, b->terms) == 0 && strcmp(a->day, b->day) == 0 &&
           period_compare(a->period, b->period) == 0 && period_compare(a->orig, b->orig) == 0;
}

/* True when it has to be waited for. */
static bool ask_earlier(struct reading *r)
{
    if (r->has_asked_earlier)
        return false;
    r->has_asked_earlier = true;
    for (size_t i = 0; i < r->returned.count; i++) {
        const struct earning_row *row = &r->returned.row[i];
        bool is_known = period_compare(row->period, r->period) != 0 ||
                        period_compare(row->orig, r->period) == 0;

        for (size_t k = 0; k < i && !is_known; k++)
            is_known = period_compare(r->returned.row[k].period, r->period) == 0 &&
                       period_compare(r->returned.row[k].orig, row->orig) == 0;
        if (!is_known)
            ask_all(r, "gross", row->orig, false);
    }
    return r->waiting > 0;
}

static void finish(struct reading *r)
{
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};
    struct err *err = r->err.code ? &r->err : NULL;

    if (!err) {
        r->shares = xcalloc(r->sold.count + r->returned.count, sizeof *r->shares);
        share_sold(r);
        share_returned(r);
        write_json(r, &json);
        if (!buf_ok(&json, "the earnings", &r->err))
            err = &r->err;
    }
    r->on_json(r->arg, err ? NULL : &json, err);
    free(r->sold.row);
    free(r->returned.row);
    free(r->earlier.row);
    free(r->shares);
    free(r);
}

/* ------------------------------------------------------------------ the creator's share */

static int compare_rows(const void *a, const void *b)
{
    const struct earning_row *x = a, *y = b;
    int order = strcmp(x->terms, y->terms);

    return order ? order : strcmp(x->day, y->day);
}

/* Within one set of terms a day earns what the running total's share grew by. */
static void share_sold(struct reading *r)
{
    int64_t total = 0, earned = 0;

    if (r->sold.count)
        qsort(r->sold.row, r->sold.count, sizeof *r->sold.row, compare_rows);
    for (size_t i = 0; i < r->sold.count; i++) {
        const struct earning_row *row = &r->sold.row[i];
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
    for (size_t i = 0; i < r->returned.count; i++) {
        const struct earning_row *row = &r->returned.row[i];
        int64_t before;

        if (period_compare(row->period, r->period) != 0)
            continue;
        before = left_before(r, row);
        r->shares[r->share_count++] =
            (struct share){.row = row,
                           .refunded = row->nanos,
                           .refunds = earning_row_share(row, before, r->creator) -
                                      earning_row_share(row, before - row->nanos, r->creator)};
    }
}

static int64_t left_before(const struct reading *r, const struct earning_row *row)
{
    bool is_earlier = period_compare(row->orig, r->period) != 0;
    const struct rows *sold = is_earlier ? &r->earlier : &r->sold;
    int64_t left = 0;

    for (size_t i = 0; i < sold->count; i++)
        if (strcmp(sold->row[i].terms, row->terms) == 0 &&
            (!is_earlier || period_compare(sold->row[i].orig, row->orig) == 0))
            left += sold->row[i].nanos;
    for (size_t i = 0; i < r->returned.count; i++) {
        const struct earning_row *other = &r->returned.row[i];

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
    jw_string_member(&w, "period", r->period.text);
    jw_key(&w, "currencies");
    jw_array(&w);
    for (size_t i = 0; i < r->share_count; i++)
        if (is_first_of_currency(r, i))
            write_currency(r, r->shares[i].row->currency, &w);
    jw_array_end(&w);
    jw_object_end(&w);
}
