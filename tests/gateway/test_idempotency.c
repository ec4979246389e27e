/* Idempotency keys: which are taken, that their digests tell apart what must be told apart, and who can open a stored answer. */
#include <check.h>
#include <stdlib.h>

#include "gateway/idempotency.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

static struct secret pepper;

static void make_pepper(void)
{
    ck_assert(secret_set(&pepper, SPAN("0123456789abcdef0123456789abcdef"), NULL));
}

static struct idempotent derive(const char *account, const char *key, const char *path,
                                const char *body)
{
    struct asked asked = {span_of(path), span_of(body)};
    AUTO(hmac_key) keyed = hmac_key_new(&pepper);
    struct idempotent i;

    idempotency_derive(keyed, account, span_of(key), &asked, &i);
    return i;
}

static bool read_key(const char *value, struct span *key, struct err *err)
{
    struct http_head head = {
        .header_count = 2,
        .headers = {{SPAN("host"), SPAN("h")}, {SPAN("IDEMPOTENCY-key"), span_of(value)}}};

    return idempotency_key_read(&head, key, err);
}

START_TEST(a_key_is_visible_ascii_of_a_bounded_length)
{
    char longest[IDEMPOTENCY_KEY_MAX + 2];
    struct span key;
    struct err err;

    memset(longest, '~', sizeof longest - 1);
    longest[IDEMPOTENCY_KEY_MAX + 1] = '\0';
    ck_assert(!read_key(longest, &key, &err));
    longest[IDEMPOTENCY_KEY_MAX] = '\0';
    ck_assert(read_key(longest, &key, &err));
    ck_assert_uint_eq(key.len, IDEMPOTENCY_KEY_MAX);
    ck_assert(read_key("!", &key, &err));
    ck_assert(!read_key("", &key, &err));
    ck_assert(!read_key("a b", &key, &err));
    ck_assert(!read_key("a\177", &key, &err));
    ck_assert(!read_key("\303\251", &key, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

START_TEST(a_key_is_given_once_or_not_at_all)
{
    struct http_head head = {
        .header_count = 2,
        .headers = {{SPAN("Idempotency-Key"), SPAN("a")}, {SPAN("idempotency-key"), SPAN("a")}}};
    struct span key;
    struct err err;

    ck_assert(!idempotency_key_read(&head, &key, &err));
    head.header_count = 0;
    ck_assert(idempotency_key_read(&head, &key, &err));
    ck_assert_ptr_null(key.data);
}
END_TEST

START_TEST(digests_tell_apart_accounts_keys_paths_and_bodies)
{
    struct idempotent one = derive("acct", "key", "/v1/chat/completions", "{}");
    struct idempotent same = derive("acct", "key", "/v1/chat/completions", "{}");
    struct idempotent others[] = {derive("acct2", "key", "/v1/chat/completions", "{}"),
                                  derive("acct", "key2", "/v1/chat/completions", "{}"),
                                  derive("acct", "key", "/v1/completions", "{}"),
                                  derive("acct", "key", "/v1/chat/completions", "{} ")};

    ck_assert_mem_eq(&one, &same, sizeof one);
    ck_assert_uint_eq(strlen(one.digests.key), DIGEST_TEXT - 1);
    ck_assert_str_ne(one.digests.key, one.digests.body);
    ck_assert_str_ne(others[0].digests.key, one.digests.key);
    ck_assert_str_ne(others[1].digests.key, one.digests.key);
    ck_assert_str_eq(others[2].digests.key, one.digests.key);
    ck_assert_str_ne(others[2].digests.body, one.digests.body);
    ck_assert_str_eq(others[3].digests.key, one.digests.key);
    ck_assert_str_ne(others[3].digests.body, one.digests.body);
    ck_assert(memcmp(others[0].sealing_key, one.sealing_key, GCM_KEY_LEN) != 0);
    ck_assert(memcmp(others[1].sealing_key, one.sealing_key, GCM_KEY_LEN) != 0);
}
END_TEST

START_TEST(a_key_has_one_name_under_each_pepper_that_there_is)
{
    struct asked asked = {SPAN("/v1/a"), SPAN("{}")};
    AUTO_CLEAR(peppers) peppers = {0};
    struct secret next = {.len = 0};
    struct idempotents all;
    struct claim_names others;
    struct idempotent alone = derive("acme", "k", "/v1/a", "{}");

    pepper_set(&peppers.of[PEPPER_IN_USE], &pepper);
    idempotents_derive(&peppers, "acme", SPAN("k"), &asked, &all);
    idempotents_other_names(&all, &others);
    ck_assert_uint_eq(all.count, 1);
    ck_assert_uint_eq(others.count, 0);
    ck_assert_str_eq(all.by[0].digests.key, alone.digests.key);

    ck_assert(secret_set(&next, SPAN("the next one"), NULL));
    pepper_set(&peppers.of[PEPPER_NEXT], &next);
    idempotents_derive(&peppers, "acme", SPAN("k"), &asked, &all);
    idempotents_other_names(&all, &others);
    ck_assert_uint_eq(others.count, 1);
    ck_assert_str_eq(all.by[0].digests.key, alone.digests.key);
    ck_assert_str_ne(others.digests[0].key, alone.digests.key);
    ck_assert_str_eq(others.digests[0].key, all.by[1].digests.key);
}
END_TEST

/* What is kept (both digests) does not lead to the sealing key without the pepper and the header's text. */
START_TEST(another_installations_pepper_gives_other_values)
{
    struct idempotent one = derive("acct", "key", "/", "{}"), other;

    ck_assert(secret_set(&pepper, SPAN("another"), NULL));
    other = derive("acct", "key", "/", "{}");
    ck_assert_str_ne(one.digests.key, other.digests.key);
    ck_assert_str_ne(one.digests.body, other.digests.body);
    ck_assert(memcmp(one.sealing_key, other.sealing_key, GCM_KEY_LEN) != 0);
}
END_TEST

START_TEST(a_stored_answer_opens_for_who_repeats_the_call_and_for_nobody_else)
{
    const struct stored_answer answer = {"application/json", "0.000022",
                                         SPAN("{\"a\":\"\n\"}\n\n")};
    struct idempotent by = derive("acct", "key", "/", "{}");
    struct idempotent other_key = derive("acct", "key2", "/", "{}");
    struct idempotent other_body = derive("acct", "key", "/", "{ }");
    const struct stored_call call = {&by, "acct", "req_1"};
    const struct stored_call others[] = {{&by, "acct", "req_2"},
                                         {&by, "acct2", "req_1"},
                                         {&other_key, "acct", "req_1"},
                                         {&other_body, "acct", "req_1"}};
    AUTO_CLEAR(buf) sealed = {.max = 4096}, plain = {.max = 4096};
    struct stored_answer opened;
    struct err err;

    ck_assert(stored_answer_seal(&answer, &call, &sealed));
    ck_assert_uint_le(sealed.len, STORED_HEAD_MAX + answer.body.len);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        err.code = ERR_NONE;
        ck_assert(!stored_answer_open(buf_span(&sealed), &others[i], &plain, &opened, &err));
        ck_assert_int_eq(err.code, ERR_DENIED);
    }
    ck_assert(stored_answer_open(buf_span(&sealed), &call, &plain, &opened, &err));
    ck_assert_str_eq(opened.content_type, answer.content_type);
    ck_assert_str_eq(opened.cost, answer.cost);
    ck_assert(span_equal(opened.body, answer.body));
}
END_TEST

START_TEST(an_empty_answer_can_be_stored)
{
    const struct stored_answer answer = {"text/plain", "0", SPAN("")};
    struct idempotent by = derive("acct", "key", "/", "{}");
    const struct stored_call call = {&by, "acct", "req_1"};
    AUTO_CLEAR(buf) sealed = {.max = 4096}, plain = {.max = 4096};
    struct stored_answer opened;
    struct err err;

    ck_assert(stored_answer_seal(&answer, &call, &sealed));
    ck_assert(stored_answer_open(buf_span(&sealed), &call, &plain, &opened, &err));
    ck_assert_uint_eq(opened.body.len, 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("idempotency");

    tcase_add_checked_fixture(tcase, make_pepper, NULL);
    tcase_add_test(tcase, a_key_is_visible_ascii_of_a_bounded_length);
    tcase_add_test(tcase, a_key_is_given_once_or_not_at_all);
    tcase_add_test(tcase, digests_tell_apart_accounts_keys_paths_and_bodies);
    tcase_add_test(tcase, a_key_has_one_name_under_each_pepper_that_there_is);
    tcase_add_test(tcase, another_installations_pepper_gives_other_values);
    tcase_add_test(tcase, a_stored_answer_opens_for_who_repeats_the_call_and_for_nobody_else);
    tcase_add_test(tcase, an_empty_answer_can_be_stored);
    return run_tests(tcase, "idempotency");
}
