/* Refunds: what is accepted is written the same again, and nothing else is accepted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/refund.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

#define GOOD                                                                                \
    "{\"request_id\":\"req_00112233445566778899aabbccddeeff\",\"op\":\"op-1\","             \
    "\"account\":\"acme\",\"model\":\"ada/m\",\"creators\":[{\"id\":\"ada\",\"weight\":2}," \
    "{\"id\":\"bob\",\"weight\":1}],\"price\":\"p@2026-11-01T00:00:00.000Z\","              \
    "\"contract\":\"ada@2026-11-01T00:00:00.000Z\",\"share_bp\":7000,\"charged\":\"1.5\","  \
    "\"currency\":\"CNY\",\"amount\":\"0.5\",\"reason\":\"it was \\\"slow\\\"\","           \
    "\"orig_period\":\"2026-11\",\"period\":\"2026-12\",\"at\":\"2026-12-02T04:00:00.000Z\"}"

static bool parse(const char *text, struct refund *out, struct err *err)
{
    AUTO_JSON object = json_parse(span_of(text), err);

    ck_assert_msg(object, "%s", text);
    return refund_parse(object, out, err);
}

/* GOOD with one piece of it replaced; caller frees. */
static char *spoiled(const char *from, const char *to)
{
    const char *at = strstr(GOOD, from);
    AUTO_CLEAR(buf) text = {.max = 4096};

    ck_assert_msg(at, "%s", from);
    buf_add(&text, GOOD, (size_t)(at - GOOD));
    buf_add_string(&text, to);
    buf_add_string(&text, at + strlen(from));
    return xstrndup(text.data, text.len);
}

START_TEST(a_refund_reads_as_it_was_written)
{
    AUTO_CLEAR(buf) text = {.max = EVENT_BYTES_MAX};
    struct refund r;
    struct err err;
    struct jw w;

    ck_assert_msg(parse(GOOD, &r, &err), "%s", err.text);
    ck_assert_int_eq(r.charged, 1500000000);
    ck_assert_int_eq(r.amount.nanos, 500000000);
    ck_assert_str_eq(r.reason, "it was \"slow\"");
    jw_init(&w, &text);
    refund_write(&r, &w);
    ck_assert_str_eq(text.data, GOOD);
}
END_TEST

START_TEST(the_largest_refund_fits_a_records_body)
{
    AUTO_CLEAR(buf) text = {.max = EVENT_BYTES_MAX};
    struct refund r = {.owner_count = OWNERS_MAX, .charged = AMOUNT_NANOS_MAX - 1};
    struct jw w;

    memset(r.op, 'o', sizeof r.op - 1);
    memset(r.account, 'a', sizeof r.account - 1);
    memset(r.model, 'm', sizeof r.model - 1);
    memset(r.price, 'p', sizeof r.price - 1);
    memset(r.contract, 'c', sizeof r.contract - 1);
    memset(r.reason, '"', sizeof r.reason - 1);
    for (size_t i = 0; i < OWNERS_MAX; i++) {
        memset(r.owners[i].id, 'i', sizeof r.owners[i].id - 1);
        r.owners[i].weight = INT64_MAX;
    }
    jw_init(&w, &text);
    refund_write(&r, &w);
    ck_assert(!text.failed);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    static const char *const bad[][2] = {
        {"req_0011", "req_zz11"},
        {"\"op\":\"op-1\",", ""},
        {"op-1", "op 1"},
        {"\"amount\":\"0.5\"", "\"amount\":\"0\""},
        {"\"amount\":\"0.5\"", "\"amount\":\"-0.5\""},
        {"\"amount\":\"0.5\"", "\"amount\":\"1.500000001\""},
        {"\"amount\":\"0.5\"", "\"amount\":\"0.50\""},
        {"\"amount\":\"0.5\"", "\"amount\":0.5"},
        {"\"charged\":\"1.5\"", "\"charged\":\"9000000.000000001\""},
        {"it was \\\"slow\\\"", ""},
        {"it was \\\"slow\\\"", "  "},
        {"it was", "it\\u0007was"},
        {"\"period\":\"2026-12\"", "\"period\":\"2026-10\""},
        {"\"orig_period\":\"2026-11\"", "\"orig_period\":\"2027-01\""},
        {"2026-12-02T04:00:00.000Z", "2027-01-02T04:00:00.000Z"},
        {"2026-12-02T04:00:00.000Z", "2026-12-02T04:00:00Z"},
        {"\"contract\":\"ada@", "\"contract\":\"bob@"},
        {"\"share_bp\":7000", "\"share_bp\":10001"},
        {"\"id\":\"bob\"", "\"id\":\"ada\""},
        {"\"currency\":\"CNY\"", "\"currency\":\"XYZ\""},
        {"\"reason\"", "\"more\":1,\"reason\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_STRING text = spoiled(bad[i][0], bad[i][1]);
        struct refund r;
        struct err err;

        ck_assert_msg(!parse(text, &r, &err), "%s", text);
        ck_assert_msg(err.text[0] && err.code == ERR_INPUT, "%s: %s", text, err.text);
    }
}
END_TEST

static void in_shanghai(void)
{
    ck_assert(clock_set_zone("Asia/Shanghai", NULL));
}

int main(void)
{
    TCase *tcase = tcase_create("refund");

    tcase_add_checked_fixture(tcase, in_shanghai, NULL);
    tcase_add_test(tcase, a_refund_reads_as_it_was_written);
    tcase_add_test(tcase, the_largest_refund_fits_a_records_body);
    tcase_add_test(tcase, anything_else_is_refused);
    return run_tests(tcase, "refund");
}
