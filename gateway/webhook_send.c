/* webhook_send.c - an attempt has a client of its own: what the name means is looked up anew, and no connection is kept to a
 * server that hears of us once a day. What the receiver writes besides the head is never read. */
#include "gateway/webhook_send.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/retry_after.h"
#include "gateway/webhook_secret.h"
#include "gateway/webhook_url.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/httpc.h"

#define HEAD_LINES_MAX 1024
#define BODY_MAX       65536
#define REPLY_HEAD_MAX 16384
#define END_MS         1000

struct webhook_attempt {
    struct webhook_road *road;
    struct webhook_attempt *next, **link; /* of the road's */
    struct httpc *client;
    struct httpc_call *call; /* null before it began, and once it has ended */
    struct buf body;
    struct webhook_answer answer;
    struct timer *end;
    struct turn_end later;        /* to tell what was known at once */
    webhook_on_answer *on_answer; /* null: abandoned */
    void *arg;
};

static bool begin(struct webhook_attempt *a, const struct webhook_parcel *parcel, struct err *err);
static void write_head_lines(const struct webhook_parcel *parcel, struct buf *out);
static bool may_connect(void *arg, const struct addr *to);
static void on_head(void *arg, const struct http_head *head);
static void on_bytes(void *arg, const char *bytes, size_t n);
static void on_end(void *arg, const struct err *err);
static void on_timeout(void *arg);
static void tell(void *arg);
static void attempt_free(struct webhook_attempt *a);

bool webhook_is_delivered(const struct webhook_answer *a)
{
    return a->status >= 200 && a->status < 300;
}

struct webhook_attempt *webhook_send(struct webhook_road *road, const struct webhook_parcel *parcel,
                                     webhook_on_answer *on_answer, void *arg)
{
    struct webhook_attempt *a = xcalloc(1, sizeof *a);
    struct err err;

    a->road = road;
    a->link = &road->attempts;
    a->next = road->attempts;
    if (a->next)
        a->next->link = &a->next;
    road->attempts = a;
    road->is_empty = false;
    a->on_answer = on_answer;
    a->arg = arg;
    a->later = (struct turn_end){.run = tell, .arg = a};
    buf_init(&a->body, BODY_MAX);
    a->end = timer_new(road->loop, on_timeout, a);
    if (begin(a, parcel, &err)) {
        timer_start(a->end, road->timeout_ms);
    } else {
        snprintf(a->answer.text, sizeof a->answer.text, "%s", err.text);
        turn_end_schedule(road->loop, &a->later);
    }
    return a;
}

static bool begin(struct webhook_attempt *a, const struct webhook_parcel *parcel, struct err *err)
{
    static const struct httpc_handlers handlers = {on_head, on_bytes, on_end};
    int64_t ms = a->road->timeout_ms;
    const struct httpc_limits limits = {.connect_ms = ms,
                                        .first_byte_ms = ms,
                                        .between_bytes_ms = ms,
                                        .head = {REPLY_HEAD_MAX, REPLY_HEAD_MAX}};
    AUTO_CLEAR(buf) lines = {.max = HEAD_LINES_MAX};
    struct httpc_request request = {.method = SPAN("POST")};
    struct webhook_url url;

    if (!webhook_url_parse(parcel->url, a->road->private_too, &url, err))
        return false;
    a->client = httpc_new(a->road->loop,
                          &(struct httpc_origin){.url = url.origin,
                                                 .tls = a->road->tls,
                                                 .names = a->road->names,
                                                 .may_connect = may_connect,
                                                 .may_connect_arg = a},
                          &limits, err);
    if (!a->client)
        return false;
    buf_add_span(&a->body, parcel->body);
    write_head_lines(parcel, &lines);
    request.target = span_of(url.target);
    request.head_lines = buf_span(&lines);
    request.body = buf_span(&a->body);
    a->call = httpc_call(a->client, &request, &handlers, a, err);
    return a->call != NULL;
}

static void write_head_lines(const struct webhook_parcel *parcel, struct buf *out)
{
    struct webhook_message m = {parcel->id, clock_now() / NANOS_PER_SECOND, parcel->body};
    AUTO_CLEAR(secret) secret = {0};

    webhook_secret_derive(parcel->webhook, parcel->derivation_key, &secret);
    buf_printf(out,
               "content-type: application/json\r\nuser-agent: tollgate/%s\r\nconnection: close\r\n"
               "webhook-id: %s\r\nwebhook-timestamp: %" PRId64 "\r\nwebhook-signature: ",
               PACKAGE_VERSION, m.id, m.timestamp);
    webhook_sign(&secret, &m, out);
    buf_add_string(out, "\r\n");
}

static bool may_connect(void *arg, const struct addr *to)
{
    const struct webhook_attempt *a = arg;

    return webhook_may_connect(to, a->road->private_too);
}

/* The status is all that counts. */
static void on_head(void *arg, const struct http_head *head)
{
    struct webhook_attempt *a = arg;
    bool is_redirect = head->status >= 300 && head->status < 400;

    a->answer.status = head->status;
    a->answer.retry_after_ms = retry_after_ms(head);
    snprintf(a->answer.text, sizeof a->answer.text, "it answered %u%s", head->status,
             is_redirect ? "; redirects are not followed" : "");
    httpc_cancel(a->call);
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    (void)arg;
    (void)bytes;
    (void)n;
}

static void on_timeout(void *arg)
{
    struct webhook_attempt *a = arg;

    snprintf(a->answer.text, sizeof a->answer.text, "it did not answer within %" PRId64 " ms",
             a->road->timeout_ms);
    httpc_cancel(a->call);
}

static void on_end(void *arg, const struct err *err)
{
    struct webhook_attempt *a = arg;

    a->call = NULL;
    if (err && !a->answer.text[0])
        snprintf(a->answer.text, sizeof a->answer.text, "%s", err->text);
    tell(a);
}

static void tell(void *arg)
{
    struct webhook_attempt *a = arg;

    if (a->on_answer)
        a->on_answer(a->arg, &a->answer);
    attempt_free(a);
}

void webhook_abandon(struct webhook_attempt *a)
{
    a->on_answer = NULL;
    if (a->call)
        httpc_cancel(a->call);
}

/* What was known at once ends by itself. */
void webhook_road_end(struct webhook_road *road)
{
    bool is_empty = !road->attempts;

    for (struct webhook_attempt *a = road->attempts; a; a = a->next)
        if (a->call)
            httpc_cancel(a->call);
    if (!is_empty && !loop_run_until(road->loop, &road->is_empty, END_MS))
        log_warn("webhooks_cut", "attempts under way did not end in time");
}

static void attempt_free(struct webhook_attempt *a)
{
    *a->link = a->next;
    if (a->next)
        a->next->link = a->link;
    a->road->is_empty = !a->road->attempts;
    turn_end_cancel(&a->later);
    timer_free(a->end);
    httpc_free(a->client);
    buf_clear(&a->body);
    free(a);
}
