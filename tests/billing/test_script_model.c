/* test_script_model.c - the scripts against a model of them under random operations, and the model against scripts with
 * mistakes in them. TOLLGATE_MODEL_STEPS operations are told, in stories of a few hundred, from TOLLGATE_MODEL_SEED on;
 * a story that fails is printed with its seed and shortened to the operations that matter. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tests/base/run.h"
#include "tests/billing/script_mistakes.h"
#include "tests/billing/script_story.h"

#define STEPS_USUAL   8000
#define SEED_USUAL    1
#define PRINTED_MAX   (256 * 1024)
#define CAUGHT_WITHIN 900 /* stories */
#define TIMEOUT_S     3600

static struct world world;

static uint64_t from_environment(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    uint64_t n = usual;

    if (text && !digits_parse(span_of(text), INT64_MAX, &n))
        ck_abort_msg("%s is no number: '%s'", name, text);
    return n;
}

static void report(struct story *s, uint64_t seed, size_t told, const char *wrong)
{
    AUTO_CLEAR(buf) text;

    fprintf(stderr, "seed %" PRIu64 ", operation %zu: %s\nshortening …\n", seed, told, wrong);
    story_shrink(&world, s);
    AUTO_STRING still = story_tell(&world, s, &told);
    buf_init(&text, PRINTED_MAX);
    story_print(s, &text);
    ck_abort_msg("seed %" PRIu64 ": %s\nafter these operations:\n%s", seed, still ? still : wrong,
                 text.data);
}

START_TEST(the_scripts_do_what_the_model_says)
{
    uint64_t seed = from_environment("TOLLGATE_MODEL_SEED", SEED_USUAL);
    uint64_t steps = from_environment("TOLLGATE_MODEL_STEPS", STEPS_USUAL);

    for (uint64_t done = 0; done < steps; done += STORY_STEPS, seed++) {
        AUTO_CLEAR(story) s;
        size_t told;
        story_draw(&s, seed, STORY_STEPS);
        AUTO_STRING wrong = story_tell(&world, &s, &told);
        if (wrong)
            report(&s, seed, told, wrong);
    }
}
END_TEST

/* Something is wrong in that story, which `s` then holds. */
static bool is_wrong(struct story *s, uint64_t seed)
{
    size_t told;

    story_draw(s, seed, STORY_STEPS);
    AUTO_STRING wrong = story_tell(&world, s, &told);
    if (!wrong)
        story_clear(s);
    return wrong != NULL;
}

/* The seed of the story in which something is wrong, which `s` then holds: the one that the mistake's row names, or else the
 * first; 0: in none. */
static uint64_t find_failure(struct story *s, const struct mistake *mistake)
{
    if (is_wrong(s, mistake->story))
        return mistake->story;
    for (uint64_t seed = SEED_USUAL; seed < SEED_USUAL + CAUGHT_WITHIN; seed++) {
        if (!is_wrong(s, seed))
            continue;
        fprintf(stderr, "'%s' is noticed in story %" PRIu64 ", its row says %" PRIu64 "\n",
                mistake->name, seed, mistake->story);
        return seed;
    }
    return 0;
}

/* The story is told a second time without it, so that the mistake is what was noticed. */
START_TEST(the_model_catches_every_planted_mistake)
{
    const struct mistake *mistake = &script_mistakes[_i];
    AUTO_CLEAR(story) s = {.count = 0};

    world_load(&world, mistake);
    uint64_t seed = find_failure(&s, mistake);
    ck_assert_msg(seed != 0, "nobody notices: %s", mistake->name);
    story_clear(&s);
    world_load(&world, NULL);
    ck_assert_msg(!is_wrong(&s, seed), "story %" PRIu64 " fails without a mistake", seed);
}
END_TEST

START_TEST(a_failure_is_told_by_the_operations_that_matter)
{
    AUTO_CLEAR(story) s = {.count = 0};
    size_t told;

    world_load(&world, &script_mistakes[0]);
    ck_assert(find_failure(&s, &script_mistakes[0]));
    story_shrink(&world, &s);
    AUTO_STRING still = story_tell(&world, &s, &told);
    ck_assert_ptr_nonnull(still);
    ck_assert_uint_le(s.count, 4);
}
END_TEST

static void start(void)
{
    struct err err;

    ck_assert(clock_set_zone("Asia/Shanghai", &err));
    world_start(&world);
}

static void stop(void)
{
    world_stop(&world);
}

static TCase *new_case(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);

    tcase_set_timeout(t, TIMEOUT_S);
    tcase_add_unchecked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    return t;
}

int main(void)
{
    Suite *s = suite_create("script_model");
    TCase *t = new_case(s, "script_model"), *planted = new_case(s, "planted_mistakes");

    tcase_add_test(t, the_scripts_do_what_the_model_says);
    tcase_add_loop_test(planted, the_model_catches_every_planted_mistake, 0, script_mistake_count);
    tcase_add_test(planted, a_failure_is_told_by_the_operations_that_matter);
    return run_suite(s);
}
