/* cli.c - from words to a row of the table, from options to the row's values; then its handler
 * runs. */
#include "gateway/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli_help.h"
#include "gateway/cli_words.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

#define USUAL_CONFIG      "/etc/tollgate/tollgate.conf"
#define PROBLEM_BYTES_MAX 65536

struct reader {
    const struct command *commands;
    size_t command_count;
    char **argv;
    int argc, at;        /* at: what is read next */
    const char *group;   /* "account", until the next word says which */
    bool only_arguments; /* after "--" */
    bool wants_help, wants_version;
    struct cli *cli;
};

static int read_all(struct reader *r);
static bool is_number(const char *text);
static int read_option(struct reader *r, const char *text);
static int read_config(struct reader *r, const char *option);
static int read_command_option(struct reader *r, const char *text);
static const char *next_value(struct reader *r, const char *after_equals);
static int read_word(struct reader *r, const char *word);
static int read_command(struct reader *r, const char *word);
static const struct command *find_command(const struct reader *r, const char *name);
static bool is_group(const struct reader *r, const char *word);
static int answer(struct reader *r);
static int answer_without_command(struct reader *r);
static int run(struct cli *c);
static bool op_is_good(const struct cli *c);
static int misused(const struct reader *r, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(const struct command *command, const char *format, va_list args);
static void point_to_help(const struct command *command);

int cli_run(const struct command *commands, size_t count, int argc, char **argv)
{
    struct cli cli = {.config = getenv("TOLLGATE_CONFIG")};
    struct reader r = {.commands = commands,
                       .command_count = count,
                       .argv = argv,
                       .argc = argc,
                       .at = 1,
                       .cli = &cli};
    int exit_code;

    log_set_process("tollgate");
    if (!cli.config || !*cli.config)
        cli.config = USUAL_CONFIG;
    exit_code = read_all(&r);
    if (exit_code == CLI_DONE)
        exit_code = answer(&r);
    options_clear(&cli.options);
    if (fflush(stdout) != 0 && exit_code == CLI_DONE)
        exit_code = cli_fail(&cli, "cannot write the result: %s", strerror(errno));
    return exit_code;
}

static int read_all(struct reader *r)
{
    while (r->at < r->argc) {
        const char *text = r->argv[r->at++];
        int rc = CLI_DONE;

        if (r->only_arguments || text[0] != '-' || text[1] == '\0' || is_number(text))
            rc = read_word(r, text);
        else if (strcmp(text, "--") == 0)
            r->only_arguments = true;
        else
            rc = read_option(r, text);
        if (rc != CLI_DONE)
            return rc;
    }
    return CLI_DONE;
}

/* No option begins with a digit, but a correction does: -5, -.5. */
static bool is_number(const char *text)
{
    text += *text == '-';
    text += *text == '.';
    return *text >= '0' && *text <= '9';
}

static int read_option(struct reader *r, const char *text)
{
    if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)
        r->wants_help = true;
    else if (strcmp(text, "--version") == 0)
        r->wants_version = true;
    else if (strcmp(text, "--json") == 0)
        r->cli->json = true;
    else if (strcmp(text, "-c") == 0 || strcmp(text, "--config") == 0)
        return read_config(r, text);
    else if (r->cli->command)
        return read_command_option(r, text);
    else
        return misused(r, "there is no option \"%s\" before a command", text);
    return CLI_DONE;
}

static int read_config(struct reader *r, const char *option)
{
    const char *value = next_value(r, NULL);

    if (!value)
        return misused(r, "%s needs a value: the config file", option);
    r->cli->config = value;
    return CLI_DONE;
}

/* "--name VALUE" or "--name=VALUE". */
static int read_command_option(struct reader *r, const char *text)
{
    const struct command *command = r->cli->command;
    const char *equals = strchr(text, '=');
    struct span name = {text, equals ? (size_t)(equals - text) : strlen(text)};

    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        const char *value = option->name;

        if (!span_equal(span_of(option->name), name))
            continue;
        if (r->cli->values[i])
            return misused(r, "%s is given twice", option->name);
        if (option->value)
            value = next_value(r, equals);
        else if (equals)
            return misused(r, "%s takes no value", option->name);
        if (!value)
            return misused(r, "%s needs a value: %s", option->name, option->value);
        r->cli->values[i] = value;
        return CLI_DONE;
    }
    return misused(r, "there is no option \"%.*s\"", SPAN_FMT(name));
}

static const char *next_value(struct reader *r, const char *equals)
{
    if (equals)
        return equals + 1;
    return r->at < r->argc ? r->argv[r->at++] : NULL;
}

