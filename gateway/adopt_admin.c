/* adopt_admin.c - record by record: each call is looked for before it is booked, and the next is looked for when that is
 * durable. */
#include "gateway/adopt_admin.h"

#include <stdlib.h>

#include "billing/archive_retire.h"
#include "billing/refund.h"
#include "billing/retired_losses.h"
#include "gateway/desk.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define SHIP_MS    60000
#define ANSWER_MAX 4096

struct adopting {
    struct console *console;
    struct http_request *request; /* null once the client is gone */
    char writer[WRITER_TEXT];
    struct buf lines; /* each with its newline */
    size_t at;        /* where the next begins */
    struct event event;
    uint64_t calls, known_calls, changes;
    struct timer *patience;
    bool is_answered;
};

static bool is_busy(const struct console *c, struct http_request *r);
static bool collect(struct adopting *a, const char *dir, struct err *err);
static bool take_lines(struct adopting *a, struct journal *j, struct err *err);
static void lower(struct record_cursor *c, uint64_t n);
static void on_current(void *arg);
static void on_patience(void *arg);
static void next(void *arg);
static bool book(struct adopting *a, struct span line, bool *is_call, struct err *err);
static bool book_refund(struct adopting *a, json_t *record, struct err *err);
static bool book_change(struct adopting *a, const struct record_head *head, json_t *record,
                        struct err *err);
static void on_found(void *arg, const struct span *line, const struct err *err);
static void on_suspense(void *arg, const struct redis_reply *reply, const struct err *err);
static bool stands_in(const struct redis_reply *suspense, const char *request_id);
static bool book_call(struct adopting *a, struct err *err);
static void on_shipped(void *arg);
static void fail(struct adopting *a, const struct err *err);
static void answer(struct adopting *a, const struct err *err);
static void adopting_free(struct adopting *a);

void adopt_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"dir", NULL};
    struct console *c = server;
    struct adopting *a;
    struct err err;
    AUTO_JSON body = json_parse(http_request_body(r), &err);
    const char *dir;

    (void)match;
    if (!desk_is_open(c, r) || is_busy(c, r))
        return;
    a = xcalloc(1, sizeof *a);
    a->console = c;
    buf_init(&a->lines, SIZE_MAX / 4);
    if (!body || !json_only_members(body, members, "the request", &err) ||
        !json_get_string(body, "dir", &dir, "the request", &err) || !collect(a, dir, &err)) {
        reply_err(r, &err);
        adopting_free(a);
        return;
    }
    c->adopting = a;
    request_keep(r, &a->request);
    a->patience = timer_new(c->loop, on_patience, a);
    timer_start(a->patience, SHIP_MS);
    projection_when_current(c->ledger.projection, on_current, a);
}

/* Also when its client was told to ask again: it may still be waiting for what it asked. */
static bool is_busy(const struct console *c, struct http_request *r)
{
    if (!c->adopting)
        return false;
    reply_problem(r, CALLER_CONFLICT,
                  "what a directory of writer %s still has is being booked; ask again when that is "
                  "done",
                  c->adopting->writer);
    return true;
}

static bool collect(struct adopting *a, const char *dir, struct err *err)
{
    struct journal_config config =
        ledger_journal_config(a->console->options, a->console->installation);
    AUTO(journal) j = journal_open_retired(&config, dir, err);

    if (!j)
        return false;
    memcpy(a->writer, journal_writer(j), sizeof a->writer);
    return take_lines(a, j, err);
}

static bool take_lines(struct adopting *a, struct journal *j, struct err *err)
{
    AUTO_CLEAR(retired_losses) lost = {.count = 0};
    struct record_heads archived, from;
    AUTO(journal_tail) tail = NULL;
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got;

    if (!archive_heads(a->console->options->archive, a->writer, &archived, err) ||
        !retired_losses_read(a->console->options->archive, a->writer, &lost, err))
        return false;
    from = archived;
    for (const struct retired_loss *r = lost.ranges; r < lost.ranges + lost.count; r++)
        lower(&from.at[r->partition.side][r->partition.index], r->from - 1);
    tail = journal_tail_new(j, &from, err);
    if (!tail)
        return false;
    while ((got = journal_tail_next(tail, &head, &line, &crc, err)) == 1) {
        if (!record_is_beyond(&archived, &head.place) && !retired_losses_have(&lost, &head.place))
            continue;
        buf_add_span(&a->lines, line);
        buf_add_char(&a->lines, '\n');
    }
    return got == 0 && buf_ok(&a->lines, "what the directory still has", err);
}

static void lower(struct record_cursor *c, uint64_t n)
{
    c->n = c->n < n ? c->n : n;
}

/* Redis has all that this console wrote before: what an earlier attempt booked is found. */
static void on_current(void *arg)
{
    struct adopting *a = arg;

    if (a->is_answered)
        adopting_free(a);
    else
        next(a);
}

static void on_patience(void *arg)
{
    struct adopting *a = arg;
    struct err err;

    err_set(&err, ERR_TIMEOUT, "Redis does not have all that was written yet; ask again");
    answer(a, &err);
}

/* The next record, or the end. What is asked once more is looked up again. */
static void next(void *arg)
{
    struct adopting *a = arg;
    bool is_call = false;
    struct err err;

    timer_start(a->patience, SHIP_MS);
    while (a->at < a->lines.len && !is_call) {
        const char *from = a->lines.data + a->at;
        size_t n = (size_t)((const char *)memchr(from, '\n', a->lines.len - a->at) - from);

        a->at += n + 1;
        if (!book(a, (struct span){from, n}, &is_call, &err)) {
            fail(a, &err);
            return;
        }
    }
    if (!is_call)
        projection_when_current(a->console->ledger.projection, on_shipped, a);
}

