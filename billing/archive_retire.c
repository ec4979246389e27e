/* archive_retire.c - records are put into an order that the writer can have written them in: the numbers of every
 * partition ascend, periods too, and where several could be next the earliest is. */
#include "billing/archive_retire.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/archive.h"
#include "billing/archive_put.h"
#include "billing/journal_state.h"
#include "billing/retired_losses.h"
#include "billing/seal.h"
#include "billing/zstd_file.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define DIRECTORY_MODE 0755
#define LINES_MAX      (4ull << 30)

struct saved {
    struct span line;
    struct record_effect effect;
    struct period period;
    bool is_written;
};

/* The saved records of one partition, by number. */
struct queue {
    struct saved **at;
    size_t count, next;
};

struct segment {
    const char *archive;
    const struct retirement *retirement;
    const struct retired_findings *found;
    struct retired_result *result;
    struct archive_header header; /* of what is in `text` by now */
    struct saved *saved;
    size_t saved_count;
    struct queue queues[SIDES][PARTITIONS];
    struct retired_call *open; /* calls without an END */
    size_t open_count;
    struct buf text, lost; /* lines; the member of the retire record */
};

static bool start(struct segment *s, bool *was_done, struct err *err);
static bool read_losses(struct segment *s, struct err *err);
static bool take_lines(struct segment *s, struct err *err);
static bool take_calls(struct segment *s, struct err *err);
static bool read_period(struct span line, const struct record_effect *e, struct period *out,
                        struct err *err);
static bool sort_queues(struct segment *s, struct err *err);
static int compare_account(const void *a, const void *b);
static int compare_model(const void *a, const void *b);
static bool write_records(struct segment *s, struct err *err);
static bool fill_gaps(struct segment *s, struct err *err);
static bool add_lost(struct segment *s, struct partition p, uint64_t n, struct err *err);
static void note_lost(struct segment *s, struct partition p, uint64_t from, uint64_t to);
static struct saved *find_next(struct segment *s);
static bool is_next(const struct segment *s, const struct saved *r);
static bool is_earlier(const struct saved *a, const struct saved *b);
static bool add_saved(struct segment *s, struct saved *r, struct err *err);
static bool check_cursors(const struct segment *s, struct err *err);
static bool add_seal(struct segment *s, struct err *err);
static bool add_retire(struct segment *s, struct err *err);
static bool add_line(struct segment *s, struct span line, struct err *err);
static int next_line(void *arg, struct span *line, struct err *err);
static void segment_clear(struct segment *s);

bool archive_retire(const char *archive, const struct retirement *r,
                    const struct retired_findings *found, struct retired_result *out,
                    struct err *err)
{
    struct segment *s = xcalloc(1, sizeof *s);
    struct span rest;
    char sha256[SHA256_HEX];
    bool ok;

    *out = (struct retired_result){.was_done = false};
    *s = (struct segment){.archive = archive, .retirement = r, .found = found, .result = out};
    buf_init(&s->text, LINES_MAX);
    buf_init(&s->lost, RECORD_BYTES_MAX / 2);
    ok = start(s, &out->was_done, err) && (!out->was_done || read_losses(s, err));
    if (ok && !out->was_done) {
        ok = take_lines(s, err) && take_calls(s, err) && sort_queues(s, err) &&
             write_records(s, err) && check_cursors(s, err) && add_retire(s, err);
        while (ok && period_compare(s->header.totals.period, period_of(r->at)) <= 0)
            ok = add_seal(s, err);
        rest = buf_span(&s->text);
        ok = ok && archive_put(archive, &s->header, next_line, &rest, sha256, err);
    }
    segment_clear(s);
    free(s);
    return ok;
}

/* Of a segment that was written before. */
static bool read_losses(struct segment *s, struct err *err)
{
    AUTO_CLEAR(retired_losses) lost = {.count = 0};

    if (!retired_losses_read(s->archive, s->retirement->writer, &lost, err))
        return false;
    for (const struct retired_loss *l = lost.ranges; l < lost.ranges + lost.count; l++)
        s->result->is_lost[l->partition.side][l->partition.index] = true;
    return true;
}

