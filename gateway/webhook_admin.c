/* webhook_admin.c - a webhook's id and secret are derived from its operation and the derivation key: an operation that
 * is repeated shows the same secret again. */
#include "gateway/webhook_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "gateway/notifier.h"
#include "gateway/operation.h"
#include "gateway/turn.h"
#include "gateway/webhook_secret.h"
#include "gateway/webhook_url.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define RECORD_MAX   4096
#define ANSWER_MAX   (8 * 1024 * 1024)
#define WEBHOOKS_MAX 10 /* active ones of an account */

/* A webhook that is to be made, or to end. */
struct webhook_change {
    struct turn *turn;
    bool ends;
    char id[WEBHOOK_ID_TEXT], account[ID_TEXT], url[WEBHOOK_URL_MAX + 1];
};

static bool read_making(const struct console *c, const json_t *body, struct webhook_change *k,
                        struct err *err);
static void start(struct console *c, struct http_request *r, const struct webhook_change *wanted,
                  const char *op);
static void on_turn(void *arg);
static void read_partition(struct console *c, const char *id, webhooks_on_read *on_read, void *arg);
static void on_present(void *arg, struct webhook_list *list, const struct err *err);
static void decide_making(struct webhook_change *k, const struct webhook_list *list);
static void decide_ending(struct webhook_change *k, const struct webhook *present);
static size_t active_of(const struct webhook_list *list, const char *account);
static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static void post(struct webhook_change *k, bool is_repeated);
static void write_record(const struct webhook_change *k, struct buf *out);
static void write_made(const struct webhook_change *k, struct jw *w);

void webhook_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct webhook_change change = {.ends = false};
    struct err err;

    (void)match;
    if (!body)
        return;
    if (!read_making(c, body, &change, &err)) {
        reply_err(r, &err);
        return;
    }
    webhook_id_derive(change.account, op, &c->installation->derivation_key, change.id);
    start(c, r, &change, op);
}

static bool read_making(const struct console *c, const json_t *body, struct webhook_change *k,
                        struct err *err)
{
    static const char *const members[] = {"account", "url", "op", NULL};
    const char *account, *url;
    struct webhook_url parsed;

    if (!json_only_members(body, members, "the webhook", err) ||
        !json_get_string(body, "account", &account, "the webhook", err) ||
        !json_get_string(body, "url", &url, "the webhook", err) ||
        !webhook_url_parse(url, c->options->webhook_private, &parsed, err))
        return false;
    return (id_is_valid(span_of(account)) &&
            span_copy(span_of(account), k->account, sizeof k->account) &&
            span_copy(span_of(url), k->url, sizeof k->url)) ||
           err_set(err, ERR_NOT_FOUND, "there is no account '%.80s'", account);
}

void webhook_delete_post(void *server, struct http_request *r, const struct route_match *match)
{
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct webhook_change change = {.ends = true};

    if (!body)
        return;
    if (span_copy(span_of(match->value[0]), change.id, sizeof change.id))
        start(server, r, &change, op);
    else
        reply_problem(r, CALLER_NOT_FOUND, "there is no webhook '%.40s'", match->value[0]);
}

/* One at a time, so that each sees what the one before has made. */
static void start(struct console *c, struct http_request *r, const struct webhook_change *wanted,
                  const char *op)
{
    static const struct turn_handlers handlers = {on_turn, free};
    struct webhook_change *k = xcalloc(1, sizeof *k);

    *k = *wanted;
    turn_new(c, r, &(struct turn_ask){"webhook", "", op}, &handlers, k, &k->turn);
}

static void on_turn(void *arg)
{
    struct webhook_change *k = arg;

    read_partition(turn_console(k->turn), k->id, on_present, k);
}

/* The list, whole in the webhook's own partition; of an id that is none, in all. */
static void read_partition(struct console *c, const char *id, webhooks_on_read *on_read, void *arg)
{
    struct partition p;

    webhooks_read_whole(c->ledger.redis, webhook_id_partition(id, &p) ? &p : NULL, on_read, arg);
}

static void on_present(void *arg, struct webhook_list *list, const struct err *err)
{
    struct webhook_change *k = arg;

    if (err)
        turn_refuse(k->turn, err);
    else if (k->ends)
        decide_ending(k, webhook_list_find(list, k->id));
    else
        decide_making(k, list);
}

