/* The command line: the table is complete, and what is typed wrongly is said in one sentence with
 * exit code 2. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli_commands.h"
#include "gateway/cli_print.h"
#include "gateway/cli_words.h"
#include "tests/base/run.h"

#define OUTPUT_MAX 65536

static char out[OUTPUT_MAX], err_text[OUTPUT_MAX];

static void read_back(FILE *f, char *text)
{
    size_t n;

    rewind(f);
    n = fread(text, 1, OUTPUT_MAX - 1, f);
    text[n] = '\0';
    fclose(f);
}

/* Runs with what is printed caught in `out` and `err_text`. */
static int run(const struct command *commands, size_t count, const char *const *words)
{
    FILE *files[2] = {tmpfile(), tmpfile()};
    int saved[2], argc = 0, exit_code;
    char *argv[16] = {(char *)"tollgate"};

    for (argc = 1; *words; argc++)
        argv[argc] = (char *)*words++;
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(i + 1);
        ck_assert_int_ge(dup2(fileno(files[i]), i + 1), 0);
    }
    exit_code = cli_run(commands, count, argc, argv);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_ge(dup2(saved[i], i + 1), 0);
        close(saved[i]);
    }
    read_back(files[0], out);
    read_back(files[1], err_text);
    return exit_code;
}

#define RUN(...) run(cli_commands, cli_command_count, (const char *const[]){__VA_ARGS__, NULL})

static size_t lines_of(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* Misuse: exit code 2, one line on stderr with these words, nothing on stdout. */
static void expect_misuse(int exit_code, const char *words)
{
    ck_assert_int_eq(exit_code, 2);
    ck_assert_str_eq(out, "");
    ck_assert_msg(lines_of(err_text) == 1 && strstr(err_text, words), "%s", err_text);
}

START_TEST(every_row_is_complete)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct command *c = &cli_commands[i];

        ck_assert_msg(c->run != NULL, "%s", c->name);
        ck_assert_msg(c->about[strlen(c->about) - 1] == '.', "%s", c->name);
        ck_assert_uint_le(c->option_count, CLI_OPTIONS_MAX);
        ck_assert_uint_le(cli_words_count(c->arguments), CLI_ARGUMENTS_MAX);
        for (size_t k = 0; k < c->option_count; k++)
            ck_assert_msg(strncmp(c->options[k].name, "--", 2) == 0 && c->options[k].about, "%s",
                          c->name);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(c->name, cli_commands[k].name);
    }
}
END_TEST

START_TEST(every_command_has_help)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct command *c = &cli_commands[i];
        char first[64], second[64] = "";
        const char *words[4] = {first, second, "--help", NULL};

        if (sscanf(c->name, "%63s %63s", first, second) == 1)
            words[1] = "--help", words[2] = NULL;
        ck_assert_int_eq(run(cli_commands, cli_command_count, words), 0);
        ck_assert_ptr_nonnull(strstr(out, c->about));
        for (size_t k = 0; k < c->option_count; k++)
            ck_assert_ptr_nonnull(strstr(out, c->options[k].name));
        ck_assert_str_eq(err_text, "");
    }
}
END_TEST

START_TEST(help_and_version_need_no_command)
{
    ck_assert_int_eq(RUN("--help"), 0);
    for (size_t i = 0; i < cli_command_count; i++)
        ck_assert_ptr_nonnull(strstr(out, cli_commands[i].about));
    ck_assert_int_eq(RUN("help"), 0);
    ck_assert_ptr_nonnull(strstr(out, "usage: tollgate COMMAND"));
    ck_assert_int_eq(RUN("help", "account", "create"), 0);
    ck_assert_ptr_nonnull(strstr(out, "--postpaid"));
    ck_assert_int_eq(RUN("account", "--help"), 0);
    ck_assert_ptr_nonnull(strstr(out, "account credit ID AMOUNT"));
    ck_assert_ptr_null(strstr(out, "key create"));
    ck_assert_int_eq(RUN("--version"), 0);
    ck_assert_str_eq(out, PACKAGE_STRING "\n");
    ck_assert_int_eq(RUN("check", "--version"), 0);
}
END_TEST

START_TEST(what_is_typed_wrongly_is_said)
{
    expect_misuse(RUN("acount"), "there is no command \"acount\"");
    expect_misuse(RUN("account", "make"), "there is no command \"account make\"");
    expect_misuse(RUN("check", "--color"), "there is no option \"--color\"");
    expect_misuse(RUN("--color", "check"), "there is no option \"--color\" before a command");
    expect_misuse(RUN("check", "-c"), "-c needs a value");
    expect_misuse(RUN("check", "now"), "\"now\" is one argument too many");
    expect_misuse(RUN("account", "credit", "a"), "needs ID AMOUNT");
    expect_misuse(RUN("account", "credit", "a", "1", "2"), "one argument too many");
    expect_misuse(RUN("account", "create", "a", "--currency"), "--currency needs a value");
    expect_misuse(RUN("account", "create", "a", "--prepaid=yes"), "--prepaid takes no value");
    expect_misuse(RUN("account", "create", "a", "--prepaid", "--prepaid"), "given twice");
    expect_misuse(RUN("account", "create", "a", "--prepaid"), "needs --currency");
    expect_misuse(RUN("account", "create", "a", "--currency", "CNY"), "--prepaid or --postpaid");
    expect_misuse(RUN("account", "create", "a", "--currency=CNY", "--prepaid", "--concurrency=x"),
                  "--concurrency must be a whole number");
    expect_misuse(RUN("usage", "list", "--limit", "x"), "--limit must be from 1 to 10000");
    expect_misuse(RUN("key", "revoke", "sk-tg-"), "is no public id");
    expect_misuse(RUN("account", "credit", "a", "x"), "AMOUNT: ");
    expect_misuse(RUN("account", "credit", "a", "1", "--op", "a b"), "no operation id");
    expect_misuse(RUN("settle", "close", "2026-13"), "2026-13");
    expect_misuse(RUN("dev", "--listen", "1"), "--listen");
    expect_misuse(RUN("dev", "--workers", "0"), "--workers must be from 1 to 256");
    expect_misuse(RUN("settle", "export", "2026-11"), "needs --out DIR");
}
END_TEST

