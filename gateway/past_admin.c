/* past_admin.c - records go over the socket as the bytes that they are: receipts are made of them. */
#include "gateway/past_admin.h"

#include <stdlib.h>

#include "gateway/console_state.h"
#include "gateway/service.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (16 * 1024 * 1024)

/* One question; `request` is null once who asked is gone. */
struct question {
    struct http_request *request;
};

static struct question *question_new(struct http_request *r);
static void on_record(void *arg, const struct span *line, const struct err *err);
static bool read_page(struct span query, struct past_page *page);
static void on_records(void *arg, const struct span *lines, size_t count, bool has_more,
                       const struct err *err);
static void reply_lines(struct http_request *r, const struct buf *text);

void past_find_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    char account[ID_TEXT];

    if (!request_id_is_valid(span_of(match->value[0])) ||
        query_get(http_request_query(r), "account", account, sizeof account) != QUERY_FOUND) {
        reply_problem(r, CALLER_BAD_REQUEST, "It takes a request id and 'account'");
        return;
    }
    c->history.past.find(c->history.past.arg, account, match->value[0], on_record, question_new(r));
}

static struct question *question_new(struct http_request *r)
{
    struct question *q = xcalloc(1, sizeof *q);

    request_keep(r, &q->request);
    return q;
}

static void on_record(void *arg, const struct span *line, const struct err *err)
{
    struct question *q = arg;

    if (q->request && err)
        reply_err(q->request, err);
    else if (q->request && !line)
        reply_problem(q->request, CALLER_NOT_FOUND, "The archive has no such call");
    else if (q->request)
        reply_json(q->request, 200, *line);
    free(q);
}

void past_list_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct past_page page = {.limit = 0};

    (void)match;
    if (!read_page(http_request_query(r), &page)) {
        reply_problem(r, CALLER_BAD_REQUEST,
                      "It takes 'account', 'limit', and perhaps 'before' and 'until_ms'");
        return;
    }
    c->history.past.list(c->history.past.arg, &page, on_records, question_new(r));
}

static bool read_page(struct span query, struct past_page *page)
{
    char limit[24], until[24] = "0";
    uint64_t n, ms;

    if (query_get(query, "account", page->account, sizeof page->account) != QUERY_FOUND ||
        query_get(query, "limit", limit, sizeof limit) != QUERY_FOUND ||
        query_get(query, "before", page->before, sizeof page->before) == QUERY_BAD ||
        query_get(query, "until_ms", until, sizeof until) == QUERY_BAD ||
        !digits_parse(span_of(limit), RECENT_PAGE_MAX, &n) || n < 1 ||
        !digits_parse(span_of(until), INT64_MAX / NANOS_PER_MS, &ms) ||
        (page->before[0] && !request_id_is_valid(span_of(page->before))))
        return false;
    page->limit = (size_t)n;
    page->until_ms = (int64_t)ms;
    return true;
}

static void on_records(void *arg, const struct span *lines, size_t count, bool has_more,
                       const struct err *err)
{
    struct question *q = arg;
    AUTO_CLEAR(buf) text = {.max = ANSWER_MAX};

    buf_printf(&text, "{\"has_more\":%s}\n", has_more ? "true" : "false");
    for (size_t i = 0; i < count; i++) {
        buf_add_span(&text, lines[i]);
        buf_add_char(&text, '\n');
    }
    if (q->request && err)
        reply_err(q->request, err);
    else if (q->request)
        reply_lines(q->request, &text);
    free(q);
}

static void reply_lines(struct http_request *r, const struct buf *text)
{
    const struct http_field fields[] = {{"content-type", "application/x-ndjson"},
                                        {"x-request-id", request_caller(r)->request_id}};
    struct err err;

    if (buf_ok(text, "a page of calls", &err))
        http_reply(r, 200, fields, ARRAY_LEN(fields), buf_span(text));
    else
        reply_err(r, &err);
}
