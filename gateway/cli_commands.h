/* cli_commands.h - all commands there are. */
#ifndef TOLLGATE_GATEWAY_CLI_COMMANDS_H
#define TOLLGATE_GATEWAY_CLI_COMMANDS_H

#include "gateway/cli.h"

extern const struct command cli_commands[];
extern const size_t cli_command_count;

#endif
