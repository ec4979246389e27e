/* model_budgets.c - fields of the account's hash: "budget_day:creator/name" and "budget_month:creator/name". */
#include "billing/model_budgets.h"

#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct reading {
    model_budgets_on_read *on_read;
    void *arg;
};

struct budgets {
    struct model_budget *list;
    size_t count;
};

static void on_account(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take(struct budgets *b, struct span field, struct span value, struct err *err);
static struct model_budget *row_of(struct budgets *b, struct span model);
static void drop_empty(struct budgets *b);
static int by_model(const void *a, const void *b);

void model_budgets_read(struct redis *redis, const char *account, model_budgets_on_read *on_read,
                        void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);
    char key[PARTITION_KEY];
    const struct span words[] = {
        SPAN("HGETALL"),
        partition_key(partition_of(SIDE_ACCOUNT, span_of(account)), "account", account, key)};

    *r = (struct reading){on_read, arg};
    redis_command(redis, words, ARRAY_LEN(words), on_account, r);
}

static void on_account(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading r = *(struct reading *)arg;
    struct budgets b = {NULL, 0};
    struct err wrong;

    free(arg);
    err = redis_failure(reply, err, &wrong);
    for (size_t i = 0; !err && i + 1 < redis_reply_count(reply); i += 2)
        if (!take(&b, redis_reply_text(redis_reply_at(reply, i)),
                  redis_reply_text(redis_reply_at(reply, i + 1)), &wrong))
            err = &wrong;
    drop_empty(&b);
    if (b.count)
        qsort(b.list, b.count, sizeof *b.list, by_model);
    r.on_read(r.arg, err ? NULL : b.list, err ? 0 : b.count, err);
    free(b.list);
}

/* Other fields are passed over. */
static bool take(struct budgets *b, struct span field, struct span value, struct err *err)
{
    const struct span day = SPAN("budget_day:"), month = SPAN("budget_month:");
    bool is_day = span_starts(field, day);
    struct model_budget *row;
    int64_t nanos;

    if (!is_day && !span_starts(field, month))
        return true;
    field = (struct span){field.data + (is_day ? day.len : month.len),
                          field.len - (is_day ? day.len : month.len)};
    row = row_of(b, field);
    if (!row || !int64_parse(value, &nanos))
        return err_set(err, ERR_CORRUPT, "Redis holds a budget that can't be read, of %.*s",
                       (int)(field.len < 200 ? field.len : 200), field.data);
    *(is_day ? &row->day : &row->month) = nanos;
    return true;
}

static struct model_budget *row_of(struct budgets *b, struct span model)
{
    for (size_t i = 0; i < b->count; i++)
        if (span_equal(span_of(b->list[i].model), model))
            return &b->list[i];
    b->list = xrealloc_array(b->list, b->count + 1, sizeof *b->list);
    b->list[b->count] = (struct model_budget){.day = 0};
    return span_copy(model, b->list[b->count].model, MODEL_TEXT) ? &b->list[b->count++] : NULL;
}

/* What was taken away stands there as 0. */
static void drop_empty(struct budgets *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->count; i++)
        if (b->list[i].day || b->list[i].month)
            b->list[kept++] = b->list[i];
    b->count = kept;
}

static int by_model(const void *a, const void *b)
{
    const struct model_budget *x = a, *y = b;

    return strcmp(x->model, y->model);
}
