/* Records: one spelling of the head, numbers that cannot repeat or skip, heads that survive being written down. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/record.h"
#include "tests/base/run.h"

#define WRITER "w-0123456789abcdef"

static struct buf line;

static void set_up(void)
{
    buf_init(&line, RECORD_BYTES_MAX);
}

static void tear_down(void)
{
    buf_clear(&line);
}

static struct record_place place_of(int a, uint64_t an, int m, uint64_t mn)
{
    struct record_place p = {{a >= 0, m >= 0}, {0, 0}, {an, mn}};

    p.partition[SIDE_ACCOUNT] = a >= 0 ? (unsigned)a : 0;
    p.partition[SIDE_MODEL] = m >= 0 ? (unsigned)m : 0;
    return p;
}

static bool same_place(const struct record_place *a, const struct record_place *b)
{
    bool same = true;

    for (int side = 0; side < SIDES; side++)
        same = same && a->on[side] == b->on[side] && a->partition[side] == b->partition[side] &&
               a->n[side] == b->n[side];
    return same;
}

START_TEST(a_record_reads_as_it_was_composed)
{
    struct record_place place = place_of(17, 1234, 5, 88);
    struct record_head head;
    struct err err;

    ck_assert(record_compose(&line, RECORD_CALL, WRITER, &place, SPAN("{\"x\":1}")));
    ck_assert_str_eq(line.data, "{\"kind\":\"call\",\"writer\":\"" WRITER
                                "\",\"a\":17,\"an\":1234,\"m\":5,\"mn\":88,\"x\":1}");
    ck_assert_msg(record_head_parse(buf_span(&line), &head, &err), "%s", err.text);
    ck_assert_int_eq(head.kind, RECORD_CALL);
    ck_assert_str_eq(head.writer, WRITER);
    ck_assert(same_place(&head.place, &place));
}
END_TEST

START_TEST(every_kind_reads_back_with_the_sides_it_has)
{
    for (int k = 0; k < RECORD_KINDS; k++) {
        struct record_place place = place_of(63, INT64_MAX, 0, 1);
        struct record_head head;
        struct err err;

        buf_truncate(&line, 0);
        ck_assert(record_compose(&line, (enum record_kind)k, WRITER, &place, SPAN("{\"x\":1}")));
        ck_assert_msg(record_head_parse(buf_span(&line), &head, &err), "%s", err.text);
        ck_assert_int_eq((int)head.kind, k);
        ck_assert_int_eq(record_is_numbered(head.kind), head.place.on[0] || head.place.on[1]);
        for (int side = 0; side < SIDES; side++) {
            if (!head.place.on[side])
                continue;
            ck_assert_uint_eq(head.place.partition[side], place.partition[side]);
            ck_assert_uint_eq(head.place.n[side], place.n[side]);
        }
    }
}
END_TEST

START_TEST(what_is_archived_is_what_is_numbered_and_seals)
{
    for (int k = 0; k < RECORD_KINDS; k++)
        ck_assert_int_eq(record_is_archived((enum record_kind)k),
                         record_is_numbered((enum record_kind)k) || k == RECORD_SEAL ||
                             k == RECORD_RETIRE);
}
END_TEST

START_TEST(another_spelling_of_a_head_is_refused)
{
    static const char *const bad[] = {
        "",
        "{",
        "{\"kind\":\"call",
        "{\"kind\":\"calls\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":1,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"w-0123\",\"a\":1,\"an\":1,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"W-0123456789abcdef\",\"a\":1,\"an\":1,\"m\":1,\"mn\":1,"
        "\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER "\",\"a\":64,\"an\":1,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":0,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":01,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":-1,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER
        "\",\"a\":1,\"an\":9223372036854775808,\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER "\",\"m\":1,\"mn\":1,\"a\":1,\"an\":1,\"x\":1}",
        "{\"kind\":\"call\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":1,\"x\":1}",
        "{\"kind\":\"account\",\"writer\":\"" WRITER "\",\"m\":1,\"mn\":1,\"x\":1}",
        "{\"kind\":\"account\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":1}",
        "{\"kind\":\"account\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":1,\"x\":1",
        "{ \"kind\":\"account\",\"writer\":\"" WRITER "\",\"a\":1,\"an\":1,\"x\":1}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct record_head head;
        struct err err;

        ck_assert_msg(!record_head_parse(span_of(bad[i]), &head, &err), "%s", bad[i]);
        ck_assert_int_eq(err.code, ERR_CORRUPT);
    }
}
END_TEST

/* Cut anywhere, a head is refused and nothing beyond the span is read (the copy has no room for it). */
START_TEST(a_record_cut_anywhere_is_refused)
{
    struct record_place place = place_of(17, 1234, 5, 88);

    record_compose(&line, RECORD_CALL, WRITER, &place, SPAN("{\"x\":1}"));
    for (size_t n = 0; n < line.len; n++) {
        char *copy = malloc(n ? n : 1);
        struct record_head head;

        memcpy(copy, line.data, n);
        ck_assert(!record_head_parse((struct span){copy, n}, &head, NULL));
        free(copy);
    }
}
END_TEST

