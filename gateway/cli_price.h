/* cli_price.h - `tollgate price …` */
#ifndef TOLLGATE_GATEWAY_CLI_PRICE_H
#define TOLLGATE_GATEWAY_CLI_PRICE_H

#include "gateway/cli.h"

int price_rerate(struct cli *c);

#endif
