/* cli_usage.c - what was called, what it used and what it cost. */
#include "gateway/cli_usage.h"

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
    };
    AUTO_STRING target = cli_target("/admin/v1/usage/%", c->arguments[0]);
    AUTO_JSON reply = cli_get(c, target);

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}
