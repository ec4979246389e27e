/* Receipts, and the keys that they are checked with: RFC 8037 appendix A and RFC 8410 section
 * 10.1. */
#include <stdio.h>
#include <unistd.h>

#include "billing/receipt.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define JWK_8037 \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define RAW_8037 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define PEM_8410                                                     \
    "-----BEGIN PUBLIC KEY-----\n"                                   \
    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n" \
    "-----END PUBLIC KEY-----\n"
#define RAW_8410 "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"

static void is_key(struct span text, const char *hex)
{
    AUTO_CLEAR(public_keys) keys = {0};
    unsigned char raw[ED25519_PUBLIC_LEN];
    char got[2 * ED25519_PUBLIC_LEN + 1];
    struct err err = {0};

    ck_assert_msg(public_keys_parse(text, &keys, &err), "%s", err.text);
    ck_assert_uint_eq(keys.count, 1);
    signing_key_public_raw(keys.at[0].key, raw);
    hex_encode(raw, sizeof raw, got);
    ck_assert_str_eq(got, hex);
}

START_TEST(public_keys_are_read_in_every_form)
{
    char raw[ED25519_PUBLIC_LEN];

    ck_assert(hex_decode(SPAN(RAW_8037), raw, sizeof raw));
    is_key((struct span){raw, sizeof raw}, RAW_8037);
    is_key(SPAN(JWK_8037), RAW_8037);
    is_key(SPAN(" \n{\"keys\":[" JWK_8037 "]}"), RAW_8037);
    is_key(SPAN(PEM_8410), RAW_8410);
}
END_TEST

START_TEST(what_is_no_public_key_is_refused)
{
    static const char *const wrong[] = {
        "",
        "hello",
        "{}",
        "{\"keys\":[{}]}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHUR\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k-1\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        AUTO_CLEAR(public_keys) keys = {0};
        struct err err = {0};

        ck_assert_msg(!public_keys_parse(span_of(wrong[i]), &keys, &err), "%s", wrong[i]);
        ck_assert(err.text[0] != '\0');
    }
}
END_TEST

START_TEST(a_published_key_set_is_read_back)
{
    AUTO(signing_key) key = signing_key_generate();
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = 4096};
    char id[KEY_ID_TEXT];
    struct jw w;

    signing_key_id(key, id);
    keys.at[keys.count++].key = key;
    jw_init(&w, &text);
    jwks_write(&keys, &w);
    keys.count = 0;
    ck_assert(public_keys_parse(buf_span(&text), &keys, NULL));
    ck_assert_ptr_nonnull(public_keys_find(&keys, id));
    ck_assert_ptr_null(public_keys_find(&keys, "k-0000000000000000"));
}
END_TEST

START_TEST(keys_that_signed_are_kept_for_ever)
{
    AUTO(signing_key) first = signing_key_generate();
    AUTO(signing_key) second = signing_key_generate();
    AUTO_CLEAR(public_keys) keys = {0};
    char dir[] = "/tmp/tollgate-keys-XXXXXX", id[KEY_ID_TEXT], command[64];

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert(!public_keys_kept(dir, &keys, NULL));
    ck_assert(public_keys_keep(dir, first, NULL));
    ck_assert(public_keys_keep(dir, first, NULL));
    ck_assert(public_keys_keep(dir, second, NULL));
    ck_assert(public_keys_kept(dir, &keys, NULL));
    ck_assert_uint_eq(keys.count, 2);
    signing_key_id(first, id);
    ck_assert_ptr_nonnull(public_keys_find(&keys, id));
    signing_key_id(second, id);
    ck_assert_ptr_nonnull(public_keys_find(&keys, id));
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* The first call of the archive's first writer, as its line. */
static char *first_of_kind(const struct world *w, unsigned number, enum record_kind kind)
{
    AUTO(archive_reader) r = archive_reader_open(w->archive, w->writer[number].id, NULL);
    struct record_head head;
    struct span line;
    uint32_t crc;

    while (archive_reader_next(r, &head, &line, &crc, NULL) == 1)
        if (head.kind == kind)
            return xstrndup(line.data, line.len);
    ck_abort_msg("no %s", record_kind_name(kind));
    return NULL;
}

static void keys_of(const struct signing_key *key, struct public_keys *out)
{
    unsigned char raw[ED25519_PUBLIC_LEN];

    signing_key_public_raw(key, raw);
    ck_assert(public_keys_parse((struct span){(const char *)raw, sizeof raw}, out, NULL));
}

START_TEST(a_receipt_says_what_the_record_says)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    AUTO_STRING line = first_of_kind(w, 0, RECORD_CALL);
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    AUTO_CLEAR(buf) again = {.max = RECEIPT_BYTES_MAX};
    struct receipt r;
    struct err err = {0};

    keys_of(w->key, &keys);
    ck_assert_msg(receipt_sign(span_of(line), w->key, &text, &err), "%s", err.text);
    ck_assert(receipt_sign(span_of(line), w->key, &again, &err));
    ck_assert(span_equal(buf_span(&text), buf_span(&again)));
    buf_add_char(&text, '\n');
    ck_assert_msg(receipt_verify(buf_span(&text), &keys, w->archive, &r, &err), "%s", err.text);
    ck_assert(r.is_archived);
    ck_assert_str_eq(r.request_id, w->event[0].request_id);
    ck_assert_str_eq(r.account, "acme");
    ck_assert_str_eq(r.model, "ann/chat");
    ck_assert_str_eq(r.price, w->event[0].price);
    ck_assert_str_eq(r.writer, w->writer[0].id);
    ck_assert_uint_eq(r.n, 1);
    ck_assert_int_eq(r.amount.nanos, w->event[0].amount.nanos);
    ck_assert_str_eq(r.amount.currency, "CNY");
    ck_assert_int_eq(*used_get(&r.used, "input_tokens"), 1234567);
    ck_assert_int_eq(r.ended_at, w->event[0].ended_at);
    ck_assert(receipt_verify(buf_span(&text), &keys, NULL, &r, &err));
    ck_assert(!r.is_archived);
    world_free(w);
}
END_TEST