static bool book(struct adopting *a, struct span line, bool *is_call, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);
    struct record_head head;

    if (!record || !record_head_parse(line, &head, err))
        return false;
    *is_call = head.kind == RECORD_CALL;
    if (head.kind == RECORD_LOST)
        return true;
    if (head.kind == RECORD_REFUND)
        return book_refund(a, record, err);
    if (head.kind != RECORD_CALL)
        return book_change(a, &head, record, err);
    if (!event_parse(record, &a->event, err))
        return false;
    history_find(&a->console->history, a->event.account, a->event.request_id, false, on_found, a);
    return true;
}

static bool book_refund(struct adopting *a, json_t *record, struct err *err)
{
    struct refund refund;

    if (!refund_parse(record, &refund, err) ||
        !journal_refund(a->console->ledger.journal, &refund, NULL, NULL, err))
        return false;
    a->changes++;
    return true;
}

/* Its members but those of its head: a revision, an operation id and a time count as they did. */
static bool book_change(struct adopting *a, const struct record_head *head, json_t *record,
                        struct err *err)
{
    static const char *const head_members[] = {"kind", "writer", "a", "an", "m", "mn"};
    enum partition_side side = head->place.on[SIDE_ACCOUNT] ? SIDE_ACCOUNT : SIDE_MODEL;
    AUTO_CLEAR(buf) body = {.max = RECORD_BYTES_MAX};

    for (size_t i = 0; i < ARRAY_LEN(head_members); i++)
        json_object_del(record, head_members[i]);
    if (!json_dump(record, &body))
        return err_set(err, ERR_LIMIT, "a record is too long");
    if (!journal_change(a->console->ledger.journal,
                        &(struct journal_change){
                            head->kind, buf_span(&body), {side, head->place.partition[side]}},
                        NULL, NULL, err))
        return false;
    a->changes++;
    return true;
}

static void on_found(void *arg, const struct span *line, const struct err *err)
{
    struct adopting *a = arg;
    char key[PARTITION_KEY];
    const struct span argv[] = {SPAN("HGETALL"),
                                partition_key(partition_of(SIDE_ACCOUNT, span_of(a->event.account)),
                                              "suspense", NULL, key)};

    if (err) {
        fail(a, err);
    } else if (line) {
        a->known_calls++;
        next(a);
    } else {
        redis_command(a->console->ledger.redis, argv, ARRAY_LEN(argv), on_suspense, a);
    }
}

/* A call that could not be booked stands in no list of calls, but it stands there, and may be booked yet. */
static void on_suspense(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct adopting *a = arg;
    struct err why;

    if (err) {
        fail(a, err);
    } else if (redis_reply_type(reply) == REDIS_ERROR) {
        err_set(&why, ERR_UNAVAILABLE, "Redis refused: %.*s", SPAN_FMT(redis_reply_text(reply)));
        fail(a, &why);
    } else if (stands_in(reply, a->event.request_id)) {
        a->known_calls++;
        next(a);
    } else if (!book_call(a, &why)) {
        fail(a, &why);
    }
}

/* "writer n" → "reason record". */
static bool stands_in(const struct redis_reply *suspense, const char *request_id)
{
    AUTO_STRING member = xasprintf("\"request_id\":\"%s\"", request_id);
    size_t n = strlen(member);

    for (size_t i = 1; i < redis_reply_count(suspense); i += 2) {
        struct span value = redis_reply_text(redis_reply_at(suspense, i));
        const char *brace = value.len ? memchr(value.data, '{', value.len) : NULL;
        struct record_head head;

        if (brace &&
            record_head_parse((struct span){brace, value.len - (size_t)(brace - value.data)}, &head,
                              NULL) &&
            head.kind == RECORD_CALL && memmem(value.data, value.len, member, n))
            return true;
    }
    return false;
}

static bool book_call(struct adopting *a, struct err *err)
{
    struct journal *j = a->console->ledger.journal;

    if (!journal_reserve(j, err))
        return false;
    (void)journal_now(j);
    a->event.period = journal_period(j);
    a->calls++;
    journal_call(j, &a->event, next, a);
    return true;
}

static void on_shipped(void *arg)
{
    struct adopting *a = arg;

    log_warn("directory_adopted", "writer %s: %llu calls and %llu changes were booked late",
             a->writer, (unsigned long long)a->calls, (unsigned long long)a->changes);
    answer(a, NULL);
    adopting_free(a);
}

static void fail(struct adopting *a, const struct err *err)
{
    answer(a, err);
    adopting_free(a);
}

static void answer(struct adopting *a, const struct err *err)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "writer", a->writer);
    jw_int_member(&w, "calls", (int64_t)a->calls);
    jw_int_member(&w, "known_calls", (int64_t)a->known_calls);
    jw_int_member(&w, "changes", (int64_t)a->changes);
    jw_object_end(&w);
    reply_found(a->request, &json, err);
    a->request = NULL;
    a->is_answered = true;
}

static void adopting_free(struct adopting *a)
{
    if (a->console->adopting == a)
        a->console->adopting = NULL;
    timer_free(a->patience);
    buf_clear(&a->lines);
    free(a);
}
