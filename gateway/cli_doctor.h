/* cli_doctor.h - `tollgate doctor`. */
#ifndef TOLLGATE_GATEWAY_CLI_DOCTOR_H
#define TOLLGATE_GATEWAY_CLI_DOCTOR_H

#include "gateway/cli.h"

int doctor(struct cli *c);

#endif
