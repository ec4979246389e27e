/* refusal.c - admission's verdicts and the providers' failures, put into one clear sentence each. */
#include "gateway/refusal.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/rate_headers.h"
#include "lib/base/jscan.h"

#define UPSTREAM_ERROR_BYTES 65536
#define ADVICE_TEXT          64

static enum problem problem_of_verdict(const struct admission_answer *answer);
static void advise_cap(const struct refused_call *call, int64_t left_nanos, const char *before,
                       const char *after, char out[ADVICE_TEXT]);
static bool is_callers_fault(unsigned status);
static bool is_error_object(struct span body);
static void describe_refusal(struct failure *f, const struct backend_result *result);

/* What is said of a refusal; of others what the problem says. */
typedef void describe_verdict(const struct admission_answer *answer,
                              const struct refused_call *call, char out[ERR_TEXT_MAX]);
static describe_verdict describe_credit, describe_budget, describe_currency, describe_concurrency,
    describe_rate, describe_too_large, describe_claimed, describe_other_body, describe_recovering;
static describe_verdict *const describe[] = {
    [VERDICT_CREDIT] = describe_credit,
    [VERDICT_BUDGET] = describe_budget,
    [VERDICT_CURRENCY] = describe_currency,
    [VERDICT_CONCURRENCY] = describe_concurrency,
    [VERDICT_RATE] = describe_rate,
    [VERDICT_TOO_LARGE] = describe_too_large,
    [VERDICT_CLAIMED] = describe_claimed,
    [VERDICT_OTHER_BODY] = describe_other_body,
    [VERDICT_RECOVERING] = describe_recovering,
};

void refusal_reply(struct http_request *r, const struct admission_answer *answer,
                   const struct refused_call *call)
{
    enum problem problem = problem_of_verdict(answer);
    struct rate_headers rates;
    struct problem_details details = {.request_id = call->request_id,
                                      .retry_after_ms = answer->retry_after_ms};
    char text[ERR_TEXT_MAX];

    rate_headers_fill(&rates, answer->rates, error_shape_of(r) == ERROR_ANTHROPIC);
    details.more = rates.field;
    details.more_count = rates.count;
    if ((size_t)answer->verdict < ARRAY_LEN(describe) && describe[answer->verdict])
        describe[answer->verdict](answer, call, text);
    else
        snprintf(text, sizeof text, "%s", problem_row(problem)->message);
    problem_reply(r, problem, &details, "%s", text);
}

static void describe_credit(const struct admission_answer *answer, const struct refused_call *call,
                            char out[ERR_TEXT_MAX])
{
    char left[DECIMAL_TEXT], need[DECIMAL_TEXT], lower[ADVICE_TEXT];

    advise_cap(call, answer->left.nanos, "", ", or ", lower);
    snprintf(out, ERR_TEXT_MAX,
             "This call may cost up to %s %s, and %s %s of your credit is left; %sask the operator "
             "to add credit or, if the account is postpaid, to raise its credit limit",
             decimal_format(call->most.nanos, need), call->most.currency,
             decimal_format(answer->left.nanos, left), answer->left.currency, lower);
}

static void describe_budget(const struct admission_answer *answer, const struct refused_call *call,
                            char out[ERR_TEXT_MAX])
{
    const char *window = answer->budget.is_of_month ? "month" : "day";
    bool is_of_model = answer->budget.scope == BUDGET_OF_MODEL;
    char budget[DECIMAL_TEXT], left[DECIMAL_TEXT], need[DECIMAL_TEXT], ends[CLOCK_TEXT];
    char lower[ADVICE_TEXT];

    advise_cap(call, answer->budget.left, "", "; ", lower);
    snprintf(out, ERR_TEXT_MAX,
             "This %s may spend %s %s a %s%s%s, %s %s are left, and this call may cost up to %s "
             "%s; %sthe %s ends at %s",
             answer->budget.scope == BUDGET_OF_KEY ? "key" : "account",
             decimal_format(answer->budget.nanos, budget), call->most.currency, window,
             is_of_model ? " on " : "", is_of_model ? answer->budget.model : "",
             decimal_format(answer->budget.left, left), call->most.currency,
             decimal_format(call->most.nanos, need), call->most.currency, lower, window,
             clock_format(answer->budget.ends_at, ends));
}

