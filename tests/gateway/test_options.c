/* Options: what is written is what is used, and every kind of mistake is told with its line. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/options.h"
#include "lib/base/file.h"
#include "lib/net/pki.h"
#include "tests/base/run.h"

#define HEAD       "state = \"state\"\ncertificate = \"server.pem\"\ncertificate_key = \"server.key\"\n"
#define HEAD_LINES 3

static char folder[64];

static void enter_folder(void)
{
    struct err err;

    snprintf(folder, sizeof folder, "/tmp/tollgate-options-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_msg(pki_ensure_dev(folder, &err), "%s", err.text);
}

static void leave_folder(void)
{
    char command[128];

    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf -- %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, mode_t mode, const char *text)
{
    FILE *f = fopen(name, "w");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(chmod(name, mode), 0);
}

/* What is said of a config that ends in this text. */
static void load(const char *text, struct options *o, struct buf *problems)
{
    AUTO_CLEAR(buf) all = {.max = 65536};

    buf_printf(&all, HEAD "%s", text);
    write_file("tollgate.conf", 0600, all.data);
    buf_init(problems, 65536);
    if (options_load("tollgate.conf", o, problems))
        ck_assert_uint_eq(problems->len, 0);
    else
        ck_assert_uint_gt(problems->len, 0);
}

/* Exactly one mistake is told: on this line after the head, in words that have these. */
static void expect_mistake(const char *text, int line, const char *words)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 0};
    char place[64];

    load(text, &o, &problems);
    ck_assert_msg(problems.len > 0, "nothing is said of: %s", text);
    snprintf(place, sizeof place, "tollgate.conf:%d: ", HEAD_LINES + line);
    ck_assert_msg(strncmp(problems.data, place, strlen(place)) == 0, "%s: %s", text, problems.data);
    ck_assert_msg(strstr(problems.data, words) != NULL, "%s: %s", text, problems.data);
    ck_assert_ptr_eq(strchr(problems.data, '\n'), problems.data + problems.len - 1);
}

START_TEST(a_short_config_is_enough)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 0};

    load("backend \"local\" {\n kind = openai\n url = \"http://127.0.0.1:8000/v1\"\n}\n", &o,
         &problems);
    ck_assert_msg(problems.len == 0, "%s", problems.data);
    ck_assert_str_eq(o.listen, "127.0.0.1:8443");
    ck_assert_str_eq(o.console_listen, "127.0.0.1:8444");
    ck_assert_int_eq(o.head_bytes, 16384);
    ck_assert_int_eq(o.target_bytes, 8192);
    ck_assert_int_eq(o.body_bytes, 32 << 20);
    ck_assert_int_eq(o.handshake_timeout, 5000);
    ck_assert_int_eq(o.head_timeout, 10000);
    ck_assert_int_eq(o.idle_timeout, 75000);
    ck_assert_int_eq(o.total_timeout, 600000);
    ck_assert_uint_eq(o.backend_count, 1);
    ck_assert_str_eq(o.backends[0].title, "local");
    ck_assert_int_eq(o.backends[0].connect_timeout, 5000);
    ck_assert_ptr_null(o.backends[0].key_file);
}
END_TEST

START_TEST(paths_are_taken_from_the_folder_of_the_config)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 65536};
    char path[128], wanted[128];

    load("", &o, &problems);
    options_clear(&o);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(path, sizeof path, "%s/tollgate.conf", folder);
    ck_assert_msg(options_load(path, &o, &problems), "%s", problems.data);
    snprintf(wanted, sizeof wanted, "%s/state", folder);
    ck_assert_str_eq(o.state, wanted);
    snprintf(wanted, sizeof wanted, "%s/state/journal", folder);
    ck_assert_str_eq(o.journal, wanted);
    snprintf(wanted, sizeof wanted, "%s/state/archive", folder);
    ck_assert_str_eq(o.archive, wanted);
}
END_TEST