/* November's first call, 0.5 of it given back in December. */
static struct world *world_december(struct refund *out)
{
    struct world *w = world_november("2026-12-03T09:00:00Z");

    *out = world_refund(&w->event[0], "op-1", NANOS_PER_UNIT / 2, "2026-12-02T04:00:00.000Z");
    world_write_refund(w, 0, out, true);
    world_archive(w, 0);
    return w;
}

START_TEST(a_refund_has_a_receipt_of_its_own)
{
    struct refund refund;
    struct world *w = world_december(&refund);
    AUTO_STRING line = first_of_kind(w, 0, RECORD_REFUND);
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    struct receipt r;
    struct err err = {0};

    keys_of(w->key, &keys);
    ck_assert_msg(receipt_sign(span_of(line), w->key, &text, &err), "%s", err.text);
    ck_assert_msg(receipt_verify(buf_span(&text), &keys, w->archive, &r, &err), "%s", err.text);
    ck_assert(r.is_archived && r.is_refund);
    ck_assert_str_eq(r.request_id, w->event[0].request_id);
    ck_assert_str_eq(r.op, "op-1");
    ck_assert_str_eq(r.reason, refund.reason);
    ck_assert_int_eq(r.amount.nanos, NANOS_PER_UNIT / 2);
    ck_assert_int_eq(r.charged, w->event[0].amount.nanos);
    ck_assert_str_eq(r.orig_period.text, "2026-11");
    ck_assert_str_eq(r.period.text, "2026-12");
    ck_assert_int_eq(r.at, refund.at);
    for (size_t i = 0; i < text.len; i++) {
        char was = text.data[i];

        text.data[i] = was == 'A' ? 'B' : 'A';
        ck_assert(!receipt_verify(buf_span(&text), &keys, NULL, &r, &err));
        text.data[i] = was;
    }
    world_free(w);
}
END_TEST

START_TEST(every_changed_character_of_a_receipt_is_found)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    AUTO_STRING line = first_of_kind(w, 0, RECORD_CALL);
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    struct receipt r;

    keys_of(w->key, &keys);
    ck_assert(receipt_sign(span_of(line), w->key, &text, NULL));
    for (size_t i = 0; i < text.len; i++) {
        char was = text.data[i];
        struct err err = {0};

        text.data[i] = was == 'A' ? 'B' : 'A';
        ck_assert(!receipt_verify(buf_span(&text), &keys, NULL, &r, &err));
        ck_assert(err.text[0] != '\0');
        ck_assert(!receipt_verify((struct span){text.data, i}, &keys, NULL, &r, &err));
        text.data[i] = was;
    }
    ck_assert(receipt_verify(buf_span(&text), &keys, NULL, &r, NULL));
    world_free(w);
}
END_TEST

