/* fence.c - one question to each partition, all at once. */
#include "gateway/fence.h"

#include <stdlib.h>

#include "billing/retirement.h"
#include "billing/scripts.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ARGS_FIXED 3

struct telling {
    fence_on_end *on_end;
    void *arg;
    unsigned pending;
    struct err failure; /* the first */
};

static struct telling *telling_new(unsigned partitions, fence_on_end *on_end, void *arg);
static void fence_off(struct console *c, const struct span *writers, size_t count,
                      struct telling *t);
static void tell(struct telling *t, struct console *c, struct partition p, const struct span *args,
                 size_t count);
static void on_told(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_restored(void *arg, const struct err *err);

void fence_set(struct console *c, const char *writer, fence_on_end *on_end, void *arg)
{
    const struct span one = span_of(writer);

    fence_off(c, &one, 1, telling_new(PARTITIONS_ALL, on_end, arg));
}

void fence_restore(struct console *c)
{
    struct span *writers;
    char **names;
    size_t count;
    struct err err;

    if (!retirement_list(c->options->archive, &names, &count, &err)) {
        log_warn("fences_not_restored", "%s", err.text);
        return;
    }
    writers = xcalloc(count + 1, sizeof *writers);
    for (size_t i = 0; i < count; i++)
        writers[i] = span_of(names[i]);
    if (count)
        fence_off(c, writers, count, telling_new(PARTITIONS_ALL, on_restored, NULL));
    free(writers);
    dir_names_free(names, count);
}

static struct telling *telling_new(unsigned partitions, fence_on_end *on_end, void *arg)
{
    struct telling *t = xcalloc(1, sizeof *t);

    *t = (struct telling){.on_end = on_end, .arg = arg, .pending = partitions};
    return t;
}

static void fence_off(struct console *c, const struct span *writers, size_t count,
                      struct telling *t)
{
    struct span *args = xcalloc(ARGS_FIXED + count, sizeof *args);

    args[2] = SPAN("fence");
    memcpy(args + ARGS_FIXED, writers, count * sizeof *writers);
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++)
        tell(t, c, partition_at(lane), args, ARGS_FIXED + count);
    free(args);
}

void fence_end_claims(struct console *c, const char *writer, const struct record_heads *heads,
                      fence_on_end *on_end, void *arg)
{
    struct telling *t = telling_new(PARTITIONS, on_end, arg);
    char last[INT64_TEXT];

    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct span args[ARGS_FIXED + 2] = {
            [2] = SPAN("over"), span_of(writer), uint64_text(heads->at[SIDE_ACCOUNT][i].n, last)};

        tell(t, c, (struct partition){SIDE_ACCOUNT, i}, args, ARRAY_LEN(args));
    }
}

/* The first two arguments are the same for all. */
static void tell(struct telling *t, struct console *c, struct partition p, const struct span *args,
                 size_t count)
{
    char state[PARTITION_KEY], live[PARTITION_KEY], cursors[PARTITION_KEY], partitions[INT64_TEXT];
    const struct span keys[] = {partition_key(p, "state", NULL, state),
                                partition_key(p, "live", NULL, live),
                                partition_key(p, "cursors", NULL, cursors)};
    struct span *all = xcalloc(count, sizeof *all);

    memcpy(all, args, count * sizeof *all);
    all[0] = span_of(c->installation->id);
    all[1] = int64_text(PARTITIONS, partitions);
    const struct redis_eval eval = {script_get(SCRIPT_RETIRED), REDIS_WORDS(keys), {all, count}};
    redis_eval(c->ledger.redis, &eval, on_told, t);
    free(all);
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

static void on_restored(void *arg, const struct err *err)
{
    (void)arg;
    if (err)
        log_warn("fences_not_restored", "it is tried again in a minute: %s", err->text);
}
