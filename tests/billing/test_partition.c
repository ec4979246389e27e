/* Partitions are for ever: ids keep theirs, and keys keep their spelling. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "tests/base/run.h"

/* Data at rest depends on these; the CRCs were computed by another program. */
START_TEST(an_id_keeps_its_partition)
{
    ck_assert_uint_eq(partition_of(SIDE_ACCOUNT, SPAN("123456789")).index, 0xe3069283 % PARTITIONS);
    ck_assert_uint_eq(partition_of(SIDE_MODEL, SPAN("123456789")).index, 0xe3069283 % PARTITIONS);
    ck_assert_uint_eq(partition_of(SIDE_ACCOUNT, SPAN("")).index, 0);
    ck_assert_uint_eq(partition_of(SIDE_ACCOUNT, SPAN("demo")).index, 34);
    ck_assert_uint_eq(partition_of(SIDE_MODEL, SPAN("demo/echo")).index, 56);
    ck_assert_int_eq(partition_of(SIDE_MODEL, SPAN("demo/echo")).side, SIDE_MODEL);
}
END_TEST

START_TEST(partitions_are_named_by_side_and_two_digits)
{
    char out[PARTITION_NAME];

    ck_assert_str_eq(partition_name((struct partition){SIDE_ACCOUNT, 17}, out), "a17");
    ck_assert_str_eq(partition_name((struct partition){SIDE_MODEL, 5}, out), "m05");
    ck_assert_str_eq(partition_name((struct partition){SIDE_MODEL, PARTITIONS - 1}, out), "m63");
    ck_assert_str_eq(partition_name(partition_catalogue(), out), "m00");
}
END_TEST

/* Redis Cluster hashes what stands in the braces, so all keys of a partition share a slot. */
START_TEST(a_key_begins_with_its_partitions_tag)
{
    struct partition p = {SIDE_ACCOUNT, 17};
    char out[PARTITION_KEY];
    struct span key = partition_key(p, "account", "demo", out);

    ck_assert_ptr_eq(key.data, out);
    ck_assert_str_eq(out, "tg:{a17}:account:demo");
    ck_assert_uint_eq(key.len, strlen(out));
    key = partition_key(p, "cursors", NULL, out);
    ck_assert_str_eq(out, "tg:{a17}:cursors");
    ck_assert_uint_eq(key.len, strlen(out));
}
END_TEST

START_TEST(the_longest_key_fits)
{
    char rest[171], out[PARTITION_KEY];
    struct span key;

    memset(rest, 'x', sizeof rest - 1);
    rest[sizeof rest - 1] = '\0';
    key = partition_key((struct partition){SIDE_MODEL, 0}, "tenletters", rest, out);
    ck_assert_uint_eq(key.len, 9 + 10 + 1 + 170);
    ck_assert_uint_eq(strlen(out), key.len);
}
END_TEST

START_TEST(ids_are_spread_over_all_partitions)
{
    unsigned seen[PARTITIONS] = {0};

    for (int i = 0; i < 100 * PARTITIONS; i++) {
        char id[32];
        struct partition p;

        snprintf(id, sizeof id, "account-%d", i);
        p = partition_of(SIDE_ACCOUNT, span_of(id));
        ck_assert_uint_lt(p.index, PARTITIONS);
        seen[p.index]++;
    }
    for (size_t i = 0; i < PARTITIONS; i++)
        ck_assert_msg(seen[i] > 50 && seen[i] < 200, "partition %zu has %u", i, seen[i]);
}
END_TEST

START_TEST(every_partition_of_both_sides_has_a_number_of_its_own)
{
    for (unsigned i = 0; i < PARTITIONS_ALL; i++)
        ck_assert_uint_eq(partition_number(partition_at(i)), i);
    ck_assert_int_eq(partition_at(0).side, SIDE_ACCOUNT);
    ck_assert_int_eq(partition_at(PARTITIONS_ALL - 1).side, SIDE_MODEL);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("partition");

    tcase_add_test(tcase, an_id_keeps_its_partition);
    tcase_add_test(tcase, partitions_are_named_by_side_and_two_digits);
    tcase_add_test(tcase, a_key_begins_with_its_partitions_tag);
    tcase_add_test(tcase, the_longest_key_fits);
    tcase_add_test(tcase, every_partition_of_both_sides_has_a_number_of_its_own);
    tcase_add_test(tcase, ids_are_spread_over_all_partitions);
    return run_tests(tcase, "partition");
}
