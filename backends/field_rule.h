/* field_rule.h - what becomes of each member of a request that is translated: one table a dialect, which docs/clients.md shows. */
#ifndef TOLLGATE_BACKENDS_FIELD_RULE_H
#define TOLLGATE_BACKENDS_FIELD_RULE_H

#include "lib/base/buf.h"

enum field_fate {
    FIELD_TAKEN,   /* it has a place in the other dialect */
    FIELD_DROPPED, /* it has none, and the answer is good without */
    FIELD_REFUSED, /* it has none, and the caller would not get what it asked for */
};
struct field_rule {
    const char *name;
    enum field_fate fate;
};

/* ERR_INPUT for a member that is refused, or that the table does not name. One that is null or false asks for nothing. */
bool fields_check(struct span object, const struct field_rule *rules, size_t count,
                  struct err *err) MUST_USE;
/* ERR_INPUT unless the value is a string. `what` names it. */
bool string_check(struct span value, const char *what, struct err *err) MUST_USE;

#endif
