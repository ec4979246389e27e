/* problem.c - the closed table of what callers can be told, and its one way onto the wire. */
#include "gateway/problem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "backends/anthropic_form.h"
#include "lib/base/json.h"

#define BODY_MAX   8192
#define FIELDS_MAX (10 + PROBLEM_MORE)
#define RETRY_MS   1000 /* of a 503, when nobody knows more */

static const struct problem_row rows[PROBLEM_COUNT] = {
    [CALLER_BAD_REQUEST] = {"caller_bad_request", 400, "invalid_request_error", NULL, 0,
                            "The request is not valid"},
    [CALLER_BAD_JSON] = {"caller_bad_json", 400, "invalid_request_error", NULL, 0,
                         "The body is not valid JSON"},
    [CALLER_BAD_FRAMING] = {"caller_bad_framing", 400, "invalid_request_error", NULL, 0,
                            "The request is not valid HTTP/1.1"},
    [CALLER_HEAD_TOO_LARGE] = {"caller_head_too_large", 431, "invalid_request_error", NULL, 0,
                               "The request's head is too large; send fewer or shorter headers"},
    [CALLER_TARGET_TOO_LONG] = {"caller_target_too_long", 414, "invalid_request_error", NULL, 0,
                                "The request's path is too long"},
    [CALLER_BODY_TOO_LARGE] = {"caller_body_too_large", 413, "invalid_request_error", NULL, -1,
                               "The request's body is too large"},
    [CALLER_TIMEOUT] = {"caller_timeout", 408, "invalid_request_error", NULL, 0,
                        "The request did not arrive in time; send it again"},
    [CALLER_NO_KEY] =
        {"caller_no_key", 401, "invalid_request_error", "invalid_api_key", -1,
         "No API key was given; send it as 'Authorization: Bearer sk-tg-…' or 'x-api-key'"},
    [CALLER_BAD_KEY] = {"caller_bad_key", 401, "invalid_request_error", "invalid_api_key", -1,
                        "The API key is not known here; check that it was copied whole"},
    [CALLER_KEY_REVOKED] = {"caller_key_revoked", 401, "invalid_request_error", "invalid_api_key",
                            -1, "The API key has been revoked; ask for a new one"},
    [CALLER_KEY_EXPIRED] = {"caller_key_expired", 401, "invalid_request_error", "invalid_api_key",
                            -1, "The API key has expired; ask for a new one"},
    [CALLER_WRONG_ROLE] = {"caller_wrong_role", 403, "invalid_request_error", "permission_denied",
                           -1,
                           "This key does not open this path; client keys (sk-tg-…) call models, "
                           "creator keys (ck-tg-…) see earnings"},
    [CALLER_NO_ROUTE] = {"caller_no_route", 404, "invalid_request_error", "unknown_url", -1,
                         "There is nothing at this path; see the list of routes in the manual"},
    [CALLER_WRONG_METHOD] = {"caller_wrong_method", 405, "invalid_request_error",
                             "method_not_supported", -1, "This path does not take this method"},
    [CALLER_UNKNOWN_MODEL] = {"caller_unknown_model", 404, "invalid_request_error",
                              "model_not_found", -1, "The model does not exist"},
    [CALLER_WRONG_SURFACE] = {"caller_wrong_surface", 404, "invalid_request_error", NULL, -1,
                              "The model is not served at this path"},
    [CALLER_NOT_FOUND] = {"caller_not_found", 404, "invalid_request_error", "not_found", -1,
                          "There is no such thing"},
    [CALLER_CONFLICT] = {"caller_conflict", 409, "invalid_request_error", "conflict", -1,
                         "It contradicts what is there already"},
    [CALLER_KEY_IN_USE] = {"caller_idempotency_key_in_use", 409, "invalid_request_error",
                           "idempotency_key_in_use", 1,
                           "A call with this Idempotency-Key is still running; ask again when it "
                           "has ended"},
    [CALLER_KEY_REUSED] = {"caller_idempotency_key_reused", 422, "invalid_request_error",
                           "idempotency_key_reused", -1,
                           "This Idempotency-Key was used for another request in the last 24 "
                           "hours; send a new one"},
    [CALLER_ANSWERED] = {"caller_answered_before", 410, "invalid_request_error", "answered_before",
                         -1,
                         "A call with this Idempotency-Key was answered before, and its answer is "
                         "not kept"},
    [POLICY_KEY_SCOPE] = {"policy_key_scope", 403, "invalid_request_error", "permission_denied", -1,
                          "This key is not made for this"},
    [POLICY_KEY_ADDRESS] = {"policy_key_address", 401, "invalid_request_error", "ip_not_authorized",
                            -1, "This key may not be used from this address"},
    [POLICY_KEY_MODEL] = {"policy_key_model", 403, "invalid_request_error", "model_not_found", -1,
                          "This key may not call this model"},
    [POLICY_NO_CREDIT] = {"policy_no_credit", 402, "insufficient_quota", "insufficient_quota", -1,
                          "The account has no credit left for this call"},
    [POLICY_BUDGET] = {"policy_budget", 429, "insufficient_quota", "insufficient_quota", -1,
                       "The account or the key may not spend more now"},
    [POLICY_CURRENCY] = {"policy_currency", 403, "invalid_request_error", "permission_denied", -1,
                         "The model is priced in another currency than the account has"},
    [POLICY_CONCURRENCY] = {"policy_concurrency", 429, "rate_limit_error", "rate_limit_exceeded", 1,
                            "Too many calls of this account are running"},
    [POLICY_REQUEST_RATE] = {"policy_request_rate", 429, "requests", "rate_limit_exceeded", 1,
                             "Requests come faster than this account or key may send them"},
    [POLICY_TOKEN_RATE] = {"policy_token_rate", 429, "tokens", "rate_limit_exceeded", 1,
                           "Tokens are used faster than this account or key may use them"},
    [POLICY_CALL_TOO_LARGE] = {"policy_call_too_large", 429, "tokens", "rate_limit_exceeded", -1,
                               "The call may use more tokens than are allowed in a minute"},
    [UPSTREAM_REFUSED] =
        {"upstream_refused", 502, "api_error", "upstream_error", 0,
         "The model's server refused the call; this is not your fault and was not charged"},
    [UPSTREAM_BROKEN] = {"upstream_broken", 502, "api_error", "upstream_error", 0,
                         "The model's server broke off before its answer was complete"},
    [UPSTREAM_TIMEOUT] = {"upstream_timeout", 504, "api_error", "upstream_timeout", 0,
                          "The model's server did not answer in time"},
    [UPSTREAM_UNREACHABLE] = {"upstream_unreachable", 503, "api_error", "upstream_unavailable", 1,
                              "The model's server can't be reached now; retry in a few seconds"},
    [UPSTREAM_MISSING] = {"upstream_missing", 502, "api_error", "upstream_error", -1,
                          "The gateway has no server for this model at this path; only its "
                          "operator can mend that, so a retry does not help"},
    [UPSTREAM_RATE_LIMITED] = {"upstream_rate_limited", 429, "rate_limit_error",
                               "rate_limit_exceeded", 1,
                               "The model's server is over its own rate; retry later"},
    [GATEWAY_UNAVAILABLE] = {"gateway_unavailable", 503, "api_error", "service_unavailable", 1,
                             "The ledger can't be asked now; retry in a few seconds"},
    [GATEWAY_RECOVERING] = {"gateway_recovering", 503, "api_error", "service_unavailable", 1,
                            "The ledger is recovering; retry in a few seconds"},
    [GATEWAY_JOURNAL_FULL] = {"gateway_journal_full", 503, "api_error", "service_unavailable", 1,
                              "The gateway's journal can't be written, so no call can be admitted; "
                              "the operator must look at its disk"},
    [GATEWAY_DRAINING] = {"gateway_draining", 503, "api_error", "service_unavailable", 1,
                          "The gateway is shutting down; retry at once"},
    [GATEWAY_INTERNAL] = {"gateway_internal", 500, "api_error", "internal_error", 0,
                          "The gateway failed; this was logged"},
};