/* Behind the archive's last file, which says where the writer stood. */
static bool start(struct segment *s, bool *was_done, struct err *err)
{
    struct archive_header *h = &s->header, last;
    AUTO_STRING dir = archive_dir(s->archive, s->retirement->writer);
    struct archive_writer *writers;
    size_t count;
    uint64_t n;

    if (!archive_last_segment(s->archive, s->retirement->writer, &n, err))
        return false;
    if (n > 0) {
        AUTO_STRING path = archive_path(s->archive, s->retirement->writer, n);

        if (!archive_file_digest(path, &last, h->previous, err))
            return false;
        *was_done = last.retired > 0;
        h->totals = last.totals;
        h->heads = last.heads;
    } else {
        if (!dir_ensure(dir, DIRECTORY_MODE, err) ||
            !archive_writers(s->archive, &writers, &count, err))
            return false;
        for (size_t i = 0; i < count; i++)
            if (strcmp(writers[i].writer, s->retirement->writer) == 0)
                h->totals.period = writers[i].first_period;
        free(writers);
    }
    h->segment = n + 1;
    memcpy(h->writer, s->retirement->writer, sizeof h->writer);
    memcpy(h->installation, s->retirement->installation, sizeof h->installation);
    return true;
}

bool archive_heads(const char *archive, const char *writer, struct record_heads *out,
                   struct err *err)
{
    struct archive_header last;
    uint64_t n;

    *out = (struct record_heads){0};
    if (!archive_last_segment(archive, writer, &n, err))
        return false;
    if (n > 0) {
        AUTO_STRING path = archive_path(archive, writer, n);

        if (!archive_file_header(path, &last, err))
            return false;
        *out = last.heads;
    }
    return true;
}

bool archive_is_retired(const char *archive, const char *writer)
{
    struct archive_header last;
    uint64_t n;

    if (!archive_last_segment(archive, writer, &n, NULL) || n == 0)
        return false;
    AUTO_STRING path = archive_path(archive, writer, n);
    return archive_file_header(path, &last, NULL) && last.retired > 0;
}

bool archive_retire_record(const char *archive, const char *writer, struct buf *out,
                           struct err *err)
{
    AUTO(zstd_reader) r = NULL;
    AUTO_STRING path = NULL;
    struct record_head head;
    struct span line;
    uint64_t n;
    int got;

    if (!archive_last_segment(archive, writer, &n, err))
        return false;
    path = archive_path(archive, writer, n);
    r = n ? zstd_reader_open(path, err) : NULL;
    if (n && (!r || zstd_reader_line(r, RECORD_BYTES_MAX, &line, err) != 1))
        return false;
    while (r && (got = zstd_reader_line(r, RECORD_BYTES_MAX, &line, err)) != 0)
        if (got < 0 || !record_head_parse(line, &head, err))
            return false;
        else if (head.kind == RECORD_RETIRE)
            return buf_add_span(out, line);
    return err_set(err, ERR_NOT_FOUND, "writer %s is not retired", writer);
}

/* ------------------------------------------------------------------ what was found */

static bool take_lines(struct segment *s, struct err *err)
{
    s->saved = xcalloc(s->found->line_count + 1, sizeof *s->saved);
    for (size_t i = 0; i < s->found->line_count; i++) {
        struct saved *r = &s->saved[s->saved_count];
        struct record_head head;

        r->line = s->found->lines[i];
        if (!record_head_parse(r->line, &head, err))
            return false;
        if (strcmp(head.writer, s->header.writer) != 0 ||
            !record_is_beyond(&s->header.heads, &head.place))
            continue;
        if (!record_effect_parse(r->line, crc32c(0, r->line.data, r->line.len), &r->effect, err) ||
            !read_period(r->line, &r->effect, &r->period, err))
            return err_context(err, "what Redis holds of %s", s->header.writer);
        s->saved_count++;
    }
    return true;
}

static bool take_calls(struct segment *s, struct err *err)
{
    const struct retired_findings *f = s->found;
    const struct saved_lines lines = {f->lines, f->line_count};

    s->open_count = f->call_count;
    s->open = xcalloc(f->call_count + 1, sizeof *s->open);
    if (f->call_count)
        memcpy(s->open, f->calls, f->call_count * sizeof *s->open);
    return unended_calls_keep(s->archive, s->header.writer, &lines, s->open, &s->open_count, err);
}

/* A call or refund that is booked late says in which period. */
static bool read_period(struct span line, const struct record_effect *e, struct period *out,
                        struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    const char *text = NULL;

    if (!object || !json_get_string_or(object, "period", &text, "record", err))
        return false;
    *out = period_of(e->at);
    return !text || period_parse(span_of(text), out, err);
}

