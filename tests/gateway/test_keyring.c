/* Keys: what is one, how it is derived, and that its secret is spelled in one place only. */
#include <check.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "gateway/keyring.h"
#include "lib/base/crypto.h"
#include "tests/base/run.h"

static struct secret pepper;

static void set_pepper(void)
{
    ck_assert(secret_set(&pepper, SPAN("a pepper of 32 bytes, more or less"), NULL));
}

/* The key of an operation as text; caller clears. */
static void derive(char kind, const char *owner, const char *op, struct buf *text)
{
    AUTO_CLEAR(api_key) key = {0};

    buf_init(text, 2 * KEY_TEXT);
    api_key_derive(&(struct key_origin){kind, "in-1", owner, op}, &pepper, &key);
    api_key_text(&key, text);
    ck_assert(!text->failed);
}

START_TEST(an_operation_makes_one_key_and_another_makes_another)
{
    AUTO_CLEAR(buf) first, again, other_op, other_owner, creator;

    derive('a', "acme", "op_1", &first);
    derive('a', "acme", "op_1", &again);
    derive('a', "acme", "op_2", &other_op);
    derive('a', "acme2", "op_1", &other_owner);
    derive('c', "acme", "op_1", &creator);
    ck_assert(span_equal(buf_span(&first), buf_span(&again)));
    ck_assert(!span_equal(buf_span(&first), buf_span(&other_op)));
    ck_assert(!span_equal(buf_span(&first), buf_span(&other_owner)));
    ck_assert(memcmp(first.data + 2, creator.data + 2, first.len - 2) != 0);
    ck_assert(span_starts(buf_span(&first), SPAN("sk-tg-")));
    ck_assert(span_starts(buf_span(&creator), SPAN("ck-tg-")));
}
END_TEST

/* So an operation that is repeated under another pepper finds the key that it has made. */
START_TEST(another_pepper_makes_another_secret_of_the_same_key)
{
    struct key_origin from = {'a', "in-1", "acme", "op_1"},
                      elsewhere = {'a', "in-2", "acme", "op_1"};
    AUTO_CLEAR(api_key) key = {0};
    AUTO_CLEAR(api_key) later = {0};
    AUTO_CLEAR(api_key) other = {0};
    struct secret another = {.len = 0};

    ck_assert(secret_set(&another, SPAN("another pepper"), NULL));
    api_key_derive(&from, &pepper, &key);
    api_key_derive(&from, &another, &later);
    api_key_derive(&elsewhere, &pepper, &other);
    ck_assert_str_eq(key.public_id, later.public_id);
    ck_assert(!secret_equal(&key.secret, &later.secret));
    ck_assert_str_ne(key.public_id, other.public_id);
}
END_TEST

START_TEST(a_key_names_its_owners_partition_and_reads_back)
{
    AUTO_CLEAR(buf) text;
    AUTO_CLEAR(api_key) key = {0};
    unsigned partition = partition_of(SIDE_ACCOUNT, span_of("acme")).index;

    derive('a', "acme", "op_1", &text);
    ck_assert(api_key_parse(buf_span(&text), &key));
    ck_assert_int_eq(key.kind, 'a');
    ck_assert_uint_eq(strlen(key.public_id), KEY_ID_PUBLIC - 1);
    ck_assert_uint_eq((unsigned)(key.public_id[0] - '0') * 10 + (unsigned)(key.public_id[1] - '0'),
                      partition);
}
END_TEST

/* Any byte changed gives no key, or one whose hash differs. */
START_TEST(every_byte_of_a_key_counts)
{
    unsigned char hash[32], other[32];
    AUTO_CLEAR(buf) text;
    AUTO_CLEAR(api_key) key = {0};

    derive('a', "acme", "op_1", &text);
    ck_assert(api_key_parse(buf_span(&text), &key));
    api_key_hash(&key, &pepper, hash);
    for (size_t i = 0; i < text.len; i++) {
        AUTO_CLEAR(api_key) changed = {0};
        char was = text.data[i];

        text.data[i] = was == '1' ? '2' : '1';
        if (api_key_parse(buf_span(&text), &changed)) {
            api_key_hash(&changed, &pepper, other);
            ck_assert_msg(strcmp(changed.public_id, key.public_id) != 0 ||
                              memcmp(hash, other, sizeof hash) != 0,
                          "byte %zu does not count", i);
        }
        text.data[i] = was;
        ck_assert(!api_key_parse((struct span){text.data, i}, &changed));
    }
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
    static const char *const texts[] = {
        "",
        "sk-tg-",
        "sk-abc-00abcdefghij-abcdefghijklmnopqrstuvwxyz012345",
        "sk-tg-64abcdefghij-abcdefghijklmnopqrstuvwxyz012345",
        "sk-tg-xxabcdefghij-abcdefghijklmnopqrstuvwxyz012345",
        "sk-tg-00ABCDEFGHIJ-abcdefghijklmnopqrstuvwxyz012345",
        "sk-tg-00abcdefghij-abcdefghijklmnopqrstuvwxyz01234",
        "sk-tg-00abcdefghij-abcdefghijklmnopqrstuvwxyz0123456",
        "sk-tg-00abcdefghij-abcdefghijklmnopqrstuvwxyz01234 ",
        "xk-tg-00abcdefghij-abcdefghijklmnopqrstuvwxyz012345",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_CLEAR(api_key) key = {0};

        ck_assert_msg(!api_key_parse(span_of(texts[i]), &key), "%s is taken for a key", texts[i]);
    }
}
END_TEST

