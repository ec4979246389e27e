/* script_mistakes.h - mistakes that somebody could make in the scripts, each of which the model must notice. */
#ifndef TOLLGATE_TESTS_SCRIPT_MISTAKES_H
#define TOLLGATE_TESTS_SCRIPT_MISTAKES_H

#include "tests/billing/script_world.h"

extern const struct mistake script_mistakes[];
extern const int script_mistake_count;

#endif
