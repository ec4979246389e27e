/* unended_calls.h - the calls of a lost writer that have no END anywhere: they had begun, and what became of them is not known. */
#ifndef TOLLGATE_BILLING_UNENDED_CALLS_H
#define TOLLGATE_BILLING_UNENDED_CALLS_H

#include "billing/event.h"

struct retired_call {
    char request_id[REQUEST_ID_TEXT];
    char account[ID_TEXT];
};
/* What was saved of the writer besides its archive; borrowed. */
struct saved_lines {
    const struct span *at;
    size_t count;
};
/* Of `calls`, which may be there twice, keeps in order of their ids those whose END is neither among the lines nor in the
 * writer's archive; *count becomes theirs. Reads files of the archive that may have one of them. Blocking. */
bool unended_calls_keep(const char *archive, const char *writer, const struct saved_lines *lines,
                        struct retired_call *calls, size_t *count, struct err *err) MUST_USE;

#endif
