/* retirement.h - the end of a writer whose directory is lost, decided by two people.
 *
 * archive/retired/<writer>.proposed.json: one has asked for it, a day at most. archive/retired/<writer>.json: another has
 * confirmed, and from then on the writer may never write again, wherever its directory turns up; what is saved of it is
 * archive_retire.h's. Both are {"format":1,"writer","installation","reason","proposed_by","proposed_at","by","at"}, the
 * proposal without the last two. The names are what was said: nothing proves who said it. */
#ifndef TOLLGATE_BILLING_RETIREMENT_H
#define TOLLGATE_BILLING_RETIREMENT_H

#include "billing/event.h"
#include "billing/record.h"
#include "billing/segment.h"

#define RETIREMENT_REASON_MAX 200

struct retirement {
    char writer[WRITER_TEXT];
    char installation[INSTALLATION_TEXT];
    char reason[RETIREMENT_REASON_MAX + 1];
    char proposed_by[ID_TEXT], by[ID_TEXT]; /* `by` is empty while it is proposed */
    int64_t proposed_at, at;
};

/* The first call proposes, the second, by another within a day, confirms: out->by says which it was. The reason is the
 * proposal's. Asking again for what is confirmed gives that. ERR_EXISTS when the same person asks twice, ERR_INPUT for a
 * name or reason that is none, ERR_NOT_FOUND for a writer that the archive does not know. */
bool retirement_ask(const char *archive, const struct retirement *wanted, struct retirement *out,
                    struct err *err) MUST_USE;
/* True when it was confirmed. */
bool retirement_is_final(const char *archive, const char *writer);
/* The writers of which it was; free with dir_names_free(). */
bool retirement_list(const char *archive, char ***writers, size_t *count, struct err *err) MUST_USE;

#endif
