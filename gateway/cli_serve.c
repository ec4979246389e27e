/* cli_serve.c - the server in the foreground. */
#include "gateway/cli_serve.h"

#include "gateway/master.h"

int serve(struct cli *c)
{
    return cli_read_config(c) ? master_serve(c->config, &c->options) : CLI_FAILED;
}