static void decide_making(struct webhook_change *k, const struct webhook_list *list)
{
    const struct webhook *present = webhook_list_find(list, k->id);
    struct http_request *r = turn_request(k->turn);
    struct err err;

    if (present && strcmp(present->url, k->url) == 0) {
        post(k, true);
    } else if (present) {
        if (r)
            operation_reply_other(r, turn_op(k->turn));
        turn_end(k->turn);
    } else if (active_of(list, k->account) >= WEBHOOKS_MAX) {
        err_set(&err, ERR_EXISTS,
                "account %s has %d webhooks, the most that one may have; delete one first",
                k->account, WEBHOOKS_MAX);
        turn_refuse(k->turn, &err);
    } else {
        account_read(turn_console(k->turn)->ledger.redis, k->account, on_account, k);
    }
}

static size_t active_of(const struct webhook_list *list, const char *account)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++)
        count +=
            list->item[i].state == WEBHOOK_ACTIVE && strcmp(list->item[i].account, account) == 0;
    return count;
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct webhook_change *k = arg;
    struct err absent;

    if (!err && !(found && state->opened)) {
        err_set(&absent, ERR_NOT_FOUND,
                "there is no account '%s'; open it with 'tollgate account create'", k->account);
        err = &absent;
    }
    if (err)
        turn_refuse(k->turn, err);
    else
        post(k, false);
}

static void decide_ending(struct webhook_change *k, const struct webhook *present)
{
    struct err err;

    if (!present) {
        err_set(&err, ERR_NOT_FOUND, "there is no webhook %s; `tollgate webhook list` shows all",
                k->id);
        turn_refuse(k->turn, &err);
        return;
    }
    memcpy(k->account, present->account, sizeof k->account);
    post(k, present->state != WEBHOOK_ACTIVE);
}

static void post(struct webhook_change *k, bool is_repeated)
{
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    AUTO_CLEAR(buf) answer = {.max = RECORD_MAX};
    struct jw w;

    jw_init(&w, &answer);
    jw_object(&w);
    jw_string_member(&w, "webhook", k->id);
    jw_string_member(&w, "account", k->account);
    if (!k->ends)
        write_made(k, &w);
    jw_string_member(&w, "op", turn_op(k->turn));
    if (is_repeated)
        jw_bool_member(&w, "repeated", true);
    jw_object_end(&w);
    write_record(k, &record);
    if (is_repeated || !turn_request(k->turn))
        turn_reply(k->turn, &answer);
    else
        turn_post(k->turn,
                  &(struct journal_change){RECORD_WEBHOOK, buf_span(&record),
                                           partition_of(SIDE_ACCOUNT, span_of(k->account))},
                  buf_span(&answer));
    explicit_bzero(answer.data, answer.len);
}

static void write_made(const struct webhook_change *k, struct jw *w)
{
    AUTO_CLEAR(secret) secret = {0};
    AUTO_CLEAR(buf) text = {.max = 128};

    webhook_secret_derive(k->id, &turn_console(k->turn)->installation->derivation_key, &secret);
    webhook_secret_text(&secret, &text);
    jw_string_member(w, "url", k->url);
    jw_span_member(w, "secret", buf_span(&text));
    explicit_bzero(text.data, text.len);
}

static void write_record(const struct webhook_change *k, struct buf *out)
{
    struct journal *journal = turn_console(k->turn)->ledger.journal;
    int64_t now = journal ? journal_now(journal) : 0;

    if (k->ends)
        webhook_ended_write(
            &(struct webhook_ending){
                .id = k->id, .account = k->account, .op = turn_op(k->turn), .at = now},
            out);
    else
        webhook_made_write(&(struct webhook_making){.id = k->id,
                                                    .account = k->account,
                                                    .url = k->url,
                                                    .op = turn_op(k->turn),
                                                    .at = now},
                           out);
}

/* ------------------------------------------------------------------ listing, trying */

/* A question about webhooks that are there. */
struct webhook_ask {
    struct console *console;
    struct http_request *request; /* null once its client is gone */
    char account[ID_TEXT];        /* of a list; "": of all */
    char id[WEBHOOK_ID_TEXT];     /* of one that is tried */
};

static void on_list(void *arg, struct webhook_list *list, const struct err *err);
static void write_webhook(struct jw *w, const struct webhook *webhook,
                          const struct notice_queue *queue);
static void on_tried(void *arg, struct webhook_list *list, const struct err *err);
static void try_it(struct webhook_ask *a, const struct webhook *webhook);
static void on_answer(void *arg, const struct webhook_answer *answer);

