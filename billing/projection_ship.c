/* projection_ship.c - records are read in the writer's order and each goes to the batches of its one or two partitions.
 * A partition has one batch in flight and one that fills meanwhile, so batches grow when Redis is the slower one, and
 * else to what a short rest between two rounds of sending brings together; when one is full, reading stops until it has left. That bounds memory and keeps every partition's order. */
#include "billing/projection_ship.h"

#include <inttypes.h>

#include "billing/archive_file.h"
#include "billing/archive_retire.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORDS_A_TURN 256
#define REST_MS        4
#define LAST_NUMBER    (UINT64_C(1) << 53) /* scripts compare numbers as doubles up to here */

static void read_archived_heads(struct projection *p);
static bool is_behind(const struct projection *p);
static int64_t recent_since(const struct projection *p, const struct record_head *head);
static bool journal_lacks(const struct projection *p);
static bool open_tail(struct projection *p, struct err *err);
static bool read_record(struct projection *p);
static int next_record(struct projection *p, struct record_head *head, struct span *line,
                       uint32_t *crc, struct err *err);
static bool take_record(struct projection *p, const struct record_head *head, struct span line,
                        uint32_t crc, struct err *err);
static int next_archived(struct projection *p, struct record_head *head, struct span *line,
                         uint32_t *crc, struct err *err);
static bool needs_file(const struct projection *p, const struct archive_header *h);
static bool pass_over(struct projection *p, struct err *err);
static bool is_due(struct projection *p, struct lane *l, struct record_cursor at, struct err *err);
static bool is_known(const struct projection *p, const struct lane *l, struct record_cursor at,
                     struct err *err);
static void put(struct projection *p, struct lane *l, uint64_t n);
static bool is_full(const struct projection *p, const struct batch *b);
static struct batch *take_batch(struct projection *p);
static void give_back(struct projection *p, struct batch *b);
static void send_batches(struct projection *p);
static void send_round(struct projection *p);
static void on_applied(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_reply(struct projection *p, struct lane *l, const struct batch *b,
                       const struct redis_reply *reply);
static void take_counts(struct projection *p, struct lane *l, const struct batch *b,
                        const struct redis_reply *reply);
static void refused(struct projection *p, struct lane *l, struct span status, struct span why);

bool ship_begin(struct projection *p, struct err *err)
{
    read_archived_heads(p);
    if (p->journal) {
        if (!journal_refresh_first_heads(p->journal, err))
            return false;
        if (!journal_lacks(p))
            return open_tail(p, err);
        log_info("projection_reads_archive", "%s: Redis lacks records that are only in the archive",
                 p->writer);
    }
    p->reader = archive_reader_open(p->archive, p->writer, err);
    return p->reader != NULL;
}

/* What cannot be found out counts as not archived: it goes to the streams whole, and the trimmer looks after it. */
static void read_archived_heads(struct projection *p)
{
    struct err err;

    p->in_archive = (struct record_heads){0};
    if (is_behind(p) && !archive_heads(p->archive, p->writer, &p->in_archive, &err)) {
        log_warn("archive_unreadable", "%s: what is replayed enters Redis's streams again: %s",
                 p->writer, err.text);
        p->in_archive = (struct record_heads){0};
    }
}

static bool is_behind(const struct projection *p)
{
    if (!p->journal)
        return true;
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (!l->is_away && l->applied.n < lane_cursor(l, projection_heads(p)).n)
            return true;
    return false;
}

/* 0: it is not archived, and only the streams hold it besides the journal. */
static int64_t recent_since(const struct projection *p, const struct record_head *head)
{
    if (record_is_beyond(&p->in_archive, &head->place))
        return 0;
    return clock_now() - p->recent_ms * NANOS_PER_MS;
}

static bool journal_lacks(const struct projection *p)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (!l->is_away && l->applied.n < lane_cursor(l, journal_first_heads(p->journal)).n)
            return true;
    return false;
}

static bool open_tail(struct projection *p, struct err *err)
{
    struct record_heads from;

    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        from.at[l->partition.side][l->partition.index] =
            l->is_away ? lane_cursor(l, projection_heads(p)) : (struct record_cursor){.n = l->sent};
    p->tail = journal_tail_new(p->journal, &from, err);
    return p->tail != NULL;
}

void ship_end(struct projection *p)
{
    for (struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++) {
        give_back(p, KEEP(l->filling));
        l->in_flight = false;
    }
    p->full_lanes = 0;
    timer_stop(p->rest);
    p->is_resting = false;
    archive_reader_free(KEEP(p->reader));
    p->is_in_file = false;
    journal_tail_free(KEEP(p->tail));
}

void ship_leave(struct projection *p, struct lane *l)
{
    if (l->filling && is_full(p, l->filling))
        p->full_lanes--;
    give_back(p, KEEP(l->filling));
}

void ship_pump(void *arg)
{
    struct projection *p = arg;
    unsigned n = 0;

    while (n < RECORDS_A_TURN && p->stage == STAGE_SHIPPING && !p->full_lanes && read_record(p))
        n++;
    if (p->stage != STAGE_SHIPPING)
        return;
    send_batches(p);
    if (n == RECORDS_A_TURN)
        turn_end_schedule(p->loop, &p->pump);
}

