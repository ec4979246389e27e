/* Prices: parsing, inheritance, rating against the worked examples and against sums made another
 * way, and the bound that holds are placed by. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/price.h"
#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS 10000
#define FROM   "2026-11-01T00:00:00.000Z"

static struct price parsed(const char *text)
{
    AUTO_JSON object = json_parse(span_of(text), NULL);
    struct price p;
    struct err err = {0};

    ck_assert_msg(price_parse(object, "CNY", &p, &err), "%s: %s", text, err.text);
    return p;
}

/* A price with these units, written with single quotes to be readable here. */
static struct price priced(const char *units)
{
    char text[1024];

    snprintf(text, sizeof text, "{'id':'p','from':'" FROM "','units':{%s}}", units);
    for (char *at = text; *at; at++)
        if (*at == '\'')
            *at = '"';
    return parsed(text);
}

static const struct unit *unit_named(const char *name)
{
    const struct unit *unit = unit_find(span_of(name));

    ck_assert_msg(unit, "no unit %s", name);
    return unit;
}

static void use(struct used *used, const char *name, int64_t n)
{
    ck_assert(used_set(used, unit_named(name), n, FROM_UPSTREAM, NULL));
}

START_TEST(vector_ratings_come_out_to_the_nano)
{
    const char *top = getenv("TOP_SRCDIR"), *name;
    json_t *row, *n;
    char path[4096];
    size_t i;

    snprintf(path, sizeof path, "%s/tests/data/split-vectors.json", top ? top : ".");
    AUTO_JSON vectors = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(vectors, "cannot read %s", path);
    ck_assert_uint_gt(json_array_size(json_object_get(vectors, "rating_nanos")), 0);
    json_array_foreach(json_object_get(vectors, "rating_nanos"), i, row)
    {
        AUTO_JSON object = json_pack("{s:s, s:s, s:O}", "id", "p", "from", FROM, "units",
                                     json_object_get(row, "per_million"));
        struct used used = {0};
        struct price p;
        int64_t amount;

        ck_assert(price_parse(object, "CNY", &p, NULL));
        json_object_foreach (json_object_get(row, "units"), name, n)
            use(&used, name, json_integer_value(n));
        ck_assert(price_rate(&p, &used, &amount, NULL));
        ck_assert_int_eq(amount, json_integer_value(json_object_get(row, "amount")));
    }
}
END_TEST

START_TEST(a_price_is_read_and_written_in_the_tables_order)
{
    struct price p =
        parsed("{\"units\":{\"output_tokens\":\"8.00\",\"call\":\"0\",\"input_tokens\":"
               "\"2.000000001\"},\"from\":\"2026-11-01T08:00:00+08:00\",\"id\":\"demo-price\"}");
    AUTO_CLEAR(buf) out;
    struct jw w;

    ck_assert_str_eq(p.version, "demo-price@" FROM);
    ck_assert_str_eq(p.currency, "CNY");
    ck_assert_uint_eq(p.count, 3);
    buf_init(&out, 4096);
    jw_init(&w, &out);
    price_write(&p, &w);
    ck_assert_str_eq(out.data,
                     "{\"id\":\"demo-price\",\"from\":\"" FROM "\",\"currency\":\"CNY\","
                     "\"units\":{\"input_tokens\":\"2.000000001\",\"output_tokens\":\"8\","
                     "\"call\":\"0\"}}");
}
END_TEST

START_TEST(what_was_written_is_read_back_with_its_own_currency)
{
    struct price p = priced("'input_tokens':'1.5','image':'0.04'"), again;
    AUTO_CLEAR(buf) out;
    struct jw w;

    buf_init(&out, 4096);
    jw_init(&w, &out);
    price_write(&p, &w);
    AUTO_JSON object = json_parse(buf_span(&out), NULL);
    ck_assert(price_parse(object, NULL, &again, NULL));
    ck_assert_str_eq(again.version, p.version);
    ck_assert_str_eq(again.currency, "CNY");
    ck_assert_int_eq(again.from, p.from);
    ck_assert_uint_eq(again.count, 2);
    ck_assert_ptr_eq(again.rate[1].unit, unit_named("image"));
    ck_assert_int_eq(again.rate[1].nanos, 40000000);
    ck_assert(price_parse(object, "CNY", &again, NULL));
    ck_assert(!price_parse(object, "USD", &again, NULL));
}
END_TEST

#define HEAD "{\"id\":\"p\",\"from\":\"" FROM "\","