START_TEST(a_group_alone_lists_its_commands)
{
    ck_assert_int_eq(RUN("journal"), 2);
    ck_assert_str_eq(out, "");
    ck_assert_ptr_nonnull(strstr(err_text, "journal rebuild"));
}
END_TEST

START_TEST(a_missing_config_fails)
{
    ck_assert_int_eq(RUN("account", "list", "-c", "/nowhere/tollgate.conf"), 1);
    ck_assert_str_eq(out, "");
    ck_assert_ptr_nonnull(strstr(err_text, "/nowhere/tollgate.conf"));
    ck_assert_int_eq(RUN("check", "-c", "/nowhere/tollgate.conf", "--json"), 1);
    ck_assert_ptr_nonnull(strstr(out, "\"valid\":false"));
}
END_TEST

static int tell_values(struct cli *c)
{
    const char *flag = cli_value(c, "--flag"), *value = cli_value(c, "--value");

    printf("%s %s %s %s %d\n", c->arguments[0], c->argument_count > 1 ? c->arguments[1] : "-",
           flag ? flag : "-", value ? value : "-", c->json);
    return CLI_DONE;
}

START_TEST(options_stand_anywhere_behind_the_command)
{
    static const struct cli_option options[] = {{"--flag", NULL, ""}, {"--value", "V", ""}};
    static const struct command table[] = {
        {"tell us", "A [B]", "Tells.", options, 2, CLI_COMMON, tell_values}};
    static const struct {
        const char *words[8], *told;
    } rows[] = {
        {{"tell", "us", "a"}, "a - - - 0\n"},
        {{"tell", "us", "a", "b", "--flag"}, "a b --flag - 0\n"},
        {{"tell", "us", "--value", "v", "a", "--json"}, "a - - v 1\n"},
        {{"--json", "tell", "us", "--value=--flag", "a"}, "a - - --flag 1\n"},
        {{"tell", "us", "--value=", "a"}, "a - -  0\n"},
        {{"tell", "us", "--", "--flag"}, "--flag - - - 0\n"},
        {{"tell", "us", "-", "b"}, "- b - - 0\n"},
        {{"tell", "us", "a", "-5"}, "a -5 - - 0\n"},
        {{"tell", "us", "-.5", "--flag"}, "-.5 - --flag - 0\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(run(table, 1, rows[i].words), 0);
        ck_assert_str_eq(out, rows[i].told);
    }
}
END_TEST

static int print_rows(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"name", "name", false}, {"n", "sums.n", true}, {"what", "what", false}};
    AUTO_JSON rows = json_pack("[{s:s, s:{s:i}, s:[{s:s, s:i}]}, {s:s, s:{s:s}, s:{s:i, s:i}}]",
                               "name", "模型", "sums", "n", 7, "what", "id", "a", "weight", 2,
                               "name", "b", "sums", "n", "12.5", "what", "in", 1, "out", 2);

    cli_print_list(c, rows, columns, ARRAY_LEN(columns), "none");
    return CLI_DONE;
}

START_TEST(lists_are_aligned_for_people_and_lines_for_programs)
{
    static const struct command table[] = {{"list", "", "Lists.", NULL, 0, CLI_COMMON, print_rows}};

    ck_assert_int_eq(run(table, 1, (const char *const[]){"list", NULL}), 0);
    ck_assert_str_eq(out, "name     n  what\n"
                          "模型       7  a 2\n"
                          "b     12.5  in 1, out 2\n");
    ck_assert_int_eq(run(table, 1, (const char *const[]){"list", "--json", NULL}), 0);
    ck_assert_uint_eq(lines_of(out), 2);
    ck_assert_ptr_eq(strchr(out, '{'), out);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, every_row_is_complete);
    tcase_add_test(tcase, every_command_has_help);
    tcase_add_test(tcase, help_and_version_need_no_command);
    tcase_add_test(tcase, what_is_typed_wrongly_is_said);
    tcase_add_test(tcase, a_group_alone_lists_its_commands);
    tcase_add_test(tcase, a_missing_config_fails);
    tcase_add_test(tcase, options_stand_anywhere_behind_the_command);
    tcase_add_test(tcase, lists_are_aligned_for_people_and_lines_for_programs);
    return run_tests(tcase, "cli");
}
