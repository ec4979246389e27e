/* Events: the exact bytes, nothing lost on the way back, and every member guarded. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/event.h"
#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS 2000
#define OUT    65536

static const char example[] =
    "{\"request_id\":\"req_019aab0c2f5b00112233445566778899\",\"account\":\"demo\",\"key\":"
    "\"17abcdefgh09\",\"creators\":[{\"id\":\"alice\",\"weight\":3},{\"id\":\"demo\",\"weight\":1}]"
    ","
    "\"model\":\"demo/"
    "echo\",\"backend\":\"echo\",\"price\":\"demo-price@2026-11-01T00:00:00.000Z\","
    "\"units\":{\"input_tokens\":12,\"output_tokens\":0},\"provenance\":{\"input_tokens\":"
    "\"upstream\",\"output_tokens\":\"counted\"},\"amount\":\"0.000024\",\"currency\":\"CNY\","
    "\"outcome\":\"complete\",\"started_at\":\"2026-11-22T10:52:55.123Z\",\"ended_at\":"
    "\"2026-11-22T10:52:56.000Z\",\"period\":\"2026-11\",\"orig_period\":\"2026-11\",\"contract\":"
    "\"alice@2026-10-31T16:00:00.000Z\",\"share_bp\":7000}";

static void in_shanghai(void)
{
    ck_assert(clock_set_zone("Asia/Shanghai", NULL));
}

/* The caller clears `out`. */
static void write_event(const struct event *e, struct buf *out)
{
    struct jw w;

    buf_init(out, OUT);
    jw_init(&w, out);
    event_write(e, &w);
    ck_assert(buf_ok(out, "event", NULL));
}

static bool parse_text(struct span text, struct event *e, struct err *err)
{
    AUTO_JSON object = json_parse(text, err);

    return object && event_parse(object, e, err);
}

static struct event example_event(void)
{
    struct event e;
    struct err err = {0};

    ck_assert_msg(parse_text(span_of(example), &e, &err), "%s", err.text);
    return e;
}

START_TEST(an_event_is_read_member_by_member)
{
    struct event e = example_event();
    int64_t started_at;

    ck_assert(clock_parse(SPAN("2026-11-22T10:52:55.123Z"), &started_at, NULL));
    ck_assert_str_eq(e.request_id, "req_019aab0c2f5b00112233445566778899");
    ck_assert_str_eq(e.account, "demo");
    ck_assert_str_eq(e.key, "17abcdefgh09");
    ck_assert_uint_eq(e.owner_count, 2);
    ck_assert_str_eq(e.owners[0].id, "alice");
    ck_assert_int_eq(e.owners[0].weight, 3);
    ck_assert_str_eq(e.owners[1].id, "demo");
    ck_assert_int_eq(e.owners[1].weight, 1);
    ck_assert_str_eq(e.model, "demo/echo");
    ck_assert_str_eq(e.backend, "echo");
    ck_assert_str_eq(e.price, "demo-price@2026-11-01T00:00:00.000Z");
    ck_assert_str_eq(e.contract, "alice@2026-10-31T16:00:00.000Z");
    ck_assert_int_eq(e.share_bp, 7000);
    ck_assert_uint_eq(e.used.count, 2);
    ck_assert_int_eq(*used_get(&e.used, "input_tokens"), 12);
    ck_assert_int_eq(*used_get(&e.used, "output_tokens"), 0);
    ck_assert_int_eq(e.used.item[0].provenance, FROM_UPSTREAM);
    ck_assert_int_eq(e.used.item[1].provenance, COUNTED);
    ck_assert_int_eq(e.amount.nanos, 24000);
    ck_assert_str_eq(e.amount.currency, "CNY");
    ck_assert_int_eq(e.outcome, OUTCOME_COMPLETE);
    ck_assert_int_eq(e.started_at, started_at);
    ck_assert_int_eq(e.ended_at, started_at + 877 * NANOS_PER_MS);
    ck_assert_str_eq(e.period.text, "2026-11");
    ck_assert_str_eq(e.orig_period.text, "2026-11");
}
END_TEST

START_TEST(an_event_is_written_byte_for_byte)
{
    struct event e = example_event();
    AUTO_CLEAR(buf) out;

    write_event(&e, &out);
    ck_assert_str_eq(out.data, example);
    ck_assert_uint_le(out.len, 900); /* what an event costs to keep */
}
END_TEST

