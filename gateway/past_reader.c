/* past_reader.c - a list takes what the archive has and leaves out what Redis has too, page by page until it is full. */
#include "gateway/past_reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/archive_search.h"
#include "billing/partition.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define JOBS_MAX      64
#define PATIENCE_MS   20000
#define SLICE_NANOS   (4 * NANOS_PER_MS)
#define PAUSE_MS      1 /* between two slices: others have their turn */
#define FILES_A_SLICE 16

struct job {
    struct job *next;
    struct past_reader *reader; /* null: it is gone, and the answer of Redis frees the job */
    struct past_page page;      /* of a list; its account also of a search for one call */
    char request_id[REQUEST_ID_TEXT];
    int64_t until_ms; /* monotonic: patience */
    struct archive_search *search;
    bool is_placed; /* a list: before_at and before_id say where it goes on */
    int64_t before_at;
    char before_id[REQUEST_ID_TEXT];
    char **lines;
    size_t line_count;
    bool is_asking; /* Redis */
    recent_on_record *on_record;
    recent_on_records *on_records;
    void *arg;
};

struct past_reader {
    struct redis *redis;
    const char *archive;
    struct archive_index *index;
    struct timer *slice;
    struct job *first, **last;
    size_t count;
};

static void find(void *arg, const char *account, const char *request_id,
                 recent_on_record *on_record, void *on_arg);
static void list(void *arg, const struct past_page *page, recent_on_records *on_records,
                 void *on_arg);
