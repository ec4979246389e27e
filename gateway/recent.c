/* recent.c - index and stream stand in the account's partition: a look-up is one HGET and one XRANGE. */
#include "gateway/recent.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define STREAM_ID_TEXT 48
#define WAIT_NANOS     (2 * NANOS_PER_SECOND)
#define POLL_MS        20

struct find {
    struct redis *redis;
    struct timer *poll;
    int64_t until; /* monotonic */
    char account[ID_TEXT], request_id[REQUEST_ID_TEXT];
    recent_on_record *on_record;
    void *arg;
};

static struct find *start(struct loop *loop, struct redis *redis, const char *account,
                          const char *request_id, recent_on_record *on_record, void *arg);
static void find_index(void *arg);
static void on_index(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_entry(void *arg, const struct redis_reply *reply, const struct err *err);
static void find_end(struct find *f, const struct span *line, const struct err *err);
static struct span record_of_entry(const struct redis_reply *entry);
static struct partition partition_of_account(const char *account);

void recent_find(struct loop *loop, struct redis *redis, const char *account,
                 const char *request_id, recent_on_record *on_record, void *arg)
{
    start(loop, redis, account, request_id, on_record, arg)->until = clock_monotonic() + WAIT_NANOS;
}

void recent_look(struct loop *loop, struct redis *redis, const char *account,
                 const char *request_id, recent_on_record *on_record, void *arg)
{
    start(loop, redis, account, request_id, on_record, arg);
}

/* Names that do not fit are cut, and then nothing is found. */
static struct find *start(struct loop *loop, struct redis *redis, const char *account,
                          const char *request_id, recent_on_record *on_record, void *arg)
{
    struct find *f = xcalloc(1, sizeof *f);

    snprintf(f->account, sizeof f->account, "%s", account);
    snprintf(f->request_id, sizeof f->request_id, "%s", request_id);
    f->redis = redis;
    f->poll = timer_new(loop, find_index, f);
    f->on_record = on_record;
    f->arg = arg;
    find_index(f);
    return f;
}

static void find_index(void *arg)
{
    struct find *f = arg;
    char key[PARTITION_KEY];
    struct span argv[] = {SPAN("HGET"),
                          partition_key(partition_of_account(f->account), "index", f->account, key),
                          span_of(f->request_id)};

    redis_command(f->redis, argv, ARRAY_LEN(argv), on_index, f);
}

static void on_index(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct find *f = arg;
    char key[PARTITION_KEY];
    struct span id, argv[4];
    struct err refused;

    err = redis_failure(reply, err, &refused);
    if (err) {
        find_end(f, NULL, err);
        return;
    }
    id = redis_reply_text(reply);
    if (redis_reply_type(reply) != REDIS_TEXT) {
        if (clock_monotonic() < f->until)
            timer_start(f->poll, POLL_MS);
        else
            find_end(f, NULL, NULL);
        return;
    }
    argv[0] = SPAN("XRANGE");
    argv[1] = partition_key(partition_of_account(f->account), "events", f->account, key);
    argv[2] = argv[3] = id;
    redis_command(f->redis, argv, ARRAY_LEN(argv), on_entry, f);
}

static void on_entry(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct err refused;
    struct span line;

    err = redis_failure(reply, err, &refused);
    if (err || redis_reply_type(reply) != REDIS_ARRAY || !redis_reply_count(reply)) {
        find_end(arg, NULL, err);
        return;
    }
    line = record_of_entry(redis_reply_at(reply, 0));
    find_end(arg, line.len ? &line : NULL, NULL);
}

static void find_end(struct find *f, const struct span *line, const struct err *err)
{
    f->on_record(f->arg, line, err);
    timer_free(f->poll);
    free(f);
}

/* [id, ["r", record]] */
static struct span record_of_entry(const struct redis_reply *entry)
{
    const struct redis_reply *fields = redis_reply_at(entry, 1);

    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2)
        if (span_equal(redis_reply_text(redis_reply_at(fields, i)), SPAN("r")))
            return redis_reply_text(redis_reply_at(fields, i + 1));
    return SPAN("");
}

static struct partition partition_of_account(const char *account)
{
    return partition_of(SIDE_ACCOUNT, span_of(account));
}

/* ------------------------------------------------------------------ pages */

struct list {
    struct redis *redis;
    char account[ID_TEXT];
    size_t limit;
    recent_on_records *on_records;
    void *arg;
};

static void on_before(void *arg, const struct redis_reply *reply, const struct err *err);
static void read_page(struct list *l, struct span from);
static void on_page(void *arg, const struct redis_reply *reply, const struct err *err);
static void list_end(struct list *l, const struct span *lines, size_t count, bool has_more,
                     const struct err *err);

void recent_list(struct redis *redis, const char *account, const char *before, size_t limit,
                 recent_on_records *on_records, void *arg)
{
    struct list *l = xcalloc(1, sizeof *l);
    bool fits = span_copy(span_of(account), l->account, sizeof l->account);
    char key[PARTITION_KEY];

    l->redis = redis;
    l->limit = fits && limit < RECENT_PAGE_MAX ? limit : RECENT_PAGE_MAX;
    l->on_records = on_records;
    l->arg = arg;
    if (before) {
        struct span argv[] = {SPAN("HGET"),
                              partition_key(partition_of_account(account), "index", account, key),
                              span_of(before)};

        redis_command(redis, argv, ARRAY_LEN(argv), on_before, l);
    } else {
        read_page(l, SPAN("+"));
    }
}

static void on_before(void *arg, const struct redis_reply *reply, const struct err *err)
{
    char from[STREAM_ID_TEXT];
    struct err unknown;

    err = redis_failure(reply, err, &unknown);
    if (err) {
        list_end(arg, NULL, 0, false, err);
    } else if (redis_reply_type(reply) != REDIS_TEXT) {
        err_set(&unknown, ERR_NOT_FOUND, "'before' names no call of this account");
        list_end(arg, NULL, 0, false, &unknown);
    } else {
        snprintf(from, sizeof from, "(%.*s", SPAN_FMT(redis_reply_text(reply)));
        read_page(arg, span_of(from));
    }
}

static void read_page(struct list *l, struct span from)
{
    char key[PARTITION_KEY], count[24];
    struct span argv[] = {
        SPAN("XREVRANGE"),
        partition_key(partition_of_account(l->account), "events", l->account, key),
        from,
        SPAN("-"),
        SPAN("COUNT"),
        {count, 0}};

    argv[5].len = (size_t)snprintf(count, sizeof count, "%zu", l->limit + 1);
    redis_command(l->redis, argv, ARRAY_LEN(argv), on_page, l);
}

static void on_page(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct list *l = arg;
    struct err refused;
    struct span *lines;
    size_t count;

    err = redis_failure(reply, err, &refused);
    if (err || redis_reply_type(reply) != REDIS_ARRAY) {
        list_end(l, NULL, 0, false, err);
        return;
    }
    count = redis_reply_count(reply);
    lines = xcalloc(count + 1, sizeof *lines);
    for (size_t i = 0; i < count; i++)
        lines[i] = record_of_entry(redis_reply_at(reply, i));
    list_end(l, lines, count < l->limit ? count : l->limit, count > l->limit, NULL);
    free(lines);
}

static void list_end(struct list *l, const struct span *lines, size_t count, bool has_more,
                     const struct err *err)
{
    l->on_records(l->arg, lines, count, has_more, err);
    free(l);
}
