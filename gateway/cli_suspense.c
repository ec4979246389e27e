/* cli_suspense.c - a month closes when this list is empty. */
#include "gateway/cli_suspense.h"

#include <stdio.h>
#include <string.h>

#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"

int suspense_list(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"id", "id", false},
        {"reason", "reason", false},
        {"detail", "detail", false},
        {"record", "record.kind", false},
        {"account", "record.account", false},
        {"amount", "record.amount", false},
    };
    AUTO_JSON reply = cli_get(c, "/admin/v1/suspense");

    if (!reply)
        return CLI_FAILED;
    cli_print_list(c, json_object_get(reply, "data"), columns, ARRAY_LEN(columns),
                   "nothing is in suspense");
    return CLI_DONE;
}

int suspense_resolve(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"entry", "entry", false},
        {"resolved as", "as", false},
        {"by", "by", false},
        {"reason", "reason", false},
    };
    const char *as = cli_value(c, "--as"), *reason = cli_value(c, "--reason");
    const char *by = cli_value(c, "--by");
    AUTO_JSON body = NULL;
    AUTO_JSON reply = NULL;

    if (!as || (strcmp(as, "dropped") != 0 && strcmp(as, "booked") != 0))
        return cli_misused(c, "needs --as dropped or --as booked");
    if (!reason)
        return cli_misused(c, "needs --reason, such as --reason \"refunded twice\"");
    if (!by)
        return cli_misused(c, "needs --by, the name of who decides");
    body = json_pack("{s:s, s:s, s:s, s:s}", "id", c->arguments[0], "as", as, "by", by, "reason",
                     reason);
    reply =
        cli_change(c, &(struct cli_change){.target = "/admin/v1/suspense/resolve", .body = body});
    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}
