/* test_addr.c - addresses as people write them, and listening sockets on loopback and in a folder
 * of the test's own. */
#include <check.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/net/addr.h"
#include "lib/net/addr_public.h"
#include "tests/base/run.h"

static char dir[] = "/tmp/tollgate-test-addr-XXXXXX";
static char path[96];
static char text[ADDR_TEXT];

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sock", dir);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

static struct addr parse(const char *from)
{
    struct addr a;
    struct err err;

    ck_assert_msg(addr_parse(from, &a, &err), "%s: %s", from, err.text);
    return a;
}

START_TEST(an_address_is_written_as_it_was_read)
{
    static const char *const rows[][2] = {
        {"127.0.0.1:8443", NULL},
        {"0.0.0.0:0", NULL},
        {"[::1]:8443", NULL},
        {"[::]:65535", NULL},
        {"[2001:db8:0:0::5]:1", "[2001:db8::5]:1"},
        {"localhost:80", "127.0.0.1:80"},
        {"unix:/run/redis.sock", NULL},
        {"unix:relative", NULL},
        {"127.0.0.1:0080", "127.0.0.1:80"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a = parse(rows[i][0]);

        ck_assert_str_eq(addr_format(&a, text), rows[i][1] ? rows[i][1] : rows[i][0]);
    }
}
END_TEST

START_TEST(what_is_no_address_is_refused_with_a_sentence)
{
    static const char *const rows[] = {"",
                                       ":",
                                       ":80",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "127.0.0.1:65536",
                                       "127.0.0.1:-1",
                                       "127.0.0.1:+1",
                                       "127.0.0.1:8x",
                                       "127.0.0.1: 1",
                                       "::1:80",
                                       "[::1]",
                                       "[]:80",
                                       "[::1:80",
                                       "256.0.0.1:80",
                                       "127.1:80",
                                       "example.com:80",
                                       "unix:",
                                       "[127.0.0.1:80"};
    struct addr a = {.len = 77};
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        err.code = ERR_NONE;
        ck_assert_msg(!addr_parse(rows[i], &a, &err), "\"%s\" was taken", rows[i]);
        ck_assert_int_eq(err.code, ERR_INPUT);
        ck_assert_uint_eq(a.len, 77);
    }
}
END_TEST

START_TEST(a_socket_path_may_have_107_bytes_and_no_more)
{
    char longest[6 + 108] = "unix:";
    struct addr a;
    struct err err;

    memset(longest + 5, 'p', 107);
    longest[5 + 107] = '\0';
    ck_assert(addr_parse(longest, &a, &err));
    ck_assert_str_eq(addr_format(&a, text), longest);
    longest[5 + 107] = 'p';
    longest[5 + 108] = '\0';
    ck_assert(!addr_parse(longest, &a, &err));
}
END_TEST

