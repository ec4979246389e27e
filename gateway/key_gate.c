/* key_gate.c - what a key opens, applied to one request. */
#include "gateway/key_gate.h"

#include <stdarg.h>
#include <stdio.h>

static bool refuse(struct gate_refusal *why, enum problem p, const char *format, ...)
    PRINTF_LIKE(3, 4);

bool gate_lets_in(const struct key_holder *holder, enum scope scope, const struct http_request *r,
                  struct gate_refusal *why)
{
    struct addr from;
    char place[ADDR_TEXT];

    if (!key_access_opens(holder->access, scope))
        return refuse(why, POLICY_KEY_SCOPE,
                      "This key is not made for this: it %s; ask for one with the scope '%s'",
                      scope == SCOPE_CALL ? "may not call models"
                                          : "may not read the account's usage",
                      scope == SCOPE_CALL ? "call" : "usage");
    if (!key_access_names_places(holder->access))
        return true;
    if (!http_request_peer(r, &from))
        return refuse(why, POLICY_KEY_ADDRESS, "%s", problem_row(POLICY_KEY_ADDRESS)->message);
    if (key_access_has_place(holder->access, &from))
        return true;
    addr_format(&from, place);
    return refuse(why, POLICY_KEY_ADDRESS,
                  "This key may not be used from %.*s; whoever made it can name other addresses",
                  (int)(strrchr(place, ':') - place), place);
}

bool gate_lets_call(const struct key_holder *holder, const char *model, struct gate_refusal *why)
{
    return key_access_has_model(holder->access, model) ||
           refuse(why, POLICY_KEY_MODEL,
                  "This key may not call the model '%s'; GET /v1/models lists what it may call",
                  model);
}

static bool refuse(struct gate_refusal *why, enum problem p, const char *format, ...)
{
    va_list args;

    why->problem = p;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return false;
}

enum problem gate_problem_of_verdict(enum key_verdict verdict)
{
    static const enum problem problems[] = {
        [KEY_UNKNOWN] = CALLER_BAD_KEY,        [KEY_REVOKED] = CALLER_KEY_REVOKED,
        [KEY_EXPIRED] = CALLER_KEY_EXPIRED,    [KEY_UNREADABLE] = GATEWAY_UNAVAILABLE,
        [KEY_RECOVERING] = GATEWAY_RECOVERING,
    };

    return problems[verdict];
}