struct field_list {
    size_t count;
    struct http_field field[FIELDS_MAX];
};

static void write_anthropic(struct buf *out, enum problem p, const struct problem_details *details,
                            const char *message);
static void write_openai(struct buf *out, enum problem p, const struct problem_details *details,
                         const char *message);
static void add_field(struct field_list *list, const char *name, const char *value);

const struct problem_row *problem_row(enum problem p)
{
    assert(p < PROBLEM_COUNT && rows[p].name);
    return &rows[p];
}

enum error_shape error_shape_of(const struct http_request *r)
{
    static const struct span messages = {"/v1/messages", 12};
    struct span version = http_header_get(http_request_head(r), "anthropic-version");

    return version.len || span_starts(http_request_path(r), messages) ? ERROR_ANTHROPIC
                                                                      : ERROR_OPENAI;
}

void problem_write(struct buf *out, enum problem p, const struct problem_details *details,
                   const char *message)
{
    if (details->shape == ERROR_ANTHROPIC)
        write_anthropic(out, p, details, message);
    else
        write_openai(out, p, details, message);
}

static void write_anthropic(struct buf *out, enum problem p, const struct problem_details *details,
                            const char *message)
{
    AUTO_CLEAR(buf) literal = {.max = BODY_MAX};
    struct jw w;

    jw_init(&w, &literal);
    jw_string(&w, message);
    anthropic_write_error(problem_row(p)->status, buf_span(&literal), details->request_id, out);
}

