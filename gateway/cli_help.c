/* cli_help.c - the table of commands as a page, two columns each. */
#include "gateway/cli_help.h"

#include <string.h>

#include "gateway/cli_words.h"

#define LEFT_WIDTH 34

static void print_row(FILE *out, const char *left, const char *right);
static void print_command(FILE *out, const struct command *command);

void cli_help_all(FILE *out, const struct command *commands, size_t count)
{
    fprintf(out, "Tollgate, a gateway for models: clients call them, every call is metered once, "
                 "creators are paid.\n\n"
                 "usage: tollgate COMMAND [ARGUMENT...] [OPTION...]\n\n");
    for (size_t i = 0; i < count; i++)
        print_command(out, &commands[i]);
    fprintf(out, "\nwith every command to which it means something:\n");
    print_row(out, "-c FILE",
              "the config; else $TOLLGATE_CONFIG, else /etc/tollgate/tollgate.conf");
    print_row(out, "--json", "results as JSON, one object a line");
    print_row(out, "--help", "what the command does and takes");
    print_row(out, "--version", "the program's version");
}

static void print_command(FILE *out, const struct command *command)
{
    char left[128];

    snprintf(left, sizeof left, "%s%s%s", command->name, *command->arguments ? " " : "",
             command->arguments);
    print_row(out, left, command->about);
}

static void print_row(FILE *out, const char *left, const char *right)
{
    if (strlen(left) > LEFT_WIDTH)
        fprintf(out, "  %s\n  %*s %s\n", left, LEFT_WIDTH, "", right);
    else
        fprintf(out, "  %-*s %s\n", LEFT_WIDTH, left, right);
}

bool cli_help_group(FILE *out, const struct command *commands, size_t count, const char *word)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        if (!cli_words_begin_with(commands[i].name, word))
            continue;
        if (!found)
            fprintf(out, "usage: tollgate %s COMMAND [ARGUMENT...] [OPTION...]\n\n", word);
        found = true;
        print_command(out, &commands[i]);
    }
    return found;
}

void cli_help_command(FILE *out, const struct command *command)
{
    char left[64];

    fprintf(out, "usage: tollgate %s%s%s%s\n\n%s\n", command->name, *command->arguments ? " " : "",
            command->arguments, command->option_count ? " [OPTION...]" : "", command->about);
    if (command->option_count || command->common)
        fprintf(out, "\n");
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];

        snprintf(left, sizeof left, "%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        print_row(out, left, option->about);
    }
    if (command->common & CLI_CONFIG)
        print_row(out, "-c FILE",
                  "the config; else $TOLLGATE_CONFIG, else /etc/tollgate/tollgate.conf");
    if (command->common & CLI_JSON)
        print_row(out, "--json", "results as JSON, one object a line");
}
