/* history.c - the archive is asked only when `trimmed` says that it has calls of the account which Redis no longer has, so
 * looking at recent calls costs what it always did. */
#include "gateway/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define SKEW_MS 60000 /* that clocks may differ by */

/* What was trimmed last of an account's stream; "" when nothing was. */
static void read_mark(struct redis *redis, const char *account, redis_on_reply *on_reply, void *arg)
{
    char key[PARTITION_KEY];
    const struct span argv[] = {
        SPAN("HGET"),
        partition_key(partition_of(SIDE_ACCOUNT, span_of(account)), "trimmed", NULL, key),
        span_of(account)};

    redis_command(redis, argv, ARRAY_LEN(argv), on_reply, arg);
}

/* False when Redis did not answer: then `why` says what. */
static bool mark_of(const struct redis_reply *reply, const struct err *err, struct span *mark,
                    struct err *why)
{
    struct err refused;

    *mark = SPAN("");
    err = redis_failure(reply, err, &refused);
    if (err)
        return err_set(why, err->code, "%s", err->text);
    if (redis_reply_type(reply) == REDIS_TEXT)
        *mark = redis_reply_text(reply);
    return true;
}

/* What was trimmed had come to Redis by the time that its stream id tells: in milliseconds, with room for clocks that
 * differ. 0: unknown, since this process has a time of its own. */
static int64_t until_of(struct span mark)
{
    const char *dash = memchr(mark.data, '-', mark.len);
    struct span digits = {mark.data, dash ? (size_t)(dash - mark.data) : 0};
    uint64_t ms;

    if (clock_offset() != 0 || !digits_parse(digits, INT64_MAX / NANOS_PER_MS - SKEW_MS, &ms))
        return 0;
    return (int64_t)ms + SKEW_MS;
}

/* ------------------------------------------------------------------ one call */

struct find {
    struct history history;
    char account[ID_TEXT], request_id[REQUEST_ID_TEXT];
    bool is_patient;
    recent_on_record *on_record;
    void *arg;
};

