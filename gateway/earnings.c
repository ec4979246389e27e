/* earnings.c - all model partitions' gross sums of a period, split for one creator. */
#include "gateway/earnings.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/event.h"
#include "billing/partition.h"
#include "billing/split.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define JSON_MAX    (8 * 1024 * 1024)
#define OWNERS_TEXT (OWNERS_MAX * (ID_TEXT + 24))
#define TERMS_TEXT  (MODEL_TEXT + CURRENCY_TEXT + VERSION_TEXT + 24 + OWNERS_TEXT)

/* One day of one model under one set of terms, as a field of tg:{m05}:gross:<period> names it. */
struct row {
    char terms[TERMS_TEXT]; /* model, currency, contract, share, owners: what is split together */
    char model[MODEL_TEXT], day[DAY_TEXT], currency[CURRENCY_TEXT];
    int64_t share_bp;
    size_t owner_count;
    struct owner owners[OWNERS_MAX];
    int64_t calls, gross, earned;
};

struct reading {
    struct redis *redis;
    char creator[ID_TEXT];
    struct period period;
    size_t waiting;
    struct err err; /* the first failure */
    struct row *rows;
    size_t count;
    earnings_on_json *on_json;
    void *arg;
};

static void on_partition(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_field(struct reading *r, struct span field, struct span value);
static bool parse_field(struct span field, struct row *row, bool *is_calls);
static bool parse_owners(struct span text, struct row *row);
static struct row *row_like(struct reading *r, const struct row *like);
static void finish(struct reading *r);
static void split_rows(struct reading *r);
static int64_t share_of(const struct row *row, int64_t gross, const char *creator);
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
    r->waiting = PARTITIONS;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        char key[PARTITION_KEY];
        struct span argv[] = {SPAN("HGETALL"), partition_key((struct partition){SIDE_MODEL, i},
                                                             "gross", period.text, key)};

        redis_command(redis, argv, ARRAY_LEN(argv), on_partition, r);
    }
}

static void on_partition(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;

    if (err)
        r->err = *err;
    else if (redis_reply_type(reply) == REDIS_ERROR)
        err_set(&r->err, ERR_UNAVAILABLE, "Redis refused: %.*s", SPAN_FMT(redis_reply_text(reply)));
    for (size_t i = 0; !err && i + 1 < redis_reply_count(reply); i += 2)
        take_field(r, redis_reply_text(redis_reply_at(reply, i)),
                   redis_reply_text(redis_reply_at(reply, i + 1)));
    if (--r->waiting == 0)
        finish(r);
}

/* "model day currency contract share_bp owners" → nanos; the same and " calls" → how many. */
static void take_field(struct reading *r, struct span field, struct span value)
{
    struct row parsed = {.share_bp = 0}, *row;
    bool is_calls;
    int64_t n;

    if (!parse_field(field, &parsed, &is_calls) || !int64_parse(value, &n)) {
        err_set(&r->err, ERR_CORRUPT, "Redis holds a sum that can't be read: %.*s",
                (int)(field.len < 200 ? field.len : 200), field.data);
        return;
    }
    for (size_t i = 0; i < parsed.owner_count; i++) {
        if (strcmp(parsed.owners[i].id, r->creator) != 0)
            continue;
        row = row_like(r, &parsed);
        if (is_calls)
            row->calls = n;
        else
            row->gross = n;
    }
}

static struct span next_word(struct span *rest)
{
    const char *blank = memchr(rest->data, ' ', rest->len);
    struct span word = {rest->data, blank ? (size_t)(blank - rest->data) : rest->len};
    size_t used = word.len + (blank != NULL);

    *rest = (struct span){rest->data + used, rest->len - used};
    return word;
}

static bool parse_field(struct span field, struct row *row, bool *is_calls)
{
    struct span rest = field, model = next_word(&rest), day = next_word(&rest),
                currency = next_word(&rest);
    struct span contract = next_word(&rest), share = next_word(&rest), owners = next_word(&rest);
    int n = snprintf(row->terms, sizeof row->terms, "%.*s %.*s %.*s %.*s %.*s", SPAN_FMT(model),
                     SPAN_FMT(currency), SPAN_FMT(contract), SPAN_FMT(share), SPAN_FMT(owners));

    *is_calls = span_equal(rest, SPAN("calls"));
    return n > 0 && (size_t)n < sizeof row->terms && (rest.len == 0 || *is_calls) &&
           int64_parse(share, &row->share_bp) && span_copy(model, row->model, sizeof row->model) &&
           span_copy(day, row->day, sizeof row->day) &&
           span_copy(currency, row->currency, sizeof row->currency) && parse_owners(owners, row);
}