/* False when there is no more for now, or shipping ended. */
static bool read_record(struct projection *p)
{
    struct record_head head;
    struct span line;
    struct err err;
    uint32_t crc;
    int found = next_record(p, &head, &line, &crc, &err);

    if (found > 0 && (!record_is_numbered(head.kind) || take_record(p, &head, line, crc, &err)))
        return true;
    if (found == 0)
        return false;
    if (err.code == ERR_CORRUPT)
        projection_stop(p, &err);
    else
        projection_restart(p, err.text);
    return false;
}

static int next_record(struct projection *p, struct record_head *head, struct span *line,
                       uint32_t *crc, struct err *err)
{
    if (p->reader) {
        int found = next_archived(p, head, line, crc, err);
        if (found != 0)
            return found;
        archive_reader_free(KEEP(p->reader));
        if (p->journal && !open_tail(p, err))
            return -1;
        if (!p->journal)
            projection_archive_was_read(p);
    }
    if (!p->journal)
        return 0;
    return journal_tail_next(p->tail, head, line, crc, err);
}

/* Files of which Redis has everything are passed over by their heads: one partition's rebuild reads those that have
 * something of it. */
static int next_archived(struct projection *p, struct record_head *head, struct span *line,
                         uint32_t *crc, struct err *err)
{
    int got = 1;

    while (got == 1) {
        if (p->is_in_file && (got = archive_reader_line(p->reader, head, line, crc, err)) != 0)
            return got;
        got = archive_reader_enter(p->reader, err);
        p->is_in_file = got == 1 && needs_file(p, archive_reader_header(p->reader));
        if (got == 1 && !p->is_in_file && !pass_over(p, err))
            return -1;
    }
    return got;
}

static bool needs_file(const struct projection *p, const struct archive_header *h)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (!l->is_away && !l->parked && lane_cursor(l, &h->heads).n > l->sent)
            return true;
    return false;
}

static bool pass_over(struct projection *p, struct err *err)
{
    const struct archive_header *h = archive_reader_header(p->reader);

    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (!l->is_away && !is_known(p, l, lane_cursor(l, &h->heads), err))
            return false;
    p->archived = h->heads;
    archive_reader_pass(p->reader);
    return true;
}

static bool take_record(struct projection *p, const struct record_head *head, struct span line,
                        uint32_t crc, struct err *err)
{
    bool is_read = false;

    for (int side = 0; side < SIDES; side++) {
        if (!head->place.on[side])
            continue;
        struct lane *l = &p->lanes[side * PARTITIONS + (int)head->place.partition[side]];
        struct record_cursor at = {head->place.n[side], crc};
        p->archived.at[side][head->place.partition[side]] = at;
        err->code = ERR_NONE;
        if (!is_due(p, l, at, err)) {
            if (err->code != ERR_NONE)
                return false;
            continue;
        }
        if (!is_read)
            effects_read(p->effects, head, line, crc, recent_since(p, head));
        is_read = true;
        put(p, l, at.n);
    }
    return true;
}

/* Whether the record must be sent. Else `err` is set when it is one that cannot stand here. */
static bool is_due(struct projection *p, struct lane *l, struct record_cursor at, struct err *err)
{
    char name[PARTITION_NAME];

    partition_name(l->partition, name);
    if (l->is_away)
        return false;
    if (!is_known(p, l, at, err))
        return false;
    if (at.n > LAST_NUMBER)
        return err_set(err, ERR_CORRUPT, "record %" PRIu64 " of %s: numbers end at %" PRIu64, at.n,
                       p->writer, LAST_NUMBER);
    if (at.n <= l->sent || l->parked)
        return false;
    if (at.n > l->sent + 1)
        return err_set(err, ERR_UNAVAILABLE,
                       "partition %s of %s lacks record %" PRIu64
                       ", which is neither in the journal "
                       "nor in the archive",
                       name, p->writer, l->sent + 1);
    return true;
}

/* Where Redis stood when its cursor was read, it has this very record. */
static bool is_known(const struct projection *p, const struct lane *l, struct record_cursor at,
                     struct err *err)
{
    char name[PARTITION_NAME];

    return at.n != l->found.n || at.n == 0 || at.crc == l->found.crc ||
           err_set(err, ERR_CORRUPT,
                   "record %" PRIu64 " of %s in partition %s is another one in Redis than in its "
                   "journal: one of them is not of this installation's history",
                   at.n, p->writer, partition_name(l->partition, name));
}

static void put(struct projection *p, struct lane *l, uint64_t n)
{
    if (!l->filling) {
        l->filling = take_batch(p);
        batch_start(l->filling, l->partition, p->installation, p->writer,
                    p->journal ? FROM_JOURNAL : FROM_ARCHIVE);
    }
    effects_add(p->effects, l->filling);
    l->sent = n;
    if (is_full(p, l->filling))
        p->full_lanes++;
}

static bool is_full(const struct projection *p, const struct batch *b)
{
    return b->records >= p->batch_records || batch_is_heavy(b);
}

