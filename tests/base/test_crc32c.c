/* Both ways of computing the checksum give what the standard says. */
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

/* RFC 3720 appendix B.4. */
START_TEST(the_standards_examples_come_out)
{
    unsigned char zeros[32] = {0}, ones[32], rising[32], falling[32];

    memset(ones, 0xff, sizeof ones);
    for (unsigned char i = 0; i < 32; i++) {
        rising[i] = i;
        falling[i] = 31 - i;
    }
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc32c(0, zeros, 32), 0x8a9136aa);
    ck_assert_uint_eq(crc32c(0, ones, 32), 0x62a8ab43);
    ck_assert_uint_eq(crc32c(0, rising, 32), 0x46dd794e);
    ck_assert_uint_eq(crc32c(0, falling, 32), 0x113fdb5c);
    ck_assert_uint_eq(crc32c_portable(0, falling, 32), 0x113fdb5c);
    ck_assert_uint_eq(crc32c(0, "", 0), 0);
}
END_TEST

START_TEST(tables_and_processor_agree_at_every_length_and_alignment)
{
    unsigned char bytes[200];

    rand_bytes(bytes, sizeof bytes);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; from + n <= sizeof bytes; n++)
            ck_assert_uint_eq(crc32c(0, bytes + from, n), crc32c_portable(0, bytes + from, n));
}
END_TEST

START_TEST(parts_give_the_checksum_of_the_whole)
{
    unsigned char bytes[100];
    uint32_t whole;

    rand_bytes(bytes, sizeof bytes);
    whole = crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        ck_assert_uint_eq(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
        ck_assert_uint_eq(
            crc32c_portable(crc32c_portable(0, bytes, cut), bytes + cut, sizeof bytes - cut),
            whole);
    }
}
END_TEST

START_TEST(every_flipped_bit_shows)
{
    unsigned char bytes[64];
    uint32_t before;

    rand_bytes(bytes, sizeof bytes);
    before = crc32c(0, bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert_uint_ne(crc32c(0, bytes, sizeof bytes), before);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("crc32c");

    tcase_add_test(tcase, the_standards_examples_come_out);
    tcase_add_test(tcase, tables_and_processor_agree_at_every_length_and_alignment);
    tcase_add_test(tcase, parts_give_the_checksum_of_the_whole);
    tcase_add_test(tcase, every_flipped_bit_shows);
    return run_tests(tcase, "crc32c");
}
