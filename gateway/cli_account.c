/* cli_account.c - who pays. */
#include "gateway/cli_account.h"

#include <stdio.h>

#include "gateway/account_terms.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_limits.h"
#include "gateway/cli_print.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

static const struct cli_column account_columns[] = {
    {"account", "account", false},
    {"mode", "mode", false},
    {"currency", "currency", false},
    {"balance", "balance", true},
    {"granted", "granted", true},
    {"held", "held", true},
    {"available", "available", true},
    {"credit limit", "credit_limit", true},
    {"concurrency", "concurrency", true},
    {"rpm", "rpm", true},
    {"tpm", "tpm", true},
    {"budget a day", "budget_day", true},
    {"budget a month", "budget_month", true},
    {"zone", "zone", false},
    {"open calls", "open_calls", true},
};

static const struct cli_column model_columns[] = {
    {"account", "account", false},
    {"model", "model", false},
    {"budget a day", "budget_day", true},
    {"budget a month", "budget_month", true},
};

static int read_terms(struct cli *c, json_t *body);
static int read_limits(struct cli *c, json_t *body);
static void read_zone(struct cli *c, json_t *body);
static void show_grants(struct cli *c, const json_t *grants);
static void print_model_budgets(const struct cli *c, json_t *models);
static void name_absent_limits(const struct cli *c, json_t *account);

int account_create(struct cli *c)
{
    AUTO_JSON body = json_pack("{s:s}", "id", c->arguments[0]);
    AUTO_JSON reply = NULL;

    if (read_terms(c, body) != CLI_DONE)
        return CLI_USAGE;
    reply = cli_change(c, &(struct cli_change){.target = "/admin/v1/accounts", .body = body});
    if (!reply)
        return CLI_FAILED;
    name_absent_limits(c, reply);
    cli_print_object(c, reply, account_columns, ARRAY_LEN(account_columns));
    return CLI_DONE;
}

static int read_terms(struct cli *c, json_t *body)
{
    const char *currency = cli_value(c, "--currency");
    bool is_prepaid = cli_value(c, "--prepaid"), is_postpaid = cli_value(c, "--postpaid");

    if (!currency)
        return cli_misused(c, "needs --currency, such as --currency CNY");
    if (is_prepaid && is_postpaid)
        return cli_misused(c, "takes one of --prepaid and --postpaid, not both");
    if (!is_prepaid && !is_postpaid)
        return cli_misused(c, "needs --prepaid or --postpaid");
    json_object_set_new(body, "currency", json_string(currency));
    json_object_set_new(body, "mode", json_string(is_prepaid ? "prepaid" : "postpaid"));
    return read_limits(c, body);
}

static int read_limits(struct cli *c, json_t *body)
{
    if (cli_read_amount(c, "--credit-limit", "credit_limit", body) != CLI_DONE)
        return CLI_USAGE;
    if (cli_read_count(c, "--concurrency", CONCURRENCY_MAX, body) != CLI_DONE)
        return CLI_USAGE;
    read_zone(c, body);
    return cli_read_rates(c, body);
}

/* The console knows the zones. */
static void read_zone(struct cli *c, json_t *body)
{
    const char *zone = cli_value(c, "--zone");

    if (zone)
        json_object_set_new(body, "zone",
                            strcmp(zone, "none") == 0 ? json_null() : json_string(zone));
}

int account_limit(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"account", "account", false},
        {"credit limit", "credit_limit", true},
        {"concurrency", "concurrency", true},
        {"rpm", "rpm", true},
        {"tpm", "tpm", true},
        {"budget a day", "budget_day", true},
        {"budget a month", "budget_month", true},
        {"zone", "zone", false},
    };
    AUTO_STRING target = cli_target("/admin/v1/accounts/%/limit", c->arguments[0]);
    const char *model = cli_value(c, "--model");
    AUTO_JSON body = json_object();
    AUTO_JSON reply = NULL;

    if (read_limits(c, body) != CLI_DONE)
        return CLI_USAGE;
    if (json_object_size(body) == 0)
        return cli_misused(c,
                           "needs a limit to change: --rpm, --tpm, --concurrency, --credit-limit, "
                           "--budget-day, --budget-month or --zone");
    if (model)
        json_object_set_new(body, "model", json_string(model));
    reply = cli_change(c, &(struct cli_change){.target = target, .body = body});
    if (!reply)
        return CLI_FAILED;
    name_absent_limits(c, reply);
    if (model)
        cli_print_object(c, reply, model_columns, ARRAY_LEN(model_columns));
    else
        cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}

int account_show(struct cli *c)
{
    AUTO_STRING target = cli_target("/admin/v1/accounts/%", c->arguments[0]);
    AUTO_JSON reply = cli_get(c, target);

    if (!reply)
        return CLI_FAILED;
    name_absent_limits(c, reply);
    cli_print_object(c, reply, account_columns, ARRAY_LEN(account_columns));
    show_grants(c, json_object_get(reply, "grants"));
    print_model_budgets(c, json_object_get(reply, "models"));
    return CLI_DONE;
}

/* For people: as JSON they stand in the account. */
static void show_grants(struct cli *c, const json_t *grants)
{
    static const struct cli_column columns[] = {{"grant", "grant", false},
                                                {"amount", "amount", true},
                                                {"left", "left", true},
                                                {"expires", "expires_at", false}};

    if (!c->json && json_array_size(grants) > 0)
        cli_print_list(c, grants, columns, ARRAY_LEN(columns), "");
}

/* JSON has them already. */
static void print_model_budgets(const struct cli *c, json_t *models)
{
    json_t *model;
    size_t i;

    if (c->json || json_array_size(models) == 0)
        return;
    json_array_foreach(models, i, model) cli_name_absent_rates(c, model);
    printf("\n");
    cli_print_list(c, models, model_columns + 1, ARRAY_LEN(model_columns) - 1, "");
}

/* For people; a postpaid account's credit limit of 0 is one. */
static void name_absent_limits(const struct cli *c, json_t *account)
{
    const char *mode = json_string_value(json_object_get(account, "mode"));
    json_t *concurrency = json_object_get(account, "concurrency");
    json_t *zone = json_object_get(account, "zone");

    if (c->json)
        return;
    if (mode && strcmp(mode, "prepaid") == 0)
        json_object_set_new(account, "credit_limit", json_string("none"));
    if (json_is_integer(concurrency) && json_integer_value(concurrency) == 0)
        json_object_set_new(account, "concurrency", json_string("none"));
    if (json_is_null(zone))
        json_object_set_new(account, "zone", json_string("platform"));
    cli_name_absent_rates(c, account);
}

int account_list(struct cli *c)
{
    AUTO_JSON reply = cli_get(c, "/admin/v1/accounts");
    json_t *account;
    size_t i;

    if (!reply)
        return CLI_FAILED;
    json_array_foreach(json_object_get(reply, "data"), i, account) name_absent_limits(c, account);
    cli_print_list(c, json_object_get(reply, "data"), account_columns, ARRAY_LEN(account_columns),
                   "there are no accounts yet; `tollgate account create` makes one");
    return CLI_DONE;
}
