/* cli_catalogue.c - the catalogue is applied from a file and shown from what is in force. */
#include "gateway/cli_catalogue.h"

#include <stdio.h>

#include "billing/period.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define CATALOGUE_BYTES_MAX (4 << 20)

static const struct cli_column model_columns[] = {
    {"model", "model", false},       {"owners", "owners", false},
    {"price", "price.id", false},    {"currency", "price.currency", false},
    {"units", "price.units", false}, {"output at most", "max_output_tokens", true},
};

static json_t *read_catalogue(struct cli *c);
static void print_changes(const struct cli *c, const json_t *reply);
static void print_earnings(const struct cli *c, const json_t *reply);
static const char *earning(const json_t *part, const char *name);

int apply(struct cli *c)
{
    AUTO_JSON file = read_catalogue(c);
    AUTO_JSON reply = NULL;

    if (!file)
        return CLI_FAILED;
    if (cli_value(c, "--dry-run"))
        reply = cli_post(c, "/admin/v1/catalogue?dry_run=1", file);
    else
        reply =
            cli_change(c, &(struct cli_change){
                              .target = "/admin/v1/catalogue", .body = file, .op_in_query = true});
    if (!reply)
        return CLI_FAILED;
    print_changes(c, reply);
    return CLI_DONE;
}

static json_t *read_catalogue(struct cli *c)
{
    AUTO_CLEAR(buf) text = {.max = CATALOGUE_BYTES_MAX};
    json_t *file = NULL;
    struct err err;

    if (!file_read(c->arguments[0], &text, &err))
        cli_fail(c, "%s", err.text);
    else if (!(file = json_parse(buf_span(&text), &err)))
        cli_fail(c, "%s: %s", c->arguments[0], err.text);
    return file;
}

static void print_changes(const struct cli *c, const json_t *reply)
{
    static const struct cli_column columns[] = {{"what", "object", false}, {"id", "id", false}};
    const json_t *changes = json_object_get(reply, "changes");

    if (!c->json && json_array_size(changes) > 0)
        printf("%s\n",
               json_is_true(json_object_get(reply, "dry_run")) ? "would change:" : "changed:");
    cli_print_list(c, changes, columns, ARRAY_LEN(columns), "nothing changes");
}

int creator_list(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"creator", "creator", false},
        {"name", "name", false},
        {"share (1/10000)", "share_bp", true},
        {"contract", "contract", false},
    };
    AUTO_JSON reply = cli_get(c, "/admin/v1/creators");

    if (!reply)
        return CLI_FAILED;
    cli_print_list(c, json_object_get(reply, "data"), columns, ARRAY_LEN(columns),
                   "there are no creators yet; `tollgate apply` takes a catalogue");
    return CLI_DONE;
}

int creator_show(struct cli *c)
{
    AUTO_STRING path = cli_target("/admin/v1/creators/%", c->arguments[0]);
    const char *period = cli_value(c, "--period");
    AUTO_STRING query = cli_target(period ? "?period=%" : "", period ? period : "");
    AUTO_STRING target = xasprintf("%s%s", path, query);
    AUTO_JSON reply = NULL;
    struct period parsed;
    struct err err;

    if (period && !period_parse(span_of(period), &parsed, &err))
        return cli_misused(c, "--period: %s", err.text);
    reply = cli_get(c, target);
    if (!reply)
        return CLI_FAILED;
    if (c->json)
        cli_print_json(reply);
    else
        print_earnings(c, reply);
    return CLI_DONE;
}

static void print_earnings(const struct cli *c, const json_t *reply)
{
    static const struct cli_column models[] = {{"model", "model", false},
                                               {"calls", "calls", true},
                                               {"clients paid", "gross", true},
                                               {"got back", "refunded", true},
                                               {"earned", "earned", true},
                                               {"refunds", "refunds", true},
                                               {"net", "net", true}};
    static const struct cli_column days[] = {{"day", "day", false},
                                             {"calls", "calls", true},
                                             {"clients paid", "gross", true},
                                             {"earned", "earned", true}};
    const json_t *currencies = json_object_get(reply, "currencies");
    json_t *part;
    size_t i;

    printf("creator %s, period %s\n", json_string_value(json_object_get(reply, "creator")),
           json_string_value(json_object_get(reply, "period")));
    if (json_array_size(currencies) == 0)
        printf("nothing was earned\n");
    json_array_foreach(currencies, i, part)
    {
        printf("\n%s: earned %s of the %s that clients paid for %lld calls; less %s of the %s that "
               "they got back: %s\n",
               earning(part, "currency"), earning(part, "earned"), earning(part, "gross"),
               (long long)json_integer_value(json_object_get(part, "calls")),
               earning(part, "refunds"), earning(part, "refunded"), earning(part, "net"));
        cli_print_list(c, json_object_get(part, "models"), models, ARRAY_LEN(models), "");
        if (json_array_size(json_object_get(part, "days")) == 0)
            continue;
        printf("\n");
        cli_print_list(c, json_object_get(part, "days"), days, ARRAY_LEN(days), "");
    }
}

static const char *earning(const json_t *part, const char *name)
{
    return json_string_value(json_object_get(part, name));
}

int model_list(struct cli *c)
{
    AUTO_JSON reply = cli_get(c, "/admin/v1/models");

    if (!reply)
        return CLI_FAILED;
    cli_print_list(c, json_object_get(reply, "data"), model_columns, ARRAY_LEN(model_columns),
                   "there are no models yet; `tollgate apply` takes a catalogue");
    return CLI_DONE;
}

int model_show(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"model", "model", false},
        {"owners (weight)", "owners", false},
        {"backends (model, weight, priority)", "backends", false},
        {"price", "price.id", false},
        {"in force from", "price.from", false},
        {"currency", "price.currency", false},
        {"units", "price.units", false},
        {"output tokens at most", "max_output_tokens", false},
        {"when a client hangs up", "on_disconnect", false},
        {"card", "card", false},
    };
    AUTO_STRING target = cli_target("/admin/v1/models/%", c->arguments[0]);
    AUTO_JSON reply = cli_get(c, target);

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}
