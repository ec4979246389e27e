/* cli_account.c - who pays, and with which keys. */
#include "gateway/cli_account.h"

#include <stdio.h>

#include "gateway/account_terms.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

static const struct cli_column account_columns[] = {
    {"account", "account", false},
    {"mode", "mode", false},
    {"currency", "currency", false},
    {"balance", "balance", true},
    {"held", "held", true},
    {"available", "available", true},
    {"limit", "credit_limit", true},
    {"concurrency", "concurrency", true},
    {"rpm", "rpm", true},
    {"tpm", "tpm", true},
    {"a day", "budget_day", true},
    {"a month", "budget_month", true},
    {"open", "open_calls", true},
};
static const struct cli_column key_columns[] = {
    {"key", "public_id", false},
    {"account", "account", false},
    {"creator", "creator", false},
    {"state", "state", false},
    {"expires", "expires_at", false},
    {"rpm", "rpm", true},
    {"tpm", "tpm", true},
    {"a day", "budget_day", true},
    {"a month", "budget_month", true},
    {"scopes", "scopes", false},
    {"models", "models", false},
    {"ips", "ips", false},
};

static int read_terms(struct cli *c, json_t *body);
static int read_limits(struct cli *c, json_t *body);
static int read_amount(struct cli *c, const char *option, const char *member, json_t *body);
static int read_rates(struct cli *c, json_t *body);
static void read_access(const struct cli *c, json_t *body);
static int read_number(struct cli *c, const char *option, int64_t max, json_t *body);
static int change_limits(struct cli *c, const char *target, json_t *body,
                         const struct cli_column *columns, size_t count);
static void name_absent_limits(const struct cli *c, json_t *account);
static void name_absent_rates(const struct cli *c, json_t *object);
static char *public_id_of(const char *text);

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
    if (is_prepaid == is_postpaid)
        return cli_misused(c, "needs either --prepaid or --postpaid");
    json_object_set_new(body, "currency", json_string(currency));
    json_object_set_new(body, "mode", json_string(is_prepaid ? "prepaid" : "postpaid"));
    return read_limits(c, body);
}

static int read_limits(struct cli *c, json_t *body)
{
    if (read_amount(c, "--credit-limit", "credit_limit", body) != CLI_DONE)
        return CLI_USAGE;
    if (read_number(c, "--concurrency", CONCURRENCY_MAX, body) != CLI_DONE)
        return CLI_USAGE;
    return read_rates(c, body);
}

static int read_amount(struct cli *c, const char *option, const char *member, json_t *body)
{
    const char *text = cli_value(c, option);
    struct err err;
    int64_t nanos;

    if (text && !decimal_parse(span_of(text), &nanos, &err))
        return cli_misused(c, "%s: %s", option, err.text);
    if (text)
        json_object_set_new(body, member, json_string(text));
    return CLI_DONE;
}

/* And budgets. */
static int read_rates(struct cli *c, json_t *body)
{
    if (read_number(c, "--rpm", RATE_MAX, body) != CLI_DONE ||
        read_amount(c, "--budget-day", "budget_day", body) != CLI_DONE ||
        read_amount(c, "--budget-month", "budget_month", body) != CLI_DONE)
        return CLI_USAGE;
    return read_number(c, "--tpm", RATE_MAX, body);
}

/* The member is named as the option is. */
static int read_number(struct cli *c, const char *option, int64_t max, json_t *body)
{
    const char *text = cli_value(c, option);
    int64_t number = 0;

    if (!text)
        return CLI_DONE;
    if (!int64_parse(span_of(text), &number) || number < 0 || number > max)
        return cli_misused(c, "%s must be a whole number from 0 to %lld, not \"%s\"", option,
                           (long long)max, text);
    json_object_set_new(body, option + strlen("--"), json_integer(number));
    return CLI_DONE;
}

int account_limit(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"account", "account", false},
        {"limit", "credit_limit", true},
        {"concurrency", "concurrency", true},
        {"rpm", "rpm", true},
        {"tpm", "tpm", true},
        {"a day", "budget_day", true},
        {"a month", "budget_month", true},
    };
    AUTO_STRING target = cli_target("/admin/v1/accounts/%/limit", c->arguments[0]);
    AUTO_JSON body = json_object();

    if (read_limits(c, body) != CLI_DONE)
        return CLI_USAGE;
    if (json_object_size(body) == 0)
        return cli_misused(c,
                           "needs a limit to change: --rpm, --tpm, --concurrency, --credit-limit, "
                           "--budget-day or --budget-month");
    return change_limits(c, target, body, columns, ARRAY_LEN(columns));
}

static int change_limits(struct cli *c, const char *target, json_t *body,
                         const struct cli_column *columns, size_t count)
{
    AUTO_JSON reply = cli_change(c, &(struct cli_change){.target = target, .body = body});

    if (!reply)
        return CLI_FAILED;
    name_absent_limits(c, reply);
    cli_print_object(c, reply, columns, count);
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
    return CLI_DONE;
}

/* For people; a postpaid account's credit limit of 0 is one. */
static void name_absent_limits(const struct cli *c, json_t *account)
{
    const char *mode = json_string_value(json_object_get(account, "mode"));
    json_t *concurrency = json_object_get(account, "concurrency");

    if (c->json)
        return;
    if (mode && strcmp(mode, "prepaid") == 0)
        json_object_set_new(account, "credit_limit", json_string("none"));
    if (json_is_integer(concurrency) && json_integer_value(concurrency) == 0)
        json_object_set_new(account, "concurrency", json_string("none"));
    name_absent_rates(c, account);
}

