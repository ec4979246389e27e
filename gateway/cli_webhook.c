/* cli_webhook.c - where an account's threshold notices go. */
#include "gateway/cli_webhook.h"

#include <stdio.h>

#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/mem.h"

#define TEST_MS 310000 /* more than a receiver may take */

/* The secret is on stdout alone, so that a script can take it. */
int webhook_create(struct cli *c)
{
    AUTO_JSON body = json_pack("{s:s, s:s}", "account", c->arguments[0], "url", c->arguments[1]);
    AUTO_JSON reply =
        cli_change(c, &(struct cli_change){.target = "/admin/v1/webhooks", .body = body});

    if (!reply)
        return CLI_FAILED;
    if (c->json) {
        cli_print_json(reply);
        return CLI_DONE;
    }
    fprintf(stderr, "webhook %s of account %s; the secret of its signatures, shown this once:\n",
            json_string_value(json_object_get(reply, "webhook")), c->arguments[0]);
    printf("%s\n", json_string_value(json_object_get(reply, "secret")));
    return CLI_DONE;
}

int webhook_list(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"webhook", "webhook", false}, {"account", "account", false}, {"state", "state", false},
        {"url", "url", false},         {"pending", "pending", true},  {"last", "last_at", false},
        {"its answer", "last", false},
    };
    AUTO_STRING of_one =
        c->argument_count > 0 ? cli_target("/admin/v1/webhooks?account=%", c->arguments[0]) : NULL;
    AUTO_JSON reply = cli_get(c, of_one ? of_one : "/admin/v1/webhooks");

    if (!reply)
        return CLI_FAILED;
    cli_print_list(c, json_object_get(reply, "data"), columns, ARRAY_LEN(columns),
                   "there are no webhooks; `tollgate webhook create` makes one");
    return CLI_DONE;
}

int webhook_delete(struct cli *c)
{
    static const struct cli_column columns[] = {{"webhook", "webhook", false},
                                                {"account", "account", false}};
    AUTO_STRING target = cli_target("/admin/v1/webhooks/%/delete", c->arguments[0]);
    AUTO_JSON body = json_object();
    AUTO_JSON reply = cli_change(c, &(struct cli_change){.target = target, .body = body});

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}

/* Fails when the receiver did not take it. */
int webhook_test(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"webhook", "webhook", false}, {"status", "status", true}, {"its answer", "answer", false}};
    AUTO_STRING target = cli_target("/admin/v1/webhooks/%/test", c->arguments[0]);
    AUTO_JSON reply = cli_post_within(c, target, TEST_MS);

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return json_is_true(json_object_get(reply, "delivered")) ? CLI_DONE : CLI_FAILED;
}
