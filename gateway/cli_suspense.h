/* cli_suspense.h - the commands about what could not be booked. */
#ifndef TOLLGATE_GATEWAY_CLI_SUSPENSE_H
#define TOLLGATE_GATEWAY_CLI_SUSPENSE_H

#include "gateway/cli.h"

int suspense_list(struct cli *c);
int suspense_resolve(struct cli *c);

#endif
