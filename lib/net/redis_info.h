/* redis_info.h - what INFO says about the process at the other end, as far as it decides whether we
 * may write to it. */
#ifndef TOLLGATE_NET_REDIS_INFO_H
#define TOLLGATE_NET_REDIS_INFO_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* What a server has been since it started, or since it became master: its run_id, '-' and its
 * replication id, 40 characters each. The first is new with every start, the second also with every
 * promotion (and, to no harm, when its first replica comes or an hour after its last one left). So a
 * server that was replaced, and took over again within a moment, is another run. */
#define REDIS_RUN_ID 82

struct redis_info {
    char run_id[REDIS_RUN_ID];
    bool is_loading, is_master;
    bool in_cluster; /* it was started as a part of one */
    bool has_aof;
    bool is_rewriting;  /* or is scheduled to */
    bool has_rewritten; /* since its start, and the last one went well */
};

/* The value of a field, up to its line's end; false when INFO has none of that name. */
bool redis_info_find(struct span text, const char *name, struct span *value);
/* ERR_PROTOCOL when a field is missing or makes no sense. */
bool redis_info_parse(struct span text, struct redis_info *out, struct err *err) MUST_USE;
/* Of the section `replication` alone: the server is master, and the run is still that one. */
bool redis_info_is_run(struct span replication, const char run_id[REDIS_RUN_ID]);

#endif
