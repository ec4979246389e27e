/* conf_value.h - what the types of conf.h mean: one option's text as a value, and in words what it may be.
 * Used by conf.c and conf_reference.c. */
#ifndef TOLLGATE_BASE_CONF_VALUE_H
#define TOLLGATE_BASE_CONF_VALUE_H

#include "lib/base/conf.h"

/* True if the option may have this value; a bool gives 0 or 1, a string 0. */
bool conf_value_parse(const struct conf_option *option, const char *text, int64_t *number) MUST_USE;
/* "a duration from 1 s to 10 min, such as \"10 s\"" */
void conf_value_allowed(const struct conf_option *option, struct buf *out);

#endif
