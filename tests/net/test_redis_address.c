/* test_redis_address.c - what operators write, what servers answer when they refuse, and where keys
 * are: the small parsers of the client. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/redis_address.h"
#include "lib/net/redis_refusal.h"
#include "lib/net/redis_slots.h"
#include "tests/base/run.h"

START_TEST(every_form_says_what_stands_behind_it)
{
    static const struct {
        const char *text;
        enum redis_kind kind;
        bool is_tls;
        size_t count;
        const char *first, *last, *user, *master;
    } rows[] = {
        {"unix:/run/redis.sock", REDIS_ALONE, false, 1, "unix:/run/redis.sock",
         "unix:/run/redis.sock", NULL, NULL},
        {"redis://localhost:6379", REDIS_ALONE, false, 1, "localhost:6379", "localhost:6379", NULL,
         NULL},
        {"rediss://eve@[::1]:6379", REDIS_ALONE, true, 1, "[::1]:6379", "[::1]:6379", "eve", NULL},
        {"redis-sentinel://a:1,b:2,c:3/books", REDIS_BY_SENTINEL, false, 3, "a:1", "c:3", NULL,
         "books"},
        {"rediss-sentinel://eve@a:1/books", REDIS_BY_SENTINEL, true, 1, "a:1", "a:1", "eve",
         "books"},
        {"redis-cluster://10.0.0.1:7000,10.0.0.2:7000", REDIS_IN_CLUSTER, false, 2, "10.0.0.1:7000",
         "10.0.0.2:7000", NULL, NULL},
        {"rediss-cluster://a:1", REDIS_IN_CLUSTER, true, 1, "a:1", "a:1", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_CLEAR(redis_address) a = {.count = 0};
        struct err err;

        ck_assert_msg(redis_address_parse(rows[i].text, &a, &err), "%s: %s", rows[i].text,
                      err.text);
        ck_assert_int_eq(a.kind, rows[i].kind);
        ck_assert_int_eq(a.is_tls, rows[i].is_tls);
        ck_assert_uint_eq(a.count, rows[i].count);
        ck_assert_str_eq(a.places[0], rows[i].first);
        ck_assert_str_eq(a.places[a.count - 1], rows[i].last);
        ck_assert_pstr_eq(a.user, rows[i].user);
        ck_assert_pstr_eq(a.master, rows[i].master);
    }
}
END_TEST

START_TEST(every_other_form_is_refused_in_one_sentence)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"http://a:1", "begins with unix:, redis://"},
        {"redis:/a:1", "begins with unix:, redis://"},
        {"redis-sentinels://a:1/x", "begins with unix:, redis://"},
        {"redis://a", "\"a\" is not HOST:PORT"},
        {"redis://:1", "is not HOST:PORT"},
        {"redis://a:0", "is not HOST:PORT"},
        {"redis://a:65536", "is not HOST:PORT"},
        {"redis://a:1x", "is not HOST:PORT"},
        {"redis://::1:6379", "is not HOST:PORT"},
        {"redis://a b:1", "is not HOST:PORT"},
        {"redis://a:1?db=2", "is not HOST:PORT"},
        {"redis://a:1/2", "database 0"},
        {"redis://a:1,b:2", "redis-sentinel:// or redis-cluster://"},
        {"redis://@a:1", "no user before the @"},
        {"redis://eve:secret@a:1", "into a file"},
        {"redis-sentinel://a:1,b:2", "/NAME"},
        {"redis-sentinel://a:1/", "/NAME"},
        {"redis-sentinel://a:1/b/c", "/NAME"},
        {"redis-sentinel:///books", "is not HOST:PORT"},
        {"redis-cluster://a:1,", "is not HOST:PORT"},
        {"redis-cluster://a:1/0", "database 0"},
        {"unix:", "needs a path"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_address a;
        struct err err;

        ck_assert_msg(!redis_address_parse(rows[i].text, &a, &err), "%s", rows[i].text);
        ck_assert_int_eq(err.code, ERR_INPUT);
        ck_assert_msg(strstr(err.text, rows[i].sentence) != NULL, "%s: %s", rows[i].text, err.text);
        ck_assert_ptr_null(strstr(err.text, "secret"));
    }
}
END_TEST

/* CRC16/XMODEM of "123456789" is 0x31c3; the others are of the specification's own examples. */
START_TEST(keys_are_in_the_slots_of_the_specification)
{
    static const struct {
        const char *key;
        unsigned slot;
    } rows[] = {
        {"", 0},         {"123456789", 0x31c3}, {"foo", 12182},
        {"bar", 5061},   {"{foo}.bar", 12182},  {"x{foo}{bar}", 12182},
        {"{}foo", 9500},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(redis_slot_of(span_of(rows[i].key)) == rows[i].slot, "%s: %u", rows[i].key,
                      redis_slot_of(span_of(rows[i].key)));
    ck_assert_uint_eq(redis_slot_of(span_of("foo{{bar}}zap")), redis_slot_of(span_of("{bar")));
    ck_assert_uint_eq(redis_slot_of(span_of("tg:{a17}:state")), redis_slot_of(span_of("a17")));
    ck_assert_uint_ne(redis_slot_of(span_of("foo{}{bar}")), redis_slot_of(span_of("bar")));
    ck_assert_uint_ne(redis_slot_of(span_of("{a")), redis_slot_of(span_of("a")));
}
END_TEST

START_TEST(a_refusal_says_what_can_be_done)
{
    static const struct {
        const char *text;
        enum redis_refusal meaning;
        const char *where;
    } rows[] = {
        {"NOSCRIPT No matching script. Please use EVAL.", REDIS_NO_SCRIPT, NULL},
        {"MOVED 3999 127.0.0.1:6381", REDIS_MOVED, "127.0.0.1:6381"},
        {"ASK 3999 ::1:6381", REDIS_ASK, "[::1]:6381"},
        {"MOVED 3999 :6381", REDIS_MOVED, ":6381"},
        {"MOVED 3999", REDIS_IS_REPLY, NULL},
        {"TRYAGAIN Multiple keys request during rehashing of slot", REDIS_LATER, NULL},
        {"CLUSTERDOWN Hash slot not served", REDIS_LATER, NULL},
        {"LOADING Redis is loading the dataset in memory", REDIS_LATER, NULL},
        {"BUSY Redis is busy running a script.", REDIS_LATER, NULL},
        {"MASTERDOWN Link with MASTER is down", REDIS_DEMOTED, NULL},
        {"READONLY You can't write against a read only replica. script: x", REDIS_DEMOTED, NULL},
        {"UNBLOCKED force unblock from blocking operation", REDIS_DEMOTED, NULL},
        {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_IS_REPLY, NULL},
        {"NOPERM this user has no permissions", REDIS_IS_REPLY, NULL},
        {"BUSYGROUP Consumer Group name already exists", REDIS_IS_REPLY, NULL},
        {"", REDIS_IS_REPLY, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char where[ADDR_TEXT] = "";

        ck_assert_msg(redis_refusal_of(span_of(rows[i].text), where) == rows[i].meaning, "%s",
                      rows[i].text);
        if (rows[i].where)
            ck_assert_str_eq(where, rows[i].where);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        every_form_says_what_stands_behind_it,
        every_other_form_is_refused_in_one_sentence,
        keys_are_in_the_slots_of_the_specification,
        a_refusal_says_what_can_be_done,
    };
    TCase *all = tcase_create("all");

    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "redis_address");
}
