/* apply_model.h - the reference model of the apply scripts: the state as a function of the set of all records of a story, with no
 * notion of order. */
#ifndef TOLLGATE_TESTS_APPLY_MODEL_H
#define TOLLGATE_TESTS_APPLY_MODEL_H

#include "tests/billing/apply_story.h"

/* Fails the test where Redis holds anything else; says `when` and the seed. */
void compare_with_model(const char *when, uint64_t seed);

#endif
