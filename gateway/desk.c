/* desk.c - one way for every change: a record first, an answer after. */
#include "gateway/desk.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

#define SHIP_WAIT_MS 5000

/* Counts records that are not durable yet, plus one while they are being added. */
struct desk_batch {
    struct desk_batch *next, **link;
    struct console *console;
    struct http_request *request; /* null once the client is gone */
    size_t waiting;
    void (*on_written)(void *arg); /* null: nobody asks */
    void *written_arg;
    struct timer *patience;
    bool is_answered;
    char *answer;
};

static void on_durable(void *arg);
static void on_current(void *arg);
static void on_patience(void *arg);
static void answer(struct desk_batch *b, unsigned status);
static void batch_free(struct desk_batch *b);

bool desk_is_open(const struct console *c, struct http_request *r)
{
    if (c->ledger.journal && !c->ledger.is_stopped)
        return true;
    reply_problem(
        r, GATEWAY_JOURNAL_FULL,
        "the console's journal can't be used, so nothing can be changed; its log says why");
    return false;
}

json_t *desk_body(struct console *c, struct http_request *r, const char **op)
{
    struct err err;
    AUTO_JSON body = json_parse(http_request_body(r), &err);

    if (!body || !json_get_string(body, "op", op, "the request", &err)) {
        reply_err(r, &err);
        return NULL;
    }
    if (!desk_is_open(c, r))
        return NULL;
    if (!id_is_valid(span_of(*op))) {
        reply_problem(r, CALLER_BAD_REQUEST, "'op' must be 1 to 64 of A-Z a-z 0-9 . _ -");
        return NULL;
    }
    return KEEP(body);
}

bool desk_amount(const json_t *body, const char *name, bool required, int64_t *nanos,
                 struct err *err)
{
    const char *text = NULL;

    if (required ? !json_get_string(body, name, &text, "the request", err)
                 : !json_get_string_or(body, name, &text, "the request", err))
        return false;
    if (!text)
        return true;
    if (!decimal_parse(span_of(text), nanos, err))
        return err_context(err, "'%s'", name);
    return (*nanos <= AMOUNT_NANOS_MAX && *nanos >= -AMOUNT_NANOS_MAX) ||
           err_set(err, ERR_LIMIT, "'%s' may be at most 9000000", name);
}

bool desk_reason(const char *reason, char *out, size_t size, struct err *err)
{
    return (refund_reason_is_valid(span_of(reason)) && span_copy(span_of(reason), out, size)) ||
           err_set(err, ERR_INPUT, "'reason' must say why, in 1 to %d printable bytes",
                   REFUND_REASON_MAX);
}

void desk_post(struct console *c, struct http_request *r, const struct journal_change *change,
               struct span text)
{
    struct desk_batch *b = desk_batch_new(c, r);
    struct err err;

    if (desk_batch_add(b, change, &err))
        desk_batch_end(b, text, NULL);
    else
        desk_batch_end(b, text, &err);
}

struct desk_batch *desk_batch_new(struct console *c, struct http_request *r)
{
    struct desk_batch *b = xcalloc(1, sizeof *b);

    b->console = c;
    b->waiting = 1;
    b->next = c->batches;
    b->link = &c->batches;
    if (b->next)
        b->next->link = &b->next;
    c->batches = b;
    request_keep(r, &b->request);
    return b;
}

bool desk_batch_add(struct desk_batch *b, const struct journal_change *change, struct err *err)
{
    if (!journal_change(b->console->ledger.journal, change, on_durable, b, err))
        return false;
    b->waiting++;
    return true;
}

bool desk_batch_add_refund(struct desk_batch *b, struct refund *r, struct err *err)
{
    if (!journal_refund(b->console->ledger.journal, r, on_durable, b, err))
        return false;
    b->waiting++;
    return true;
}

bool desk_batch_add_funds(struct desk_batch *b, struct funds *f, struct err *err)
{
    if (!journal_funds(b->console->ledger.journal, f, on_durable, b, err))
        return false;
    b->waiting++;
    return true;
}

void desk_batch_on_written(struct desk_batch *b, void (*on_written)(void *arg), void *arg)
{
    b->on_written = on_written;
    b->written_arg = arg;
}

void desk_batch_end(struct desk_batch *b, struct span text, const struct err *err)
{
    if (err) {
        if (b->request)
            reply_err(b->request, err);
        b->request = NULL;
        b->is_answered = true;
    }
    b->answer = xstrndup(text.data, text.len);
    on_durable(b);
}

static void on_durable(void *arg)
{
    struct desk_batch *b = arg;

    if (--b->waiting)
        return;
    if (b->on_written)
        b->on_written(b->written_arg);
    if (b->is_answered || !b->console->ledger.projection) {
        answer(b, 200);
        batch_free(b);
        return;
    }
    b->patience = timer_new(b->console->loop, on_patience, b);
    timer_start(b->patience, SHIP_WAIT_MS);
    projection_wake(b->console->ledger.projection);
    projection_when_current(b->console->ledger.projection, on_current, b);
}

static void on_current(void *arg)
{
    answer(arg, 200);
    batch_free(arg);
}

/* It is durable and will be shipped; the batch itself stays until then. */
static void on_patience(void *arg)
{
    answer(arg, 202);
}

static void answer(struct desk_batch *b, unsigned status)
{
    if (b->request)
        reply_json(b->request, status, span_of(b->answer));
    b->request = NULL;
    b->is_answered = true;
}

static void batch_free(struct desk_batch *b)
{
    *b->link = b->next;
    if (b->next)
        b->next->link = b->link;
    timer_free(b->patience);
    free(b->answer);
    free(b);
}

void desk_close(struct console *c)
{
    while (c->batches)
        batch_free(c->batches);
}