START_TEST(names_are_looked_up_only_by_resolve)
{
    struct addr a;
    struct err err;

    ck_assert(addr_resolve("localhost:81", &a, &err));
    ck_assert_str_eq(addr_format(&a, text), "127.0.0.1:81");
    ck_assert(addr_resolve("unix:/x", &a, &err));
    ck_assert(!addr_resolve("no-such-host.invalid:81", &a, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert(!addr_resolve("unix:", &a, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

START_TEST(a_look_up_gives_every_address_and_numbers_are_names_too)
{
    struct addr_list found;
    struct err err;

    ck_assert(addr_look_up("127.1:81", &found, &err));
    ck_assert_uint_eq(found.count, 1);
    ck_assert_str_eq(addr_format(&found.addr[0], text), "127.0.0.1:81");
    ck_assert(!addr_look_up("no-such-host.invalid:81", &found, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert(!addr_look_up("no port", &found, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

START_TEST(loopback_is_known_in_every_form)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        {"127.0.0.1:1", true},
        {"127.9.9.9:1", true},
        {"[::1]:1", true},
        {"unix:/x", true},
        {"[::ffff:127.0.0.1]:1", true},
        {"128.0.0.1:1", false},
        {"0.0.0.0:1", false},
        {"[::]:1", false},
        {"[::ffff:10.0.0.1]:1", false},
        {"[7f00::1]:1", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a = parse(rows[i].text);

        ck_assert_msg(addr_is_loopback(&a) == rows[i].is_loopback, "%s", rows[i].text);
    }
}
END_TEST

static int listen_at(const char *where, struct addr *bound)
{
    struct addr a = parse(where);
    struct err err;
    int fd = addr_listen(&a, bound, &err);

    ck_assert_msg(fd >= 0, "%s", err.text);
    return fd;
}

START_TEST(what_is_not_the_internet_is_told_from_what_is)
{
    static const char *const others[] = {
        "10.1.2.3:1",       "100.64.0.1:1",     "127.9.9.9:1",         "169.254.169.254:1",
        "172.31.255.255:1", "192.168.0.1:1",    "198.19.0.1:1",        "203.0.113.9:1",
        "240.0.0.1:1",      "0.0.0.0:1",        "224.0.0.1:1",         "255.255.255.255:1",
        "[::]:1",           "[::1]:1",          "[::ffff:10.0.0.1]:1", "[fe80::1]:1",
        "[fd00::1]:1",      "[ff02::1]:1",      "[2001:db8::1]:1",     "[64:ff9b::a00:1]:1",
        "[2002:a00:1::]:1", "unix:/run/x.sock",
    };
    static const char *const publics[] = {
        "1.1.1.1:1",     "100.63.0.1:1",     "172.32.0.1:1",  "169.253.0.1:1",     "11.0.0.1:1",
        "192.169.0.1:1", "[2606:4700::1]:1", "[2a00:1::1]:1", "[::ffff:1.1.1.1]:1"};
    static const char *const nowhere[] = {"0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1",
                                          "255.255.255.255:1"};

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct addr a = parse(others[i]);
        ck_assert_msg(!addr_is_public(&a), "%s", others[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(publics); i++) {
        struct addr a = parse(publics[i]);
        ck_assert_msg(addr_is_public(&a) && !addr_is_nowhere(&a), "%s", publics[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
        struct addr a = parse(nowhere[i]);
        ck_assert_msg(addr_is_nowhere(&a), "%s", nowhere[i]);
    }
}
END_TEST

START_TEST(port_zero_is_replaced_by_the_one_chosen_and_shared_with_the_next_worker)
{
    struct addr bound, second;
    int fd = listen_at("127.0.0.1:0", &bound);
    int again;

    ck_assert_uint_ne(ntohs(bound.u.v4.sin_port), 0);
    again = listen_at(addr_format(&bound, text), &second);
    ck_assert_str_eq(addr_format(&second, text), addr_format(&bound, (char[ADDR_TEXT]){0}));
    close(fd);
    close(again);
}
END_TEST

START_TEST(accepted_sockets_do_not_delay_small_packets)
{
    struct addr bound;
    int fd = listen_at("127.0.0.1:0", &bound);
    int client = socket(AF_INET, SOCK_STREAM, 0), server, on = 0;
    socklen_t len = sizeof on;

    ck_assert_int_eq(connect(client, &bound.u.any, bound.len), 0);
    server = accept(fd, NULL, NULL);
    ck_assert_int_eq(getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    ck_assert_int_ne(on, 0);
    close(client);
    close(server);
    close(fd);
}
END_TEST

START_TEST(a_unix_socket_is_ours_alone_even_under_a_lax_umask)
{
    AUTO_STRING where = xasprintf("unix:%s", path);
    struct stat st;
    struct addr bound;
    int fd;

    umask(0);
    fd = listen_at(where, &bound);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_str_eq(addr_format(&bound, text), where);
    close(fd);
}
END_TEST

START_TEST(a_dead_socket_is_replaced_and_a_living_one_is_not)
{
    AUTO_STRING where = xasprintf("unix:%s", path);
    struct addr a = parse(where);
    struct err err;

    close(listen_at(where, NULL));
    ck_assert(file_exists(path));
    int fd = listen_at(where, NULL);
    ck_assert_int_eq(addr_listen(&a, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    close(fd);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
    AUTO_STRING where = xasprintf("unix:%s", path);
    struct addr a = parse(where);
    struct err err;

    ck_assert(file_write_atomic(path, 0600, SPAN("precious"), &err));
    ck_assert_int_eq(addr_listen(&a, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_EXISTS);
    ck_assert(file_exists(path));
}
END_TEST

START_TEST(a_place_where_one_cannot_listen_is_named)
{
    struct addr a = parse("192.0.2.1:1");
    struct err err;

    ck_assert_int_eq(addr_listen(&a, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "192.0.2.1:1"));
    a = parse("unix:/no/such/folder/sock");
    ck_assert_int_eq(addr_listen(&a, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/folder/sock"));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_address_is_written_as_it_was_read,
        what_is_no_address_is_refused_with_a_sentence,
        a_socket_path_may_have_107_bytes_and_no_more,
        names_are_looked_up_only_by_resolve,
        a_look_up_gives_every_address_and_numbers_are_names_too,
        loopback_is_known_in_every_form,
        what_is_not_the_internet_is_told_from_what_is,
        port_zero_is_replaced_by_the_one_chosen_and_shared_with_the_next_worker,
        accepted_sockets_do_not_delay_small_packets,
        a_unix_socket_is_ours_alone_even_under_a_lax_umask,
        a_dead_socket_is_replaced_and_a_living_one_is_not,
        a_file_that_is_no_socket_is_left_alone,
        a_place_where_one_cannot_listen_is_named,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "addr");
}
