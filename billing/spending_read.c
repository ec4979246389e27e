/* spending_read.c - three questions at once, of one server in order: the day's sums, the month's, and the open calls. A call
 * that ends between two of them is missed or counted twice for that moment; nothing is decided by these figures. */
#include "billing/spending_read.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define FIELD_TEXT (MODEL_TEXT + 8) /* of a hash of sums: "account", "key:…", "model:…" */

struct reading {
    char day[DAY_TEXT];
    struct spender *spenders;
    struct spending *spending; /* of each */
    size_t count;
    unsigned waiting;
    bool failed;
    struct err err;
    spending_on_read *on_read;
    void *arg;
};

static void ask_sums(struct redis *redis, const struct spending_ask *ask, enum window window,
                     redis_on_reply *on_reply, struct reading *r);
static struct span field_of(const struct spender *spender, char out[FIELD_TEXT]);
static void on_day(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_month(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_sums(struct reading *r, enum window window, const struct redis_reply *reply,
                      const struct err *err);
static void on_holds(void *arg, const struct redis_reply *reply, const struct err *err);
static void add_hold(struct reading *r, struct span entry);
static bool is_of(const struct spender *spender, struct span key, struct span model);
static struct span last_word(struct span *rest);
static void reading_goes_on(struct reading *r, const struct err *err);
static void reading_free(struct reading *r);

void spending_read(struct redis *redis, const struct spending_ask *ask, spending_on_read *on_read,
                   void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(ask->account));
    char key[PARTITION_KEY];
    const struct span holds[] = {SPAN("HVALS"), partition_key(p, "holds", ask->account, key)};

    snprintf(r->day, sizeof r->day, "%s", ask->day);
    r->spenders = xcalloc(ask->count, sizeof *r->spenders);
    memcpy(r->spenders, ask->spenders, ask->count * sizeof *r->spenders);
    r->spending = xcalloc(ask->count, sizeof *r->spending);
    r->count = ask->count;
    r->on_read = on_read;
    r->arg = arg;
    r->waiting = 3;
    ask_sums(redis, ask, WINDOW_DAY, on_day, r);
    ask_sums(redis, ask, WINDOW_MONTH, on_month, r);
    redis_command(redis, holds, ARRAY_LEN(holds), on_holds, r);
}

/* No answer comes inside this. */
static void ask_sums(struct redis *redis, const struct spending_ask *ask, enum window window,
                     redis_on_reply *on_reply, struct reading *r)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(ask->account));
    char key[PARTITION_KEY], name[SPENT_TEXT];
    char(*fields)[FIELD_TEXT] = xcalloc(ask->count, sizeof *fields);
    struct span *words = xcalloc(2 + ask->count, sizeof *words);

    if (window == WINDOW_DAY)
        spent_day_name(ask->account, ask->day, ask->currency, name);
    else
        spent_month_name(ask->account, ask->day, ask->currency, name);
    words[0] = SPAN("HMGET");
    words[1] = partition_key(p, "spent", name, key);
    for (size_t i = 0; i < ask->count; i++)
        words[2 + i] = field_of(&ask->spenders[i], fields[i]);
    redis_command(redis, words, 2 + ask->count, on_reply, r);
    free(words);
    free(fields);
}

static struct span field_of(const struct spender *spender, char out[FIELD_TEXT])
{
    static const char *const kinds[] = {
        [SPENDER_ACCOUNT] = "account", [SPENDER_KEY] = "key:", [SPENDER_MODEL] = "model:"};

    snprintf(out, FIELD_TEXT, "%s%s", kinds[spender->kind], spender->name);
    return span_of(out);
}

static void on_day(void *arg, const struct redis_reply *reply, const struct err *err)
{
    take_sums(arg, WINDOW_DAY, reply, err);
}

static void on_month(void *arg, const struct redis_reply *reply, const struct err *err)
{
    take_sums(arg, WINDOW_MONTH, reply, err);
}

/* What is absent is nothing. */
static void take_sums(struct reading *r, enum window window, const struct redis_reply *reply,
                      const struct err *err)
{
    struct err room;

    err = redis_failure(reply, err, &room);
    for (size_t i = 0; !err && i < r->count; i++) {
        struct span text = redis_reply_text(redis_reply_at(reply, i));

        if (text.len && !int64_parse(text, &r->spending[i].of[window].spent)) {
            err_set(&room, ERR_CORRUPT, "Redis holds a sum that can't be read: %.*s",
                    (int)(text.len < 40 ? text.len : 40), text.data);
            err = &room;
        }
    }
    reading_goes_on(r, err);
}

static void on_holds(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    struct err room;

    err = redis_failure(reply, err, &room);
    for (size_t i = 0; !err && i < redis_reply_count(reply); i++)
        add_hold(r, redis_reply_text(redis_reply_at(reply, i)));
    reading_goes_on(r, err);
}

/* "amount writer renewed … day key model" (billing/scripts/README.md). */
static void add_hold(struct reading *r, struct span entry)
{
    struct span model = last_word(&entry), key = last_word(&entry), day = last_word(&entry);
    const char *blank = memchr(entry.data, ' ', entry.len);
    bool is_of_month = day.len == DAY_TEXT - 1 && memcmp(day.data, r->day, PERIOD_TEXT - 1) == 0;
    bool is_of_day = is_of_month && span_equal(day, span_of(r->day));
    int64_t amount;

    if (!model.len || !blank ||
        !int64_parse((struct span){entry.data, (size_t)(blank - entry.data)}, &amount))
        return;
    for (size_t i = 0; i < r->count; i++) {
        if (!is_of(&r->spenders[i], key, model))
            continue;
        r->spending[i].of[WINDOW_DAY].held += is_of_day ? amount : 0;
        r->spending[i].of[WINDOW_MONTH].held += is_of_month ? amount : 0;
    }
}

static bool is_of(const struct spender *spender, struct span key, struct span model)
{
    return spender->kind == SPENDER_ACCOUNT ||
           span_equal(spender->kind == SPENDER_KEY ? key : model, span_of(spender->name));
}

/* Takes it off, with the blank before it. */
static struct span last_word(struct span *rest)
{
    size_t n = rest->len;
    struct span word;

    while (n > 0 && rest->data[n - 1] != ' ')
        n--;
    word = (struct span){rest->data + n, rest->len - n};
    rest->len = n > 0 ? n - 1 : 0;
    return word;
}

static void reading_goes_on(struct reading *r, const struct err *err)
{
    if (err && !r->failed)
        r->err = *err;
    r->failed = r->failed || err;
    if (--r->waiting > 0)
        return;
    r->on_read(r->arg, r->failed ? NULL : r->spending, r->failed ? &r->err : NULL);
    reading_free(r);
}

static void reading_free(struct reading *r)
{
    free(r->spenders);
    free(r->spending);
    free(r);
}
