/* cli_limits.c - every limit that is given is checked before anything is asked for. */
#include "gateway/cli_limits.h"

#include <string.h>

#include "billing/admission.h"
#include "billing/money.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

int cli_read_amount(struct cli *c, const char *option, const char *member, json_t *body)
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

int cli_read_rates(struct cli *c, json_t *body)
{
    if (cli_read_count(c, "--rpm", RATE_MAX, body) != CLI_DONE ||
        cli_read_amount(c, "--budget-day", "budget_day", body) != CLI_DONE ||
        cli_read_amount(c, "--budget-month", "budget_month", body) != CLI_DONE)
        return CLI_USAGE;
    return cli_read_count(c, "--tpm", RATE_MAX, body);
}

int cli_read_count(struct cli *c, const char *option, int64_t max, json_t *body)
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

void cli_name_absent_rates(const struct cli *c, json_t *object)
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
