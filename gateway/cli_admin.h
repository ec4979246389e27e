/* cli_admin.h - how commands ask the console and change things through it. Each says its own
 * failure on stderr. */
#ifndef TOLLGATE_GATEWAY_CLI_ADMIN_H
#define TOLLGATE_GATEWAY_CLI_ADMIN_H

#include "gateway/cli.h"
#include "lib/base/json.h"

/* A target's path from a pattern whose '%' stands for a word, percent-encoded:
 * "/admin/v1/keys/%/revoke". Caller frees. */
char *cli_target(const char *pattern, const char *word) MUST_USE;

/* The caller owns what is returned; null: failed. */
json_t *cli_get(struct cli *c, const char *target) MUST_USE;

#define CLI_OP_OPTION                                                        \
    {                                                                        \
        "--op", "ID", "the operation's id, when a change is asked for again" \
    }
struct cli_change {
    const char *target;
    json_t *body;     /* "op" is added to it */
    bool op_in_query; /* the body is not ours to add to */
};
/* Makes an operation id (or takes --op), says it before the first attempt, and tries a second time
 * with it when the first attempt's outcome is unknown. */
json_t *cli_change(struct cli *c, const struct cli_change *change) MUST_USE;
/* A POST that may take long and changes nothing that counts; `body` null: an empty object. */
json_t *cli_post(struct cli *c, const char *target, const json_t *body) MUST_USE;
json_t *cli_post_within(struct cli *c, const char *target, int64_t timeout_ms) MUST_USE;

#endif