static void add(struct past_reader *p, struct job *job);
static void go_on(void *arg);
static bool start_search(struct past_reader *p, struct job *job, bool *is_started, struct err *err);
static void take_result(struct past_reader *p, struct job *job);
static void place_list(struct past_reader *p, struct job *job);
static void ask_index(struct past_reader *p, struct job *job);
static void on_index(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_calls(struct job *job, const struct redis_reply *reply);
static void end_first(struct past_reader *p, const struct err *err);
static void answer(struct job *job, const struct err *err);
static void job_free(struct job *job);

struct past_reader *past_reader_new(struct loop *loop, struct redis *redis, const char *archive,
                                    struct archive_index *index)
{
    struct past_reader *p = xcalloc(1, sizeof *p);

    p->redis = redis;
    p->archive = archive;
    p->index = index;
    p->slice = timer_new(loop, go_on, p);
    p->last = &p->first;
    return p;
}

void past_reader_free(struct past_reader *p)
{
    struct err gone;

    if (!p)
        return;
    err_set(&gone, ERR_CANCELLED, "the console stops");
    timer_free(p->slice);
    while (p->first) {
        struct job *job = p->first;

        p->first = job->next;
        answer(job, &gone);
        job->reader = NULL;
        if (!job->is_asking)
            job_free(job);
    }
    free(p);
}

struct past past_of_reader(struct past_reader *p)
{
    return (struct past){find, list, p};
}

static void find(void *arg, const char *account, const char *request_id,
                 recent_on_record *on_record, void *on_arg)
{
    struct job *job = xcalloc(1, sizeof *job);

    snprintf(job->page.account, sizeof job->page.account, "%s", account);
    snprintf(job->request_id, sizeof job->request_id, "%s", request_id);
    job->on_record = on_record;
    job->arg = on_arg;
    add(arg, job);
}

static void list(void *arg, const struct past_page *page, recent_on_records *on_records,
                 void *on_arg)
{
    struct job *job = xcalloc(1, sizeof *job);

    job->page = *page;
    job->is_placed = !page->before[0];
    job->before_at = page->until_ms ? page->until_ms * NANOS_PER_MS : INT64_MAX;
    job->on_records = on_records;
    job->arg = on_arg;
    add(arg, job);
}

static void add(struct past_reader *p, struct job *job)
{
    struct err full;

    if (p->count == JOBS_MAX) {
        err_set(&full, ERR_UNAVAILABLE, "too many older calls are looked up at this moment");
        answer(job, &full);
        job_free(job);
        return;
    }
    job->reader = p;
    job->until_ms = clock_monotonic_ms() + PATIENCE_MS;
    *p->last = job;
    p->last = &job->next;
    if (p->count++ == 0)
        timer_start(p->slice, 0);
}

/* One slice of the first job. */
static void go_on(void *arg)
{
    struct past_reader *p = arg;
    struct job *job = p->first;
    bool is_started = true;
    struct err err;
    int got = 0;

    if (!job || job->is_asking)
        return;
    if (clock_monotonic_ms() > job->until_ms) {
        err_set(&err, ERR_UNAVAILABLE, "reading the archive takes longer than %d s",
                PATIENCE_MS / 1000);
        got = -1;
    } else if (!job->search && !start_search(p, job, &is_started, &err)) {
        got = -1;
    } else if (is_started) {
        got = archive_search_step(job->search, SLICE_NANOS, &err);
    }
    if (got < 0)
        end_first(p, &err);
    else if (got == 0)
        timer_start(p->slice, PAUSE_MS);
    else
        take_result(p, job);
}

/* Not before everything that was archived by now is known. */
static bool start_search(struct past_reader *p, struct job *job, bool *is_started, struct err *err)
{
    struct archive_query q = {.account = job->page.account[0] ? job->page.account : NULL};

    if (!archive_index_refresh(p->index, FILES_A_SLICE, is_started, err))
        return false;
    if (job->on_record)
        q.request_id = job->request_id;
    else if (!job->is_placed)
        q.request_id = job->page.before;
    else {
        q.limit = job->page.limit;
        q.before_at = job->before_at;
        memcpy(q.before_id, job->before_id, sizeof q.before_id);
    }
    if (*is_started)
        job->search = archive_search_new(p->archive, p->index, &q);
    return true;
}

static void take_result(struct past_reader *p, struct job *job)
{
    size_t count;

    archive_search_calls(job->search, &count);
    if (job->on_record)
        end_first(p, NULL);
    else if (!job->is_placed)
        place_list(p, job);
    else if (count > 0)
        ask_index(p, job);
    else
        end_first(p, NULL);
}

static void place_list(struct past_reader *p, struct job *job)
{
    size_t count;
    const struct found_call *before = archive_search_calls(job->search, &count);
    struct err unknown;

    if (count == 0) {
        err_set(&unknown, ERR_NOT_FOUND, "'before' names no call of this account");
        end_first(p, &unknown);
        return;
    }
    job->before_at = before->ended_at;
    memcpy(job->before_id, before->request_id, sizeof job->before_id);
    job->is_placed = true;
    archive_search_free(KEEP(job->search));
    timer_start(p->slice, 0);
}

static void ask_index(struct past_reader *p, struct job *job)
{
    struct partition partition = partition_of(SIDE_ACCOUNT, span_of(job->page.account));
    char key[PARTITION_KEY];
    size_t count;
    const struct found_call *calls = archive_search_calls(job->search, &count);
    struct span *argv = xcalloc(count + 2, sizeof *argv);

    argv[0] = SPAN("HMGET");
    argv[1] = partition_key(partition, "index", job->page.account, key);
    for (size_t i = 0; i < count; i++)
        argv[2 + i] = span_of(calls[i].request_id);
    job->is_asking = true;
    redis_command(p->redis, argv, count + 2, on_index, job);
    free(argv);
}

static void on_index(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct job *job = arg;
    struct past_reader *p = job->reader;
    struct err why;

    job->is_asking = false;
    if (!p) {
        job_free(job);
        return;
    }
    if (err || redis_reply_type(reply) != REDIS_ARRAY) {
        err_set(&why, ERR_UNAVAILABLE, "Redis cannot be asked: %s",
                err ? err->text : "it refused HMGET");
        end_first(p, &why);
        return;
    }
    take_calls(job, reply);
    if (job->line_count >= job->page.limit || !archive_search_has_more(job->search)) {
        end_first(p, NULL);
        return;
    }
    archive_search_free(KEEP(job->search));
    timer_start(p->slice, 0);
}

/* What stands in Redis was shown from there. */
static void take_calls(struct job *job, const struct redis_reply *reply)
{
    size_t count;
    const struct found_call *calls = archive_search_calls(job->search, &count);

    job->lines = xrealloc_array(job->lines, job->line_count + count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++)
        if (redis_reply_type(redis_reply_at(reply, i)) != REDIS_TEXT)
            job->lines[job->line_count++] = xstrdup(calls[i].line);
    job->before_at = calls[count - 1].ended_at;
    memcpy(job->before_id, calls[count - 1].request_id, sizeof job->before_id);
}

static void end_first(struct past_reader *p, const struct err *err)
{
    struct job *job = p->first;

    p->first = job->next;
    if (!p->first)
        p->last = &p->first;
    if (--p->count > 0)
        timer_start(p->slice, PAUSE_MS);
    answer(job, err);
    job_free(job);
}

static void answer(struct job *job, const struct err *err)
{
    size_t count = 0;
    const struct found_call *calls =
        job->search && !err ? archive_search_calls(job->search, &count) : NULL;
    size_t most = job->line_count < job->page.limit ? job->line_count : job->page.limit;
    struct span *lines;

    if (job->on_record) {
        struct span line = count > 0 ? span_of(calls->line) : SPAN("");

        job->on_record(job->arg, count > 0 ? &line : NULL, err);
        return;
    }
    lines = xcalloc(most + 1, sizeof *lines);
    for (size_t i = 0; i < most; i++)
        lines[i] = span_of(job->lines[i]);
    job->on_records(job->arg, lines, err ? 0 : most,
                    job->line_count > most || (job->search && archive_search_has_more(job->search)),
                    err);
    free(lines);
}

static void job_free(struct job *job)
{
    for (size_t i = 0; i < job->line_count; i++)
        free(job->lines[i]);
    free(job->lines);
    archive_search_free(job->search);
    free(job);
}
