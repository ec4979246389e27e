/* cli_catalogue.h - the commands of creators, models and what they cost. */
#ifndef TOLLGATE_GATEWAY_CLI_CATALOGUE_H
#define TOLLGATE_GATEWAY_CLI_CATALOGUE_H

#include "gateway/cli.h"

int apply(struct cli *c);
int creator_list(struct cli *c);
int creator_show(struct cli *c);
int model_list(struct cli *c);
int model_show(struct cli *c);

#endif
