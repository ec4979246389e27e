/* dev.h - `tollgate dev`: everything on one machine, under one process. */
#ifndef TOLLGATE_GATEWAY_DEV_H
#define TOLLGATE_GATEWAY_DEV_H

#include "gateway/cli.h"

int dev(struct cli *c);

#endif
