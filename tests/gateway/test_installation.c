/* The installation: made once, found again, and never made anew over what is missing. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/archive.h"
#include "gateway/installation.h"
#include "lib/base/file.h"
#include "tests/base/run.h"

static char folder[64];

static void enter_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/tollgate-installation-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
    char command[128];

    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf -- %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void open_it(struct installation *out)
{
    struct err err;

    ck_assert_msg(installation_open("state", "archive", "Asia/Shanghai", out, &err), "%s",
                  err.text);
}

static void expect_refusal(const char *zone, enum err_code code, const char *words)
{
    AUTO_CLEAR(installation) i = {.signing_key = NULL};
    struct err err;

    ck_assert(!installation_open("state", "archive", zone, &i, &err));
    ck_assert_msg(err.code == code && strstr(err.text, words), "%d: %s", err.code, err.text);
}

static void rewrite(const char *name, const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof command, "sed -i 's/%s/%s/' state/%s", from, to, name);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(what_was_made_is_found_again)
{
    AUTO_CLEAR(installation) a = {.signing_key = NULL};
    AUTO_CLEAR(installation) b = {.signing_key = NULL};
    unsigned char raw_a[ED25519_PUBLIC_LEN], raw_b[ED25519_PUBLIC_LEN];

    open_it(&a);
    open_it(&b);
    ck_assert_str_eq(a.id, b.id);
    ck_assert_uint_eq(strlen(a.id), 19);
    ck_assert(
        secret_equal(&a.peppers.of[PEPPER_IN_USE].secret, &b.peppers.of[PEPPER_IN_USE].secret));
    ck_assert(secret_equal(&a.operator_token, &b.operator_token));
    ck_assert(secret_equal(&a.finance_token, &b.finance_token));
    ck_assert(!secret_equal(&a.operator_token, &b.finance_token));
    signing_key_public_raw(a.signing_key, raw_a);
    signing_key_public_raw(b.signing_key, raw_b);
    ck_assert(memcmp(raw_a, raw_b, sizeof raw_a) == 0);
}
END_TEST

START_TEST(two_installations_share_nothing)
{
    AUTO_CLEAR(installation) a = {.signing_key = NULL};
    AUTO_CLEAR(installation) b = {.signing_key = NULL};
    struct err err;

    open_it(&a);
    ck_assert(installation_open("other", "archive", "Asia/Shanghai", &b, &err));
    ck_assert_str_ne(a.id, b.id);
    ck_assert(
        !secret_equal(&a.peppers.of[PEPPER_IN_USE].secret, &b.peppers.of[PEPPER_IN_USE].secret));
    ck_assert(!secret_equal(&a.operator_token, &b.operator_token));
}
END_TEST

static void register_writer_of(const char *installation)
{
    struct err err;
    struct period p;

    ck_assert(period_parse(SPAN("2026-11"), &p, &err));
    ck_assert_msg(archive_register("archive", installation, "w-0123456789abcdef", p, &err), "%s",
                  err.text);
}

START_TEST(no_second_identity_is_made_where_an_archive_has_one)
{
    struct err err;

    register_writer_of("in-0123456789abcdef");
    ck_assert(!installation_check("state", "archive", "Asia/Shanghai", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "in-0123456789abcdef"));
    expect_refusal("Asia/Shanghai", ERR_INPUT, "copy installation.json, pepper, derivation.key");
    ck_assert(!file_exists("state/installation.json") && !file_exists("state/pepper"));
}
END_TEST

START_TEST(an_archive_of_another_installation_is_refused)
{
    AUTO_CLEAR(installation) a = {.signing_key = NULL};
    struct err err;

    open_it(&a);
    register_writer_of("in-0123456789abcdef");
    ck_assert(!installation_check("state", "archive", "Asia/Shanghai", &err));
    expect_refusal("Asia/Shanghai", ERR_INPUT, "is of in-0123456789abcdef");
}
END_TEST

START_TEST(a_host_joins_with_the_files_of_another)
{
    AUTO_CLEAR(installation) a = {.signing_key = NULL};
    AUTO_CLEAR(installation) b = {.signing_key = NULL};
    struct err err;

    open_it(&a);
    register_writer_of(a.id);
    ck_assert_int_eq(system("cp -pr state other"), 0);
    ck_assert(installation_check("other", "archive", "Asia/Shanghai", &err));
    ck_assert(installation_open("other", "archive", "Asia/Shanghai", &b, &err));
    ck_assert_str_eq(a.id, b.id);
    ck_assert(
        secret_equal(&a.peppers.of[PEPPER_IN_USE].secret, &b.peppers.of[PEPPER_IN_USE].secret));
}
END_TEST

START_TEST(only_the_owner_may_read_it)
{
    static const char *const names[] = {"state/pepper",        "state/derivation.key",
                                        "state/signing.pem",   "state/operator.token",
                                        "state/finance.token", "state/installation.json"};
    AUTO_CLEAR(installation) i = {.signing_key = NULL};
    struct stat st;

    open_it(&i);
    ck_assert_int_eq(stat("state", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        ck_assert_int_eq(stat(names[k], &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
    }
}
END_TEST

START_TEST(another_zone_or_partition_count_is_refused)
{
    AUTO_CLEAR(installation) i = {.signing_key = NULL};

    open_it(&i);
    expect_refusal("Europe/Berlin", ERR_INPUT, "a zone can't be changed");
    rewrite("installation.json", "64", "32");
    expect_refusal("Asia/Shanghai", ERR_INPUT, "32 partitions");
    rewrite("installation.json", "\"format\":1", "\"format\":2");
    expect_refusal("Asia/Shanghai", ERR_INPUT, "format 2");
}
END_TEST

START_TEST(a_missing_part_is_not_made_anew)
{
    static const char *const names[] = {"pepper", "derivation.key", "signing.pem", "operator.token",
                                        "finance.token"};

    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        AUTO_CLEAR(installation) i = {.signing_key = NULL};
        char path[64], aside[80];

        open_it(&i);
        snprintf(path, sizeof path, "state/%s", names[k]);
        snprintf(aside, sizeof aside, "%s.aside", path);
        ck_assert_int_eq(rename(path, aside), 0);
        expect_refusal("Asia/Shanghai", ERR_NOT_FOUND, names[k]);
        ck_assert(!file_exists(path));
        ck_assert_int_eq(rename(aside, path), 0);
    }
}
END_TEST

START_TEST(a_lax_mode_is_refused)
{
    AUTO_CLEAR(installation) i = {.signing_key = NULL};

    open_it(&i);
    ck_assert_int_eq(chmod("state/pepper", 0640), 0);
    expect_refusal("Asia/Shanghai", ERR_DENIED, "chmod 600");
}
END_TEST

static void put_secret(const char *path, const char *text)
{
    struct err err;

    ck_assert_msg(file_write_new(path, 0600, span_of(text), &err), "%s", err.text);
}

START_TEST(peppers_stand_beside_the_one_in_use)
{
    AUTO_CLEAR(installation) a = {.signing_key = NULL};
    AUTO_CLEAR(installation) b = {.signing_key = NULL};
    enum pepper_role role;

    open_it(&a);
    ck_assert(!a.peppers.of[PEPPER_PREVIOUS].id[0] && !a.peppers.of[PEPPER_NEXT].id[0]);
    ck_assert_int_eq(rename("state/pepper", "state/pepper.previous"), 0);
    put_secret("state/pepper", "another\n");
    put_secret("state/pepper.next", "another\n"); /* is the one in use: it stands once */
    open_it(&b);
    ck_assert(peppers_find(&b.peppers, a.peppers.of[PEPPER_IN_USE].id, &role));
    ck_assert_int_eq(role, PEPPER_PREVIOUS);
    ck_assert_str_ne(b.peppers.of[PEPPER_IN_USE].id, a.peppers.of[PEPPER_IN_USE].id);
    ck_assert(!b.peppers.of[PEPPER_NEXT].id[0]);
    ck_assert(!peppers_find(&a.peppers, b.peppers.of[PEPPER_IN_USE].id, &role));
    ck_assert(!peppers_find(&a.peppers, "", &role));
}
END_TEST

