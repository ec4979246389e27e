/* cli_catalogue.c - the catalogue is applied from a file and shown from what is in force. */
#include "gateway/cli_catalogue.h"

#include <stdio.h>

#include "billing/period.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define CATALOGUE_BYTES_MAX (4 << 20)
#define MEMBER_MAX          200 /* of a card, on a screen; --json has all of it */

static const struct cli_column model_columns[] = {
    {"model", "model", false},       {"owners", "owners", false},
    {"price", "price.id", false},    {"currency", "price.currency", false},
    {"units", "price.units", false}, {"output at most", "max_output_tokens", true},
};

static json_t *read_catalogue(struct cli *c);
static void print_changes(const struct cli *c, const json_t *reply);
static size_t count_of(const json_t *changes, const char *what);
static void print_change(const json_t *change);
static void print_member(const json_t *member);
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
    const json_t *changes = json_object_get(reply, "changes");
    bool is_dry = json_is_true(json_object_get(reply, "dry_run"));
    json_t *change;
    size_t i;

    json_array_foreach(changes, i, change)
    {
        if (c->json)
            cli_print_json(change);
        else
            print_change(change);
    }
    if (!c->json)
        printf(is_dry ? "%zu to add, %zu to change, %zu to supersede; %lld stay as they are\n"
                      : "%zu added, %zu changed, %zu superseded; %lld stayed as they were\n",
               count_of(changes, "add"), count_of(changes, "change"),
               count_of(changes, "supersede"),
               (long long)json_integer_value(json_object_get(reply, "unchanged")));
}

static size_t count_of(const json_t *changes, const char *what)
{
    json_t *change;
    size_t i, count = 0;

    json_array_foreach(changes, i, change) count +=
        strcmp(json_string_value(json_object_get(change, "change")), what) == 0;
    return count;
}

/* A line for the object, and one for each member: what it was, and what it is to be. */
static void print_change(const json_t *change)
{
    const char *what = json_string_value(json_object_get(change, "change"));
    const char *from = json_string_value(json_object_get(change, "from"));
    const char *before = json_string_value(json_object_get(change, "supersedes"));
    json_t *member;
    size_t i;

    printf("%s %s %s%s%s\n", strcmp(what, "change") == 0 ? "~" : "+",
           json_string_value(json_object_get(change, "object")),
           json_string_value(json_object_get(change, "id")), before ? ", after " : "",
           before ? before : "");
    if (from)
        printf("    %-20s %s\n", "from", from);
    json_array_foreach(json_object_get(change, "members"), i, member) print_member(member);
}

static void print_member(const json_t *member)
{
    const char *name = json_string_value(json_object_get(member, "name"));
    const char *before = json_string_value(json_object_get(member, "before"));
    const char *after = json_string_value(json_object_get(member, "after"));

    if (before)
        printf("    %-20s %.*s -> ", name, MEMBER_MAX, before);
    else
        printf("    %-20s ", name);
    printf("%.*s\n", MEMBER_MAX, after ? after : "(none)");
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
