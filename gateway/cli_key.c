/* cli_key.c - the keys that accounts and creators have. A secret is on stdout alone, so that a script can take it. */
#include "gateway/cli_key.h"

#include <stdio.h>

#include "gateway/cli_admin.h"
#include "gateway/cli_limits.h"
#include "gateway/cli_print.h"
#include "lib/base/clock.h"
#include "lib/base/conf_value.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define DAY_MS INT64_C(86400000)

static const struct cli_column key_columns[] = {
    {"key", "public_id", false},
    {"account", "account", false},
    {"creator", "creator", false},
    {"state", "state", false},
    {"expires", "expires_at", false},
    {"replaced by", "replaced_by", false},
    {"rpm", "rpm", true},
    {"tpm", "tpm", true},
    {"budget a day", "budget_day", true},
    {"budget a month", "budget_month", true},
    {"scopes", "scopes", false},
    {"models", "models", false},
    {"ips", "ips", false},
    {"pepper", "pepper", false},
};

static int read_expiry(struct cli *c, json_t *body);
static void read_access(const struct cli *c, json_t *body);
static json_t *words_of(const char *text);
static int read_grace(struct cli *c, json_t *body);
static int change_key(struct cli *c, const char *pattern, json_t *body,
                      const struct cli_column *columns, size_t count);
static int ask(struct cli *c, const char *pattern, json_t *body, json_t **reply);
static char *public_id_of(const char *text);

int key_create(struct cli *c)
{
    const char *owner_kind = cli_value(c, "--creator") ? "creator" : "account";
    AUTO_JSON body = json_pack("{s:s}", owner_kind, c->arguments[0]);
    AUTO_JSON reply = NULL;

    read_access(c, body);
    if (read_expiry(c, body) != CLI_DONE || cli_read_rates(c, body) != CLI_DONE)
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

static int read_expiry(struct cli *c, json_t *body)
{
    const char *expires = cli_value(c, "--expires");
    bool is_never = expires && strcmp(expires, "never") == 0;
    struct err err;
    int64_t at;

    if (expires && !is_never && !clock_parse(span_of(expires), &at, &err))
        return cli_misused(c, "--expires: %s", err.text);
    if (expires)
        json_object_set_new(body, "expires_at", is_never ? json_null() : json_string(expires));
    return CLI_DONE;
}

/* The console says what is wrong with them. */
static void read_access(const struct cli *c, json_t *body)
{
    static const struct {
        const char *option, *member;
    } lists[] = {{"--scopes", "scopes"}, {"--models", "models"}, {"--ips", "ips"}};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const char *text = cli_value(c, lists[i].option);

        if (text)
            json_object_set_new(body, lists[i].member, words_of(text));
    }
}

/* Between commas; "all" narrows nothing. */
static json_t *words_of(const char *text)
{
    json_t *list;

    if (strcmp(text, "all") == 0)
        return json_null();
    list = json_array();
    for (size_t n; text; text = text[n] ? text + n + 1 : NULL) {
        n = strcspn(text, ",");
        json_array_append_new(list, json_stringn(text, n));
    }
    return list;
}

int key_rotate(struct cli *c)
{
    AUTO_JSON body = json_object();
    AUTO_JSON reply = NULL;
    int code;

    if (read_grace(c, body) != CLI_DONE || read_expiry(c, body) != CLI_DONE)
        return CLI_USAGE;
    code = ask(c, "/admin/v1/keys/%/rotate", body, &reply);
    if (code != CLI_DONE)
        return code;
    if (c->json) {
        cli_print_json(reply);
        return CLI_DONE;
    }
    fprintf(stderr, "%s works until %s; the key that replaces it, shown this once:\n",
            json_string_value(json_object_get(reply, "replaces")),
            json_string_value(json_object_get(reply, "replaced_until")));
    printf("%s\n", json_string_value(json_object_get(reply, "secret")));
    return CLI_DONE;
}

static int read_grace(struct cli *c, json_t *body)
{
    static const struct conf_option grace = {
        .name = "grace", .type = CONF_DURATION, .min = 0, .max = 366 * DAY_MS};
    const char *text = cli_value(c, "--grace");
    int64_t ms = 0;

    if (!text)
        return CLI_DONE;
    if (strcmp(text, "0") != 0 && (!conf_value_parse(&grace, text, &ms) || ms % 1000))
        return cli_misused(c,
                           "--grace must be 0, or a duration of whole seconds up to 8784 h, such "
                           "as 24h, 30min or 90s, not \"%s\"",
                           text);
    json_object_set_new(body, "grace", json_integer(ms / 1000));
    return CLI_DONE;
}

int key_update(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"key", "key", false},       {"expires", "expires_at", false},
        {"scopes", "scopes", false}, {"models", "models", false},
        {"ips", "ips", false},
    };
    AUTO_JSON body = json_object();

    read_access(c, body);
    if (read_expiry(c, body) != CLI_DONE)
        return CLI_USAGE;
    if (json_object_size(body) == 0)
        return cli_misused(c, "needs what to change: --scopes, --models, --ips or --expires");
    return change_key(c, "/admin/v1/keys/%/update", body, columns, ARRAY_LEN(columns));
}

int key_limit(struct cli *c)
{
    static const struct cli_column columns[] = {{"key", "key", false},
                                                {"rpm", "rpm", true},
                                                {"tpm", "tpm", true},
                                                {"budget a day", "budget_day", true},
                                                {"budget a month", "budget_month", true}};
    AUTO_JSON body = json_object();

    if (cli_read_rates(c, body) != CLI_DONE)
        return CLI_USAGE;
    if (json_object_size(body) == 0)
        return cli_misused(c,
                           "needs a limit to change: --rpm, --tpm, --budget-day or --budget-month");
    return change_key(c, "/admin/v1/keys/%/limit", body, columns, ARRAY_LEN(columns));
}

int key_revoke(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"key", "key", false}, {"owner", "owner", false}, {"state", "state", false}};
    AUTO_JSON body = json_object();

    return change_key(c, "/admin/v1/keys/%/revoke", body, columns, ARRAY_LEN(columns));
}

static int change_key(struct cli *c, const char *pattern, json_t *body,
                      const struct cli_column *columns, size_t count)
{
    AUTO_JSON reply = NULL;
    int code = ask(c, pattern, body, &reply);

    if (code != CLI_DONE)
        return code;
    cli_name_absent_rates(c, reply);
    cli_print_object(c, reply, columns, count);
    return CLI_DONE;
}

static int ask(struct cli *c, const char *pattern, json_t *body, json_t **reply)
{
    AUTO_STRING public_id = public_id_of(c->arguments[0]);
    AUTO_STRING target = cli_target(pattern, public_id);

    if (!id_is_valid(span_of(public_id)))
        return cli_misused(c, "what was given is no public id; `tollgate key list` shows them");
    *reply = cli_change(c, &(struct cli_change){.target = target, .body = body});
    return *reply ? CLI_DONE : CLI_FAILED;
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
    json_array_foreach(json_object_get(reply, "data"), i, key) cli_name_absent_rates(c, key);
    cli_print_list(c, json_object_get(reply, "data"), key_columns, ARRAY_LEN(key_columns),
                   "there are no keys yet; `tollgate key create` makes one");
    return CLI_DONE;
}
