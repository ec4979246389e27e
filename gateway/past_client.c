/* past_client.c - HTTP over a unix socket: the answer is one record, or a line that says whether there are more and then
 * the records. */
#include "gateway/past_client.h"

#include <stdlib.h>

#include "gateway/admin_socket.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"

#define ANSWER_MAX    (16 * 1024 * 1024)
#define QUESTIONS_MAX 64

struct past_client {
    struct loop *loop;
    struct httpc *httpc;
    struct question *first;
    size_t count;
    bool is_idle; /* no question runs */
};

struct question {
    struct past_client *client;
    struct question *next, **link;
    struct httpc_call *call;
    unsigned status;
    struct buf body;
    recent_on_record *on_record;
    recent_on_records *on_records;
    void *arg;
};

static void find(void *arg, const char *account, const char *request_id,
                 recent_on_record *on_record, void *on_arg);
static void list(void *arg, const struct past_page *page, recent_on_records *on_records,
                 void *on_arg);
static struct question *question_new(struct past_client *c);
static void ask(struct question *q, const char *target);
static void on_head(void *arg, const struct http_head *head);
static void on_bytes(void *arg, const char *bytes, size_t n);
static void on_end(void *arg, const struct err *err);
static bool take_refusal(const struct question *q, struct err *err);
static void answer(struct question *q, const struct err *err);
static void answer_page(struct question *q);

struct past_client *past_client_new(struct loop *loop, const char *state, struct err *err)
{
    AUTO(past_client) c = xcalloc(1, sizeof *c);

    c->loop = loop;
    c->is_idle = true;
    c->httpc = admin_socket_open(loop, state, err);
    return c->httpc ? KEEP(c) : NULL;
}

void past_client_free(struct past_client *c)
{
    if (!c)
        return;
    for (struct question *q = c->first; q; q = q->next)
        httpc_cancel(q->call);
    while (!loop_run_until(c->loop, &c->is_idle, 1000))
        ;
    httpc_free(c->httpc);
    free(c);
}

struct past past_of_client(struct past_client *c)
{
    return (struct past){find, list, c};
}

static void find(void *arg, const char *account, const char *request_id,
                 recent_on_record *on_record, void *on_arg)
{
    AUTO_STRING target = xasprintf("/admin/v1/archive/calls/%s?account=%s", request_id, account);
    struct question *q = question_new(arg);

    q->on_record = on_record;
    q->arg = on_arg;
    ask(q, target);
}

static void list(void *arg, const struct past_page *page, recent_on_records *on_records,
                 void *on_arg)
{
    AUTO_STRING target = xasprintf("/admin/v1/archive/calls?account=%s&limit=%zu&until_ms=%lld%s%s",
                                   page->account, page->limit, (long long)page->until_ms,
                                   page->before[0] ? "&before=" : "", page->before);
    struct question *q = question_new(arg);

    q->on_records = on_records;
    q->arg = on_arg;
    ask(q, target);
}

static struct question *question_new(struct past_client *c)
{
    struct question *q = xcalloc(1, sizeof *q);

    q->client = c;
    buf_init(&q->body, ANSWER_MAX);
    q->next = c->first;
    q->link = &c->first;
    if (q->next)
        q->next->link = &q->next;
    c->first = q;
    c->count++;
    c->is_idle = false;
    return q;
}

/* Ids and numbers need no escaping. */
static void ask(struct question *q, const char *target)
{
    static const struct httpc_handlers handlers = {on_head, on_bytes, on_end};
    const struct httpc_request request = {.method = SPAN("GET"), .target = span_of(target)};
    struct err err;

    if (q->client->count > QUESTIONS_MAX)
        err_set(&err, ERR_UNAVAILABLE, "too many older calls are looked up at this moment");
    else if ((q->call = httpc_call(q->client->httpc, &request, &handlers, q, &err)))
        return;
    answer(q, &err);
}

static void on_head(void *arg, const struct http_head *head)
{
    ((struct question *)arg)->status = head->status;
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    struct question *q = arg;

    if (!q->body.failed && !buf_add(&q->body, bytes, n))
        httpc_cancel(q->call);
}

static void on_end(void *arg, const struct err *err)
{
    struct question *q = arg;
    struct err why;

    if (err) {
        err_set(&why, ERR_UNAVAILABLE, "older calls are looked up by the console: %s", err->text);
        answer(q, &why);
    } else if (q->status == 200 || (q->status == 404 && q->on_record)) {
        answer(q, NULL);
    } else {
        take_refusal(q, &why);
        answer(q, &why);
    }
}

/* The console's own sentence. */
static bool take_refusal(const struct question *q, struct err *err)
{
    AUTO_JSON object = json_parse(buf_span(&q->body), NULL);
    const char *message =
        json_string_value(json_object_get(json_object_get(object, "error"), "message"));

    return err_set(err, q->status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%s",
                   message ? message : "the console refused to look older calls up");
}

static void answer(struct question *q, const struct err *err)
{
    struct past_client *c = q->client;
    struct span line = buf_span(&q->body);

    if (q->on_record)
        q->on_record(q->arg, !err && q->status == 200 ? &line : NULL, err);
    else if (err)
        q->on_records(q->arg, NULL, 0, false, err);
    else
        answer_page(q);
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    c->is_idle = --c->count == 0;
    buf_clear(&q->body);
    free(q);
}

static void answer_page(struct question *q)
{
    struct span rest = buf_span(&q->body), lines[RECENT_PAGE_MAX + 1];
    size_t count = 0;
    const char *end;

    while (count <= RECENT_PAGE_MAX && rest.len > 0 && (end = memchr(rest.data, '\n', rest.len))) {
        lines[count++] = (struct span){rest.data, (size_t)(end - rest.data)};
        rest = (struct span){end + 1, rest.len - (size_t)(end - rest.data) - 1};
    }
    q->on_records(q->arg, lines + 1, count > 0 ? count - 1 : 0,
                  count > 0 && span_equal(lines[0], SPAN("{\"has_more\":true}")), NULL);
}