START_TEST(times_are_cut_to_the_millisecond)
{
    struct event e = example_event();
    AUTO_CLEAR(buf) out;

    e.started_at += NANOS_PER_MS - 1;
    e.ended_at += NANOS_PER_MS - 1;
    write_event(&e, &out);
    ck_assert_str_eq(out.data, example);
}
END_TEST

/* A record has its head before the event and in the same object. */
START_TEST(an_event_is_read_out_of_its_record)
{
    AUTO_CLEAR(buf) record, out;
    struct event e;

    buf_init(&record, OUT);
    buf_add_string(&record,
                   "{\"kind\":\"call\",\"writer\":\"w-0123456789abcdef\",\"a\":17,\"an\":1,"
                   "\"m\":5,\"mn\":2,");
    buf_add_string(&record, example + 1);
    ck_assert(parse_text(buf_span(&record), &e, NULL));
    write_event(&e, &out);
    ck_assert_str_eq(out.data, example);
}
END_TEST

static void any_id(char out[ID_TEXT])
{
    rand_text(out, 1 + rand_below(ID_TEXT - 1));
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct owner *)a)->id, ((const struct owner *)b)->id);
}

static void any_owners(struct event *e)
{
    size_t count = 1 + rand_below(OWNERS_MAX);

    for (size_t i = 0; i < count; i++) {
        any_id(e->owners[i].id);
        e->owners[i].weight = 1 + (int64_t)rand_below(OWNER_WEIGHTS_MAX / OWNERS_MAX);
    }
    qsort(e->owners, count, sizeof e->owners[0], by_id);
    for (size_t i = 0; i < count; i++) /* two of the same by chance: the second is dropped */
        if (e->owner_count == 0 || strcmp(e->owners[e->owner_count - 1].id, e->owners[i].id) != 0)
            e->owners[e->owner_count++] = e->owners[i];
}

static struct event any_event(void)
{
    struct event e = {.outcome = (enum outcome)rand_below(OUTCOME_VOID + 1),
                      .amount = {(int64_t)rand_below(AMOUNT_NANOS_MAX + 1), "CNY"},
                      .share_bp = (int64_t)rand_below(10001)};
    char name[ID_TEXT];

    request_id_make(e.request_id);
    any_id(e.account);
    any_owners(&e);
    rand_text(e.key, KEY_ID_PUBLIC - 1);
    any_id(name);
    ck_assert(snprintf(e.model, sizeof e.model, "%s/%s", e.owners[0].id, name) > 0);
    if (rand_below(4))
        any_id(e.backend);
    e.started_at = (int64_t)rand_below(UINT64_C(4000000000000)) * NANOS_PER_MS;
    e.ended_at = e.started_at + (int64_t)rand_below(1000000) * NANOS_PER_MS;
    e.period = e.orig_period = period_of(e.ended_at);
    if (rand_below(4) == 0)
        e.period = period_next(e.period);
    version_make(name, e.started_at, e.price);
    version_make(e.owners[0].id, e.started_at, e.contract);
    for (size_t i = rand_below(unit_count() + 1); i-- > 0;)
        ck_assert(used_set(&e.used, unit_at(rand_below(unit_count())),
                           (int64_t)(rand_u64() >> (1 + rand_below(63))),
                           (enum provenance)rand_below(ESTIMATED + 1), NULL));
    return e;
}

START_TEST(what_is_written_is_read_back_the_same)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct event e = any_event(), again;
        AUTO_CLEAR(buf) out;
        AUTO_CLEAR(buf) out_again;
        struct err err = {0};

        write_event(&e, &out);
        ck_assert_msg(parse_text(buf_span(&out), &again, &err), "%s: %s", out.data, err.text);
        write_event(&again, &out_again);
        ck_assert_str_eq(out.data, out_again.data);
        ck_assert_int_eq(again.amount.nanos, e.amount.nanos);
        ck_assert_int_eq(again.ended_at, e.ended_at);
        ck_assert_int_eq(again.outcome, e.outcome);
        ck_assert_uint_eq(again.owner_count, e.owner_count);
        ck_assert_uint_eq(again.used.count, e.used.count);
    }
}
END_TEST

