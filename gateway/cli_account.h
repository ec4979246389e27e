/* cli_account.h - the commands of accounts. */
#ifndef TOLLGATE_GATEWAY_CLI_ACCOUNT_H
#define TOLLGATE_GATEWAY_CLI_ACCOUNT_H

#include "gateway/cli.h"

int account_create(struct cli *c);
int account_limit(struct cli *c);
int account_show(struct cli *c);
int account_list(struct cli *c);

#endif
