/* api_routes.c - the public API's table, and the handlers too small for a file of their own. */
#include "gateway/api_routes.h"

#include "billing/receipt.h"
#include "gateway/message_routes.h"
#include "gateway/model_routes.h"
#include "gateway/paid_call.h"
#include "gateway/readiness.h"
#include "gateway/usage_routes.h"

static void chat_post(void *server, struct http_request *r, const struct route_match *match);
static void completion_post(void *server, struct http_request *r, const struct route_match *match);
static void embedding_post(void *server, struct http_request *r, const struct route_match *match);
static void message_post(void *server, struct http_request *r, const struct route_match *match);
static void paid_post(struct server *s, struct http_request *r, enum surface surface);
static void health_get(void *server, struct http_request *r, const struct route_match *match);
static void ready_get(void *server, struct http_request *r, const struct route_match *match);
static void jwks_get(void *server, struct http_request *r, const struct route_match *match);

const struct route api_routes[] = {
    {"POST", "/v1/chat/completions", CALLER_CALLS, SIZE_MAX / 1024, true, chat_post},
    {"POST", "/v1/completions", CALLER_CALLS, SIZE_MAX / 1024, true, completion_post},
    {"POST", "/v1/embeddings", CALLER_CALLS, SIZE_MAX / 1024, true, embedding_post},
    {"POST", "/v1/messages", CALLER_CALLS, SIZE_MAX / 1024, true, message_post},
    {"POST", "/v1/messages/count_tokens", CALLER_CALLS, SIZE_MAX / 1024, false, count_tokens_post},
    {"GET", "/v1/models", CALLER, 0, false, models_get},
    {"GET", "/v1/models/:id+", CALLER, 0, false, model_get},
    {"GET", "/v1/usage", CALLER_READS, 0, false, usage_list_get},
    {"GET", "/v1/usage/:id", CALLER_READS, 0, false, usage_get},
    {"GET", "/v1/usage/:id/receipt", CALLER_READS, 0, false, receipt_get},
    {"GET", "/v1/usage/:id/refunds/:op/receipt", CALLER_READS, 0, false, refund_receipt_get},
    {"GET", "/v1/balance", CALLER_READS, 0, false, balance_get},
    {"GET", "/healthz", ANYONE, 0, false, health_get},
    {"GET", "/readyz", ANYONE, 0, false, ready_get},
    {"GET", "/.well-known/tollgate-jwks.json", ANYONE, 0, false, jwks_get},
};
const size_t api_route_count = ARRAY_LEN(api_routes);

static void chat_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    paid_post(server, r, SURFACE_CHAT);
}

static void completion_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    paid_post(server, r, SURFACE_COMPLETIONS);
}

static void embedding_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    paid_post(server, r, SURFACE_EMBEDDINGS);
}

static void message_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    paid_post(server, r, SURFACE_MESSAGES);
}

static void paid_post(struct server *s, struct http_request *r, enum surface surface)
{
    struct caller caller = *request_caller(r);
    AUTO(key_access) access UNUSED = key_access_hold(caller.holder.access);

    if (!s->calls || s->ledger.is_stopped) {
        enum problem p = s->calls ? GATEWAY_UNAVAILABLE : GATEWAY_JOURNAL_FULL;

        reply_problem(r, p, "%s", problem_row(p)->message);
        return;
    }
    if (!readiness_has_catalogue(&s->ledger, r))
        return;
    request_release(r);
    paid_call_start(s->calls, r, &caller, surface);
}

static void health_get(void *server, struct http_request *r, const struct route_match *match)
{
    (void)server;
    (void)match;
    reply_json(r, 200, SPAN("{\"status\":\"ok\"}"));
}

static void ready_get(void *server, struct http_request *r, const struct route_match *match)
{
    const char *reason = readiness_reason(server);
    AUTO_CLEAR(buf) json = {.max = 1024};
    struct jw w;

    (void)match;
    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "status", reason ? "not ready" : "ready");
    if (reason)
        jw_string_member(&w, "reason", reason);
    jw_object_end(&w);
    reply_json(r, reason ? 503 : 200, buf_span(&json));
}

static void jwks_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct server *s = server;
    AUTO_CLEAR(buf) json = {.max = 16 * 1024};
    struct jw w;

    (void)match;
    jw_init(&w, &json);
    jwks_write(&s->installation->public_keys, &w);
    reply_json(r, 200, buf_span(&json));
}
