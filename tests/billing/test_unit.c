/* The table of units keeps the promises that rating builds on, and what a call used is a set. */
#include <check.h>
#include <stdlib.h>

#include "billing/unit.h"
#include "tests/base/run.h"

static const struct {
    const char *name, *parent;
    int64_t scale;
    enum unit_side side;
} promised[] = {
    {"input_tokens", NULL, 1000000, UNIT_INPUT},
    {"cached_input_tokens", "input_tokens", 1000000, UNIT_INPUT},
    {"cache_write_tokens", "input_tokens", 1000000, UNIT_INPUT},
    {"output_tokens", NULL, 1000000, UNIT_OUTPUT},
    {"reasoning_tokens", "output_tokens", 1000000, UNIT_OUTPUT},
    {"audio_input_tokens", "input_tokens", 1000000, UNIT_INPUT},
    {"image_input_tokens", "input_tokens", 1000000, UNIT_INPUT},
    {"audio_output_tokens", "output_tokens", 1000000, UNIT_OUTPUT},
    {"call", NULL, 1, UNIT_OTHER},
    {"image", NULL, 1, UNIT_OTHER},
    {"audio_second", NULL, 1, UNIT_OTHER},
    {"character", NULL, 1, UNIT_INPUT},
    {"instance_second", NULL, 1, UNIT_OTHER},
    {"subscription_month", NULL, 1, UNIT_OTHER},
};

START_TEST(every_promised_unit_is_there)
{
    const struct unit *unit = unit_find(span_of(promised[_i].name));

    ck_assert_ptr_nonnull(unit);
    ck_assert_str_eq(unit->name, promised[_i].name);
    ck_assert_pstr_eq(unit->parent, promised[_i].parent);
    ck_assert_int_eq(unit->scale, promised[_i].scale);
    ck_assert_int_eq(unit->side, promised[_i].side);
    ck_assert_ptr_eq(unit, unit_at((size_t)_i));
}
END_TEST

START_TEST(there_is_no_other_unit)
{
    static const char *const no_units[] = {"", "input", "input_tokens ", "Input_tokens", "tokens"};

    ck_assert_uint_eq(unit_count(), ARRAY_LEN(promised));
    ck_assert_ptr_null(unit_at(unit_count()));
    for (size_t i = 0; i < ARRAY_LEN(no_units); i++)
        ck_assert_ptr_null(unit_find(span_of(no_units[i])));
}
END_TEST

/* A child may be charged as its parent; a circle would never end. */
START_TEST(a_parent_stands_above_on_the_same_side_with_the_same_scale)
{
    for (size_t i = 0; i < unit_count(); i++) {
        const struct unit *unit = unit_at(i);
        const struct unit *parent = unit->parent ? unit_find(span_of(unit->parent)) : NULL;

        ck_assert_ptr_eq(unit_find(span_of(unit->name)), unit);
        ck_assert(unit->about[0] != '\0');
        if (!unit->parent)
            continue;
        ck_assert_ptr_nonnull(parent);
        ck_assert(parent < unit);
        ck_assert_int_eq(parent->side, unit->side);
        ck_assert_int_eq(parent->scale, unit->scale);
    }
}
END_TEST

/* The worst case of a call bounds these by the dearest of a side. */
START_TEST(units_per_million_are_bounded_by_the_body_or_the_output_cap)
{
    for (size_t i = 0; i < unit_count(); i++) {
        ck_assert(unit_at(i)->scale == 1 || unit_at(i)->scale == 1000000);
        ck_assert(unit_at(i)->scale == 1 || unit_at(i)->side != UNIT_OTHER);
    }
}
END_TEST

START_TEST(provenances_have_names_that_are_read_back)
{
    static const char *const names[] = {"upstream", "counted", "estimated"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        enum provenance p;

        ck_assert_str_eq(provenance_name((enum provenance)i), names[i]);
        ck_assert(provenance_parse(span_of(names[i]), &p));
        ck_assert_int_eq(p, i);
    }
}
END_TEST

START_TEST(other_words_are_no_provenance)
{
    enum provenance p = ESTIMATED;

    ck_assert(!provenance_parse(SPAN("Upstream"), &p));
    ck_assert(!provenance_parse(SPAN("upstrea"), &p));
    ck_assert(!provenance_parse(SPAN(""), &p));
    ck_assert_int_eq(p, ESTIMATED);
}
END_TEST

START_TEST(zero_is_a_value_and_missing_is_not_zero)
{
    struct used used = {0};

    ck_assert_ptr_null(used_get(&used, "call"));
    ck_assert(used_set(&used, unit_find(SPAN("call")), 0, COUNTED, NULL));
    ck_assert_ptr_nonnull(used_get(&used, "call"));
    ck_assert_int_eq(*used_get(&used, "call"), 0);
    ck_assert_ptr_null(used_get(&used, "image"));
}
END_TEST

START_TEST(setting_again_replaces)
{
    struct used used = {0};

    ck_assert(used_set(&used, unit_find(SPAN("input_tokens")), 5, ESTIMATED, NULL));
    ck_assert(used_set(&used, unit_find(SPAN("output_tokens")), 6, COUNTED, NULL));
    ck_assert(used_set(&used, unit_find(SPAN("input_tokens")), 7, FROM_UPSTREAM, NULL));
    ck_assert_uint_eq(used.count, 2);
    ck_assert_int_eq(*used_get(&used, "input_tokens"), 7);
    ck_assert_int_eq(used.item[0].provenance, FROM_UPSTREAM);
    ck_assert_int_eq(*used_get(&used, "output_tokens"), 6);
}
END_TEST

/* The table itself fits, so more units than USED_MAX have to be made up. */
START_TEST(one_unit_too_many_is_refused_and_changes_nothing)
{
    struct unit made_up[USED_MAX + 1] = {0};
    struct used used = {0};
    struct err err = {0};

    ck_assert_uint_le(unit_count(), USED_MAX);
    for (size_t i = 0; i <= USED_MAX; i++)
        made_up[i].name = "made_up";
    for (size_t i = 0; i < USED_MAX; i++)
        ck_assert(used_set(&used, &made_up[i], 1, COUNTED, NULL));
    ck_assert(!used_set(&used, &made_up[USED_MAX], 1, COUNTED, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_uint_eq(used.count, USED_MAX);
    ck_assert(used_set(&used, &made_up[3], 9, COUNTED, NULL));
    ck_assert_int_eq(used.item[3].n, 9);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("unit");

    tcase_add_loop_test(tcase, every_promised_unit_is_there, 0, ARRAY_LEN(promised));
    tcase_add_test(tcase, there_is_no_other_unit);
    tcase_add_test(tcase, a_parent_stands_above_on_the_same_side_with_the_same_scale);
    tcase_add_test(tcase, units_per_million_are_bounded_by_the_body_or_the_output_cap);
    tcase_add_test(tcase, provenances_have_names_that_are_read_back);
    tcase_add_test(tcase, other_words_are_no_provenance);
    tcase_add_test(tcase, zero_is_a_value_and_missing_is_not_zero);
    tcase_add_test(tcase, setting_again_replaces);
    tcase_add_test(tcase, one_unit_too_many_is_refused_and_changes_nothing);
    return run_tests(tcase, "unit");
}