START_TEST(a_call_with_an_idempotency_key_says_so_and_no_other_does)
{
    struct event e = example_event(), again;
    AUTO_CLEAR(buf) out;

    ck_assert(!strstr(example, "idempotency"));
    memcpy(e.idempotency.key, "00112233445566778899aabbccddeeff", DIGEST_TEXT);
    memcpy(e.idempotency.body, "ffeeddccbbaa99887766554433221100", DIGEST_TEXT);
    write_event(&e, &out);
    ck_assert_ptr_nonnull(strstr(out.data,
                                 ",\"idempotency\":{\"key\":\"00112233445566778899aabbccddeeff\","
                                 "\"body\":\"ffeeddccbbaa99887766554433221100\"}}"));
    ck_assert(parse_text(buf_span(&out), &again, NULL));
    ck_assert_str_eq(again.idempotency.key, e.idempotency.key);
    ck_assert_str_eq(again.idempotency.body, e.idempotency.body);
}
END_TEST

START_TEST(a_call_with_a_key_that_was_rotated_names_the_first_and_no_other_does)
{
    struct event e = example_event(), again;
    AUTO_CLEAR(buf) out;

    ck_assert(!strstr(example, "first_key"));
    memcpy(e.first_key, "17aaaaaaaaaa", KEY_ID_PUBLIC);
    write_event(&e, &out);
    ck_assert_ptr_nonnull(strstr(out.data, ",\"first_key\":\"17aaaaaaaaaa\"}"));
    ck_assert(parse_text(buf_span(&out), &again, NULL));
    ck_assert_str_eq(again.first_key, e.first_key);
}
END_TEST

START_TEST(a_call_of_an_account_with_a_zone_names_the_day_on_which_it_began_there)
{
    struct event e = example_event(), again;
    AUTO_CLEAR(buf) out;

    ck_assert(!strstr(example, "began_on"));
    memcpy(e.began_on, "2026-11-21", DAY_TEXT);
    write_event(&e, &out);
    ck_assert_ptr_nonnull(strstr(out.data, ",\"began_on\":\"2026-11-21\"}"));
    ck_assert(parse_text(buf_span(&out), &again, NULL));
    ck_assert_str_eq(again.began_on, e.began_on);
}
END_TEST

static void fill(char *out, size_t size)
{
    memset(out, 'x', size - 1);
    out[size - 1] = '\0';
}

START_TEST(the_greatest_event_stays_under_its_bound)
{
    struct event e = {
        .owner_count = OWNERS_MAX, .share_bp = 10000, .outcome = OUTCOME_UPSTREAM_ERROR};
    AUTO_CLEAR(buf) out;

    request_id_make(e.request_id);
    fill(e.account, sizeof e.account);
    fill(e.key, sizeof e.key);
    fill(e.first_key, sizeof e.first_key);
    fill(e.began_on, sizeof e.began_on);
    fill(e.model, sizeof e.model);
    e.model[64] = '/';
    fill(e.backend, sizeof e.backend);
    for (size_t i = 0; i < OWNERS_MAX; i++) {
        fill(e.owners[i].id, sizeof e.owners[i].id);
        e.owners[i].id[63] = (char)('a' + i);
        e.owners[i].weight = OWNER_WEIGHTS_MAX / OWNERS_MAX;
    }
    fill(e.price, sizeof e.price);
    fill(e.contract, sizeof e.contract);
    for (size_t i = 0; i < USED_MAX; i++) {
        e.used.item[i].unit = unit_find(SPAN("cached_input_tokens"));
        e.used.item[i].n = INT64_MAX;
        e.used.item[i].provenance = ESTIMATED;
    }
    e.used.count = USED_MAX;
    e.amount = (struct money){AMOUNT_NANOS_MAX - 1, "CNY"};
    e.period = e.orig_period = period_of(0);
    fill(e.idempotency.key, sizeof e.idempotency.key);
    fill(e.idempotency.body, sizeof e.idempotency.body);
    write_event(&e, &out);
    ck_assert_uint_gt(out.len, 3000);
    ck_assert_uint_le(out.len, EVENT_BYTES_MAX);
}
END_TEST

