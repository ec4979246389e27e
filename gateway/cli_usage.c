/* cli_usage.c - what was called, what it used and what it cost. */
#include "gateway/cli_usage.h"

#include "billing/money.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LIMIT_MAX 10000

static bool has_account(struct cli *c, const char *account);

int usage_list(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"ended", "ended_at", false},  {"request", "request_id", false},
        {"account", "account", false}, {"model", "model", false},
        {"used", "units", false},      {"amount", "amount", true},
        {"", "currency", false},       {"outcome", "outcome", false},
    };
    const char *account = cli_value(c, "--account"), *limit = cli_value(c, "--limit");
    AUTO_STRING first = cli_target("/admin/v1/usage?limit=%", limit ? limit : "100");
    AUTO_STRING second = cli_target(account ? "&account=%" : "", account ? account : "");
    AUTO_STRING target = xasprintf("%s%s", first, second);
    AUTO_JSON reply = NULL;
    uint64_t n;

    if (limit && (!digits_parse(span_of(limit), LIMIT_MAX, &n) || n == 0))
        return cli_misused(c, "--limit must be from 1 to %d, not \"%.80s\"", LIMIT_MAX, limit);
    reply = cli_get(c, target);
    if (!reply ||
        (account && !json_array_size(json_object_get(reply, "data")) && !has_account(c, account)))
        return CLI_FAILED;
    cli_print_list(c, json_object_get(reply, "data"), columns, ARRAY_LEN(columns),
                   "there are no calls yet");
    return CLI_DONE;
}

/* Of a name that was mistyped nothing can have been called. */
static bool has_account(struct cli *c, const char *account)
{
    AUTO_STRING target = cli_target("/admin/v1/accounts/%", account);
    AUTO_JSON found = cli_get(c, target);

    return found != NULL;
}

int usage_show(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"request", "request_id", false},
        {"account", "account", false},
        {"key", "key", false},
        {"model", "model", false},
        {"creators (weight)", "creators", false},
        {"backend", "backend", false},
        {"price", "price", false},
        {"contract", "contract", false},
        {"used", "units", false},
        {"as counted by", "provenance", false},
        {"amount", "amount", false},
        {"currency", "currency", false},
        {"outcome", "outcome", false},
        {"started", "started_at", false},
        {"ended", "ended_at", false},
        {"period", "period", false},
        {"refunded", "refunded", false},
        {"refunds", "refunds", false},
    };
    AUTO_STRING target = cli_target("/admin/v1/usage/%", c->arguments[0]);
    AUTO_JSON reply = cli_get(c, target);

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}

/* Without an amount, all that is left of the call. */
int usage_refund(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"request", "request_id", false},
        {"account", "account", false},
        {"refunded", "amount", false},
        {"currency", "currency", false},
        {"of", "charged", false},
        {"reason", "reason", false},
        {"call's period", "orig_period", false},
        {"booked in", "period", false},
        {"at", "at", false},
        {"operation", "op", false},
    };
    const char *amount = c->arguments[1], *reason = cli_value(c, "--reason");
    AUTO_STRING target = cli_target("/admin/v1/usage/%/refund", c->arguments[0]);
    AUTO_JSON body = NULL;
    AUTO_JSON reply = NULL;
    struct err err;
    int64_t nanos;

    if (!reason)
        return cli_misused(c, "needs --reason, such as --reason \"the answer was cut off\"");
    if (amount && (!decimal_parse(span_of(amount), &nanos, &err)))
        return cli_misused(c, "AMOUNT: %s", err.text);
    body = json_pack("{s:s}", "reason", reason);
    if (amount)
        json_object_set_new(body, "amount", json_string(amount));
    reply = cli_change(c, &(struct cli_change){.target = target, .body = body});
    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}