START_TEST(nothing_may_stand_around_a_receipt_but_one_final_newline)
{
    const struct span around[] = {SPAN("\0"), SPAN(" "),    SPAN("\t"),   SPAN("\r"),
                                  SPAN("x"),  SPAN("="),    SPAN("."),    SPAN("\n\n"),
                                  SPAN("{}"), SPAN("\0\n"), SPAN("\r\n"), SPAN(" \n")};
    struct world *w = world_november("2026-12-01T09:00:00Z");
    AUTO_STRING line = first_of_kind(w, 0, RECORD_CALL);
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    struct receipt r;

    keys_of(w->key, &keys);
    ck_assert(receipt_sign(span_of(line), w->key, &text, NULL));
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        AUTO_CLEAR(buf) behind = {.max = RECEIPT_BYTES_MAX};
        AUTO_CLEAR(buf) before = {.max = RECEIPT_BYTES_MAX};
        struct err err = {0};

        buf_add_span(&behind, buf_span(&text));
        buf_add_span(&behind, around[i]);
        buf_add_span(&before, around[i]);
        buf_add_span(&before, buf_span(&text));
        ck_assert_msg(!receipt_verify(buf_span(&behind), &keys, NULL, &r, &err), "row %zu", i);
        ck_assert(err.text[0] != '\0');
        ck_assert_msg(!receipt_verify(buf_span(&before), &keys, NULL, &r, &err), "row %zu", i);
    }
    buf_add_char(&text, '\n');
    ck_assert(receipt_verify(buf_span(&text), &keys, NULL, &r, NULL));
    world_free(w);
}
END_TEST

START_TEST(a_receipt_by_another_key_is_refused)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    AUTO(signing_key) other = signing_key_generate();
    AUTO_STRING line = first_of_kind(w, 0, RECORD_CALL);
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    struct receipt r;
    struct err err = {0};

    keys_of(w->key, &keys);
    ck_assert(receipt_sign(span_of(line), other, &text, NULL));
    ck_assert(!receipt_verify(buf_span(&text), &keys, NULL, &r, &err));
    ck_assert_int_eq(err.code, ERR_DENIED);
    world_free(w);
}
END_TEST

/* Signed by us, but not what the archive says: the record was changed on its way to be signed. */
START_TEST(a_receipt_that_the_archive_contradicts_is_refused)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    AUTO_STRING line = first_of_kind(w, 0, RECORD_CALL);
    AUTO_CLEAR(public_keys) keys = {0};
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    char *n = strstr(line, "\"an\":1,");
    struct receipt r;
    struct err err = {0};

    keys_of(w->key, &keys);
    n[5] = '7';
    ck_assert(receipt_sign(span_of(line), w->key, &text, NULL));
    ck_assert(!receipt_verify(buf_span(&text), &keys, w->archive, &r, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert(!receipt_verify(buf_span(&text), &keys, "/nonexistent", &r, &err));
    ck_assert_str_eq(err.text, "there is no archive at /nonexistent");
    n[5] = '1';
    memcpy(strstr(line, "1234567"), "1234568", 7);
    buf_truncate(&text, 0);
    ck_assert(receipt_sign(span_of(line), w->key, &text, NULL));
    ck_assert(!receipt_verify(buf_span(&text), &keys, w->archive, &r, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    world_free(w);
}
END_TEST

START_TEST(only_calls_and_refunds_have_receipts)
{
    AUTO(signing_key) key = signing_key_generate();
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    struct err err = {0};

    ck_assert(!receipt_sign(
        SPAN("{\"kind\":\"credit\",\"writer\":\"w-0000000000000001\",\"a\":1,\"an\":1,"
             "\"account\":\"acme\"}"),
        key, &text, &err));
    ck_assert_str_eq(err.text, "a credit record has no receipt");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("receipt");

    tcase_add_test(tcase, public_keys_are_read_in_every_form);
    tcase_add_test(tcase, what_is_no_public_key_is_refused);
    tcase_add_test(tcase, a_published_key_set_is_read_back);
    tcase_add_test(tcase, keys_that_signed_are_kept_for_ever);
    tcase_add_test(tcase, a_receipt_says_what_the_record_says);
    tcase_add_test(tcase, a_refund_has_a_receipt_of_its_own);
    tcase_add_test(tcase, every_changed_character_of_a_receipt_is_found);
    tcase_add_test(tcase, nothing_may_stand_around_a_receipt_but_one_final_newline);
    tcase_add_test(tcase, a_receipt_by_another_key_is_refused);
    tcase_add_test(tcase, a_receipt_that_the_archive_contradicts_is_refused);
    tcase_add_test(tcase, only_calls_and_refunds_have_receipts);
    return run_tests(tcase, "receipt");
}