/* Each replaces one member of the example by a JSON text; null takes it away. */
static const struct {
    const char *member, *value, *reason;
} refused[] = {
    {"request_id", NULL, "\"request_id\" is missing"},
    {"request_id", "5", "must be a string"},
    {"request_id", "\"\"", "\"request_id\""},
    {"request_id", "\"req_019AAB0C2F5B00112233445566778899\"", "\"request_id\""},
    {"account", NULL, "\"account\" is missing"},
    {"account", "\"a b\"", "\"account\""},
    {"account", "\"\"", "\"account\""},
    {"account", "null", "must be a string"},
    {"key", NULL, "\"key\" is missing"},
    {"key", "\"17abcdefgh0\"", "\"key\""},
    {"key", "\"17abcdefgh012\"", "\"key\""},
    {"key", "\"17ABCDEFGH09\"", "\"key\""},
    {"creators", NULL, "1 to 16 creators"},
    {"creators", "[]", "1 to 16 creators"},
    {"creators", "{}", "must be an array"},
    {"creators", "[\"alice\"]", "must be an object"},
    {"creators", "[{\"id\":\"alice\"}]", "\"weight\" is missing"},
    {"creators", "[{\"weight\":1}]", "\"id\" is missing"},
    {"creators", "[{\"id\":\"alice\",\"weight\":0}]", "at least 1"},
    {"creators", "[{\"id\":\"alice\",\"weight\":-1}]", "at least 1"},
    {"creators", "[{\"id\":\"alice\",\"weight\":1.5}]", "must be an integer"},
    {"creators", "[{\"id\":\"alice\",\"weight\":1,\"share\":1}]", "not a known member"},
    {"creators", "[{\"id\":\"al ice\",\"weight\":1}]", "creator's id"},
    {"creators", "[{\"id\":\"alice\",\"weight\":1},{\"id\":\"alice\",\"weight\":1}]", "stand once"},
    {"creators", "[{\"id\":\"bob\",\"weight\":1},{\"id\":\"alice\",\"weight\":1}]", "order of ids"},
    {"creators", "[{\"id\":\"demo\",\"weight\":1}]", "\"contract\" must be of the first creator"},
    {"creators", "[{\"id\":\"alic\",\"weight\":1}]", "\"contract\" must be of the first creator"},
    {"creators", "[{\"id\":\"alice\",\"weight\":4611686018427387904},{\"id\":\"b\",\"weight\":1}]",
     "more than 2^62"},
    {"model", NULL, "\"model\" is missing"},
    {"model", "\"echo\"", "\"model\""},
    {"model", "\"/echo\"", "\"model\""},
    {"model", "\"demo/\"", "\"model\""},
    {"model", "\"demo/e/f\"", "\"model\""},
    {"backend", NULL, "\"backend\" is missing"},
    {"backend", "\"http://b\"", "\"backend\""},
    {"price", NULL, "\"price\" is missing"},
    {"price", "\"demo-price\"", "\"price\""},
    {"price", "\"demo-price@2026-11-01T00:00:00Z\"", "\"price\""},
    {"units", NULL, "is missing"},
    {"units", "[]", "must be an object"},
    {"units", "{}", "differ in their members"},
    {"units", "{\"input_tokens\":12,\"tokens\":0}", "tokens"},
    {"units", "{\"output_tokens\":0,\"input_tokens\":12}", "not where its number is"},
    {"units", "{\"input_tokens\":-1,\"output_tokens\":0}", "0 or more"},
    {"units", "{\"input_tokens\":1.0,\"output_tokens\":0}", "0 or more"},
    {"units", "{\"input_tokens\":\"1\",\"output_tokens\":0}", "0 or more"},
    {"provenance", NULL, "is missing"},
    {"provenance", "{\"input_tokens\":\"upstream\"}", "differ in their members"},
    {"provenance", "{\"input_tokens\":\"upstream\",\"output_tokens\":\"guessed\"}", "estimated"},
    {"provenance", "{\"input_tokens\":\"upstream\",\"output_tokens\":1}", "estimated"},
    {"amount", NULL, "\"amount\" is missing"},
    {"amount", "0.000024", "must be a string"},
    {"amount", "24", "must be a string"},
    {"amount", "\"0.0000240\"", "must be written as 0.000024"},
    {"amount", "\"-0.000024\"", "between 0 and"},
    {"amount", "\"9000000.000000001\"", "between 0 and"},
    {"amount", "\"2.4e-5\"", "decimal"},
    {"currency", NULL, "\"currency\" is missing"},
    {"currency", "\"RMB\"", "\"currency\""},
    {"outcome", NULL, "\"outcome\" is missing"},
    {"outcome", "\"done\"", "not an outcome"},
    {"started_at", NULL, "\"started_at\" is missing"},
    {"started_at", "\"2026-11-22T10:52:55Z\"", "must be written as"},
    {"started_at", "\"2026-11-22T18:52:55.123+08:00\"", "must be written as"},
    {"started_at", "\"yesterday\"", "RFC 3339"},
    {"started_at", "\"2026-11-22T10:52:56.001Z\"", "before it starts"},
    {"ended_at", NULL, "\"ended_at\" is missing"},
    {"ended_at", "\"2026-11-30T16:00:00.000Z\"", "but it ended in 2026-12"},
    {"period", NULL, "\"period\" is missing"},
    {"period", "\"2026-10\"", "before \"orig_period\""},
    {"period", "\"2026-13\"", "is not a period"},
    {"orig_period", NULL, "\"orig_period\" is missing"},
    {"orig_period", "\"2026-10\"", "but it ended in 2026-11"},
    {"contract", NULL, "\"contract\" is missing"},
    {"contract", "\"alice\"", "\"contract\""},
    {"contract", "\"demo@2026-10-31T16:00:00.000Z\"", "of the first creator"},
    {"idempotency", "5", "must be an object"},
    {"idempotency", "{\"key\":\"00112233445566778899aabbccddeeff\"}", "\"body\" is missing"},
    {"idempotency", "{\"key\":\"0\",\"body\":\"0\"}", "32 hexadecimal digits"},
    {"idempotency",
     "{\"key\":\"00112233445566778899AABBCCDDEEFF\",\"body\":\"00112233445566778899aabbccddeeff\"}",
     "must be written as 0011"},
    {"idempotency",
     "{\"key\":\"00112233445566778899aabbccddeeff\",\"body\":\"00112233445566778899aabbccddeeff\","
     "\"x\":1}",
     "not a known member"},
    {"first_key", "5", "must be a string"},
    {"first_key", "\"\"", "no key that this one descends from"},
    {"first_key", "\"17ABCDEFGHIJ\"", "no key that this one descends from"},
    {"began_on", "5", "must be a string"},
    {"began_on", "\"\"", "nowhere the day"},
    {"began_on", "\"2026-11\"", "nowhere the day"},
    {"began_on", "\"2026-11-31\"", "nowhere the day"},
    {"began_on", "\"2026-11-22T\"", "nowhere the day"},
    {"began_on", "\"2026-11-20\"", "nowhere the day"},
    {"began_on", "\"2026-11-24\"", "nowhere the day"},
    {"began_on", "\"2027-11-22\"", "nowhere the day"},
    {"share_bp", NULL, "\"share_bp\" is missing"},
    {"share_bp", "10001", "between 0 and 10000"},
    {"share_bp", "-1", "between 0 and 10000"},
    {"share_bp", "\"7000\"", "must be an integer"},
    {"refunded", "true", "not a known member"},
};