START_TEST(each_mistake_is_told_with_its_line)
{
    write_file("lax", 0644, "secret\n");
    write_file("good", 0600, "secret\n");
    expect_mistake("\nlisten = \"8443\"\n", 2, "listen: 8443 is not HOST:PORT");
    expect_mistake("console = \"example.org:1\"\n", 1, "names are not looked up");
    expect_mistake("listen = \"unix:/tmp/x\"\n", 1, "not a unix socket");
    expect_mistake("console = \"127.0.0.1:8443\"\n", 1, "console and listen are both");
    expect_mistake("archive = \"/nowhere/at/all\"\n", 1, "there is no directory \"/nowhere/at\"");
    expect_mistake("journal = \"good\"\n", 1, "is not a directory");
    expect_mistake("journal = \"data\"\narchive = \"data\"\n", 2, "archive and journal are both");
    expect_mistake("redis = \"localhost\"\n", 1, "it begins with unix:, redis://");
    expect_mistake("redis = \"redis://localhost:99999\"\n", 1, "is not HOST:PORT");
    expect_mistake("redis = \"redis://me:secret@localhost:1\"\n", 1, "redis_password_file");
    expect_mistake("redis = \"unix:\"\n", 1, "needs a path");
    expect_mistake("redis_password_file = \"lax\"\n", 1, "chmod 600");
    expect_mistake("redis_password_file = \"none\"\n", 1, "cannot open");
    expect_mistake("zone = \"Europe/Atlantis\"\n", 1, "not known to this machine");
    expect_mistake("user = \"no-such-user-here\"\n", 1, "no such user");
    expect_mistake("log_level = \"loud\"\n", 1, "debug, info, warn or error");
    expect_mistake("workers = 257\n", 1, "a whole number from 0 to 256");
    expect_mistake("clock_offset = 1000\n", 1, "testing = true");
    expect_mistake("head_bytes = \"4 KiB\"\n", 1, "target_bytes is more than head_bytes");
    expect_mistake("body_bytes = \"many\"\n", 1, "must be a size from");
    expect_mistake("idle_timeout = 75\n", 1, "must be a duration from");
    expect_mistake("lissten = \"127.0.0.1:1\"\n", 1, "there is no option \"lissten\"");
    expect_mistake("zone = \"UTC\"\nzone = \"UTC\"\n", 2, "set a second time");
}
END_TEST

START_TEST(each_mistake_of_a_backend_is_told_with_its_line)
{
    write_file("lax", 0644, "secret\n");
    expect_mistake("backend \"a\" {\n kind = gpt\n url = \"http://a/v1\"\n}\n", 2,
                   "there is no kind \"gpt\"");
    expect_mistake("backend \"a\" {\n url = \"http://a/v1\"\n}\n", 2, "has no kind");
    expect_mistake("backend \"a\" {\n kind = openai\n}\n", 2, "has no url");
    expect_mistake("\nbackend \"a\" {\n}\n", 2, "has no kind");
    expect_mistake("backend \"a\" {\n kind = echo\n url = \"http://a/v1\"\n}\n", 3, "built in");
    expect_mistake("backend \"a b\" {\n kind = echo\n}\n", 2, "a name has 1 to 64");
    expect_mistake("backend \"a\" {\n kind = echo\n}\nbackend \"a\" {\n kind = echo\n}\n", 4, "a");
    expect_mistake("backend \"a\" {\n kind = openai\n url = \"http://a/v1\"\n key_file = "
                   "\"lax\"\n}\n",
                   4, "chmod 600");
    expect_mistake("backend \"a\" {\n kind = openai\n url = \"http://a/v1\"\n ca_file = "
                   "\"server.pem\"\n}\n",
                   4, "only for an https url");
    expect_mistake("backend \"a\" {\n kind = openai\n url = \"http://a\"\n delay = \"1 s\"\n}\n", 4,
                   "only for echo");
}
END_TEST

START_TEST(malformed_urls_are_refused)
{
    static const struct {
        const char *url, *words;
    } rows[] = {
        {"example.org/v1", "must begin with http://"},
        {"ftp://example.org", "must begin with http://"},
        {"httpx://example.org", "must begin with http://"},
        {"http://", "has no host"},
        {"http://:80/v1", "has no host"},
        {"http://a:0/v1", "port"},
        {"http://a:65536/v1", "port"},
        {"http://a:/v1", "port"},
        {"http://a:8o/v1", "port"},
        {"http://me@a/v1", "key_file"},
        {"http://a/v1?x=1", "query"},
        {"http://a/v1#x", "query"},
        {"http://a/v 1", "blank"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[256];

        snprintf(text, sizeof text, "backend \"a\" {\n kind = openai\n url = \"%s\"\n}\n",
                 rows[i].url);
        expect_mistake(text, 3, rows[i].words);
    }
}
END_TEST

START_TEST(good_urls_are_taken)
{
    static const char *const urls[] = {"http://a",
                                       "https://example.org/v1",
                                       "http://127.0.0.1:8000/v1",
                                       "http://[::1]:8000/v1",
                                       "http://[::1]/v1",
                                       "https://a:65535"};

    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        AUTO_CLEAR(options) o = {0};
        AUTO_CLEAR(buf) problems = {.max = 0};
        char text[256];

        snprintf(text, sizeof text, "backend \"a\" {\n kind = openai\n url = \"%s\"\n}\n", urls[i]);
        load(text, &o, &problems);
        ck_assert_msg(problems.len == 0, "%s", problems.data);
    }
}
END_TEST

