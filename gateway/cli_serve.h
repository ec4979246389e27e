/* cli_serve.h - `tollgate serve`. */
#ifndef TOLLGATE_GATEWAY_CLI_SERVE_H
#define TOLLGATE_GATEWAY_CLI_SERVE_H

#include "gateway/cli.h"

int serve(struct cli *c);

#endif