static bool sort_queues(struct segment *s, struct err *err)
{
    for (size_t i = 0; i < s->saved_count; i++) {
        const struct record_place *place = &s->saved[i].effect.place;

        for (int side = 0; side < SIDES; side++) {
            struct queue *q = &s->queues[side][place->partition[side]];

            if (!place->on[side])
                continue;
            q->at = xrealloc_array(q->at, q->count + 1, sizeof *q->at);
            q->at[q->count++] = &s->saved[i];
        }
    }
    for (int side = 0; side < SIDES; side++) {
        for (unsigned p = 0; p < PARTITIONS; p++) {
            struct queue *q = &s->queues[side][p];
            size_t unique = 0;

            if (q->count)
                qsort(q->at, q->count, sizeof *q->at,
                      side == SIDE_ACCOUNT ? compare_account : compare_model);
            for (size_t i = 0; i < q->count; i++) {
                struct saved *r = q->at[i], *before = unique ? q->at[unique - 1] : NULL;

                if (!before || before->effect.place.n[side] != r->effect.place.n[side])
                    q->at[unique++] = r;
                else if (before->effect.crc != r->effect.crc)
                    return err_set(err, ERR_CORRUPT, "Redis holds two records %llu of %s",
                                   (unsigned long long)r->effect.place.n[side], s->header.writer);
                else
                    r->is_written = true; /* the same, found twice */
            }
            q->count = unique;
        }
    }
    return true;
}

static int compare(const void *a, const void *b, int side)
{
    uint64_t x = (*(struct saved *const *)a)->effect.place.n[side];
    uint64_t y = (*(struct saved *const *)b)->effect.place.n[side];

    return x < y ? -1 : x > y;
}

static int compare_account(const void *a, const void *b)
{
    return compare(a, b, SIDE_ACCOUNT);
}

static int compare_model(const void *a, const void *b)
{
    return compare(a, b, SIDE_MODEL);
}

/* ------------------------------------------------------------------ the records */

static bool write_records(struct segment *s, struct err *err)
{
    struct saved *r;

    do {
        if (!fill_gaps(s, err))
            return false;
        r = find_next(s);
        if (r && !add_saved(s, r, err))
            return false;
    } while (r);
    for (size_t i = 0; i < s->saved_count; i++)
        if (!s->saved[i].is_written)
            return err_set(err, ERR_CORRUPT,
                           "what Redis holds of %s cannot have been written in any order",
                           s->header.writer);
    return true;
}

/* The next number of a partition is lost when it stands below one that is there, or was applied, and in no record. */
static bool fill_gaps(struct segment *s, struct err *err)
{
    for (int side = 0; side < SIDES; side++) {
        for (unsigned i = 0; i < PARTITIONS; i++) {
            const struct queue *q = &s->queues[side][i];
            uint64_t head = s->header.heads.at[side][i].n, from = head + 1;
            uint64_t to = q->next < q->count ? q->at[q->next]->effect.place.n[side] - 1
                                             : s->found->cursors.at[side][i].n;

            for (; head < to; head++)
                if (!add_lost(s, (struct partition){(enum partition_side)side, i}, head + 1, err))
                    return false;
            if (from <= to)
                note_lost(s, (struct partition){(enum partition_side)side, i}, from, to);
        }
    }
    return true;
}

static bool add_lost(struct segment *s, struct partition p, uint64_t n, struct err *err)
{
    struct record_place place = {.on = {false}};
    AUTO_CLEAR(buf) body = {.max = 256};
    AUTO_CLEAR(buf) line = {.max = 512};
    char at[CLOCK_TEXT];

    place.on[p.side] = true;
    place.partition[p.side] = p.index;
    place.n[p.side] = n;
    buf_printf(&body, "{\"of\":\"%s\",\"at\":\"%s\"}", s->header.writer,
               clock_format(s->retirement->at, at));
    record_compose(&line, RECORD_LOST, s->header.writer, &place, buf_span(&body));
    s->result->lost++;
    s->result->is_lost[p.side][p.index] = true;
    return buf_ok(&line, "a lost record", err) && add_line(s, buf_span(&line), err);
}

/* ["m05",10,12]: these and those between. */
static void note_lost(struct segment *s, struct partition p, uint64_t from, uint64_t to)
{
    char name[PARTITION_NAME];

    buf_printf(&s->lost, "%s[\"%s\",%llu,%llu]", s->lost.len ? "," : "", partition_name(p, name),
               (unsigned long long)from, (unsigned long long)to);
}

/* Null when nothing is left, or nothing fits. */
static struct saved *find_next(struct segment *s)
{
    struct saved *found = NULL;

    for (int side = 0; side < SIDES; side++) {
        for (unsigned i = 0; i < PARTITIONS; i++) {
            struct queue *q = &s->queues[side][i];
            struct saved *r = q->next < q->count ? q->at[q->next] : NULL;

            if (r && is_next(s, r) && (!found || is_earlier(r, found)))
                found = r;
        }
    }
    return found;
}

static bool is_next(const struct segment *s, const struct saved *r)
{
    const struct record_place *place = &r->effect.place;

    for (int side = 0; side < SIDES; side++)
        if (place->on[side] &&
            place->n[side] != s->header.heads.at[side][place->partition[side]].n + 1)
            return false;
    return true;
}

