/* cli_funds.c - the amount is looked at here, before anything is sent; all else is the console's to judge. */
#include "gateway/cli_funds.h"

#include "billing/money.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/mem.h"

static int book(struct cli *c, const char *target, const char *reason, const char *heading);

int account_credit(struct cli *c)
{
    AUTO_STRING target = cli_target("/admin/v1/accounts/%/credit", c->arguments[0]);
    const char *reason = cli_value(c, "--reason");

    if (!reason && c->arguments[1][0] == '-')
        reason = "correction";
    return book(c, target, reason, "credited");
}

int account_adjust(struct cli *c)
{
    AUTO_STRING target = cli_target("/admin/v1/accounts/%/adjust", c->arguments[0]);
    const char *reason = cli_value(c, "--reason");

    if (!reason)
        return cli_misused(c, "needs --reason, such as --reason \"invoice 17 was paid twice\"");
    return book(c, target, reason, "adjusted by");
}

static int book(struct cli *c, const char *target, const char *reason, const char *heading)
{
    const struct cli_column columns[] = {
        {"account", "account", false}, {heading, "amount", false}, {"currency", "currency", false},
        {"reason", "reason", false},   {"at", "at", false},
    };
    AUTO_JSON body = json_pack("{s:s}", "amount", c->arguments[1]);
    AUTO_JSON reply = NULL;
    struct err err;
    int64_t nanos;

    if (!decimal_parse(span_of(c->arguments[1]), &nanos, &err))
        return cli_misused(c, "AMOUNT: %s", err.text);
    if (reason)
        json_object_set_new(body, "reason", json_string(reason));
    reply = cli_change(c, &(struct cli_change){.target = target, .body = body});
    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}