#define KEY "sk-tg-00abcdefghij-abcdefghijklmnopqrstuvwxyz012345"

START_TEST(a_key_is_read_from_either_header)
{
    static const struct {
        const char *name, *value;
        bool is_key, is_present;
    } rows[] = {
        {"Authorization", "Bearer " KEY, true, true},
        {"authorization", "bearer " KEY, true, true},
        {"x-api-key", KEY, true, true},
        {"authorization", "Basic " KEY, false, true},
        {"authorization", KEY, false, true},
        {"x-api-key", "Bearer " KEY, false, true},
        {"x-other", KEY, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_head head = {.header_count = 1,
                                 .headers = {{span_of(rows[i].name), span_of(rows[i].value)}}};
        AUTO_CLEAR(api_key) key = {0};
        bool present;

        ck_assert_msg(api_key_from_head(&head, &key, &present) == rows[i].is_key, "row %zu", i);
        ck_assert_msg(present == rows[i].is_present, "row %zu", i);
    }
}
END_TEST

#define OTHER "sk-tg-01abcdefghij-abcdefghijklmnopqrstuvwxyz012345"

START_TEST(a_head_has_one_credential_however_often_it_is_read)
{
    static const struct {
        struct {
            const char *name, *value;
        } given[2];
        const char *says; /* null: it is one */
    } rows[] = {
        {{{"x-other", KEY}, {"x-other", OTHER}}, NULL},
        {{{"authorization", "Bearer " KEY}, {"x-other", OTHER}}, NULL},
        {{{"authorization", "Bearer " KEY}, {"x-api-key", KEY}}, NULL},
        {{{"X-API-Key", KEY}, {"Authorization", "bearer " KEY}}, NULL},
        {{{"authorization", "Bearer " KEY}, {"x-api-key", OTHER}}, "different keys"},
        {{{"x-api-key", OTHER}, {"authorization", "Bearer " KEY}}, "different keys"},
        {{{"authorization", "Bearer " KEY}, {"x-api-key", ""}}, NULL},
        {{{"authorization", "Bearer " KEY}, {"x-api-key", "sk-ant-api03-other"}}, NULL},
        {{{"authorization", "Bearer " KEY}, {"Authorization", "Bearer " OTHER}}, "2 times"},
        {{{"authorization", "Bearer " KEY}, {"authorization", "Bearer " KEY}}, "2 times"},
        {{{"authorization", "Basic x"}, {"authorization", "Bearer " KEY}}, "2 times"},
        {{{"x-api-key", KEY}, {"X-Api-Key", OTHER}}, "2 times"},
        {{{"x-api-key", KEY}, {"x-api-key", KEY}}, "2 times"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_head head = {.header_count = 2};
        struct err err = {0};

        for (size_t j = 0; j < 2; j++)
            head.headers[j] = (struct http_header){span_of(rows[i].given[j].name),
                                                   span_of(rows[i].given[j].value)};
        ck_assert_msg(credential_is_one(&head, &err) == !rows[i].says, "row %zu", i);
        ck_assert_msg(!rows[i].says || strstr(err.text, rows[i].says), "row %zu: %s", i, err.text);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("keys");

    tcase_add_checked_fixture(t, set_pepper, NULL);
    tcase_add_test(t, an_operation_makes_one_key_and_another_makes_another);
    tcase_add_test(t, another_pepper_makes_another_secret_of_the_same_key);
    tcase_add_test(t, a_key_names_its_owners_partition_and_reads_back);
    tcase_add_test(t, every_byte_of_a_key_counts);
    tcase_add_test(t, what_is_no_key_is_refused);
    tcase_add_test(t, a_key_is_read_from_either_header);
    tcase_add_test(t, a_head_has_one_credential_however_often_it_is_read);
    return run_tests(t, "keyring");
}