START_TEST(heads_survive_being_written_down)
{
    struct record_heads heads = {0}, back;
    AUTO_JSON object = NULL;
    struct err err;
    struct jw w;

    for (unsigned i = 0; i < PARTITIONS; i += 3) {
        heads.at[SIDE_ACCOUNT][i] = (struct record_cursor){i + 1, 0x80000000u >> i % 32};
        heads.at[SIDE_MODEL][PARTITIONS - 1 - i] = (struct record_cursor){INT64_MAX, i};
    }
    jw_init(&w, &line);
    record_heads_write(&heads, &w);
    object = json_parse(buf_span(&line), &err);
    ck_assert_msg(object, "%s", err.text);
    ck_assert_msg(record_heads_parse(object, &back, &err), "%s", err.text);
    ck_assert(record_heads_equal(&heads, &back));
}
END_TEST

START_TEST(malformed_heads_are_refused)
{
    static const char *const bad[] = {
        "[]",
        "{\"b01\":[1,\"00000000\"]}",
        "{\"a64\":[1,\"00000000\"]}",
        "{\"a1\":[1,\"00000000\"]}",
        "{\"a01\":[0,\"00000000\"]}",
        "{\"a01\":[1,\"0000000\"]}",
        "{\"a01\":[1,\"0000000g\"]}",
        "{\"a01\":[\"1\",\"00000000\"]}",
        "{\"a01\":[1]}",
        "{\"a01\":[1,\"00000000\",2]}",
        "{\"\":[1,\"00000000\"]}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_JSON object = json_parse(span_of(bad[i]), NULL);
        struct record_heads heads;

        ck_assert_msg(!record_heads_parse(object, &heads, NULL), "%s", bad[i]);
    }
}
END_TEST

START_TEST(only_the_next_number_on_both_sides_follows)
{
    for (int da = -1; da <= 1; da++) {
        for (int dm = -1; dm <= 1; dm++) {
            struct record_heads heads = {0}, before;
            struct record_place place = place_of(3, (uint64_t)(11 + da), 9, (uint64_t)(21 + dm));

            heads.at[SIDE_ACCOUNT][3] = (struct record_cursor){10, 1};
            heads.at[SIDE_MODEL][9] = (struct record_cursor){20, 2};
            before = heads;
            ck_assert_int_eq(record_heads_advance(&heads, &place, 77, NULL), da == 0 && dm == 0);
            if (da != 0 || dm != 0) {
                ck_assert(record_heads_equal(&heads, &before));
                continue;
            }
            ck_assert_uint_eq(heads.at[SIDE_ACCOUNT][3].n, 11);
            ck_assert_uint_eq(heads.at[SIDE_ACCOUNT][3].crc, 77);
            ck_assert_uint_eq(heads.at[SIDE_MODEL][9].n, 21);
        }
    }
}
END_TEST

START_TEST(a_record_is_beyond_cursors_if_either_side_lacks_it)
{
    struct record_heads heads = {0};
    struct record_place place = place_of(3, 10, 9, 20);

    heads.at[SIDE_ACCOUNT][3].n = 10;
    heads.at[SIDE_MODEL][9].n = 20;
    ck_assert(!record_is_beyond(&heads, &place));
    heads.at[SIDE_MODEL][9].n = 19;
    ck_assert(record_is_beyond(&heads, &place));
    heads.at[SIDE_MODEL][9].n = 25;
    heads.at[SIDE_ACCOUNT][3].n = 9;
    ck_assert(record_is_beyond(&heads, &place));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("record");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_record_reads_as_it_was_composed);
    tcase_add_test(t, every_kind_reads_back_with_the_sides_it_has);
    tcase_add_test(t, what_is_archived_is_what_is_numbered_and_seals);
    tcase_add_test(t, another_spelling_of_a_head_is_refused);
    tcase_add_test(t, a_record_cut_anywhere_is_refused);
    tcase_add_test(t, heads_survive_being_written_down);
    tcase_add_test(t, malformed_heads_are_refused);
    tcase_add_test(t, only_the_next_number_on_both_sides_follows);
    tcase_add_test(t, a_record_is_beyond_cursors_if_either_side_lacks_it);
    return run_tests(t, "record");
}