static const struct {
    const char *text, *reason;
} refused[] = {
    {"[]", "must be an object"},
    {"{\"from\":\"" FROM "\",\"units\":{\"call\":\"1\"}}", "\"id\" is missing"},
    {"{\"id\":\"\",\"from\":\"" FROM "\",\"units\":{\"call\":\"1\"}}", "\"id\" must be"},
    {"{\"id\":\"a@b\",\"from\":\"" FROM "\",\"units\":{\"call\":\"1\"}}", "\"id\" must be"},
    {"{\"id\":7,\"from\":\"" FROM "\",\"units\":{\"call\":\"1\"}}", "must be a string"},
    {"{\"id\":\"p\",\"units\":{\"call\":\"1\"}}", "\"from\" is missing"},
    {"{\"id\":\"p\",\"from\":\"2026-11-01\",\"units\":{\"call\":\"1\"}}", "RFC 3339"},
    {"{\"id\":\"p\",\"from\":\"2026-11-01T00:00:00.0001Z\",\"units\":{\"call\":\"1\"}}", "finer"},
    {HEAD "\"unit\":{\"call\":\"1\"}}", "not a known member"},
    {HEAD "\"currency\":\"USD\",\"units\":{\"call\":\"1\"}}", "the catalogue's is CNY"},
    {HEAD "\"currency\":1,\"units\":{\"call\":\"1\"}}", "must be a string"},
    {"{\"id\":\"p\",\"from\":\"" FROM "\"}", "at least one unit"},
    {HEAD "\"units\":{}}", "at least one unit"},
    {HEAD "\"units\":[]}", "must be an object"},
    {HEAD "\"units\":{\"tokens\":\"1\"}}", "no unit \"tokens\""},
    {HEAD "\"units\":{\"call\":\"1\",\"Call\":\"1\"}}", "no unit \"Call\""},
    {HEAD "\"units\":{\"call\":1}}", "must be a string"},
    {HEAD "\"units\":{\"call\":0.1}}", "must be a string"},
    {HEAD "\"units\":{\"call\":null}}", "must be a string"},
    {HEAD "\"units\":{\"call\":\"-1\"}}", "between 0 and"},
    {HEAD "\"units\":{\"call\":\"9000000.000000001\"}}", "between 0 and"},
    {HEAD "\"units\":{\"call\":\"1e3\"}}", "only digits"},
    {HEAD "\"units\":{\"call\":\"0.0000000001\"}}", "nine decimals"},
    {HEAD "\"units\":{\"call\":\"\"}}", "begin with a digit"},
};

