/* cli_receipt.h - the command of receipts. */
#ifndef TOLLGATE_GATEWAY_CLI_RECEIPT_H
#define TOLLGATE_GATEWAY_CLI_RECEIPT_H

#include "gateway/cli.h"

int receipt_verify_command(struct cli *c);

#endif
