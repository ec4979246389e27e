/* redis_info.h - what INFO says about the process at the other end, as far as it decides whether we
 * may write to it. */
#ifndef TOLLGATE_NET_REDIS_INFO_H
#define TOLLGATE_NET_REDIS_INFO_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define REDIS_RUN_ID 41 /* 40 characters, as every Redis has them */

struct redis_info {
    char run_id[REDIS_RUN_ID];
    bool is_loading, is_master;
    bool in_cluster; /* it was started as a part of one */
    bool has_aof;
    bool is_rewriting;  /* or is scheduled to */
    bool has_rewritten; /* since its start, and the last one went well */
};

/* ERR_PROTOCOL when a field is missing or makes no sense. */
bool redis_info_parse(struct span text, struct redis_info *out, struct err *err) MUST_USE;

#endif