START_TEST(a_mistake_in_a_price_is_named)
{
    AUTO_JSON object = json_parse(span_of(refused[_i].text), NULL);
    struct price p = {.count = 99};
    struct err err = {0};

    ck_assert_ptr_nonnull(object);
    ck_assert(!price_parse(object, "CNY", &p, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_msg(strstr(err.text, refused[_i].reason), "%s gave: %s", refused[_i].text, err.text);
    ck_assert_uint_eq(p.count, 99);
}
END_TEST

START_TEST(a_price_needs_a_currency_that_is_known)
{
    AUTO_JSON object = json_parse(SPAN(HEAD "\"units\":{\"call\":\"1\"}}"), NULL);
    struct price p;
    struct err err = {0};

    ck_assert(!price_parse(object, NULL, &p, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "\"currency\" is missing"));
    ck_assert(!price_parse(object, "XXX", &p, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "not a currency"));
}
END_TEST

START_TEST(versions_name_an_id_and_an_instant)
{
    static const char *const wrong[] = {
        "",
        "@",
        "p",
        "p@",
        "@" FROM,
        "p@2026-11-01",
        "p@2026-11-01T00:00:00Z",
        "p@2026-11-01T08:00:00.000+08:00",
        "p@p@" FROM,
        "p@" FROM " ",
        "-p@" FROM,
    };
    char out[VERSION_TEXT], id[PRICE_ID_TEXT] = "";
    int64_t from;

    ck_assert(clock_parse(SPAN(FROM), &from, NULL));
    ck_assert_str_eq(version_make("demo-price", from, out), "demo-price@" FROM);
    ck_assert(version_is_valid(span_of(out)));
    memset(id, 'x', sizeof id - 1);
    ck_assert(version_is_valid(span_of(version_make(id, from, out))));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(!version_is_valid(span_of(wrong[i])), "\"%s\"", wrong[i]);
}
END_TEST

START_TEST(a_unit_without_a_price_is_charged_as_its_parent)
{
    struct price p = priced("'input_tokens':'2','output_tokens':'8','audio_output_tokens':'0'");
    int64_t nanos = 0;

    ck_assert(price_of(&p, unit_named("cached_input_tokens"), &nanos));
    ck_assert_int_eq(nanos, 2 * NANOS_PER_UNIT);
    ck_assert(price_of(&p, unit_named("reasoning_tokens"), &nanos));
    ck_assert_int_eq(nanos, 8 * NANOS_PER_UNIT);
    ck_assert(price_of(&p, unit_named("audio_output_tokens"), &nanos)); /* free is a price */
    ck_assert_int_eq(nanos, 0);
}
END_TEST

START_TEST(a_unit_without_any_price_is_not_free)
{
    struct price p = priced("'output_tokens':'8'");
    struct used used = {0};
    struct err err = {0};
    int64_t amount = 77;

    ck_assert(!price_of(&p, unit_named("cached_input_tokens"), &amount));
    use(&used, "output_tokens", 1);
    use(&used, "cached_input_tokens", 1);
    ck_assert(!price_rate(&p, &used, &amount, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "no rate for cached_input_tokens"));
    ck_assert_int_eq(amount, 77);
}
END_TEST

START_TEST(the_sum_is_rounded_once_and_not_each_unit)
{
    struct price p = priced("'input_tokens':'0.0004','output_tokens':'0.0004'");
    struct used used = {0};
    int64_t amount;

    ck_assert(price_rate(&p, &used, &amount, NULL));
    ck_assert_int_eq(amount, 0);
    use(&used, "input_tokens", 1); /* 0.4 nanos each */
    ck_assert(price_rate(&p, &used, &amount, NULL));
    ck_assert_int_eq(amount, 0);
    use(&used, "output_tokens", 1);
    ck_assert(price_rate(&p, &used, &amount, NULL));
    ck_assert_int_eq(amount, 1);
    use(&used, "output_tokens", 0);
    p.rate[0].nanos = 500000; /* half a nano */
    ck_assert(price_rate(&p, &used, &amount, NULL));
    ck_assert_int_eq(amount, 1);
}
END_TEST

START_TEST(units_per_one_are_charged_per_one)
{
    struct price p = priced("'call':'0.01','image':'0.2','input_tokens':'3'");
    struct used used = {0};
    int64_t amount;

    use(&used, "call", 1);
    use(&used, "image", 4);
    use(&used, "input_tokens", 1000);
    ck_assert(price_rate(&p, &used, &amount, NULL));
    ck_assert_int_eq(amount, 10000000 + 800000000 + 3000000);
}
END_TEST

START_TEST(no_amount_passes_the_greatest)
{
    struct price p = priced("'call':'9000000','input_tokens':'9000000','image':'0.000000001'");
    struct used used = {0};
    struct err err = {0};
    int64_t amount;

    use(&used, "call", 1);
    ck_assert(price_rate(&p, &used, &amount, NULL));
    ck_assert_int_eq(amount, AMOUNT_NANOS_MAX);
    use(&used, "image", 1);
    ck_assert(!price_rate(&p, &used, &amount, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    for (size_t i = 0; i < unit_count(); i++) {
        struct used all = {0};

        use(&all, unit_at(i)->name, INT64_MAX);
        ck_assert(!price_rate(&p, &all, &amount, NULL));
    }
    ck_assert_int_eq(amount, AMOUNT_NANOS_MAX);
    ck_assert(!price_worst_case(&p, INT64_MAX, INT64_MAX, INT64_MAX, &amount, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert(!price_worst_case(&p, INT64_MAX, 0, 0, &amount, &err));
    ck_assert(!price_worst_case(&p, 0, 0, INT64_MAX, &amount, &err));
}
END_TEST

/* Some units of the table priced, each with rates of every size. */
static struct price any_price(void)
{
    struct price p = {.version = "p@" FROM, .currency = "CNY"};

    for (size_t i = 0; i < unit_count(); i++) {
        if (rand_below(3) == 0)
            continue;
        p.rate[p.count].unit = unit_at(i);
        p.rate[p.count].nanos = (int64_t)rand_below(UINT64_C(1) << rand_below(40));
        p.count++;
    }
    return p;
}

static bool is_priced(const struct price *p, const struct unit *unit)
{
    int64_t nanos;

    return price_of(p, unit, &nanos);
}

/* Numbers within the bounds: `left` is what is left of each side's tokens, while every per-one unit
 * has its own bound. */
static struct used any_used_within(const struct price *p, const int64_t bound[3])
{
    int64_t left[3] = {bound[0], bound[1], bound[2]};
    struct used used = {0};

    for (size_t i = 0; i < unit_count(); i++) {
        const struct unit *unit = unit_at(i);
        int64_t *of = unit->scale == 1 ? &(int64_t){bound[unit->side]} : &left[unit->side];
        int64_t n = rand_below(3) ? (int64_t)rand_below((uint64_t)*of + 1) : *of;

        if (!is_priced(p, unit) || rand_below(4) == 0)
            continue;
        use(&used, unit->name, n);
        *of -= n;
    }
    return used;
}

START_TEST(no_call_within_its_bounds_costs_more_than_the_worst_case)
{
    int64_t equal = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct price p = any_price();
        int64_t bound[3], worst, amount;
        struct used used;

        for (size_t side = 0; side < 3; side++)
            bound[side] = (int64_t)rand_below(UINT64_C(1) << rand_below(10));
        used = any_used_within(&p, bound);
        ck_assert(price_rate(&p, &used, &amount, NULL));
        ck_assert(price_worst_case(&p, bound[UNIT_INPUT], bound[UNIT_OUTPUT], bound[UNIT_OTHER],
                                   &worst, NULL));
        ck_assert_msg(amount <= worst, "%lld > %lld", (long long)amount, (long long)worst);
        equal += amount == worst;
    }
    ck_assert_int_gt(equal, 0); /* the bound is reached, not merely high */
}
END_TEST

START_TEST(the_worst_case_is_the_dearest_of_each_side)
{
    struct price p = priced("'input_tokens':'2','cache_write_tokens':'3','output_tokens':'8',"
                            "'reasoning_tokens':'7','call':'0.5','character':'0.001'");
    int64_t worst;

    ck_assert(price_worst_case(&p, 1000, 100, 2, &worst, NULL));
    ck_assert_int_eq(worst, 3000000 + 800000 + 2 * 500000000 + 1000 * 1000000);
    ck_assert(price_worst_case(&p, 0, 0, 0, &worst, NULL));
    ck_assert_int_eq(worst, 0);
}
END_TEST

/* The sum kept as whole nanos and millionths, added up one unit at a time. */
START_TEST(another_way_of_summing_gives_the_same_amount)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct price p = any_price();
        const int64_t bound[3] = {2000, 2000, 20};
        struct used used = any_used_within(&p, bound);
        int64_t whole = 0, millionths = 0, amount;

        for (size_t i = 0; i < used.count; i++) {
            int64_t nanos = 0, scale = used.item[i].unit->scale;

            ck_assert(price_of(&p, used.item[i].unit, &nanos));
            nanos *= used.item[i].n;
            whole += nanos / scale;
            millionths += nanos % scale;
        }
        whole += millionths / 1000000 + (millionths % 1000000 >= 500000);
        ck_assert(price_rate(&p, &used, &amount, NULL));
        ck_assert_int_eq(amount, whole);
    }
}
END_TEST

static TCase *reading(void)
{
    TCase *tcase = tcase_create("reading");

    tcase_add_test(tcase, a_price_is_read_and_written_in_the_tables_order);
    tcase_add_test(tcase, what_was_written_is_read_back_with_its_own_currency);
    tcase_add_loop_test(tcase, a_mistake_in_a_price_is_named, 0, ARRAY_LEN(refused));
    tcase_add_test(tcase, a_price_needs_a_currency_that_is_known);
    tcase_add_test(tcase, versions_name_an_id_and_an_instant);
    return tcase;
}

static TCase *rating(void)
{
    TCase *tcase = tcase_create("rating");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, vector_ratings_come_out_to_the_nano);
    tcase_add_test(tcase, a_unit_without_a_price_is_charged_as_its_parent);
    tcase_add_test(tcase, a_unit_without_any_price_is_not_free);
    tcase_add_test(tcase, the_sum_is_rounded_once_and_not_each_unit);
    tcase_add_test(tcase, units_per_one_are_charged_per_one);
    tcase_add_test(tcase, no_amount_passes_the_greatest);
    tcase_add_test(tcase, no_call_within_its_bounds_costs_more_than_the_worst_case);
    tcase_add_test(tcase, the_worst_case_is_the_dearest_of_each_side);
    tcase_add_test(tcase, another_way_of_summing_gives_the_same_amount);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("price");

    suite_add_tcase(suite, reading());
    suite_add_tcase(suite, rating());
    return run_suite(suite);
}
