/* cli_commands.c - the commands, their options and handlers: the single source of `tollgate --help`. */
#include "gateway/cli_commands.h"

#include "gateway/cli_check.h"

static const struct cli_option check_options[] = {
    {"--print-defaults", NULL, "print a config file with every option at its default instead"},
};

const struct command cli_commands[] = {
    {"check", "", "Reads the config and says every mistake in it, with its line.", check_options,
     ARRAY_LEN(check_options), false, check},
};
const size_t cli_command_count = ARRAY_LEN(cli_commands);