static int read_word(struct reader *r, const char *word)
{
    struct cli *c = r->cli;

    if (!c->command && !r->group && strcmp(word, "help") == 0 && !r->wants_help) {
        r->wants_help = true;
        return CLI_DONE;
    }
    if (!c->command && !r->group && strcmp(word, "version") == 0) {
        r->wants_version = true;
        return CLI_DONE;
    }
    if (!c->command)
        return read_command(r, word);
    if (c->argument_count == cli_words_count(c->command->arguments))
        return misused(r, "\"%s\" is one argument too many", word);
    assert(c->argument_count < CLI_ARGUMENTS_MAX);
    c->arguments[c->argument_count++] = word;
    return CLI_DONE;
}

static int read_command(struct reader *r, const char *word)
{
    char name[64];

    snprintf(name, sizeof name, "%s%s%s", r->group ? r->group : "", r->group ? " " : "", word);
    r->cli->command = find_command(r, name);
    if (r->cli->command)
        return CLI_DONE;
    if (r->group || !is_group(r, word))
        return misused(r, "there is no command \"%s\"", name);
    r->group = word;
    return CLI_DONE;
}

static const struct command *find_command(const struct reader *r, const char *name)
{
    for (size_t i = 0; i < r->command_count; i++)
        if (strcmp(r->commands[i].name, name) == 0)
            return &r->commands[i];
    return NULL;
}

static bool is_group(const struct reader *r, const char *word)
{
    for (size_t i = 0; i < r->command_count; i++)
        if (cli_words_begin_with(r->commands[i].name, word))
            return true;
    return false;
}

static int answer(struct reader *r)
{
    struct cli *c = r->cli;

    if (r->wants_version) {
        puts("tollgate " PACKAGE_VERSION);
        return CLI_DONE;
    }
    if (!c->command)
        return answer_without_command(r);
    if (r->wants_help) {
        cli_help_command(stdout, c->command);
        return CLI_DONE;
    }
    return run(c);
}

static int answer_without_command(struct reader *r)
{
    FILE *out = r->wants_help ? stdout : stderr;

    if (r->group)
        cli_help_group(out, r->commands, r->command_count, r->group);
    else
        cli_help_all(out, r->commands, r->command_count);
    return r->wants_help ? CLI_DONE : CLI_USAGE;
}

static int run(struct cli *c)
{
    const char *arguments = c->command->arguments;

    if (c->argument_count < cli_words_required(arguments))
        return cli_misused(c, "needs %s", arguments);
    if (!op_is_good(c))
        return cli_misused(c,
                           "--op: what was given is no operation id: 1 to 64 of A-Z a-z 0-9 . _ -");
    return c->command->run(c);
}

static bool op_is_good(const struct cli *c)
{
    for (size_t i = 0; i < c->command->option_count; i++)
        if (c->values[i] && strcmp(c->command->options[i].name, "--op") == 0)
            return id_is_valid(span_of(c->values[i]));
    return true;
}

const char *cli_value(const struct cli *c, const char *option)
{
    for (size_t i = 0; i < c->command->option_count; i++)
        if (strcmp(c->command->options[i].name, option) == 0)
            return c->values[i];
    assert(!"the command's table has this option");
    return NULL;
}

bool cli_read_config(struct cli *c)
{
    AUTO_CLEAR(buf) problems = {.max = PROBLEM_BYTES_MAX};
    struct err err;

    if (!cli_has_config(c))
        return false;
    if (!options_load(c->config, &c->options, &problems)) {
        fprintf(stderr, "%.*s", SPAN_FMT(buf_span(&problems)));
        return false;
    }
    if (options_take_effect(&c->options, &err))
        return true;
    cli_fail(c, "%s", err.text);
    return false;
}

bool cli_has_config(const struct cli *c)
{
    if (access(c->config, R_OK) == 0)
        return true;
    cli_fail(c, "cannot open %s: %s; name the config with -c FILE or in $TOLLGATE_CONFIG",
             c->config, strerror(errno));
    return false;
}

int cli_fail(const struct cli *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(c->command, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CLI_FAILED;
}

int cli_misused(const struct cli *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(c->command, format, args);
    va_end(args);
    point_to_help(c->command);
    return CLI_USAGE;
}

static int misused(const struct reader *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(r->cli->command, format, args);
    va_end(args);
    point_to_help(r->cli->command);
    return CLI_USAGE;
}

static void say(const struct command *command, const char *format, va_list args)
{
    fprintf(stderr, "tollgate%s%s: ", command ? " " : "", command ? command->name : "");
    vfprintf(stderr, format, args);
}

static void point_to_help(const struct command *command)
{
    fprintf(stderr, "; `tollgate %s%s--help` explains\n", command ? command->name : "",
            command ? " " : "");
}
