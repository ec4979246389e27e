/* cli_settle.h - the commands of settlement and receipts. */
#ifndef TOLLGATE_GATEWAY_CLI_SETTLE_H
#define TOLLGATE_GATEWAY_CLI_SETTLE_H

#include "gateway/cli.h"

int settle_preview(struct cli *c);
int settle_close(struct cli *c);
int settle_status(struct cli *c);
int settle_export(struct cli *c);
int settle_verify(struct cli *c);

#endif
