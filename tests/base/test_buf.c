/* Buffers: never beyond their maximum, never a half append, and refused memory is an error like another. */
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

/* The n-th realloc from now on fails; negative: none. */
static int fail_in = -1;
static unsigned realloc_count;

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
    realloc_count++;
    return fail_in >= 0 && fail_in-- == 0 ? NULL : __real_realloc(p, n);
}

START_TEST(what_is_added_is_there_and_terminated)
{
    AUTO_CLEAR(buf) b;

    buf_init(&b, 100);
    ck_assert_ptr_null(b.data);
    ck_assert_str_eq(buf_span(&b).data, "");
    ck_assert(buf_add(&b, "ab", 2));
    ck_assert(buf_add_string(&b, "cd"));
    ck_assert(buf_add_span(&b, SPAN("ef")));
    ck_assert(buf_add_char(&b, 'g'));
    ck_assert(buf_printf(&b, "%d", 42));
    ck_assert_str_eq(b.data, "abcdefg42");
    ck_assert_uint_eq(b.len, 9);
}
END_TEST

START_TEST(the_maximum_can_be_filled_but_not_passed)
{
    struct err err;
    AUTO_CLEAR(buf) b;

    buf_init(&b, 5);
    ck_assert(buf_add_string(&b, "12345"));
    ck_assert(buf_ok(&b, "the thing", &err));
    ck_assert(!buf_add_char(&b, '6'));
    ck_assert_str_eq(b.data, "12345");
    ck_assert(!buf_ok(&b, "the thing", &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_str_eq(err.text, "the thing is larger than 5 bytes");
}
END_TEST

START_TEST(after_a_failure_nothing_more_is_taken_even_if_it_would_fit)
{
    AUTO_CLEAR(buf) b;

    buf_init(&b, 4);
    buf_add_string(&b, "ab");
    ck_assert(!buf_add_string(&b, "cde"));
    ck_assert(!buf_add_char(&b, 'c'));
    ck_assert(!buf_printf(&b, "c"));
    ck_assert(!buf_add(&b, "", 0));
    ck_assert_ptr_null(buf_room(&b, 1));
    ck_assert_str_eq(b.data, "ab");
    buf_truncate(&b, 1);
    ck_assert(buf_add_string(&b, "xyz"));
    ck_assert_str_eq(b.data, "axyz");
}
END_TEST

START_TEST(refused_memory_is_soft_and_leaves_what_was_there)
{
    struct err err;
    AUTO_CLEAR(buf) b;

    buf_init(&b, 1 << 20);
    buf_add_string(&b, "kept");
    fail_in = 0;
    ck_assert(!buf_add(&b, (char[4096]){0}, 4096));
    ck_assert_str_eq(b.data, "kept");
    ck_assert(!buf_ok(&b, "the thing", &err));
    ck_assert_int_eq(err.code, ERR_MEMORY);
    fail_in = -1;
    buf_clear(&b);
    ck_assert(buf_add_string(&b, "again"));
}
END_TEST

START_TEST(the_first_allocation_may_be_refused_too)
{
    AUTO_CLEAR(buf) b;

    buf_init(&b, 10);
    fail_in = 0;
    ck_assert(!buf_printf(&b, "%d", 1));
    ck_assert(b.out_of_memory);
    ck_assert_str_eq(buf_span(&b).data, "");
}
END_TEST

START_TEST(growth_doubles)
{
    AUTO_CLEAR(buf) b;

    buf_init(&b, 1 << 20);
    realloc_count = 0;
    for (int i = 0; i < 1 << 20; i++)
        buf_add_char(&b, 'x');
    ck_assert_uint_eq(b.len, 1 << 20);
    ck_assert_uint_le(realloc_count, 16);
    ck_assert_uint_le(b.cap, (1 << 20) + 1);
}
END_TEST

START_TEST(printing_fits_at_every_length)
{
    char expected[300];

    memset(expected, 'x', sizeof expected);
    for (int n = 0; n < 299; n++) {
        AUTO_CLEAR(buf) b;

        buf_init(&b, 299);
        ck_assert(buf_printf(&b, "%.*s", n, expected));
        ck_assert_uint_eq(b.len, (size_t)n);
        ck_assert_uint_eq(strlen(b.data), (size_t)n);
        ck_assert_int_eq(buf_printf(&b, "%.*s", 200, expected), n + 200 <= 299);
        ck_assert_uint_eq(strlen(b.data), b.len);
    }
}
END_TEST

START_TEST(room_is_written_by_the_caller)
{
    AUTO_CLEAR(buf) b;
    char *room;

    buf_init(&b, 8);
    buf_add_string(&b, "ab");
    room = buf_room(&b, 6);
    ck_assert_ptr_eq(room, b.data + 2);
    memcpy(room, "cdefgh", 6);
    buf_added(&b, 3);
    ck_assert_str_eq(b.data, "abcde");
    ck_assert_ptr_null(buf_room(&b, 4));
}
END_TEST

START_TEST(consuming_takes_from_the_front)
{
    AUTO_CLEAR(buf) b;

    buf_init(&b, 8);
    buf_consume(&b, 0);
    buf_add_string(&b, "abcdef");
    buf_consume(&b, 2);
    ck_assert_str_eq(b.data, "cdef");
    buf_consume(&b, 4);
    ck_assert_str_eq(b.data, "");
    ck_assert(buf_add_string(&b, "12345678"));
}
END_TEST

START_TEST(no_sum_of_sizes_can_overflow)
{
    AUTO_CLEAR(buf) b;

    buf_init(&b, SIZE_MAX);
    buf_add_char(&b, 'x');
    ck_assert_ptr_null(buf_room(&b, SIZE_MAX));
    buf_truncate(&b, 1);
    ck_assert_ptr_null(buf_room(&b, SIZE_MAX - 1));
    ck_assert_str_eq(b.data, "x");
}
END_TEST

/* Against an array that does the same. */
START_TEST(random_work_matches_a_plain_array)
{
    char model[2000];
    size_t len = 0;
    AUTO_CLEAR(buf) b;

    buf_init(&b, sizeof model);
    for (int i = 0; i < 20000; i++) {
        size_t n = rand_below(60);
        char bytes[60];

        rand_bytes(bytes, sizeof bytes);
        if (rand_below(2) && len + n <= sizeof model) {
            ck_assert(buf_add(&b, bytes, n));
            memcpy(model + len, bytes, n);
            len += n;
        } else if (n <= len) {
            buf_consume(&b, n);
            memmove(model, model + n, len - n);
            len -= n;
        }
        ck_assert_uint_eq(b.len, len);
        ck_assert(len == 0 || memcmp(b.data, model, len) == 0);
    }
}
END_TEST

START_TEST(spans_are_compared_by_bytes)
{
    ck_assert(span_equal(SPAN("a\0b"), SPAN("a\0b")));
    ck_assert(!span_equal(SPAN("a\0b"), SPAN("a\0c")));
    ck_assert(!span_equal(SPAN("ab"), SPAN("abc")));
    ck_assert(span_equal((struct span){NULL, 0}, SPAN("")));
    ck_assert(span_equal_nocase(SPAN("Content-TYPE[@`{"), SPAN("content-type[@`{")));
    ck_assert(!span_equal_nocase(SPAN("@["), SPAN("`{")));
    ck_assert(!span_equal_nocase(SPAN("a"), SPAN("ab")));
    ck_assert(span_starts(SPAN("abc"), SPAN("ab")));
    ck_assert(span_starts(SPAN("abc"), SPAN("")));
    ck_assert(!span_starts(SPAN("ab"), SPAN("abc")));
}
END_TEST

START_TEST(spans_are_copied_whole_or_not_at_all)
{
    char out[4] = "zzz";

    ck_assert(span_copy(SPAN("abc"), out, sizeof out));
    ck_assert_str_eq(out, "abc");
    ck_assert(!span_copy(SPAN("abcd"), out, sizeof out));
    ck_assert_str_eq(out, "");
    ck_assert(!span_copy(SPAN("a\0"), out, sizeof out));
    ck_assert_str_eq(out, "");
    ck_assert(span_copy((struct span){NULL, 0}, out, 1));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("buf");

    tcase_add_test(tcase, what_is_added_is_there_and_terminated);
    tcase_add_test(tcase, the_maximum_can_be_filled_but_not_passed);
    tcase_add_test(tcase, after_a_failure_nothing_more_is_taken_even_if_it_would_fit);
    tcase_add_test(tcase, refused_memory_is_soft_and_leaves_what_was_there);
    tcase_add_test(tcase, the_first_allocation_may_be_refused_too);
    tcase_add_test(tcase, growth_doubles);
    tcase_add_test(tcase, printing_fits_at_every_length);
    tcase_add_test(tcase, room_is_written_by_the_caller);
    tcase_add_test(tcase, consuming_takes_from_the_front);
    tcase_add_test(tcase, no_sum_of_sizes_can_overflow);
    tcase_add_test(tcase, random_work_matches_a_plain_array);
    tcase_add_test(tcase, spans_are_compared_by_bytes);
    tcase_add_test(tcase, spans_are_copied_whole_or_not_at_all);
    return run_tests(tcase, "buf");
}