static struct batch *take_batch(struct projection *p)
{
    struct batch *b;

    if (p->spare_count)
        return p->spare[--p->spare_count];
    b = xcalloc(1, sizeof *b);
    batch_init(b);
    return b;
}

static void give_back(struct projection *p, struct batch *b)
{
    if (!b)
        return;
    if (p && p->spare_count < p->batches_max) {
        p->spare[p->spare_count++] = b;
        return;
    }
    batch_clear(b);
    free(b);
}

/* After a round of sending, batches that are not full gather for a moment: a script costs Redis much and one more record
 * in it little. The first record after a quiet moment leaves at once. */
static void send_batches(struct projection *p)
{
    size_t before = p->batches_in_flight;

    if (projection_has_slept(p))
        return;
    send_round(p);
    if (p->is_resting || p->batches_in_flight == before)
        return;
    p->is_resting = true;
    timer_start(p->rest, REST_MS);
}

void ship_rested(void *arg)
{
    struct projection *p = arg;

    p->is_resting = false;
    projection_wake(p);
}

static void send_round(struct projection *p)
{
    unsigned first = p->first_lane;

    for (unsigned i = 0; i < PARTITIONS_ALL && p->batches_in_flight < p->batches_max; i++) {
        struct lane *l = &p->lanes[(first + i) % PARTITIONS_ALL];
        if (!l->filling || l->in_flight || (p->is_resting && !is_full(p, l->filling)))
            continue;
        struct request *r = request_new(p, l);
        if (is_full(p, l->filling))
            p->full_lanes--;
        r->batch = KEEP(l->filling);
        l->in_flight = true;
        p->batches_in_flight++;
        p->first_lane = (first + i + 1) % PARTITIONS_ALL;
        batch_send(r->batch, p->redis, on_applied, r);
    }
}

static void on_applied(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct request *r = arg;
    struct lane *l = r->lane;
    struct batch *b = r->batch;
    struct projection *owner = r->p, *p;

    if (owner)
        owner->batches_in_flight--;
    p = request_end(r);
    if (p) {
        l->in_flight = false;
        if (err)
            projection_leave(p, l, err->text);
        else
            take_reply(p, l, b, reply);
        projection_wake(p);
    }
    give_back(owner, b);
}

/* {status, n, crc, applied, duplicates, suspended} or {status, why}. */
static void take_reply(struct projection *p, struct lane *l, const struct batch *b,
                       const struct redis_reply *reply)
{
    struct span status, second;
    uint64_t n;

    if (redis_reply_type(reply) != REDIS_ARRAY || redis_reply_count(reply) < 2) {
        refused(p, l, SPAN("ERROR"), redis_reply_text(reply));
        return;
    }
    status = redis_reply_text(redis_reply_at(reply, 0));
    second = redis_reply_text(redis_reply_at(reply, 1));
    if (redis_reply_count(reply) == 6)
        take_counts(p, l, b, reply);
    if (!span_equal(status, SPAN("OK")) || !digits_parse(second, INT64_MAX, &n) || n < b->last.n) {
        refused(p, l, status, second);
        return;
    }
    l->applied = b->last;
    batch_announce(b, p->redis);
    projection_progress(p);
}

static void take_counts(struct projection *p, struct lane *l, const struct batch *b,
                        const struct redis_reply *reply)
{
    char name[PARTITION_NAME];
    int64_t suspended = redis_reply_int(redis_reply_at(reply, 5));

    p->counts.applied += (uint64_t)redis_reply_int(redis_reply_at(reply, 3));
    p->counts.duplicates += (uint64_t)redis_reply_int(redis_reply_at(reply, 4));
    p->counts.suspended += (uint64_t)suspended;
    if (suspended > 0)
        log_error("record_in_suspense",
                  "partition %s could not book %" PRId64 " of the records up to %" PRIu64 " of %s: "
                  "`tollgate suspense list` shows them",
                  partition_name(l->partition, name), suspended, b->last.n, p->writer);
}

static void refused(struct projection *p, struct lane *l, struct span status, struct span why)
{
    char name[PARTITION_NAME], text[ERR_TEXT_MAX];
    struct err err;

    snprintf(text, sizeof text, "partition %s answered %.*s %.*s",
             partition_name(l->partition, name), SPAN_FMT(status),
             (int)(why.len > 160 ? 160 : why.len), why.data);
    if (span_equal(status, SPAN("RETIRED"))) {
        projection_stop_retired(p);
    } else if (span_equal(status, SPAN("PARKED"))) {
        log_error("partition_parked", "%s: it takes nothing until it is rebuilt", text);
        l->parked = true;
        ship_leave(p, l);
        projection_progress(p);
    } else if (span_equal(status, SPAN("CONFLICT")) || span_equal(status, SPAN("INSTALLATION"))) {
        err_set(&err, ERR_CORRUPT, "%s to records of %s", text, p->writer);
        projection_stop(p, &err);
    } else {
        p->counts.gaps += span_equal(status, SPAN("GAP"));
        projection_restart(p, text);
    }
}
