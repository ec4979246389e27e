/* cli_check.h - `tollgate check`. */
#ifndef TOLLGATE_GATEWAY_CLI_CHECK_H
#define TOLLGATE_GATEWAY_CLI_CHECK_H

#include "gateway/cli.h"

int check(struct cli *c);

#endif