START_TEST(a_pepper_beside_is_as_secret_as_the_one_in_use)
{
    AUTO_CLEAR(installation) i = {.signing_key = NULL};

    open_it(&i);
    put_secret("state/pepper.next", "another\n");
    ck_assert_int_eq(chmod("state/pepper.next", 0644), 0);
    expect_refusal("Asia/Shanghai", ERR_DENIED, "pepper.next");
    ck_assert_int_eq(unlink("state/pepper.next"), 0);
    put_secret("state/pepper.previous", "\n");
    expect_refusal("Asia/Shanghai", ERR_INPUT, "pepper.previous is empty");
}
END_TEST

START_TEST(an_interrupted_making_is_finished)
{
    AUTO_CLEAR(installation) a = {.signing_key = NULL};
    AUTO_CLEAR(installation) b = {.signing_key = NULL};

    open_it(&a);
    ck_assert_int_eq(unlink("state/installation.json"), 0);
    ck_assert_int_eq(unlink("state/signing.pem"), 0);
    open_it(&b);
    ck_assert(
        secret_equal(&a.peppers.of[PEPPER_IN_USE].secret, &b.peppers.of[PEPPER_IN_USE].secret));
}
END_TEST

START_TEST(programs_that_come_at_once_agree)
{
    enum { PROGRAMS = 8 };
    AUTO_CLEAR(installation) mine = {.signing_key = NULL};
    int pipes[2], status;
    char id[sizeof mine.id];

    ck_assert_int_eq(pipe(pipes), 0);
    for (int i = 0; i < PROGRAMS; i++) {
        if (fork() == 0) {
            open_it(&mine);
            _exit(write(pipes[1], mine.id, sizeof mine.id) != sizeof mine.id);
        }
    }
    open_it(&mine);
    for (int i = 0; i < PROGRAMS; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(read(pipes[0], id, sizeof id), sizeof id);
        ck_assert_str_eq(id, mine.id);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, enter_folder, leave_folder);
    tcase_add_test(tcase, what_was_made_is_found_again);
    tcase_add_test(tcase, two_installations_share_nothing);
    tcase_add_test(tcase, a_host_joins_with_the_files_of_another);
    tcase_add_test(tcase, an_archive_of_another_installation_is_refused);
    tcase_add_test(tcase, no_second_identity_is_made_where_an_archive_has_one);
    tcase_add_test(tcase, only_the_owner_may_read_it);
    tcase_add_test(tcase, another_zone_or_partition_count_is_refused);
    tcase_add_test(tcase, a_missing_part_is_not_made_anew);
    tcase_add_test(tcase, a_lax_mode_is_refused);
    tcase_add_test(tcase, peppers_stand_beside_the_one_in_use);
    tcase_add_test(tcase, a_pepper_beside_is_as_secret_as_the_one_in_use);
    tcase_add_test(tcase, an_interrupted_making_is_finished);
    tcase_add_test(tcase, programs_that_come_at_once_agree);
    return run_tests(tcase, "installation");
}
