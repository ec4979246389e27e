/* problem.h - everything that can go wrong for a caller, as one closed table by fault domain: status, OpenAI's type and code, ours, and whether to retry. */
#ifndef TOLLGATE_GATEWAY_PROBLEM_H
#define TOLLGATE_GATEWAY_PROBLEM_H

#include "lib/net/httpd.h"

enum problem {
    CALLER_BAD_REQUEST,
    CALLER_BAD_JSON,
    CALLER_BAD_FRAMING,
    CALLER_HEAD_TOO_LARGE,
    CALLER_TARGET_TOO_LONG,
    CALLER_BODY_TOO_LARGE,
    CALLER_TIMEOUT,
    CALLER_NO_KEY,
    CALLER_BAD_KEY,
    CALLER_KEY_REVOKED,
    CALLER_KEY_EXPIRED,
    CALLER_WRONG_ROLE,
    CALLER_NO_ROUTE,
    CALLER_WRONG_METHOD,
    CALLER_UNKNOWN_MODEL,
    CALLER_WRONG_SURFACE,
    CALLER_NOT_FOUND,
    CALLER_CONFLICT,
    CALLER_KEY_IN_USE,
    CALLER_KEY_REUSED,
    CALLER_ANSWERED,
    POLICY_KEY_SCOPE,
    POLICY_KEY_ADDRESS,
    POLICY_KEY_MODEL,
    POLICY_NO_CREDIT,
    POLICY_BUDGET,
    POLICY_CURRENCY,
    POLICY_CONCURRENCY,
    POLICY_REQUEST_RATE,
    POLICY_TOKEN_RATE,
    POLICY_CALL_TOO_LARGE,
    UPSTREAM_REFUSED,
    UPSTREAM_BROKEN,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNREACHABLE,
    UPSTREAM_MISSING,
    UPSTREAM_RATE_LIMITED,
    GATEWAY_UNAVAILABLE,
    GATEWAY_RECOVERING,
    GATEWAY_JOURNAL_FULL,
    GATEWAY_DRAINING,
    GATEWAY_INTERNAL,
    PROBLEM_COUNT
};

struct problem_row {
    const char *name; /* x-tollgate-code: "policy_no_credit" */
    unsigned status;
    const char *type;    /* "insufficient_quota" */
    const char *code;    /* OpenAI's own code, or null */
    signed char retry;   /* x-should-retry: 1 true, -1 false, 0 not sent */
    const char *message; /* what is said when the place has nothing more exact to say */
};
const struct problem_row *problem_row(enum problem p);

/* What http_request_mark() says of a request that was answered with it. */
#define PROBLEM_MARK(problem) ((int)(problem) + 1)

/* Two shapes of an error: OpenAI's {"error":{"message","type","param","code"}}, and Anthropic's {"type":"error","error":{"type","message"},
 * "request_id"}, for who calls /v1/messages or states an anthropic-version. */
enum error_shape { ERROR_OPENAI, ERROR_ANTHROPIC };
enum error_shape error_shape_of(const struct http_request *r);

#define PROBLEM_MORE 12

/* `request_id` and `param` may be null; retry_after_ms 0: unknown, which a 503 tells as a second and others not at all. */
struct problem_details {
    enum error_shape shape; /* for problem_write(); a reply has the shape of its request */
    const char *request_id, *param;
    const char *allow; /* the methods that a path takes, for 405 */
    int64_t retry_after_ms;
    const struct http_field *more; /* further headers, at most PROBLEM_MORE */
    size_t more_count;
};
void problem_reply(struct http_request *r, enum problem p, const struct problem_details *details,
                   const char *format, ...) PRINTF_LIKE(4, 5);
/* The error object alone. */
void problem_write(struct buf *out, enum problem p, const struct problem_details *details,
                   const char *message);
/* The parser's refusal by its status. */
enum problem problem_of_status(unsigned status);

#endif
