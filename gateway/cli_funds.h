/* cli_funds.h - the commands that put money into an account, or take it out, besides calls and refunds. */
#ifndef TOLLGATE_GATEWAY_CLI_FUNDS_H
#define TOLLGATE_GATEWAY_CLI_FUNDS_H

#include "gateway/cli.h"

int account_credit(struct cli *c);
int account_grant(struct cli *c);
int account_adjust(struct cli *c);

#endif
