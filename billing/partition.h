/* partition.h - which hash slot of Redis an account or a model lives in: crc32c(id) mod P, keys
 * "tg:{a17}:…" and "tg:{m05}:…". */
#ifndef TOLLGATE_BILLING_PARTITION_H
#define TOLLGATE_BILLING_PARTITION_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

#define PARTITIONS     64 /* chosen at installation, checked wherever an installation id is */
#define PARTITION_NAME 4
#define PARTITION_KEY  200

enum partition_side { SIDE_ACCOUNT, SIDE_MODEL };
#define SIDES 2

struct partition {
    enum partition_side side;
    unsigned index; /* 0 … PARTITIONS-1 */
};

#define PARTITIONS_ALL (SIDES * PARTITIONS) /* of both sides, numbered from 0, accounts' first */

struct partition partition_at(unsigned number);
unsigned partition_number(struct partition p);
struct partition partition_of(enum partition_side side, struct span id);
const char *partition_name(struct partition p, char out[PARTITION_NAME]); /* "a17" */
/* "tg:{a17}:what" or, unless `rest` is null, "tg:{a17}:what:rest", as a span into `out` (also
 * NUL-terminated). Both together have at most 180 bytes. */
struct span partition_key(struct partition p, const char *what, const char *rest,
                          char out[PARTITION_KEY]);
/* The catalogue lives in one model partition. */
struct partition partition_catalogue(void);

#endif