static void describe_currency(const struct admission_answer *answer,
                              const struct refused_call *call, char out[ERR_TEXT_MAX])
{
    snprintf(out, ERR_TEXT_MAX,
             "This model is priced in %s, and your account is in %s; call a model of your own "
             "currency",
             call->most.currency, answer->left.currency);
}

static void describe_concurrency(const struct admission_answer *answer,
                                 const struct refused_call *call, char out[ERR_TEXT_MAX])
{
    (void)call;
    snprintf(out, ERR_TEXT_MAX,
             "%" PRId64 " calls of this account are running, and its limit is %" PRId64
             "; wait until one ends",
             answer->open, answer->open_max);
}

static void describe_rate(const struct admission_answer *answer, const struct refused_call *call,
                          char out[ERR_TEXT_MAX])
{
    const char *whose = answer->over.is_of_key ? "key" : "account";
    int64_t limit = answer->over.limit, left = answer->over.left;
    char wait[RATE_TEXT], lower[ADVICE_TEXT];

    advise_cap(call, INT64_MAX, ", or ", "", lower);
    rate_wait_format(answer->retry_after_ms * 1000, wait);
    if (answer->over.what == RATE_TOKENS)
        snprintf(out, ERR_TEXT_MAX,
                 "This %s may use %" PRId64 " tokens a minute, %" PRId64
                 " are left, and this call may use up to %" PRId64 "; retry in %s%s",
                 whose, limit, left, answer->asked_tokens, wait, lower);
    else
        snprintf(out, ERR_TEXT_MAX,
                 "This %s may send %" PRId64 " requests a minute, and %" PRId64
                 " are left; retry in %s",
                 whose, limit, left, wait);
}

static void describe_too_large(const struct admission_answer *answer,
                               const struct refused_call *call, char out[ERR_TEXT_MAX])
{
    char lower[ADVICE_TEXT];

    advise_cap(call, INT64_MAX, " or ", "", lower);
    snprintf(out, ERR_TEXT_MAX,
             "This call may use up to %" PRId64 " tokens, and this %s may use %" PRId64
             " a minute; shorten the prompt%s",
             answer->asked_tokens, answer->over.is_of_key ? "key" : "account", answer->over.limit,
             lower);
}

static void describe_claimed(const struct admission_answer *answer, const struct refused_call *call,
                             char out[ERR_TEXT_MAX])
{
    (void)call;
    snprintf(out, ERR_TEXT_MAX,
             "The call %s with this Idempotency-Key has not ended, as far as is known; ask again "
             "with the same key to get its answer",
             answer->earlier);
}

static void describe_other_body(const struct admission_answer *answer,
                                const struct refused_call *call, char out[ERR_TEXT_MAX])
{
    (void)call;
    snprintf(out, ERR_TEXT_MAX,
             "This Idempotency-Key was used for another request, %s, in the last 24 hours; send a "
             "new one with a request that differs",
             answer->earlier);
}

static void describe_recovering(const struct admission_answer *answer,
                                const struct refused_call *call, char out[ERR_TEXT_MAX])
{
    (void)answer;
    (void)call;
    snprintf(out, ERR_TEXT_MAX, "The ledger is recovering; retry in a few seconds");
}

/* "lower max_tokens" between the two, by the name that the call's surface has for its cap; nothing when that would not help. */
static void advise_cap(const struct refused_call *call, int64_t left_nanos, const char *before,
                       const char *after, char out[ADVICE_TEXT])
{
    const char *cap = surface_row(call->surface)->cap_field;

    out[0] = '\0';
    if (cap && call->least_nanos <= left_nanos)
        snprintf(out, ADVICE_TEXT, "%slower %s%s", before, cap, after);
}