START_TEST(a_mistake_in_any_member_is_named)
{
    AUTO_JSON object = json_parse(span_of(example), NULL);
    struct event e = {.share_bp = 77};
    struct err err = {0};

    if (refused[_i].value)
        ck_assert_int_eq(json_object_set_new(object, refused[_i].member,
                                             json_parse(span_of(refused[_i].value), NULL)),
                         0);
    else
        ck_assert_int_eq(json_object_del(object, refused[_i].member), 0);
    ck_assert_msg(!event_parse(object, &e, &err), "%s = %s", refused[_i].member, refused[_i].value);
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_msg(strstr(err.text, refused[_i].reason), "%s = %s gave: %s", refused[_i].member,
                  refused[_i].value, err.text);
    ck_assert_int_eq(e.share_bp, 77);
}
END_TEST

START_TEST(only_an_object_is_an_event)
{
    static const char *const wrong[] = {"[]", "5", "\"event\"", "null", "{}"};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct event e;
        struct err err = {0};

        ck_assert(!parse_text(span_of(wrong[i]), &e, &err));
        ck_assert_int_eq(err.code, ERR_INPUT);
    }
}
END_TEST

START_TEST(a_late_event_is_booked_in_a_later_period)
{
    AUTO_JSON object = json_parse(span_of(example), NULL);
    struct event e;

    ck_assert_int_eq(json_object_set_new(object, "period", json_string("2027-01")), 0);
    ck_assert(event_parse(object, &e, NULL));
    ck_assert_str_eq(e.period.text, "2027-01");
    ck_assert_str_eq(e.orig_period.text, "2026-11");
}
END_TEST

