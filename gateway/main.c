/* main.c - the program. */
#include "gateway/cli_commands.h"

int main(int argc, char **argv)
{
    return cli_run(cli_commands, cli_command_count, argc, argv);
}