static void write_openai(struct buf *out, enum problem p, const struct problem_details *details,
                         const char *message)
{
    const struct problem_row *row = problem_row(p);
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, "error");
    jw_object(&w);
    jw_string_member(&w, "message", message);
    jw_string_member(&w, "type", row->type);
    jw_key(&w, "param");
    details->param ? jw_string(&w, details->param) : jw_null(&w);
    jw_key(&w, "code");
    row->code ? jw_string(&w, row->code) : jw_null(&w);
    jw_object_end(&w);
    jw_object_end(&w);
}

void problem_reply(struct http_request *r, enum problem p, const struct problem_details *details,
                   const char *format, ...)
{
    const struct problem_row *row = problem_row(p);
    int64_t retry_after_ms =
        !details->retry_after_ms && row->status == 503 ? RETRY_MS : details->retry_after_ms;
    struct problem_details shaped = *details;
    char message[ERR_TEXT_MAX * 2], seconds[24], ms[24];
    struct field_list list = {0};
    AUTO_CLEAR(buf) body = {.max = BODY_MAX};
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    shaped.shape = error_shape_of(r);
    problem_write(&body, p, &shaped, message);
    add_field(&list, "content-type", "application/json");
    add_field(&list, "x-tollgate-code", row->name);
    if (details->request_id)
        add_field(&list, "x-request-id", details->request_id);
    if (details->request_id && shaped.shape == ERROR_ANTHROPIC)
        add_field(&list, "request-id", details->request_id);
    if (details->allow)
        add_field(&list, "allow", details->allow);
    if (row->retry)
        add_field(&list, "x-should-retry", row->retry > 0 ? "true" : "false");
    if (row->status == 401)
        add_field(&list, "www-authenticate", "Bearer");
    if (retry_after_ms > 0) {
        snprintf(seconds, sizeof seconds, "%" PRId64, (retry_after_ms + 999) / 1000);
        snprintf(ms, sizeof ms, "%" PRId64, retry_after_ms);
        add_field(&list, "retry-after", seconds);
        add_field(&list, "retry-after-ms", ms);
    }
    for (size_t i = 0; i < details->more_count; i++)
        add_field(&list, details->more[i].name, details->more[i].value);
    http_request_set_mark(r, PROBLEM_MARK(p));
    http_reply(r, row->status, list.field, list.count, buf_span(&body));
}

static void add_field(struct field_list *list, const char *name, const char *value)
{
    assert(list->count < FIELDS_MAX);
    list->field[list->count++] = (struct http_field){name, value};
}

enum problem problem_of_status(unsigned status)
{
    switch (status) {
    case 408:
        return CALLER_TIMEOUT;
    case 413:
        return CALLER_BODY_TOO_LARGE;
    case 414:
        return CALLER_TARGET_TOO_LONG;
    case 431:
        return CALLER_HEAD_TOO_LARGE;
    default:
        return CALLER_BAD_FRAMING;
    }
}
