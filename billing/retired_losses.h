/* retired_losses.h - the numbers of a retired writer whose records nobody held: those that stand in its last segment as lost
 * (archive_retire.h). Should its directory be found again, they are what it has and the archive lacks below its heads. */
#ifndef TOLLGATE_BILLING_RETIRED_LOSSES_H
#define TOLLGATE_BILLING_RETIRED_LOSSES_H

#include "billing/record.h"

struct retired_losses {
    struct retired_loss {
        struct partition partition;
        uint64_t from, to;
    } * ranges;
    size_t count;
};
/* None when the writer has no last segment. */
bool retired_losses_read(const char *archive, const char *writer, struct retired_losses *out,
                         struct err *err) MUST_USE;
void retired_losses_clear(struct retired_losses *l);
DEFINE_AUTO_CLEAR(retired_losses)
/* Whether one of the record's numbers is among them. */
bool retired_losses_have(const struct retired_losses *l, const struct record_place *place);

#endif
