/* cli_help.h - what `--help` prints, from the table of commands. Used by cli.c. */
#ifndef TOLLGATE_GATEWAY_CLI_HELP_H
#define TOLLGATE_GATEWAY_CLI_HELP_H

#include <stdio.h>

#include "gateway/cli.h"

void cli_help_all(FILE *out, const struct command *commands, size_t count);
/* The commands whose name begins with this word; false when there are none. */
bool cli_help_group(FILE *out, const struct command *commands, size_t count, const char *word);
void cli_help_command(FILE *out, const struct command *command);

#endif
