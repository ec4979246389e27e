/* cli_limits.h - options that limit an account or a key, as members of a request, and in a table. */
#ifndef TOLLGATE_GATEWAY_CLI_LIMITS_H
#define TOLLGATE_GATEWAY_CLI_LIMITS_H

#include "gateway/cli.h"
#include "lib/base/json.h"

/* Each answers CLI_DONE, also when the option was not given, or CLI_USAGE after having said what is wrong. */
int cli_read_amount(struct cli *c, const char *option, const char *member, json_t *body);
/* The member is named as the option is. */
int cli_read_count(struct cli *c, const char *option, int64_t max, json_t *body);
/* --rpm, --tpm, --budget-day, --budget-month. */
int cli_read_rates(struct cli *c, json_t *body);

/* For people: rates and budgets of 0 are none. */
void cli_name_absent_rates(const struct cli *c, json_t *object);

#endif
