/* dev_config.h - the config of a development machine, written anew at each start. */
#ifndef TOLLGATE_GATEWAY_DEV_CONFIG_H
#define TOLLGATE_GATEWAY_DEV_CONFIG_H

#include "gateway/dev_machine.h"

bool dev_config_write(const struct dev_machine *m, struct err *err) MUST_USE;

#endif
