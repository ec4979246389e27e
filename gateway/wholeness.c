/* wholeness.c - a partition is whole while the run id that its live writers have recovered to is that of its server. */
#include "gateway/wholeness.h"

#include <stdlib.h>

#include "billing/partition_server.h"
#include "lib/base/mem.h"

struct asked {
    struct wholeness *wholeness;
    struct partition partition;
    uint64_t term; /* of the answer before; 0: there was none */
};

struct wholeness {
    struct redis *redis;
    unsigned waiting;  /* for as many answers */
    struct err failed; /* the last that is no yes */
    wholeness_on_answer *on_answer;
    void *arg;
    unsigned count;
    struct asked asked[];
};

static struct wholeness *make(struct redis *redis, unsigned first, unsigned count);
static void on_state(void *arg, const struct redis_reply *reply, const struct err *err);
static bool is_whole(struct asked *a, const struct redis_reply *reply);

struct wholeness *wholeness_new(struct redis *redis, struct partition p)
{
    return make(redis, partition_number(p), 1);
}

struct wholeness *wholeness_new_first(struct redis *redis, unsigned partitions)
{
    return make(redis, 0, partitions);
}

static struct wholeness *make(struct redis *redis, unsigned first, unsigned count)
{
    struct wholeness *w = xcalloc(1, sizeof *w + count * sizeof *w->asked);

    w->redis = redis;
    w->count = count;
    for (unsigned i = 0; i < count; i++)
        w->asked[i] = (struct asked){w, partition_at(first + i), 0};
    return w;
}

void wholeness_free(struct wholeness *w)
{
    free(w);
}

void wholeness_ask(struct wholeness *w, wholeness_on_answer *on_answer, void *arg)
{
    w->on_answer = on_answer;
    w->arg = arg;
    w->failed = (struct err){0};
    w->waiting = w->count;
    for (unsigned i = 0; i < w->count; i++) {
        char key[PARTITION_KEY];
        const struct span words[] = {
            SPAN("HGET"), partition_key(w->asked[i].partition, "state", NULL, key), SPAN("run_id")};

        redis_command(w->redis, words, ARRAY_LEN(words), on_state, &w->asked[i]);
    }
}

static void on_state(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct asked *a = arg;
    struct wholeness *w = a->wholeness;
    struct err room, failed;

    if ((err = redis_failure(reply, err, &room)))
        w->failed = *err;
    else if (!is_whole(a, reply))
        err_set(&w->failed, ERR_UNAVAILABLE,
                "Redis is being brought up to the journals; ask again in a moment");
    if (--w->waiting > 0)
        return;
    failed = w->failed;
    w->on_answer(w->arg, failed.code ? &failed : NULL);
}

static bool is_whole(struct asked *a, const struct redis_reply *reply)
{
    const struct redis *redis = a->wholeness->redis;
    uint64_t before = a->term;

    a->term = partition_term(redis, a->partition);
    return a->term && (!before || before == a->term) &&
           span_equal(redis_reply_text(reply), span_of(partition_run_id(redis, a->partition)));
}
