/* cli_usage.h - the commands that look at calls. */
#ifndef TOLLGATE_GATEWAY_CLI_USAGE_H
#define TOLLGATE_GATEWAY_CLI_USAGE_H

#include "gateway/cli.h"

int usage_list(struct cli *c);
int usage_show(struct cli *c);

#endif
