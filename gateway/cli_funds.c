/* cli_funds.c - the amount is looked at here, before anything is sent; all else is the console's to judge. */
#include "gateway/cli_funds.h"

#include "billing/money.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

static int book(struct cli *c, const char *verb, json_t *body, const struct cli_column *columns,
                size_t count);
static int read_booking(struct cli *c, const char *reason, json_t *body);

static const struct cli_column credit_columns[] = {{"account", "account", false},
                                                   {"credited", "amount", false},
                                                   {"currency", "currency", false},
                                                   {"reason", "reason", false},
                                                   {"at", "at", false}};
static const struct cli_column grant_columns[] = {
    {"account", "account", false},    {"granted", "amount", false}, {"currency", "currency", false},
    {"expires", "expires_at", false}, {"reason", "reason", false},  {"grant", "op", false}};
static const struct cli_column adjust_columns[] = {{"account", "account", false},
                                                   {"adjusted by", "amount", false},
                                                   {"currency", "currency", false},
                                                   {"reason", "reason", false},
                                                   {"at", "at", false}};

int account_credit(struct cli *c)
{
    const char *reason = cli_value(c, "--reason");
    AUTO_JSON body = json_object();

    if (!reason && c->arguments[1][0] == '-')
        reason = "correction";
    if (read_booking(c, reason, body) != CLI_DONE)
        return CLI_USAGE;
    return book(c, "credit", body, credit_columns, ARRAY_LEN(credit_columns));
}

int account_grant(struct cli *c)
{
    const char *expires = cli_value(c, "--expires");
    AUTO_JSON body = json_object();
    struct err err;
    int64_t when;

    if (!expires)
        return cli_misused(c, "needs --expires, such as --expires 2027-01-01T00:00:00Z");
    if (!clock_parse(span_of(expires), &when, &err))
        return cli_misused(c, "--expires: %s", err.text);
    if (read_booking(c, cli_value(c, "--reason"), body) != CLI_DONE)
        return CLI_USAGE;
    json_object_set_new(body, "expires_at", json_string(expires));
    return book(c, "grant", body, grant_columns, ARRAY_LEN(grant_columns));
}

int account_adjust(struct cli *c)
{
    const char *reason = cli_value(c, "--reason");
    AUTO_JSON body = json_object();

    if (!reason)
        return cli_misused(c, "needs --reason, such as --reason \"invoice 17 was paid twice\"");
    if (read_booking(c, reason, body) != CLI_DONE)
        return CLI_USAGE;
    return book(c, "adjust", body, adjust_columns, ARRAY_LEN(adjust_columns));
}

static int read_booking(struct cli *c, const char *reason, json_t *body)
{
    struct err err;
    int64_t nanos;

    if (!decimal_parse(span_of(c->arguments[1]), &nanos, &err))
        return cli_misused(c, "AMOUNT: %s", err.text);
    json_object_set_new(body, "amount", json_string(c->arguments[1]));
    if (reason)
        json_object_set_new(body, "reason", json_string(reason));
    return CLI_DONE;
}

static int book(struct cli *c, const char *verb, json_t *body, const struct cli_column *columns,
                size_t count)
{
    AUTO_STRING account = cli_target("/admin/v1/accounts/%", c->arguments[0]);
    AUTO_STRING target = xasprintf("%s/%s", account, verb);
    AUTO_JSON reply = cli_change(c, &(struct cli_change){.target = target, .body = body});

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, count);
    return CLI_DONE;
}
