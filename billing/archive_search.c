/* archive_search.c - most lines of a segment are of others: a line is parsed only when the text that is looked for stands
 * in it. Segments are read newest first, and no longer once none of them can hold a newer call than those found. */
#include "billing/archive_search.h"

#include <stdlib.h>

#include "billing/archive_file.h"
#include "billing/zstd_file.h"
#include "lib/base/mem.h"

#define LINES_A_LOOK 256 /* at the clock */

struct archive_search {
    char *archive;
    struct archive_query query;
    char *request_id, *account, *needle;
    struct archived_segment *segments; /* that may hold it, newest first */
    size_t count, next;
    struct zstd_reader *file;
    struct found_call *calls;
    size_t call_count;
};

static bool may_hold(const struct archive_search *s, const struct archived_segment *segment);
static int newest_first(const void *a, const void *b);
static bool is_over(const struct archive_search *s);
static bool open_file(struct archive_search *s, struct err *err);
static bool read_lines(struct archive_search *s, struct err *err);
static bool take_line(struct archive_search *s, struct span line, struct err *err);
static bool is_wanted(const struct archive_search *s, const struct event *e);
static void keep(struct archive_search *s, const struct event *e, struct span line);
static bool is_behind(const struct event *e, int64_t at, const char *id);

struct archive_search *archive_search_new(const char *archive, const struct archive_index *index,
                                          const struct archive_query *query)
{
    struct archive_search *s = xcalloc(1, sizeof *s);
    size_t count;
    const struct archived_segment *all = archive_index_segments(index, &count);

    s->archive = xstrdup(archive);
    s->query = *query;
    s->request_id = query->request_id ? xstrdup(query->request_id) : NULL;
    s->account = query->account ? xstrdup(query->account) : NULL;
    s->needle = s->request_id ? xasprintf("\"request_id\":\"%s\"", s->request_id)
                              : xasprintf("\"account\":\"%s\"", s->account ? s->account : "");
    s->segments = xcalloc(count + 1, sizeof *s->segments);
    for (size_t i = 0; i < count; i++)
        if (may_hold(s, &all[i]))
            s->segments[s->count++] = all[i];
    if (s->count > 1)
        qsort(s->segments, s->count, sizeof *s->segments, newest_first);
    s->calls = xcalloc(query->limit + 2, sizeof *s->calls);
    return s;
}

void archive_search_free(struct archive_search *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->call_count; i++)
        free(s->calls[i].line);
    free(s->calls);
    free(s->segments);
    zstd_reader_free(s->file);
    free(s->archive);
    free(s->request_id);
    free(s->account);
    free(s->needle);
    free(s);
}

static bool may_hold(const struct archive_search *s, const struct archived_segment *segment)
{
    int64_t ms = s->request_id ? request_id_ms(s->request_id) : 0;
    uint64_t partitions = UINT64_MAX;

    if (s->account)
        partitions = UINT64_C(1) << partition_of(SIDE_ACCOUNT, span_of(s->account)).index;
    if (!(segment->account_partitions & partitions))
        return false;
    return s->request_id ? ms >= segment->first_request_ms && ms <= segment->last_request_ms
                         : segment->first_at <= s->query.before_at;
}

static int newest_first(const void *a, const void *b)
{
    const struct archived_segment *x = a, *y = b;

    return x->last_at < y->last_at ? 1 : x->last_at > y->last_at ? -1 : 0;
}

int archive_search_step(struct archive_search *s, int64_t nanos, struct err *err)
{
    int64_t until = clock_monotonic() + nanos;

    while (!is_over(s)) {
        if ((!s->file && !open_file(s, err)) || !read_lines(s, err))
            return -1;
        if (clock_monotonic() >= until)
            return is_over(s);
    }
    return 1;
}

/* A file that has been begun is read to its end: it is not in the order of the list. */
static bool is_over(const struct archive_search *s)
{
    if (s->request_id && s->call_count > 0)
        return true;
    if (s->file)
        return false;
    if (s->next == s->count)
        return true;
    return !s->request_id && s->call_count > s->query.limit &&
           s->segments[s->next].last_at < s->calls[s->call_count - 1].ended_at;
}

static bool open_file(struct archive_search *s, struct err *err)
{
    const struct archived_segment *segment = &s->segments[s->next++];
    AUTO_STRING path = archive_path(s->archive, segment->writer, segment->number);

    s->file = zstd_reader_open(path, err);
    return s->file != NULL;
}

static bool read_lines(struct archive_search *s, struct err *err)
{
    struct span line;

    for (int i = 0; i < LINES_A_LOOK; i++) {
        int got = zstd_reader_line(s->file, RECORD_BYTES_MAX, &line, err);

        if (got < 0)
            return false;
        if (got == 0) {
            zstd_reader_free(KEEP(s->file));
            return true;
        }
        if (memmem(line.data, line.len, s->needle, strlen(s->needle)) && !take_line(s, line, err))
            return false;
        if (is_over(s))
            return true;
    }
    return true;
}

/* Refunds name their call, too. */
static bool take_line(struct archive_search *s, struct span line, struct err *err)
{
    AUTO_JSON object = NULL;
    struct record_head head;
    struct event event;

    if (zstd_reader_line_number(s->file) == 1)
        return true;
    if (!record_head_parse(line, &head, err))
        return false;
    if (head.kind != RECORD_CALL)
        return true;
    object = json_parse(line, err);
    if (!object || !event_parse(object, &event, err))
        return false;
    if (is_wanted(s, &event))
        keep(s, &event, line);
    return true;
}

static bool is_wanted(const struct archive_search *s, const struct event *e)
{
    if (s->account && strcmp(e->account, s->account) != 0)
        return false;
    if (s->request_id)
        return strcmp(e->request_id, s->request_id) == 0;
    return s->query.before_at == INT64_MAX || is_behind(e, s->query.before_at, s->query.before_id);
}

static bool is_behind(const struct event *e, int64_t at, const char *id)
{
    return e->ended_at < at || (e->ended_at == at && strcmp(e->request_id, id) < 0);
}

/* One more than the limit is kept: it shows that there is more. */
static void keep(struct archive_search *s, const struct event *e, struct span line)
{
    struct found_call call = {.ended_at = e->ended_at};
    size_t most = s->request_id ? 1 : s->query.limit + 1, at = s->call_count;

    while (at > 0 && !is_behind(e, s->calls[at - 1].ended_at, s->calls[at - 1].request_id))
        at--;
    if (at == most)
        return;
    memcpy(call.request_id, e->request_id, sizeof call.request_id);
    call.line = xstrndup(line.data, line.len);
    memmove(&s->calls[at + 1], &s->calls[at], (s->call_count - at) * sizeof *s->calls);
    s->calls[at] = call;
    if (s->call_count == most)
        free(s->calls[most].line);
    else
        s->call_count++;
}

const struct found_call *archive_search_calls(const struct archive_search *s, size_t *count)
{
    *count = s->request_id || s->call_count < s->query.limit ? s->call_count : s->query.limit;
    return s->calls;
}

bool archive_search_has_more(const struct archive_search *s)
{
    return !s->request_id && s->call_count > s->query.limit;
}
