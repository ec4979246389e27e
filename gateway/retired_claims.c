/* retired_claims.c - one question to each partition (scripts/retired.lua), all at once. */
#include "gateway/retired_claims.h"

#include <stdlib.h>

#include "billing/scripts.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct telling {
    retired_claims_on_end *on_end;
    void *arg;
    unsigned pending;
    struct err failure; /* the first */
};

static void tell(struct telling *t, struct console *c, const char *writer, struct partition p,
                 uint64_t n);
static void on_told(void *arg, const struct redis_reply *reply, const struct err *err);

void retired_claims_end(struct console *c, const char *writer, const struct record_heads *heads,
                        retired_claims_on_end *on_end, void *arg)
{
    struct telling *t = xcalloc(1, sizeof *t);

    t->on_end = on_end;
    t->arg = arg;
    t->pending = PARTITIONS;
    for (unsigned i = 0; i < PARTITIONS; i++)
        tell(t, c, writer, (struct partition){SIDE_ACCOUNT, i}, heads->at[SIDE_ACCOUNT][i].n);
}

static void tell(struct telling *t, struct console *c, const char *writer, struct partition p,
                 uint64_t n)
{
    char state[PARTITION_KEY], cursors[PARTITION_KEY], partitions[INT64_TEXT], last[INT64_TEXT];
    const struct span keys[] = {partition_key(p, "state", NULL, state),
                                partition_key(p, "cursors", NULL, cursors)};
    const struct span args[] = {span_of(c->installation->id), int64_text(PARTITIONS, partitions),
                                span_of(writer), uint64_text(n, last)};
    const struct redis_eval eval = {script_get(SCRIPT_RETIRED), REDIS_WORDS(keys),
                                    REDIS_WORDS(args)};

    redis_eval(c->ledger.redis, &eval, on_told, t);
}

static void on_told(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct telling *t = arg;
    bool has_word = !err && redis_reply_type(reply) == REDIS_ARRAY && redis_reply_count(reply) > 0;
    struct span word =
        err ? SPAN("") : redis_reply_text(has_word ? redis_reply_at(reply, 0) : reply);

    if (t->failure.code == ERR_NONE && err)
        t->failure = *err;
    else if (t->failure.code == ERR_NONE && !span_equal(word, SPAN("OK")))
        err_set(&t->failure, ERR_UNAVAILABLE, "a partition answered: %.*s", SPAN_FMT(word));
    if (--t->pending)
        return;
    t->on_end(t->arg, t->failure.code == ERR_NONE ? NULL : &t->failure);
    free(t);
}
