/* cli_usage.h - the commands that look at calls, and give money back of one. */
#ifndef TOLLGATE_GATEWAY_CLI_USAGE_H
#define TOLLGATE_GATEWAY_CLI_USAGE_H

#include "gateway/cli.h"

int usage_list(struct cli *c);
int usage_show(struct cli *c);
int usage_refund(struct cli *c);

#endif
