/* dev_setup.h - fills a development machine while it comes up: catalogue, account, credit, keys;
 * and says when it is ready. Runs as a task of the master. */
#ifndef TOLLGATE_GATEWAY_DEV_SETUP_H
#define TOLLGATE_GATEWAY_DEV_SETUP_H

#include "gateway/dev_machine.h"

/* `machine` is a struct dev_machine *; a child_plan's run. Prints the ready line on stdout and
 * returns 0 when a call of the demo model would succeed; 1 when something is refused that waiting
 * does not mend. */
int dev_setup_run(void *machine);

#endif