void webhooks_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct webhook_ask *a = xcalloc(1, sizeof *a);
    struct partition p;

    (void)match;
    if (query_get(http_request_query(r), "account", a->account, sizeof a->account) == QUERY_BAD) {
        reply_bad_field(r, "account", "'account' is no account's id");
        free(a);
        return;
    }
    a->console = c;
    request_keep(r, &a->request);
    p = partition_of(SIDE_ACCOUNT, span_of(a->account));
    webhooks_read_whole(c->ledger.redis, a->account[0] ? &p : NULL, on_list, a);
}

static void on_list(void *arg, struct webhook_list *list, const struct err *err)
{
    struct webhook_ask *a = arg;
    const struct notifier *notifier = a->console->notifier;
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; i < list->count; i++)
        if (!a->account[0] || strcmp(a->account, list->item[i].account) == 0)
            write_webhook(&w, &list->item[i], notifier ? notifier_queue(notifier) : NULL);
    jw_array_end(&w);
    jw_object_end(&w);
    reply_found(a->request, &json, err);
    free(a);
}

static void write_webhook(struct jw *w, const struct webhook *webhook,
                          const struct notice_queue *queue)
{
    jw_object(w);
    jw_string_member(w, "webhook", webhook->id);
    jw_string_member(w, "account", webhook->account);
    jw_string_member(w, "url", webhook->url);
    jw_string_member(w, "state", webhook_state_name(webhook->state));
    jw_time_member(w, "created_at", webhook->at);
    if (queue)
        jw_int_member(w, "pending", (int64_t)notice_queue_pending(queue, webhook->id));
    if (webhook->heard) {
        jw_time_member(w, "last_at", webhook->heard_at);
        jw_string_member(w, "last", webhook->heard);
    }
    jw_object_end(w);
}

void webhook_test_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct webhook_ask *a;

    if (!c->notifier) {
        reply_problem(r, GATEWAY_UNAVAILABLE,
                      "webhooks are sent by a running server; start it with 'tollgate serve'");
        return;
    }
    a = xcalloc(1, sizeof *a);
    a->console = c;
    if (!span_copy(span_of(match->value[0]), a->id, sizeof a->id))
        a->id[0] = '\0'; /* nothing has that id */
    request_keep(r, &a->request);
    read_partition(c, a->id, on_tried, a);
}

static void on_tried(void *arg, struct webhook_list *list, const struct err *err)
{
    struct webhook_ask *a = arg;
    const struct webhook *webhook = webhook_list_find(list, a->id);

    if (a->request && !err && webhook && webhook->state == WEBHOOK_ACTIVE) {
        try_it(a, webhook);
        return;
    }
    if (a->request && err)
        reply_err(a->request, err);
    else if (a->request)
        reply_problem(a->request, CALLER_NOT_FOUND,
                      "there is no active webhook '%s'; `tollgate webhook list` shows all", a->id);
    free(a);
}

static void try_it(struct webhook_ask *a, const struct webhook *webhook)
{
    AUTO_CLEAR(buf) body = {.max = RECORD_MAX};
    char id[NOTICE_ID_TEXT] = "msg_";
    struct jw w;

    rand_text(id + strlen(id), NOTICE_ID_TEXT - 1 - strlen(id));
    jw_init(&w, &body);
    jw_object(&w);
    jw_string_member(&w, "type", "webhook.test");
    jw_time_member(&w, "timestamp", clock_now());
    jw_key(&w, "data");
    jw_object(&w);
    jw_string_member(&w, "account", webhook->account);
    jw_string_member(&w, "webhook", webhook->id);
    jw_object_end(&w);
    jw_object_end(&w);
    webhook_send(
        notifier_road(a->console->notifier),
        &(struct webhook_parcel){.url = webhook->url,
                                 .webhook = webhook->id,
                                 .derivation_key = &a->console->installation->derivation_key,
                                 .id = id,
                                 .body = buf_span(&body)},
        on_answer, a);
}

static void on_answer(void *arg, const struct webhook_answer *answer)
{
    struct webhook_ask *a = arg;
    AUTO_CLEAR(buf) json = {.max = RECORD_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "webhook", a->id);
    jw_bool_member(&w, "delivered", webhook_is_delivered(answer));
    jw_int_member(&w, "status", answer->status);
    jw_string_member(&w, "answer", answer->text);
    jw_object_end(&w);
    if (a->request)
        reply_built(a->request, &json);
    free(a);
}
