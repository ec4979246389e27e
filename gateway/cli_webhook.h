/* cli_webhook.h - where an account's threshold notices go. */
#ifndef TOLLGATE_GATEWAY_CLI_WEBHOOK_H
#define TOLLGATE_GATEWAY_CLI_WEBHOOK_H

#include "gateway/cli.h"

int webhook_create(struct cli *c);
int webhook_list(struct cli *c);
int webhook_delete(struct cli *c);
int webhook_test(struct cli *c);

#endif
