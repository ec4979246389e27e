/* model_sums.c - 128 hashes asked for at once; then, only if something was given back of earlier
 * calls, those months' too. */
#include "gateway/model_sums.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct reading {
    struct redis *redis;
    char creator[ID_TEXT]; /* "": all */
    size_t waiting;
    struct err err; /* the first failure */
    struct model_sums sums;
    bool has_asked_earlier;
    model_sums_on_read *on_read;
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
static struct earning_row *row_like(struct earning_rows *rows, const struct earning_row *like);
static bool is_same(const struct earning_row *a, const struct earning_row *b);
static bool ask_earlier(struct reading *r);
static void finish(struct reading *r);

void model_sums_read(struct redis *redis, const char *creator, struct period period,
                     model_sums_on_read *on_read, void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);

    r->redis = redis;
    if (creator)
        snprintf(r->creator, sizeof r->creator, "%s", creator);
    r->sums.period = period;
    r->on_read = on_read;
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
    struct err refused;

    err = redis_failure(reply, err, &refused);
    if (err)
        r->err = *err;
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
    bool is_earlier = !p->is_returned && period_compare(p->period, r->sums.period) != 0;
    struct earning_rows *rows = p->is_returned ? &r->sums.returned
                                : is_earlier   ? &r->sums.earlier
                                               : &r->sums.sold;
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
    if (r->creator[0] && !earning_row_is_of(&parsed, r->creator))
        return;
    if (is_earlier)
        parsed.orig = p->period;
    row = row_like(rows, &parsed);
    if (counts)
        row->calls = n;
    else
        row->nanos = n;
}

static struct earning_row *row_like(struct earning_rows *rows, const struct earning_row *like)
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
    for (size_t i = 0; i < r->sums.returned.count; i++) {
        const struct earning_row *row = &r->sums.returned.row[i];
        bool is_known = period_compare(row->period, r->sums.period) != 0 ||
                        period_compare(row->orig, r->sums.period) == 0;

        for (size_t k = 0; k < i && !is_known; k++)
            is_known = period_compare(r->sums.returned.row[k].period, r->sums.period) == 0 &&
                       period_compare(r->sums.returned.row[k].orig, row->orig) == 0;
        if (!is_known)
            ask_all(r, "gross", row->orig, false);
    }
    return r->waiting > 0;
}

static int compare_rows(const void *a, const void *b)
{
    const struct earning_row *x = a, *y = b;
    int order = strcmp(x->terms, y->terms);

    return order ? order : strcmp(x->day, y->day);
}

static void finish(struct reading *r)
{
    bool failed = r->err.code != 0;
    struct earning_rows *sold = &r->sums.sold;

    if (sold->count)
        qsort(sold->row, sold->count, sizeof *sold->row, compare_rows);
    r->on_read(r->arg, failed ? NULL : &r->sums, failed ? &r->err : NULL);
    free(r->sums.sold.row);
    free(r->sums.returned.row);
    free(r->sums.earlier.row);
    free(r);
}
