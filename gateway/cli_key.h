/* cli_key.h - the commands of keys. */
#ifndef TOLLGATE_GATEWAY_CLI_KEY_H
#define TOLLGATE_GATEWAY_CLI_KEY_H

#include "gateway/cli.h"

int key_create(struct cli *c);
int key_rotate(struct cli *c);
int key_update(struct cli *c);
int key_limit(struct cli *c);
int key_revoke(struct cli *c);
int key_list(struct cli *c);

#endif