static enum problem problem_of_verdict(const struct admission_answer *answer)
{
    switch (answer->verdict) {
    case VERDICT_CREDIT:
        return POLICY_NO_CREDIT;
    case VERDICT_BUDGET:
        return POLICY_BUDGET;
    case VERDICT_CURRENCY:
        return POLICY_CURRENCY;
    case VERDICT_CONCURRENCY:
        return POLICY_CONCURRENCY;
    case VERDICT_RATE:
        return answer->over.what == RATE_TOKENS ? POLICY_TOKEN_RATE : POLICY_REQUEST_RATE;
    case VERDICT_TOO_LARGE:
        return POLICY_CALL_TOO_LARGE;
    case VERDICT_KEY_UNKNOWN:
    case VERDICT_ACCOUNT_UNKNOWN:
        return CALLER_BAD_KEY;
    case VERDICT_KEY_REVOKED:
        return CALLER_KEY_REVOKED;
    case VERDICT_KEY_EXPIRED:
        return CALLER_KEY_EXPIRED;
    case VERDICT_CLAIMED:
        return CALLER_KEY_IN_USE;
    case VERDICT_OTHER_BODY:
        return CALLER_KEY_REUSED;
    case VERDICT_RECOVERING:
        return GATEWAY_RECOVERING;
    default:
        return GATEWAY_UNAVAILABLE;
    }
}

void failure_clear(struct failure *f)
{
    buf_clear(&f->body);
}

void failure_from(struct failure *f, const struct backend_result *result)
{
    buf_init(&f->body, UPSTREAM_ERROR_BYTES);
    f->status = 0;
    f->retry_after_ms = 0;
    switch (result->outcome) {
    case BACKEND_REFUSED:
        describe_refusal(f, result);
        return;
    case BACKEND_TIMED_OUT:
        f->problem = UPSTREAM_TIMEOUT;
        break;
    default:
        f->problem = result->accepted                    ? UPSTREAM_BROKEN
                     : result->err.code == ERR_NOT_FOUND ? UPSTREAM_MISSING
                                                         : UPSTREAM_UNREACHABLE;
    }
    snprintf(f->text, sizeof f->text, "%s", problem_row(f->problem)->message);
}

void failure_of_stop(struct failure *f, enum problem p)
{
    *f = (struct failure){.problem = p};
    snprintf(f->text, sizeof f->text, "%s",
             p == UPSTREAM_BROKEN
                 ? "The model produced more output than this call was admitted for, and was stopped"
                 : problem_row(p)->message);
}

static void describe_refusal(struct failure *f, const struct backend_result *result)
{
    f->problem = result->status == 429   ? UPSTREAM_RATE_LIMITED
                 : result->status == 503 ? UPSTREAM_UNREACHABLE
                                         : UPSTREAM_REFUSED;
    f->retry_after_ms = result->retry_after_ms;
    snprintf(f->text, sizeof f->text, "%s", problem_row(f->problem)->message);
    if (is_callers_fault(result->status) && is_error_object(result->body) &&
        buf_add_span(&f->body, result->body))
        f->status = result->status;
}

static bool is_callers_fault(unsigned status)
{
    return status == 400 || status == 404 || status == 409 || status == 413 || status == 422;
}

static bool is_error_object(struct span body)
{
    static const char *const paths[] = {"error"};
    AUTO(jscan) scan = jscan_new(paths, ARRAY_LEN(paths));

    return jscan_feed(scan, body.data, body.len, NULL) != JSCAN_BAD && jscan_end(scan, NULL) &&
           jscan_get(scan, 0)->type == JSCAN_OBJECT;
}

void failure_reply(struct http_request *r, const struct failure *f, const char *request_id)
{
    const struct http_field fields[] = {
        {"content-type", "application/json"},
        {"x-request-id", request_id},
        {"x-tollgate-code", problem_row(f->problem)->name},
        {"request-id", request_id}, /* as Anthropic calls it */
    };
    size_t count = ARRAY_LEN(fields) - (error_shape_of(r) != ERROR_ANTHROPIC);

    if (f->status)
        http_reply(r, f->status, fields, count, buf_span(&f->body));
    else
        problem_reply(r, f->problem,
                      &(struct problem_details){.request_id = request_id,
                                                .retry_after_ms = f->retry_after_ms},
                      "%s", f->text);
}

void failure_event(const struct http_request *r, const struct failure *f, const char *request_id,
                   struct buf *out)
{
    const struct problem_details details = {.shape = error_shape_of(r), .request_id = request_id};

    if (details.shape == ERROR_ANTHROPIC)
        buf_add_string(out, "event: error\n");
    buf_add_string(out, "data: ");
    problem_write(out, f->problem, &details, f->text);
    buf_add_string(out, "\n\n");
}