/* "alice:3,bob:1" */
static bool parse_owners(struct span text, struct row *row)
{
    while (text.len && row->owner_count < OWNERS_MAX) {
        const char *comma = memchr(text.data, ',', text.len);
        struct span one = {text.data, comma ? (size_t)(comma - text.data) : text.len};
        const char *colon = memchr(one.data, ':', one.len);
        struct owner *o = &row->owners[row->owner_count++];

        if (!colon ||
            !span_copy((struct span){one.data, (size_t)(colon - one.data)}, o->id, sizeof o->id) ||
            !int64_parse((struct span){colon + 1, one.len - (size_t)(colon + 1 - one.data)},
                         &o->weight))
            return false;
        text = (struct span){one.data + one.len + (comma != NULL),
                             text.len - one.len - (comma != NULL)};
    }
    return row->owner_count && !text.len;
}

static struct row *row_like(struct reading *r, const struct row *like)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->rows[i].terms, like->terms) == 0 && strcmp(r->rows[i].day, like->day) == 0)
            return &r->rows[i];
    r->rows = xrealloc_array(r->rows, r->count + 1, sizeof *r->rows);
    r->rows[r->count] = *like;
    return &r->rows[r->count++];
}

static void finish(struct reading *r)
{
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};
    struct err *err = r->err.code ? &r->err : NULL;

    if (!err) {
        split_rows(r);
        write_json(r, &json);
        if (!buf_ok(&json, "the earnings", &r->err))
            err = &r->err;
    }
    r->on_json(r->arg, err ? NULL : &json, err);
    free(r->rows);
    free(r);
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = strcmp(x->terms, y->terms);

    return order ? order : strcmp(x->day, y->day);
}

/* Within one set of terms a day earns what the running total's share grew by. */
static void split_rows(struct reading *r)
{
    int64_t total = 0, earned = 0;

    if (r->count)
        qsort(r->rows, r->count, sizeof *r->rows, compare_rows);
    for (size_t i = 0; i < r->count; i++) {
        struct row *row = &r->rows[i];
        int64_t now;

        if (i == 0 || strcmp(row->terms, r->rows[i - 1].terms) != 0)
            total = earned = 0;
        total += row->gross;
        now = share_of(row, total, r->creator);
        row->earned = now - earned;
        earned = now;
    }
}

static int64_t share_of(const struct row *row, int64_t gross, const char *creator)
{
    int64_t weights[OWNERS_MAX], parts[OWNERS_MAX], platform;

    for (size_t i = 0; i < row->owner_count; i++)
        weights[i] = row->owners[i].weight;
    split_contract(gross, row->share_bp, weights, row->owner_count, parts, &platform);
    for (size_t i = 0; i < row->owner_count; i++)
        if (strcmp(row->owners[i].id, creator) == 0)
            return parts[i];
    return 0;
}

/* ------------------------------------------------------------------ grouping */

/* A sum over rows that agree in one column. */
struct group {
    const char *name;
    int64_t calls, gross, earned;
};

static const char *row_model(const struct row *row)
{
    return row->model;
}

static const char *row_day(const struct row *row)
{
    return row->day;
}

static int compare_groups(const void *a, const void *b)
{
    return strcmp(((const struct group *)a)->name, ((const struct group *)b)->name);
}

static void add_to(struct group *g, const struct row *row)
{
    g->calls += row->calls;
    g->gross += row->gross;
    g->earned += row->earned;
}

static void write_sums(struct jw *w, const struct group *g)
{
    char text[DECIMAL_TEXT];

    jw_int_member(w, "calls", g->calls);
    jw_string_member(w, "gross", decimal_format(g->gross, text));
    jw_string_member(w, "earned", decimal_format(g->earned, text));
}

static void write_groups(const struct reading *r, const char *currency, const char *list,
                         const char *label, const char *(*column)(const struct row *), struct jw *w)
{
    struct group *groups = xcalloc(r->count, sizeof *groups);
    size_t count = 0, g;

    for (size_t i = 0; i < r->count; i++) {
        const struct row *row = &r->rows[i];

        if (strcmp(row->currency, currency) != 0)
            continue;
        for (g = 0; g < count && strcmp(groups[g].name, column(row)) != 0; g++)
            ;
        if (g == count)
            groups[count++].name = column(row);
        add_to(&groups[g], row);
    }
    qsort(groups, count, sizeof *groups, compare_groups);
    jw_key(w, list);
    jw_array(w);
    for (g = 0; g < count; g++) {
        jw_object(w);
        jw_string_member(w, label, groups[g].name);
        write_sums(w, &groups[g]);
        jw_object_end(w);
    }
    jw_array_end(w);
    free(groups);
}

static void write_currency(const struct reading *r, const char *currency, struct jw *w)
{
    struct group all = {.name = currency};

    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->rows[i].currency, currency) == 0)
            add_to(&all, &r->rows[i]);
    jw_object(w);
    jw_string_member(w, "currency", currency);
    write_sums(w, &all);
    write_groups(r, currency, "models", "model", row_model, w);
    write_groups(r, currency, "days", "day", row_day, w);
    jw_object_end(w);
}

static bool is_first_of_currency(const struct reading *r, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (strcmp(r->rows[i].currency, r->rows[row].currency) == 0)
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
    for (size_t i = 0; i < r->count; i++)
        if (is_first_of_currency(r, i))
            write_currency(r, r->rows[i].currency, &w);
    jw_array_end(&w);
    jw_object_end(&w);
}