START_TEST(a_missing_or_lax_certificate_is_told)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 65536};

    write_file("tollgate.conf", 0600,
               "state = \"state\"\ncertificate = \"gone.pem\"\ncertificate_key = \"server.key\"\n");
    ck_assert(!options_load("tollgate.conf", &o, &problems));
    ck_assert_str_eq(problems.data,
                     "tollgate.conf:2: certificate = \"./gone.pem\": No such file or "
                     "directory\n");
    buf_clear(&problems);
    ck_assert_int_eq(chmod("server.key", 0644), 0);
    write_file("tollgate.conf", 0600, HEAD);
    ck_assert(!options_load("tollgate.conf", &o, &problems));
    ck_assert_ptr_nonnull(strstr(problems.data, "tollgate.conf:3: certificate_key: "));
    ck_assert_ptr_nonnull(strstr(problems.data, "chmod 600"));
}
END_TEST

START_TEST(a_certificate_with_another_key_is_told)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 65536};

    write_file("tollgate.conf", 0600,
               "state = \"state\"\ncertificate = \"server.pem\"\ncertificate_key = \"ca.key\"\n");
    ck_assert(!options_load("tollgate.conf", &o, &problems));
    ck_assert_ptr_nonnull(strstr(problems.data, "tollgate.conf:3: certificate_key = "));
    ck_assert_ptr_nonnull(strstr(problems.data, "is not the key of the certificate"));
}
END_TEST

START_TEST(mistakes_of_all_kinds_are_told_together_by_line)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 65536};
    const char *at;

    write_file("tollgate.conf", 0600,
               HEAD "log_level = loud\nworkers = 99999\nlisten = x\nnonsense = 1\n");
    ck_assert(!options_load("tollgate.conf", &o, &problems));
    at = problems.data;
    for (int line = 4; line <= 7; line++) {
        char begin[32];

        snprintf(begin, sizeof begin, "tollgate.conf:%d: ", line);
        ck_assert_msg(strncmp(at, begin, strlen(begin)) == 0, "%s", problems.data);
        at = strchr(at, '\n') + 1;
    }
    ck_assert_str_eq(at, "");
}
END_TEST

START_TEST(all_mistakes_are_told_at_once)
{
    AUTO_CLEAR(options) o = {0};
    AUTO_CLEAR(buf) problems = {.max = 0};
    size_t lines = 0;

    load("listen = \"x\"\nworkers = 2\nlog_level = \"x\"\nclock_offset = 5\n", &o, &problems);
    for (size_t i = 0; i < problems.len; i++)
        lines += problems.data[i] == '\n';
    ck_assert_msg(lines == 3, "%s", problems.data);
    ck_assert_ptr_null(o.listen);
}
END_TEST

START_TEST(the_documented_config_is_current)
{
    AUTO_CLEAR(buf) file = {.max = 1 << 20};
    AUTO_CLEAR(buf) printed = {.max = 1 << 20};
    const char *top = getenv("TOP_SRCDIR");
    char path[512];
    struct err err;

    snprintf(path, sizeof path, "%s/conf/tollgate.conf", top ? top : ".");
    ck_assert_msg(file_read(path, &file, &err), "%s", err.text);
    conf_print_reference(&options_table, &printed);
    ck_assert_msg(span_equal(buf_span(&file), buf_span(&printed)),
                  "run: tollgate check --print-defaults >conf/tollgate.conf");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("files");
    TCase *plain = tcase_create("table");

    tcase_add_checked_fixture(tcase, enter_folder, leave_folder);
    tcase_add_test(tcase, a_short_config_is_enough);
    tcase_add_test(tcase, paths_are_taken_from_the_folder_of_the_config);
    tcase_add_test(tcase, each_mistake_is_told_with_its_line);
    tcase_add_test(tcase, each_mistake_of_a_backend_is_told_with_its_line);
    tcase_add_test(tcase, malformed_urls_are_refused);
    tcase_add_test(tcase, good_urls_are_taken);
    tcase_add_test(tcase, a_missing_or_lax_certificate_is_told);
    tcase_add_test(tcase, a_certificate_with_another_key_is_told);
    tcase_add_test(tcase, mistakes_of_all_kinds_are_told_together_by_line);
    tcase_add_test(tcase, all_mistakes_are_told_at_once);
    tcase_add_test(plain, the_documented_config_is_current);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
