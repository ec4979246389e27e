/* webhook_list.c - one question to each partition, all at once; and one more to those that have webhooks. */
#include "gateway/webhook_list.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gateway/wholeness.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct reading {
    struct redis *redis;
    struct wholeness *wholeness; /* null: what Redis has now will do */
    unsigned pending;
    struct webhook_list list;
    struct err failure; /* the last */
    webhooks_on_read *on_read;
    void *arg;
};

/* What is asked of one partition's receivers. */
struct hearing {
    struct reading *reading;
    size_t first, end; /* in the list */
};

static struct reading *reading_new(struct redis *redis, webhooks_on_read *on_read, void *arg);
static void on_whole(void *arg, const struct err *err);
static void ask_partitions(struct reading *r);
static void on_partition(void *arg, const struct redis_reply *reply, const struct err *err);
static void take(struct webhook_list *list, const struct redis_reply *fields);
static bool add(struct webhook_list *list, const char *id, struct span entry);
static enum webhook_state state_of(const struct redis_reply *fields, const char *id);
static void ask_heard(struct reading *r, size_t first);
static void on_heard(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_heard(struct webhook *w, struct span entry);
static void answered(struct reading *r);
static void on_still_whole(void *arg, const struct err *err);
static void reading_end(struct reading *r);
static int compare(const void *a, const void *b);
static void on_kept(void *arg, const struct redis_reply *reply, const struct err *err);

const char *webhook_state_name(enum webhook_state s)
{
    static const char *const names[] = {"active", "deleted", "gone"};

    return names[s];
}

void webhook_list_clear(struct webhook_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->item[i].url);
        free(list->item[i].heard);
    }
    free(list->item);
    *list = (struct webhook_list){0};
}

const struct webhook *webhook_list_find(const struct webhook_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i].id, id) == 0)
            return &list->item[i];
    return NULL;
}

void webhooks_read(struct redis *redis, webhooks_on_read *on_read, void *arg)
{
    ask_partitions(reading_new(redis, on_read, arg));
}

static struct reading *reading_new(struct redis *redis, webhooks_on_read *on_read, void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);

    r->redis = redis;
    r->on_read = on_read;
    r->arg = arg;
    return r;
}

void webhooks_read_whole(struct redis *redis, const struct partition *of, webhooks_on_read *on_read,
                         void *arg)
{
    struct reading *r = reading_new(redis, on_read, arg);

    r->wholeness = of ? wholeness_new(redis, *of) : wholeness_new_first(redis, PARTITIONS);
    wholeness_ask(r->wholeness, on_whole, r);
}

static void on_whole(void *arg, const struct err *err)
{
    struct reading *r = arg;

    if (err) {
        r->failure = *err;
        reading_end(r);
    } else {
        ask_partitions(r);
    }
}

static void ask_partitions(struct reading *r)
{
    r->pending = PARTITIONS;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        char key[PARTITION_KEY];
        const struct span words[] = {
            SPAN("HGETALL"),
            partition_key((struct partition){SIDE_ACCOUNT, i}, "webhooks", NULL, key)};

        redis_command(r->redis, words, ARRAY_LEN(words), on_partition, r);
    }
}

static void on_partition(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    struct err room;
    const struct err *failure = redis_failure(reply, err, &room);
    size_t known = r->list.count;

    if (failure)
        r->failure = *failure;
    else
        take(&r->list, reply);
    if (r->list.count > known)
        ask_heard(r, known);
    answered(r);
}

static void answered(struct reading *r)
{
    if (--r->pending > 0)
        return;
    if (r->wholeness)
        wholeness_ask(r->wholeness, on_still_whole, r);
    else
        reading_end(r);
}

static void on_still_whole(void *arg, const struct err *err)
{
    struct reading *r = arg;

    if (err)
        r->failure = *err;
    reading_end(r);
}

static void reading_end(struct reading *r)
{
    if (r->list.count > 0)
        qsort(r->list.item, r->list.count, sizeof *r->list.item, compare);
    r->on_read(r->arg, &r->list, r->failure.code ? &r->failure : NULL);
    webhook_list_clear(&r->list);
    wholeness_free(r->wholeness);
    free(r);
}

