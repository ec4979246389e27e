/* test_write_queue.c - the queue of what a stream still has to write. */
#include <check.h>

#include "lib/base/rand.h"
#include "lib/net/write_queue.h"
#include "tests/base/run.h"
#include "tests/net/pattern.h"

START_TEST(a_queue_gives_back_what_it_was_given_and_owns_nothing_when_empty)
{
    struct write_queue q;
    size_t in = 0, out = 0;
    struct err err;
    char piece[300];

    write_queue_init(&q, 1000);
    for (int step = 0; step < 20000; step++) {
        size_t n = (size_t)rand_below(sizeof piece + 1), len = write_queue_len(&q);

        ck_assert_uint_eq(len, in - out);
        if (rand_below(2)) {
            pattern_fill(piece, in, n);
            ck_assert_int_eq(write_queue_add(&q, piece, n, &err), len + n <= 1000);
            in += len + n <= 1000 ? n : 0;
            continue;
        }
        n = n < len ? n : len;
        ck_assert(n == 0 || is_pattern(write_queue_span(&q).data, out, n));
        write_queue_take(&q, n);
        out += n;
        ck_assert(in != out || q.bytes.data == NULL);
        ck_assert_uint_le(q.bytes.len, 2001);
    }
    ck_assert_uint_gt(out, 100000);
    write_queue_clear(&q);
}
END_TEST

int main(void)
{
    TCase *all = tcase_create("all");

    tcase_add_test(all, a_queue_gives_back_what_it_was_given_and_owns_nothing_when_empty);
    return run_tests(all, "write_queue");
}