static void on_recent(void *arg, const struct span *line, const struct err *err);
static void on_find_mark(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_past(void *arg, const struct span *line, const struct err *err);
static void on_last(void *arg, const struct span *line, const struct err *err);
static void wait_for_it(struct find *f, recent_on_record *on_record);

void history_find(const struct history *h, const char *account, const char *request_id,
                  bool is_patient, recent_on_record *on_record, void *arg)
{
    struct find *f = xcalloc(1, sizeof *f);

    f->history = *h;
    snprintf(f->account, sizeof f->account, "%s", account);
    snprintf(f->request_id, sizeof f->request_id, "%s", request_id);
    f->is_patient = is_patient;
    f->on_record = on_record;
    f->arg = arg;
    recent_look(h->loop, h->redis, f->account, f->request_id, on_recent, f);
}

static void on_recent(void *arg, const struct span *line, const struct err *err)
{
    struct find *f = arg;

    if (line || err)
        on_last(f, line, err);
    else
        read_mark(f->history.redis, f->account, on_find_mark, f);
}

static void on_find_mark(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct find *f = arg;
    struct span mark;
    struct err why;

    if (!mark_of(reply, err, &mark, &why))
        on_last(f, NULL, &why);
    else if (!mark.len || (until_of(mark) && request_id_ms(f->request_id) > until_of(mark)))
        wait_for_it(f, on_last);
    else
        f->history.past.find(f->history.past.arg, f->account, f->request_id, on_past, f);
}

static void on_past(void *arg, const struct span *line, const struct err *err)
{
    if (line || err)
        on_last(arg, line, err);
    else
        wait_for_it(arg, on_last);
}

static void on_last(void *arg, const struct span *line, const struct err *err)
{
    struct find *f = arg;

    f->on_record(f->arg, line, err);
    free(f);
}

static void wait_for_it(struct find *f, recent_on_record *on_record)
{
    if (f->is_patient)
        recent_find(f->history.loop, f->history.redis, f->account, f->request_id, on_record, f);
    else
        on_record(f, NULL, NULL);
}

/* ------------------------------------------------------------------ pages */

struct list {
    struct history history;
    struct past_page page; /* its limit: of both parts together */
    struct buf text;       /* the recent part's lines, each with a newline */
    size_t count;          /* of them */
    bool is_unknown;       /* `before` is no recent call */
    struct err unknown;
    recent_on_records *on_records;
    void *arg;
};

static void on_recent_page(void *arg, const struct span *lines, size_t count, bool has_more,
                           const struct err *err);
static void on_list_mark(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_past_page(void *arg, const struct span *lines, size_t count, bool has_more,
                         const struct err *err);
static bool stands_in(struct span text, struct span line);
static void deliver(struct list *l, const struct span *more, size_t more_count, bool has_more);
static void list_end(struct list *l, const struct span *lines, size_t count, bool has_more,
                     const struct err *err);

void history_list(const struct history *h, const char *account, const char *before, size_t limit,
                  recent_on_records *on_records, void *arg)
{
    struct list *l = xcalloc(1, sizeof *l);

    l->history = *h;
    snprintf(l->page.account, sizeof l->page.account, "%s", account);
    if (before)
        snprintf(l->page.before, sizeof l->page.before, "%s", before);
    l->page.limit = limit;
    buf_init(&l->text, RECENT_PAGE_MAX * EVENT_BYTES_MAX);
    l->on_records = on_records;
    l->arg = arg;
    recent_list(h->redis, l->page.account, before, limit, on_recent_page, l);
}

static void on_recent_page(void *arg, const struct span *lines, size_t count, bool has_more,
                           const struct err *err)
{
    struct list *l = arg;

    l->is_unknown = err && err->code == ERR_NOT_FOUND && l->page.before[0];
    if (has_more || (err && !l->is_unknown)) {
        list_end(l, lines, count, has_more, err);
        return;
    }
    if (l->is_unknown)
        l->unknown = *err;
    for (size_t i = 0; i < count; i++) {
        buf_add_span(&l->text, lines[i]);
        buf_add_char(&l->text, '\n');
    }
    l->count = count;
    read_mark(l->history.redis, l->page.account, on_list_mark, l);
}

static void on_list_mark(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct list *l = arg;
    struct span mark;
    struct err why;

    if (!mark_of(reply, err, &mark, &why)) {
        list_end(l, NULL, 0, false, &why);
    } else if (!mark.len && l->is_unknown) {
        list_end(l, NULL, 0, false, &l->unknown);
    } else if (!mark.len || l->count >= l->page.limit) {
        deliver(l, NULL, 0, mark.len > 0);
    } else {
        struct past_page page = l->page;

        page.limit -= l->count;
        page.until_ms = until_of(mark);
        if (!l->is_unknown)
            page.before[0] = '\0';
        l->history.past.list(l->history.past.arg, &page, on_past_page, l);
    }
}

/* What was trimmed between the two looks is in both. */
static void on_past_page(void *arg, const struct span *lines, size_t count, bool has_more,
                         const struct err *err)
{
    struct list *l = arg;
    struct span *fresh;
    size_t fresh_count = 0;

    if (err) {
        list_end(l, NULL, 0, false, err);
        return;
    }
    fresh = xcalloc(count + 1, sizeof *fresh);
    for (size_t i = 0; i < count; i++)
        if (!stands_in(buf_span(&l->text), lines[i]))
            fresh[fresh_count++] = lines[i];
    deliver(l, fresh, fresh_count, has_more);
    free(fresh);
}

static bool stands_in(struct span text, struct span line)
{
    return text.len > 0 && memmem(text.data, text.len, line.data, line.len) != NULL;
}

static void deliver(struct list *l, const struct span *more, size_t more_count, bool has_more)
{
    struct span *lines = xcalloc(l->count + more_count + 1, sizeof *lines);
    struct span rest = buf_span(&l->text);
    size_t count = 0;
    struct err err;

    for (; count < l->count && rest.len > 0; count++) {
        size_t n = (size_t)((const char *)memchr(rest.data, '\n', rest.len) - rest.data);

        lines[count] = (struct span){rest.data, n};
        rest = (struct span){rest.data + n + 1, rest.len - n - 1};
    }
    for (size_t i = 0; i < more_count; i++)
        lines[count++] = more[i];
    if (buf_ok(&l->text, "a page of calls", &err))
        list_end(l, lines, count, has_more, NULL);
    else
        list_end(l, NULL, 0, false, &err);
    free(lines);
}

static void list_end(struct list *l, const struct span *lines, size_t count, bool has_more,
                     const struct err *err)
{
    l->on_records(l->arg, lines, count, has_more, err);
    buf_clear(&l->text);
    free(l);
}