/* [name, entry, …]. */
static void take(struct webhook_list *list, const struct redis_reply *fields)
{
    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2) {
        struct span name = redis_reply_text(redis_reply_at(fields, i));
        char id[WEBHOOK_ID_TEXT];

        if (!span_starts(name, SPAN("made ")))
            continue;
        name = (struct span){name.data + 5, name.len - 5};
        if (!span_copy(name, id, sizeof id) ||
            !add(list, id, redis_reply_text(redis_reply_at(fields, i + 1))))
            log_warn("webhook_unreadable", "what Redis holds of webhook %.*s can't be read",
                     SPAN_FMT(name));
        else
            list->item[list->count - 1].state = state_of(fields, id);
    }
}

static bool add(struct webhook_list *list, const char *id, struct span entry)
{
    struct first_entry first;
    AUTO_JSON body = first_entry_read(entry, &first) ? json_parse(first.body, NULL) : NULL;
    const char *account = NULL, *url = NULL;
    struct webhook w = {.at = body ? first.at : 0};

    if (!body || !json_get_string(body, "account", &account, "the webhook", NULL) ||
        !json_get_string(body, "url", &url, "the webhook", NULL) ||
        !span_copy(span_of(account), w.account, sizeof w.account) ||
        !span_copy(span_of(id), w.id, sizeof w.id))
        return false;
    w.url = xstrdup(url);
    list->item = xrealloc_array(list->item, list->count + 1, sizeof *list->item);
    list->item[list->count++] = w;
    return true;
}

static enum webhook_state state_of(const struct redis_reply *fields, const char *id)
{
    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2) {
        struct span name = redis_reply_text(redis_reply_at(fields, i));
        struct span entry = redis_reply_text(redis_reply_at(fields, i + 1));

        if (span_starts(name, SPAN("ended ")) &&
            span_equal((struct span){name.data + 6, name.len - 6}, span_of(id)))
            return memmem(entry.data, entry.len, "\"gone\"", 6) ? WEBHOOK_GONE : WEBHOOK_DELETED;
    }
    return WEBHOOK_ACTIVE;
}

/* Of the partition whose webhooks stand in the list from `first` to its end. */
static void ask_heard(struct reading *r, size_t first)
{
    const struct span account = span_of(r->list.item[first].account);
    struct hearing *h = xcalloc(1, sizeof *h);
    char key[PARTITION_KEY];
    const struct span words[] = {
        SPAN("HGETALL"), partition_key(partition_of(SIDE_ACCOUNT, account), "heard", NULL, key)};

    *h = (struct hearing){r, first, r->list.count};
    r->pending++;
    redis_command(r->redis, words, ARRAY_LEN(words), on_heard, h);
}

static void on_heard(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct hearing *h = arg;
    struct reading *r = h->reading;
    struct err room;
    const struct err *failure = redis_failure(reply, err, &room);

    if (failure)
        r->failure = *failure;
    for (size_t i = 0; !failure && i + 1 < redis_reply_count(reply); i += 2)
        for (size_t k = h->first; k < h->end; k++)
            if (span_equal(redis_reply_text(redis_reply_at(reply, i)), span_of(r->list.item[k].id)))
                take_heard(&r->list.item[k], redis_reply_text(redis_reply_at(reply, i + 1)));
    free(h);
    answered(r);
}

/* "at text". */
static void take_heard(struct webhook *w, struct span entry)
{
    const char *blank = memchr(entry.data, ' ', entry.len);
    size_t n = blank ? (size_t)(blank - entry.data) : 0;

    if (!blank || w->heard || !int64_parse((struct span){entry.data, n}, &w->heard_at))
        return;
    w->heard = xstrndup(blank + 1, entry.len - n - 1);
}

static int compare(const void *a, const void *b)
{
    const struct webhook *x = a, *y = b;
    int order = strcmp(x->account, y->account);

    if (order == 0 && x->at != y->at)
        order = x->at < y->at ? -1 : 1;
    return order ? order : strcmp(x->id, y->id);
}

void webhook_heard_keep(struct redis *redis, const char *webhook, int64_t at, const char *text)
{
    char key[PARTITION_KEY];
    AUTO_STRING entry = xasprintf("%" PRId64 " %s", at, text);
    struct partition p;

    if (!webhook_id_partition(webhook, &p))
        return;
    const struct span words[] = {SPAN("HSET"), partition_key(p, "heard", NULL, key),
                                 span_of(webhook), span_of(entry)};
    redis_command(redis, words, ARRAY_LEN(words), on_kept, NULL);
}

static void on_kept(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct err room;
    const struct err *failure = redis_failure(reply, err, &room);

    (void)arg;
    if (failure)
        log_warn("webhook_forgotten", "what a webhook's receiver did can't be kept: %s",
                 failure->text);
}