START_TEST(outcomes_have_names_that_are_read_back)
{
    static const char *const names[] = {
        "complete", "client_closed", "upstream_error", "timeout", "killed", "limit", "void"};
    enum outcome o = OUTCOME_LIMIT;

    ck_assert(!outcome_parse(SPAN("Complete"), &o));
    ck_assert(!outcome_parse(SPAN(""), &o));
    ck_assert_int_eq(o, OUTCOME_LIMIT);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        ck_assert_str_eq(outcome_name((enum outcome)i), names[i]);
        ck_assert(outcome_parse(span_of(names[i]), &o));
        ck_assert_int_eq(o, i);
    }
}
END_TEST

START_TEST(request_ids_are_valid_distinct_and_in_the_order_of_time)
{
    char before[REQUEST_ID_TEXT] = "", id[REQUEST_ID_TEXT], same[REQUEST_ID_TEXT];
    int64_t offset = 0;

    for (int round = 0; round < 200; round++) {
        clock_set_offset(offset += NANOS_PER_SECOND);
        request_id_make(id);
        request_id_make(same);
        ck_assert(request_id_is_valid(span_of(id)));
        ck_assert_str_ne(id, same);
        ck_assert_str_gt(id, before);
        memcpy(before, id, sizeof id);
    }
}
END_TEST

START_TEST(a_request_id_begins_with_its_milliseconds)
{
    char id[REQUEST_ID_TEXT], digits[13] = "";
    int64_t before = clock_now() / NANOS_PER_MS, ms;

    request_id_make(id);
    memcpy(digits, id + strlen("req_"), 12);
    ms = strtoll(digits, NULL, 16);
    ck_assert_int_ge(ms, before);
    ck_assert_int_le(ms, clock_now() / NANOS_PER_MS);
}
END_TEST

START_TEST(nothing_else_is_a_request_id)
{
    static const char *const wrong[] = {
        "",
        "req_",
        "019aab0c2f5b00112233445566778899",
        "req_019aab0c2f5b0011223344556677889",
        "req_019aab0c2f5b001122334455667788990",
        "req_019aab0c2f5b0011223344556677889g",
        "req_019aab0c2f5b0011223344556677889A",
        "req-019aab0c2f5b00112233445566778899",
        "REQ_019aab0c2f5b00112233445566778899",
        "req_019aab0c2f5b 0112233445566778899",
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(!request_id_is_valid(span_of(wrong[i])), "\"%s\"", wrong[i]);
    ck_assert(request_id_is_valid(SPAN("req_019aab0c2f5b00112233445566778899")));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("event");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, in_shanghai, NULL);
    tcase_add_test(tcase, an_event_is_read_member_by_member);
    tcase_add_test(tcase, an_event_is_written_byte_for_byte);
    tcase_add_test(tcase, times_are_cut_to_the_millisecond);
    tcase_add_test(tcase, an_event_is_read_out_of_its_record);
    tcase_add_test(tcase, what_is_written_is_read_back_the_same);
    tcase_add_test(tcase, a_call_with_an_idempotency_key_says_so_and_no_other_does);
    tcase_add_test(tcase, a_call_with_a_key_that_was_rotated_names_the_first_and_no_other_does);
    tcase_add_test(tcase, a_call_of_an_account_with_a_zone_names_the_day_on_which_it_began_there);
    tcase_add_test(tcase, the_greatest_event_stays_under_its_bound);
    tcase_add_loop_test(tcase, a_mistake_in_any_member_is_named, 0, ARRAY_LEN(refused));
    tcase_add_test(tcase, only_an_object_is_an_event);
    tcase_add_test(tcase, a_late_event_is_booked_in_a_later_period);
    tcase_add_test(tcase, outcomes_have_names_that_are_read_back);
    tcase_add_test(tcase, request_ids_are_valid_distinct_and_in_the_order_of_time);
    tcase_add_test(tcase, a_request_id_begins_with_its_milliseconds);
    tcase_add_test(tcase, nothing_else_is_a_request_id);
    return run_tests(tcase, "event");
}
