/* cli.h - the command line as a table: every command with its words, arguments, options and the
 * sentence that `--help` prints of it. Results go to stdout, everything else to stderr; exit codes
 * are 0, 1 (failed) and 2 (usage). */
#ifndef TOLLGATE_GATEWAY_CLI_H
#define TOLLGATE_GATEWAY_CLI_H

#include "gateway/options.h"
#include "lib/base/err.h"

#define CLI_DONE   0
#define CLI_FAILED 1
#define CLI_USAGE  2

#define CLI_OPTIONS_MAX   12
#define CLI_ARGUMENTS_MAX 4

struct cli;

struct cli_option {
    const char *name;  /* "--currency" */
    const char *value; /* what its value is called; null: it has none */
    const char *about;
};

#define CLI_CONFIG 1u /* -c */
#define CLI_JSON   2u /* --json */
#define CLI_COMMON (CLI_CONFIG | CLI_JSON)

struct command {
    const char *name;      /* "account create" */
    const char *arguments; /* "ID [AMOUNT]": each a word, optional ones in brackets and last */
    const char *about;     /* a sentence */
    const struct cli_option *options;
    size_t option_count;
    unsigned common; /* which of the options of all commands mean something to it */
    int (*run)(struct cli *c);
};

struct cli {
    const struct command *command;
    const char *config; /* -c, else $TOLLGATE_CONFIG, else the usual place */
    bool json;
    size_t argument_count;
    const char *arguments[CLI_ARGUMENTS_MAX];
    const char
        *values[CLI_OPTIONS_MAX]; /* in the order of the command's options; null: not given */
    struct options options;       /* after cli_read_config() */
};

/* Runs what the words say; returns the exit code. */
int cli_run(const struct command *commands, size_t count, int argc, char **argv) MUST_USE;

/* An option's value; of one without value its name; null when it was not given. */
const char *cli_value(const struct cli *c, const char *option);
/* Reads the config into c->options and lets it take effect; false after having said every mistake.
 */
bool cli_read_config(struct cli *c) MUST_USE;
/* False after having said that there is none, and how one is named. */
bool cli_has_config(const struct cli *c) MUST_USE;
/* One sentence on stderr; returns CLI_FAILED, or CLI_USAGE. */
int cli_fail(const struct cli *c, const char *format, ...) PRINTF_LIKE(2, 3);
int cli_misused(const struct cli *c, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