static bool is_earlier(const struct saved *a, const struct saved *b)
{
    int order = period_compare(a->period, b->period);

    return order < 0 || (order == 0 && a->effect.at < b->effect.at);
}

static bool add_saved(struct segment *s, struct saved *r, struct err *err)
{
    const struct record_place *place = &r->effect.place;

    while (period_compare(s->header.totals.period, r->period) < 0)
        if (!add_seal(s, err))
            return false;
    for (int side = 0; side < SIDES; side++)
        if (place->on[side])
            s->queues[side][place->partition[side]].next++;
    r->is_written = true;
    s->result->saved++;
    return add_line(s, r->line, err);
}

/* What Redis applied last is what the archive now has last; but for what is lost, and what Redis itself lacks. */
static bool check_cursors(const struct segment *s, struct err *err)
{
    for (int side = 0; side < SIDES; side++) {
        for (unsigned i = 0; i < PARTITIONS; i++) {
            struct record_cursor has = s->header.heads.at[side][i];
            struct record_cursor said = s->found->cursors.at[side][i];
            char name[PARTITION_NAME];

            if (has.n == said.n && has.crc != said.crc && !s->result->is_lost[side][i])
                return err_set(
                    err, ERR_CORRUPT,
                    "record %llu of %s in partition %s is another one in Redis than in the archive",
                    (unsigned long long)has.n, s->header.writer,
                    partition_name((struct partition){(enum partition_side)side, i}, name));
        }
    }
    return true;
}

/* ------------------------------------------------------------------ the end */

static bool add_seal(struct segment *s, struct err *err)
{
    struct seal *seal = xcalloc(1, sizeof *seal);
    AUTO_CLEAR(buf) body = {.max = RECORD_BYTES_MAX};
    AUTO_CLEAR(buf) line = {.max = RECORD_BYTES_MAX};

    memcpy(seal->writer, s->header.writer, sizeof seal->writer);
    seal->at = s->retirement->at;
    seal->totals = s->header.totals;
    seal->heads = s->header.heads;
    seal_write(seal, &body);
    free(seal);
    record_compose(&line, RECORD_SEAL, s->header.writer, NULL, buf_span(&body));
    return buf_ok(&line, "a SEAL", err) && add_line(s, buf_span(&line), err);
}

static bool add_retire(struct segment *s, struct err *err)
{
    const struct retirement *r = s->retirement;
    AUTO_CLEAR(buf) body = {.max = RECORD_BYTES_MAX};
    AUTO_CLEAR(buf) line = {.max = RECORD_BYTES_MAX};
    struct jw w;

    jw_init(&w, &body);
    jw_object(&w);
    jw_string_member(&w, "reason", r->reason);
    jw_string_member(&w, "proposed_by", r->proposed_by);
    jw_time_member(&w, "proposed_at", r->proposed_at);
    jw_string_member(&w, "by", r->by);
    jw_time_member(&w, "at", r->at);
    jw_int_member(&w, "saved", (int64_t)s->result->saved);
    jw_int_member(&w, "lost_records", (int64_t)s->result->lost);
    jw_key(&w, "lost");
    jw_array(&w);
    if (s->lost.len && !s->lost.failed)
        jw_raw(&w, buf_span(&s->lost));
    jw_array_end(&w);
    jw_int_member(&w, "open_calls", (int64_t)s->open_count);
    jw_key(&w, "open");
    jw_array(&w);
    for (size_t i = 0; i < s->open_count && i < RETIRED_CALLS_NAMED; i++) {
        jw_object(&w);
        jw_string_member(&w, "request_id", s->open[i].request_id);
        jw_string_member(&w, "account", s->open[i].account);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    record_compose(&line, RECORD_RETIRE, s->header.writer, NULL, buf_span(&body));
    return buf_ok(&line, "the retire record", err) && add_line(s, buf_span(&line), err);
}

static bool add_line(struct segment *s, struct span line, struct err *err)
{
    struct record_effect e;

    if (!record_effect_parse(line, crc32c(0, line.data, line.len), &e, err) ||
        !archive_header_take(&s->header, &e, err))
        return false;
    buf_add_span(&s->text, line);
    buf_add_char(&s->text, '\n');
    return buf_ok(&s->text, "the last segment", err);
}

static int next_line(void *arg, struct span *line, struct err *err)
{
    struct span *rest = arg;
    const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;

    (void)err;
    if (!end)
        return 0;
    *line = (struct span){rest->data, (size_t)(end - rest->data)};
    *rest = (struct span){end + 1, rest->len - line->len - 1};
    return 1;
}

static void segment_clear(struct segment *s)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            free(s->queues[side][i].at);
    free(s->saved);
    free(s->open);
    buf_clear(&s->text);
    buf_clear(&s->lost);
}
