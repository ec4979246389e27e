/* Webhooks: signatures that others verify, where one may lead, and when it is tried again. */
#include <check.h>
#include <stdlib.h>

#include "gateway/webhook_pace.h"
#include "gateway/webhook_secret.h"
#include "gateway/webhook_url.h"
#include "lib/base/text.h"
#include "tests/base/run.h"

#define SECONDS INT64_C(1000)
#define MINUTES (60 * SECONDS)
#define HOURS   (60 * MINUTES)

static const struct webhook_pace usual = {5 * SECONDS, 3 * HOURS, 24 * HOURS};

/* The example that the specification's own libraries are tested with: secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw. */
START_TEST(the_specifications_example_is_signed_as_it_says)
{
    static const unsigned char bytes[] = {0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a,
                                          0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f, 0x08, 0x2c,
                                          0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0};
    AUTO_CLEAR(secret) secret = {0};
    AUTO_CLEAR(buf) out = {.max = 256};

    ck_assert(secret_set(&secret, (struct span){(const char *)bytes, sizeof bytes}, NULL));
    webhook_secret_text(&secret, &out);
    ck_assert_str_eq(out.data, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    buf_truncate(&out, 0);
    webhook_sign(&secret,
                 &(struct webhook_message){"msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                           SPAN("{\"test\": 2432232314}")},
                 &out);
    ck_assert_str_eq(out.data, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
END_TEST

START_TEST(an_operation_makes_one_webhook_and_one_secret)
{
    AUTO_CLEAR(secret) key = {0};
    AUTO_CLEAR(secret) first = {0};
    AUTO_CLEAR(secret) second = {0};
    char a[WEBHOOK_ID_TEXT], b[WEBHOOK_ID_TEXT];
    struct partition p;

    ck_assert(secret_set(&key, SPAN("a key"), NULL));
    webhook_id_derive("acme", "op-1", &key, a);
    webhook_id_derive("acme", "op-1", &key, b);
    ck_assert_str_eq(a, b);
    ck_assert(webhook_id_partition(a, &p));
    ck_assert_uint_eq(p.index, partition_of(SIDE_ACCOUNT, SPAN("acme")).index);
    webhook_secret_derive(a, &key, &first);
    webhook_secret_derive(b, &key, &second);
    ck_assert_uint_eq(first.len, 32);
    ck_assert(secret_equal(&first, &second));
    webhook_id_derive("acme", "op-2", &key, b);
    ck_assert_str_ne(a, b);
    webhook_secret_derive(b, &key, &second);
    ck_assert(!secret_equal(&first, &second));
    ck_assert(secret_set(&key, SPAN("another key"), NULL));
    webhook_secret_derive(a, &key, &second);
    ck_assert(!secret_equal(&first, &second));
}
END_TEST

START_TEST(what_is_no_id_of_a_webhook_names_no_partition)
{
    static const char *const bad[] = {"",
                                      "wh_",
                                      "wh_64aaaaaaaaaa",
                                      "wh_x1aaaaaaaaaa",
                                      "wk_01aaaaaaaaaa",
                                      "wh_01aaaaaaaaa",
                                      "wh_01aaaaaaaaaaa",
                                      "wh_01aaaaaaaa a"};
    struct partition p;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!webhook_id_partition(bad[i], &p), "'%s'", bad[i]);
}
END_TEST

static const struct {
    const char *url, *origin, *target;
} good_urls[] = {
    {"https://example.com", "https://example.com", "/"},
    {"https://example.com/", "https://example.com", "/"},
    {"https://example.com:8443/a/b?c=d&e=%20", "https://example.com:8443", "/a/b?c=d&e=%20"},
    {"https://example.com?x", "https://example.com", "/?x"},
    {"https://1.1.1.1/h", "https://1.1.1.1", "/h"},
    {"https://[2606:4700::1111]:444/h", "https://[2606:4700::1111]:444", "/h"},
};

START_TEST(a_good_url_is_taken_apart)
{
    struct webhook_url url;
    struct err err;

    ck_assert_msg(webhook_url_parse(good_urls[_i].url, false, &url, &err), "%s: %s",
                  good_urls[_i].url, err.text);
    ck_assert_str_eq(url.origin, good_urls[_i].origin);
    ck_assert_str_eq(url.target, good_urls[_i].target);
}
END_TEST

static const struct {
    const char *url, *why;
    bool even_if_private; /* refused where private addresses are taken, too */
} bad_urls[] = {
    {"", "begins with https://", true},
    {"http://example.com/h", "begins with https://", true},
    {"http://10.0.0.1/h", "no public address", false},
    {"ftp://example.com", "begins with https://", true},
    {"HTTPS://example.com", "begins with https://", true},
    {"https://", "names a host", true},
    {"https:///h", "names a host", true},
    {"https://:443/h", "names a host", true},
    {"https://me@example.com/", "no user", true},
    {"https://me:secret@example.com/", "no user", true},
    {"https://example.com/#there", "no fragment", true},
    {"https://example.com/a b", "no blanks", true},
    {"https://example.com/\r\nx: y", "no blanks", true},
    {"https://ex\xc3\xa4mple.com/", "no blanks", true},
    {"https://example.com:0/", "no valid port", true},
    {"https://example.com:65536/", "no valid port", true},
    {"https://example.com:x/", "no valid port", true},
    {"https://exa_mple.com/", "is no host", true},
    {"https://[::g]/", "is no address", true},
    {"https://127.0.0.1/h", "no public address", false},
    {"https://localhost:8443/h", "no public address", false},
    {"https://[::1]/h", "no public address", false},
    {"https://192.168.1.1/h", "no public address", false},
    {"https://169.254.169.254/latest", "no public address", false},
    {"https://[::ffff:10.0.0.1]/", "no public address", false},
    {"https://[fe80::1]/", "no public address", false},
    {"https://0.0.0.0/", "no public address", true},
};

START_TEST(a_bad_url_is_refused_and_the_sentence_says_why)
{
    struct webhook_url url;
    struct err err;

    ck_assert_msg(!webhook_url_parse(bad_urls[_i].url, false, &url, &err), "%s", bad_urls[_i].url);
    ck_assert_msg(strstr(err.text, bad_urls[_i].why), "%s: %s", bad_urls[_i].url, err.text);
    if (bad_urls[_i].even_if_private)
        ck_assert_msg(!webhook_url_parse(bad_urls[_i].url, true, &url, &err), "%s",
                      bad_urls[_i].url);
}
END_TEST

START_TEST(http_is_for_this_machine_alone)
{
    struct webhook_url url;
    struct err err;

    ck_assert(webhook_url_parse("http://127.0.0.1:9000/h", true, &url, &err));
    ck_assert(webhook_url_parse("http://[::1]:9000/h", true, &url, &err));
    ck_assert(webhook_url_parse("https://10.0.0.1/h", true, &url, &err));
    ck_assert(!webhook_url_parse("http://10.0.0.1/h", true, &url, &err));
    ck_assert(!webhook_url_parse("http://127.0.0.1:9000/h", false, &url, &err));
}
END_TEST

START_TEST(a_url_may_have_so_many_characters_and_no_more)
{
    char text[WEBHOOK_URL_MAX + 2];
    struct webhook_url url;
    struct err err;

    memset(text, 'a', sizeof text);
    memcpy(text, "https://example.com/", strlen("https://example.com/"));
    text[WEBHOOK_URL_MAX + 1] = '\0';
    ck_assert(!webhook_url_parse(text, false, &url, &err));
    text[WEBHOOK_URL_MAX] = '\0';
    ck_assert(webhook_url_parse(text, false, &url, &err));
    ck_assert_uint_eq(strlen(url.target), WEBHOOK_URL_MAX - strlen("https://example.com"));
}
END_TEST

START_TEST(attempts_grow_apart_and_end_after_a_day)
{
    static const int64_t delays[] = {5 * SECONDS,   25 * SECONDS,   125 * SECONDS,
                                     625 * SECONDS, 3125 * SECONDS, 3 * HOURS};
    int64_t age = 0, delay;
    size_t attempts = 1;

    while ((delay = webhook_delay_ms(&usual, age)) >= 0) {
        ck_assert_int_eq(
            delay, delays[attempts < ARRAY_LEN(delays) ? attempts - 1 : ARRAY_LEN(delays) - 1]);
        age += delay;
        attempts++;
    }
    ck_assert_int_le(age, 24 * HOURS);
    ck_assert_int_gt(age, 21 * HOURS);
    ck_assert_uint_eq(attempts, 13);
}
END_TEST

START_TEST(an_attempt_that_took_its_time_or_came_early_is_not_followed_at_once)
{
    for (int64_t age = 0; age <= 24 * HOURS; age += 997) {
        int64_t delay = webhook_delay_ms(&usual, age);

        ck_assert(delay < 0 || delay >= 2500);
        ck_assert(delay < 0 || age < MINUTES || delay * 20 >= age || delay >= HOURS);
    }
    ck_assert_int_eq(webhook_delay_ms(&usual, 24 * HOURS), -1);
    ck_assert_int_eq(webhook_delay_ms(&usual, 1000 * HOURS), -1);
}
END_TEST

START_TEST(chance_moves_an_attempt_by_a_tenth_at_most)
{
    bool is_earlier = false, is_later = false;

    for (int i = 0; i < 1000; i++) {
        int64_t delay = webhook_jitter_ms(10000);

        ck_assert(delay >= 9000 && delay <= 11000);
        is_earlier = is_earlier || delay < 9500;
        is_later = is_later || delay > 10500;
    }
    ck_assert(is_earlier && is_later);
    ck_assert_int_eq(webhook_jitter_ms(0), 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("webhook");

    tcase_add_test(t, the_specifications_example_is_signed_as_it_says);
    tcase_add_test(t, an_operation_makes_one_webhook_and_one_secret);
    tcase_add_test(t, what_is_no_id_of_a_webhook_names_no_partition);
    tcase_add_loop_test(t, a_good_url_is_taken_apart, 0, ARRAY_LEN(good_urls));
    tcase_add_loop_test(t, a_bad_url_is_refused_and_the_sentence_says_why, 0, ARRAY_LEN(bad_urls));
    tcase_add_test(t, http_is_for_this_machine_alone);
    tcase_add_test(t, a_url_may_have_so_many_characters_and_no_more);
    tcase_add_test(t, attempts_grow_apart_and_end_after_a_day);
    tcase_add_test(t, an_attempt_that_took_its_time_or_came_early_is_not_followed_at_once);
    tcase_add_test(t, chance_moves_an_attempt_by_a_tenth_at_most);
    return run_tests(t, "webhook");
}