static void name_absent_rates(const struct cli *c, json_t *object)
{
    static const char *const rates[] = {"rpm", "tpm"};
    static const char *const budgets[] = {"budget_day", "budget_month"};

    for (size_t i = 0; !c->json && i < ARRAY_LEN(rates); i++) {
        json_t *limit = json_object_get(object, rates[i]);

        if (json_is_integer(limit) && json_integer_value(limit) == 0)
            json_object_set_new(object, rates[i], json_string("none"));
    }
    for (size_t i = 0; !c->json && i < ARRAY_LEN(budgets); i++) {
        const char *amount = json_string_value(json_object_get(object, budgets[i]));

        if (amount && strcmp(amount, "0") == 0)
            json_object_set_new(object, budgets[i], json_string("none"));
    }
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

/* The secret is on stdout alone, so that a script can take it. */
int key_create(struct cli *c)
{
    const char *owner_kind = cli_value(c, "--creator") ? "creator" : "account";
    const char *expires = cli_value(c, "--expires");
    AUTO_JSON body = json_pack("{s:s}", owner_kind, c->arguments[0]);
    AUTO_JSON reply = NULL;
    struct err err;
    int64_t at;

    if (expires && !clock_parse(span_of(expires), &at, &err))
        return cli_misused(c, "--expires: %s", err.text);
    if (expires)
        json_object_set_new(body, "expires_at", json_string(expires));
    read_access(c, body);
    if (read_rates(c, body) != CLI_DONE)
        return CLI_USAGE;
    reply = cli_change(c, &(struct cli_change){.target = "/admin/v1/keys", .body = body});
    if (!reply)
        return CLI_FAILED;
    if (c->json) {
        cli_print_json(reply);
        return CLI_DONE;
    }
    fprintf(stderr, "the key of %s %s, shown this once:\n", owner_kind, c->arguments[0]);
    printf("%s\n", json_string_value(json_object_get(reply, "secret")));
    return CLI_DONE;
}

/* Words between commas; the console says what is wrong with them. */
static void read_access(const struct cli *c, json_t *body)
{
    static const struct {
        const char *option, *member;
    } lists[] = {{"--scope", "scopes"}, {"--models", "models"}, {"--ip", "ips"}};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const char *text = cli_value(c, lists[i].option);
        json_t *list = text ? json_array() : NULL;

        for (size_t n; text; text = text[n] ? text + n + 1 : NULL) {
            n = strcspn(text, ",");
            json_array_append_new(list, json_stringn(text, n));
        }
        if (list)
            json_object_set_new(body, lists[i].member, list);
    }
}

int key_limit(struct cli *c)
{
    static const struct cli_column columns[] = {{"key", "key", false},
                                                {"rpm", "rpm", true},
                                                {"tpm", "tpm", true},
                                                {"a day", "budget_day", true},
                                                {"a month", "budget_month", true}};
    AUTO_STRING public_id = public_id_of(c->arguments[0]);
    AUTO_STRING target = cli_target("/admin/v1/keys/%/limit", public_id);
    AUTO_JSON body = json_object();

    if (!id_is_valid(span_of(public_id)))
        return cli_misused(c, "what was given is no public id; `tollgate key list` shows them");
    if (read_rates(c, body) != CLI_DONE)
        return CLI_USAGE;
    if (json_object_size(body) == 0)
        return cli_misused(c,
                           "needs a limit to change: --rpm, --tpm, --budget-day or --budget-month");
    return change_limits(c, target, body, columns, ARRAY_LEN(columns));
}

int key_revoke(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"key", "key", false}, {"owner", "owner", false}, {"state", "state", false}};
    AUTO_STRING public_id = public_id_of(c->arguments[0]);
    AUTO_STRING target = cli_target("/admin/v1/keys/%/revoke", public_id);
    AUTO_JSON body = json_object();
    AUTO_JSON reply = NULL;

    if (!id_is_valid(span_of(public_id)))
        return cli_misused(c, "what was given is no public id; `tollgate key list` shows them");
    reply = cli_change(c, &(struct cli_change){.target = target, .body = body});
    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}

/* Of a whole key, sk-tg-PUBLIC-SECRET, only what may be seen: the secret goes nowhere. Caller
 * frees. */
static char *public_id_of(const char *text)
{
    bool is_key = strncmp(text, "sk-tg-", 6) == 0 || strncmp(text, "ck-tg-", 6) == 0;

    return is_key ? xstrndup(text + 6, strcspn(text + 6, "-")) : xstrdup(text);
}

int key_list(struct cli *c)
{
    AUTO_JSON reply = cli_get(c, "/admin/v1/keys");
    json_t *key;
    size_t i;

    if (!reply)
        return CLI_FAILED;
    json_array_foreach(json_object_get(reply, "data"), i, key) name_absent_rates(c, key);
    cli_print_list(c, json_object_get(reply, "data"), key_columns, ARRAY_LEN(key_columns),
                   "there are no keys yet; `tollgate key create` makes one");
    return CLI_DONE;
}
