/* test_names.c - names follow their addresses, whatever becomes of the process that looks them up. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/base/run.h"
#include "tests/net/names_fixture.h"

struct watched {
    struct name *name;
    int told;
    bool is_told;
};

static void on_told(void *arg)
{
    struct watched *w = arg;

    w->told++;
    w->is_told = true;
}

static void await_told(struct watched *w)
{
    w->is_told = false;
    ck_assert(loop_run_until(loop, &w->is_told, PATIENCE_MS));
}

/* "127.0.0.1:80 …", or "!why", or "" while nothing is known. */
static const char *shown(const struct name *name)
{
    static char text[1024];
    const struct addr_list *list;
    struct err err = {0};
    char one[ADDR_TEXT];

    text[0] = '\0';
    list = name_addrs(name, &err);
    if (!list && err.code)
        snprintf(text, sizeof text, "!%s", err.text);
    for (size_t i = 0; list && i < list->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "",
                 addr_format(&list->addr[i], one));
    return text;
}

static void await_shown(struct watched *w, const char *text)
{
    for (int i = 0; i < 1000 && strcmp(shown(w->name), text) != 0; i++)
        await_told(w);
    ck_assert_str_eq(shown(w->name), text);
}

START_TEST(a_name_has_the_addresses_that_were_found)
{
    struct watched w = {0};

    put("example", "127.0.0.1:80\n[::1]:80\n");
    w.name = name_watch(names, "example:80", on_told, &w);
    ck_assert_str_eq(shown(w.name), "");
    await_told(&w);
    ck_assert_str_eq(shown(w.name), "127.0.0.1:80 [::1]:80");
    name_free(w.name);
}
END_TEST

START_TEST(a_name_follows_its_addresses)
{
    struct watched w = {0};

    put("example", "127.0.0.1:80\n");
    w.name = name_watch(names, "example:80", on_told, &w);
    await_shown(&w, "127.0.0.1:80");
    put("example", "127.0.0.2:80\n");
    await_shown(&w, "127.0.0.2:80");
    name_free(w.name);
}
END_TEST

START_TEST(the_last_good_answer_stays_while_lookups_fail)
{
    struct watched w = {0};

    put("example", "127.0.0.1:80\n");
    w.name = name_watch(names, "example:80", on_told, &w);
    await_shown(&w, "127.0.0.1:80");
    take_away("example");
    for (int i = 0; i < 5; i++)
        await_told(&w);
    ck_assert_str_eq(shown(w.name), "127.0.0.1:80");
    name_free(w.name);
}
END_TEST

START_TEST(a_failure_is_told_and_the_name_is_asked_for_again)
{
    struct watched w = {0};

    w.name = name_watch(names, "example:80", on_told, &w);
    await_told(&w);
    ck_assert_str_eq(shown(w.name), "!cannot look up example:80: there is no such name");
    put("example", "127.0.0.1:80\n");
    await_shown(&w, "127.0.0.1:80");
    name_free(w.name);
}
END_TEST

START_TEST(a_lookup_that_hangs_delays_no_other)
{
    struct watched hanging = {0}, w = {0};

    put("hanging", "hang\n");
    put("example", "127.0.0.1:80\n");
    hanging.name = name_watch(names, "hanging:80", on_told, &hanging);
    w.name = name_watch(names, "example:80", on_told, &w);
    await_shown(&w, "127.0.0.1:80");
    await_told(&w);
    ck_assert_int_eq(hanging.told, 0);
    name_free(hanging.name);
    name_free(w.name);
}
END_TEST

START_TEST(a_process_that_dies_is_asked_again_once_it_is_back)
{
    struct watched w = {0};

    put("example", "hang\n");
    w.name = name_watch(names, "example:80", on_told, &w);
    pass_ms(loop, 50);
    stop_server();
    put("example", "127.0.0.1:80\n");
    start_server();
    await_shown(&w, "127.0.0.1:80");
    stop_server();
    start_server();
    put("example", "127.0.0.2:80\n");
    await_shown(&w, "127.0.0.2:80");
    name_free(w.name);
}
END_TEST

START_TEST(an_answer_that_never_comes_is_a_failure)
{
    static const struct names_times hasty = {.fresh_ms = 30, .retry_ms = 30, .answer_ms = 50};
    struct watched w = {0};

    names_free(names);
    names = names_new(loop, &server, &hasty);
    put("example", "hang\n");
    w.name = name_watch(names, "example:80", on_told, &w);
    await_told(&w);
    ck_assert_str_eq(shown(w.name), "!cannot look up example:80: no answer came in time");
    put("example", "127.0.0.1:80\n");
    await_shown(&w, "127.0.0.1:80");
    name_free(w.name);
}
END_TEST

static struct watched pair[2];

static void free_both(void *arg UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(pair); i++) {
        name_free(pair[i].name);
        pair[i].name = NULL;
    }
    pair[0].is_told = true;
}

START_TEST(whoever_is_told_may_free_every_name)
{
    put("example", "127.0.0.1:80\n");
    for (size_t i = 0; i < ARRAY_LEN(pair); i++)
        pair[i].name = name_watch(names, "example:80", free_both, NULL);
    await_told(&pair[0]);
    ck_assert_ptr_null(pair[0].name);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_name_has_the_addresses_that_were_found,
        a_name_follows_its_addresses,
        the_last_good_answer_stays_while_lookups_fail,
        a_failure_is_told_and_the_name_is_asked_for_again,
        a_lookup_that_hangs_delays_no_other,
        a_process_that_dies_is_asked_again_once_it_is_back,
        an_answer_that_never_comes_is_a_failure,
        whoever_is_told_may_free_every_name,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "names");
}
