/* rebuild_guard.c - a table of writers: when each was heard of, and how far the partitions have it. */
#include "gateway/rebuild_guard.h"

#include <inttypes.h>
#include <stdlib.h>

#include "billing/archive_retire.h"
#include "billing/writer_words.h"
#include "gateway/journal_report.h"
#include "lib/base/mem.h"


struct guarded {
    char writer[WRITER_TEXT];
    int64_t heard_ms;           /* 0: Redis does not know */
    struct record_heads booked; /* of the partitions that are to be emptied */
};

static struct guarded *find(struct rebuild_guard *g, struct span writer);
static bool is_safe(const struct rebuild_guard *g, const struct guarded *w,
                    const struct journal_report *here);
static bool is_archived(const struct guarded *w, const char *archive, struct err *err);

void rebuild_guard_clear(struct rebuild_guard *g)
{
    free(g->writers);
    *g = (struct rebuild_guard){.count = 0};
}

void rebuild_guard_hear(struct rebuild_guard *g, const struct redis_reply *words)
{
    for (size_t i = 0; i + 1 < redis_reply_count(words); i += 2) {
        struct guarded *w = find(g, redis_reply_text(redis_reply_at(words, i)));
        struct live_word word;

        if (!w || !live_word_parse(redis_reply_text(redis_reply_at(words, i + 1)), &word))
            continue;
        w->heard_ms = word.heard_ms > w->heard_ms ? word.heard_ms : w->heard_ms;
        g->latest_ms = word.heard_ms > g->latest_ms ? word.heard_ms : g->latest_ms;
    }
}

void rebuild_guard_note(struct rebuild_guard *g, struct partition p,
                        const struct redis_reply *cursors)
{
    for (size_t i = 0; i + 1 < redis_reply_count(cursors); i += 2) {
        struct guarded *w = find(g, redis_reply_text(redis_reply_at(cursors, i)));
        struct record_cursor at;

        if (w && cursor_word_parse(redis_reply_text(redis_reply_at(cursors, i + 1)), &at))
            w->booked.at[p.side][p.index] = at;
    }
}

/* Null: that is no writer's id. */
static struct guarded *find(struct rebuild_guard *g, struct span writer)
{
    struct guarded *w;

    if (!writer_is_valid(writer))
        return NULL;
    for (w = g->writers; w < g->writers + g->count; w++)
        if (span_equal(writer, span_of(w->writer)))
            return w;
    g->writers = xrealloc_array(g->writers, g->count + 1, sizeof *g->writers);
    w = &g->writers[g->count++];
    *w = (struct guarded){.heard_ms = 0};
    memcpy(w->writer, writer.data, writer.len);
    return w;
}

bool rebuild_guard_allows(const struct rebuild_guard *g, const char *journal, const char *archive,
                          struct err *err)
{
    AUTO_CLEAR(journal_report) here = {.count = 0};

    if (!journal_report_read(journal, &here, err))
        return false;
    for (const struct guarded *w = g->writers; w < g->writers + g->count; w++)
        if (!is_safe(g, w, &here) && !is_archived(w, archive, err))
            return false;
    return true;
}

/* It has a journal, here or on a host that lives. */
static bool is_safe(const struct rebuild_guard *g, const struct guarded *w,
                    const struct journal_report *here)
{
    return journal_report_has(here, w->writer) ||
           (w->heard_ms > 0 && g->latest_ms - w->heard_ms < LIVE_SILENT_MS);
}

static bool is_archived(const struct guarded *w, const char *archive, struct err *err)
{
    struct record_heads archived;
    char name[PARTITION_NAME];

    if (!archive_heads(archive, w->writer, &archived, err))
        return false;
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (w->booked.at[side][i].n > archived.at[side][i].n)
                return err_set(
                    err, ERR_EXISTS,
                    "writer %s is silent, and only Redis holds its records %" PRIu64 " to %" PRIu64
                    " of partition %s, which emptying would destroy: start its host, or "
                    "`tollgate journal retire` it first",
                    w->writer, archived.at[side][i].n + 1, w->booked.at[side][i].n,
                    partition_name((struct partition){(enum partition_side)side, i}, name));
    return true;
}
