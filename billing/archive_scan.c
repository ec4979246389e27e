/* archive_scan.c - a writer's lines are reduced as the writer itself did, from SEAL to SEAL, and
 * each SEAL is compared with what came out. A file that is passed over leaves the writer as its
 * first line says; calls of other periods in a file that is read are only skimmed. */
#include "billing/archive_scan.h"

#include "billing/archive_file.h"
#include "billing/call_index.h"
#include "billing/seal.h"
#include "lib/base/file.h"
#include "lib/base/jscan.h"
#include "lib/base/mem.h"

enum path { P_REQUEST_ID, P_PERIOD, P_AMOUNT, P_CURRENCY, PATHS };
static const char *const paths[PATHS] = {
    [P_REQUEST_ID] = "request_id",
    [P_PERIOD] = "period",
    [P_AMOUNT] = "amount",
    [P_CURRENCY] = "currency",
};

/* One writer while it is read. */
struct reading {
    struct archive_scan *scan;
    struct call_index *calls;
    struct jscan *skim;
    const struct archive_writer *writer;
    struct writer_totals totals; /* since the last SEAL */
    struct record_heads heads;
    struct manifest_writer found;
    uint64_t sealed_in;  /* the segment of the period's SEAL; 0: none yet */
    uint64_t limit;      /* the last segment to read */
    int64_t retired_at;  /* 0: it was not */
    uint64_t retired_in; /* segment */
    bool has_failed;     /* on_call or the scratch file did: nobody can go on */
};

static bool scan_writer(struct archive_scan *s, struct call_index *calls,
                        const struct archive_writer *writer, struct err *err);
static const struct manifest_writer *coverage(const struct archive_scan *s, const char *writer);
static struct manifest_writer found_writer(struct reading *r);
static bool read_lines(struct reading *r, struct err *err);
static bool is_wanted(const struct reading *r, const struct archive_header *h);
static uint64_t calls_before_seal(const struct reading *r, const struct archive_header *h);
static void pass_over(struct reading *r, const struct archive_header *h);
static bool read_file(struct reading *r, struct archive_reader *reader, struct err *err);
static bool is_as_stated(const struct reading *r, const struct archive_header *h);
static bool take_line(struct reading *r, const struct record_head *head, struct span line,
                      uint32_t crc, uint64_t segment, struct err *err);
static bool take_call(struct reading *r, const struct record_head *head, struct span line,
                      struct err *err);
static bool skim_call(struct reading *r, struct span line, struct money *amount,
                      struct period *period, struct err *err);
static bool hand_out(struct reading *r, struct span line, struct err *err);
static struct scanned_period *scanned(struct archive_scan *s, struct period p);
static bool take_refund(struct reading *r, const struct record_head *head, struct span line,
                        struct err *err);
static bool take_funds(struct reading *r, const struct record_head *head, struct span line,
                       struct err *err);
static bool take_catalogue(struct reading *r, struct span line, struct err *err);
static bool take_seal(struct reading *r, struct span line, uint64_t segment, struct err *err);
static bool take_retire(struct reading *r, struct span line, uint64_t segment, struct err *err);
static void compare_seal(struct reading *r, const struct seal *seal);
static bool heads_are_equal(const struct record_heads *a, const struct record_heads *b);
static bool is_of_period(const struct reading *r, struct period p);
static void stay_sealed(struct reading *r, uint64_t last);
static bool finish_writer(struct reading *r, uint64_t last, struct err *err);
static void check_unregistered(struct archive_scan *s, const struct archive_writer *writers,
                               size_t count);
static int compare_writers(const void *a, const void *b);
static int compare_periods(const void *a, const void *b);

bool archive_scan_run(struct archive_scan *s, struct err *err)
{
    AUTO(call_index) calls = call_index_new(s->scratch_dir);
    struct archive_writer *writers;
    size_t count;
    bool ok = true;

    if (!archive_writers(s->archive, &writers, &count, err))
        return false;
    s->writers = xcalloc(count, sizeof *s->writers);
    for (size_t i = 0; ok && i < count; i++)
        if (!s->covered || coverage(s, writers[i].writer))
            ok = scan_writer(s, calls, &writers[i], err);
    check_unregistered(s, writers, count);
    free(writers);
    if (!ok)
        return false;
    if (!call_index_find_twins(calls, &s->damage, err))
        return false;
    terms_sort(s->terms);
    if (s->writer_count > 1)
        qsort(s->writers, s->writer_count, sizeof *s->writers, compare_writers);
    if (s->period_count > 1)
        qsort(s->periods, s->period_count, sizeof *s->periods, compare_periods);
    return true;
}

void archive_scan_clear(struct archive_scan *s)
{
    manifest_writers_free(s->writers, s->writer_count);
    free(s->periods);
    reasons_clear(&s->damage);
    reasons_clear(&s->unsealed);
    *s = (struct archive_scan){0};
}

static const struct manifest_writer *coverage(const struct archive_scan *s, const char *writer)
{
    for (size_t i = 0; i < s->covered_count; i++)
        if (strcmp(s->covered[i].writer, writer) == 0)
            return &s->covered[i];
    return NULL;
}

/* False only when nobody can go on; a damaged writer does not keep the others from being read. */
static bool scan_writer(struct archive_scan *s, struct call_index *calls,
                        const struct archive_writer *writer, struct err *err)
{
    struct reading *r = xcalloc(1, sizeof *r);
    const struct manifest_writer *covered = coverage(s, writer->writer);
    struct err why = {0};
    bool ok;

    *r = (struct reading){
        .scan = s,
        .calls = calls,
        .skim = jscan_new(paths, PATHS),
        .writer = writer,
        .totals = {.period = writer->first_period},
        .found = {.first_period = writer->first_period, .totals = {.period = s->period}},
        .limit = covered ? covered->segments : UINT64_MAX};
    memcpy(r->found.writer, writer->writer, sizeof r->found.writer);
    ok = read_lines(r, &why);
    if (!ok && r->has_failed)
        err_set(err, why.code, "%s", why.text);
    else if (!ok)
        reasons_add(&s->damage, "%s", why.text);
    else if (period_compare(writer->first_period, s->period) <= 0)
        s->writers[s->writer_count++] = found_writer(r);
    ok = !r->has_failed;
    jscan_free(r->skim);
    free(r->found.retired);
    free(r);
    return ok;
}

static struct manifest_writer found_writer(struct reading *r)
{
    struct manifest_writer found = r->found;

    r->found.retired = NULL;
    return found;
}

static bool read_lines(struct reading *r, struct err *err)
{
    AUTO(archive_reader) reader = archive_reader_open(r->scan->archive, r->writer->writer, err);
    const struct archive_header *h;
    uint64_t last = 0;
    int got;

    while ((got = reader ? archive_reader_enter(reader, err) : -1) == 1) {
        h = archive_reader_header(reader);
        if (h->segment > r->limit)
            break;
        last = h->segment;
        if (!is_wanted(r, h)) {
            pass_over(r, h);
            archive_reader_pass(reader);
        } else if (!read_file(r, reader, err)) {
            return false;
        }
    }
    return got >= 0 && finish_writer(r, last, err);
}

/* From the SEAL before the period to its own. So that the events of other periods can be counted,
 * a file that more than one SEAL stands in is read. */
static bool is_wanted(const struct reading *r, const struct archive_header *h)
{
    struct period wanted = r->scan->period, before = r->totals.period, after = h->totals.period;
    bool is_earlier = period_compare(after, wanted) < 0 ||
                      (period_compare(after, wanted) == 0 && h->totals.records == 0);
    bool is_later = period_compare(before, wanted) > 0;
    bool is_plain =
        period_compare(after, before) == 0 || period_compare(after, period_next(before)) == 0;

    return h->catalogue > 0 || h->refunds > 0 || h->funds > 0 || h->retired > 0 || !is_plain ||
           !(is_earlier || is_later);
}

static void pass_over(struct reading *r, const struct archive_header *h)
{
    uint64_t before = calls_before_seal(r, h);

    if (before > 0)
        scanned(r->scan, r->totals.period)->events += before;
    if (h->calls > before)
        scanned(r->scan, h->totals.period)->events += h->calls - before;
    r->totals = h->totals;
    r->heads = h->heads;
}

static uint64_t calls_before_seal(const struct reading *r, const struct archive_header *h)
{
    bool has_seal = period_compare(h->totals.period, r->totals.period) != 0;

    return has_seal && h->calls >= h->totals.events ? h->calls - h->totals.events : h->calls;
}

static bool read_file(struct reading *r, struct archive_reader *reader, struct err *err)
{
    const struct archive_header *h = archive_reader_header(reader);
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got;

    while ((got = archive_reader_line(reader, &head, &line, &crc, err)) == 1)
        if (!take_line(r, &head, line, crc, h->segment, err))
            return err_context(err, "writer %s, segment %llu", r->writer->writer,
                               (unsigned long long)h->segment);
    return got == 0 && (is_as_stated(r, h) ||
                        err_set(err, ERR_CORRUPT,
                                "writer %s, segment %llu does not hold what its first line states",
                                r->writer->writer, (unsigned long long)h->segment));
}

static bool is_as_stated(const struct reading *r, const struct archive_header *h)
{
    return period_compare(r->totals.period, h->totals.period) == 0 &&
           writer_totals_equal(&r->totals, &h->totals);
}

static bool take_line(struct reading *r, const struct record_head *head, struct span line,
                      uint32_t crc, uint64_t segment, struct err *err)
{
    if (head->kind == RECORD_SEAL)
        return take_seal(r, line, segment, err);
    if (head->kind == RECORD_RETIRE)
        return take_retire(r, line, segment, err);
    r->totals.records++;
    if (!record_heads_advance(&r->heads, &head->place, crc, err))
        return false;
    if (head->kind == RECORD_CALL)
        return take_call(r, head, line, err);
    if (head->kind == RECORD_REFUND)
        return take_refund(r, head, line, err);
    if (record_is_funds(head->kind))
        return take_funds(r, head, line, err);
    return head->kind != RECORD_CATALOGUE || take_catalogue(r, line, err);
}

static bool take_call(struct reading *r, const struct record_head *head, struct span line,
                      struct err *err)
{
    struct period period;
    struct money amount;

    if (!skim_call(r, line, &amount, &period, err))
        return false;
    r->has_failed = !call_index_add(r->calls, span_of(jscan_get(r->skim, P_REQUEST_ID)->text),
                                    head->writer, &head->place, err);
    if (r->has_failed)
        return false;
    if (period_compare(period, r->totals.period) != 0)
        return err_set(err, ERR_CORRUPT, "a call of %s stands where the writer was in %s",
                       period.text, r->totals.period.text);
    r->totals.events++;
    scanned(r->scan, period)->events++;
    return writer_totals_add(&r->totals, &amount, err) &&
           (!is_of_period(r, period) || hand_out(r, line, err));
}

static bool skim_call(struct reading *r, struct span line, struct money *amount,
                      struct period *period, struct err *err)
{
    struct span text[PATHS];
    enum jscan_state state;

    jscan_reset(r->skim);
    state = jscan_feed(r->skim, line.data, line.len, err);
    if (state != JSCAN_DONE)
        return state != JSCAN_BAD && err_set(err, ERR_CORRUPT, "a call is cut short");
    for (int path = 0; path < PATHS; path++) {
        const struct jscan_hit *hit = jscan_get(r->skim, (size_t)path);

        if (hit->seen != 1 || hit->type != JSCAN_STRING || hit->text_cut)
            return err_set(err, ERR_CORRUPT, "a call without its \"%s\"", paths[path]);
        text[path] = (struct span){hit->text, hit->text_len};
    }
    return (request_id_is_valid(text[P_REQUEST_ID]) && currency_is_known(text[P_CURRENCY]) &&
            span_copy(text[P_CURRENCY], amount->currency, sizeof amount->currency) &&
            decimal_parse(text[P_AMOUNT], &amount->nanos, err) &&
            period_parse(text[P_PERIOD], period, err)) ||
           err_set(err, ERR_CORRUPT, "a call whose request id, amount or period is malformed");
}

static bool is_of_period(const struct reading *r, struct period p)
{
    return period_compare(p, r->scan->period) == 0;
}

static bool hand_out(struct reading *r, struct span line, struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    struct event event;

    if (!object || !event_parse(object, &event, err))
        return false;
    r->has_failed = !r->scan->on_call(r->scan->arg, &event, line, err);
    return !r->has_failed;
}

static bool take_refund(struct reading *r, const struct record_head *head, struct span line,
                        struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    struct refund refund;

    if (!object || !refund_parse(object, &refund, err))
        return false;
    if (period_compare(refund.period, r->totals.period) != 0)
        return err_set(err, ERR_CORRUPT, "a refund of %s stands where the writer was in %s",
                       refund.period.text, r->totals.period.text);
    r->totals.refunds++;
    scanned(r->scan, refund.period)->refunds++;
    if (r->scan->on_refund && period_compare(refund.period, r->scan->period) <= 0)
        r->scan->on_refund(r->scan->arg, &refund, head, line);
    return writer_totals_add_refund(&r->totals, &refund.amount, err);
}

static bool take_funds(struct reading *r, const struct record_head *head, struct span line,
                       struct err *err)
{
    AUTO_JSON object = json_parse(line, err);
    struct funds funds;

    if (!object || !funds_parse(head->kind, object, &funds, err))
        return false;
    if (period_compare(funds.period, r->totals.period) != 0)
        return err_set(err, ERR_CORRUPT, "a %s of %s stands where the writer was in %s",
                       record_kind_name(head->kind), funds.period.text, r->totals.period.text);
    if (r->scan->on_funds && period_compare(funds.period, r->scan->period) <= 0)
        r->scan->on_funds(r->scan->arg, &funds, head);
    return true;
}

/* Nearly always the period of the record before. */
static struct scanned_period *scanned(struct archive_scan *s, struct period p)
{
    for (size_t i = s->period_count; i-- > 0;)
        if (period_compare(s->periods[i].period, p) == 0)
            return &s->periods[i];
    s->periods = xrealloc_array(s->periods, s->period_count + 1, sizeof *s->periods);
    s->periods[s->period_count++] = (struct scanned_period){.period = p};
    return &s->periods[s->period_count - 1];
}

static bool take_catalogue(struct reading *r, struct span line, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);
    json_t *body = NULL;
    const char *object, *id;
    int64_t revision;

    return record && json_get_string(record, "object", &object, "catalogue record", err) &&
           json_get_string(record, "id", &id, "catalogue record", err) &&
           json_get_int(record, "revision", &revision, "catalogue record", err) &&
           json_get_object_or(record, "body", &body, "catalogue record", err) &&
           terms_add(r->scan->terms, object, id, revision, body, err);
}

static bool take_seal(struct reading *r, struct span line, uint64_t segment, struct err *err)
{
    struct seal *seal = xcalloc(1, sizeof *seal);
    bool ok = seal_parse(line, seal, err);

    if (ok && period_compare(seal->totals.period, r->totals.period) != 0)
        ok = err_set(err, ERR_CORRUPT, "a SEAL of %s stands where the writer was in %s",
                     seal->totals.period.text, r->totals.period.text);
    if (ok) {
        compare_seal(r, seal);
        if (is_of_period(r, seal->totals.period)) {
            r->sealed_in = segment;
            r->found.sealed_at = seal->at;
            r->found.totals = r->totals;
            r->found.heads = r->heads;
        }
        r->totals = (struct writer_totals){.period = period_next(seal->totals.period)};
    }
    free(seal);
    return ok;
}

/* The SEALs that follow are its last. */
static bool take_retire(struct reading *r, struct span line, uint64_t segment, struct err *err)
{
    struct record_effect e;

    if (!record_effect_parse(line, 0, &e, err))
        return false;
    r->retired_at = e.at;
    r->retired_in = segment;
    free(r->found.retired);
    r->found.retired = xstrndup(line.data, line.len);
    return true;
}

static void compare_seal(struct reading *r, const struct seal *seal)
{
    const struct writer_totals *said = &seal->totals, *has = &r->totals;
    struct reasons *damage = &r->scan->damage;

    if (said->records != has->records || said->events != has->events)
        reasons_add(
            damage,
            "writer %s: its SEAL of %s states %llu records and %llu events, but the archive "
            "holds %llu and %llu",
            r->writer->writer, said->period.text, (unsigned long long)said->records,
            (unsigned long long)said->events, (unsigned long long)has->records,
            (unsigned long long)has->events);
    else if (!writer_totals_equal(said, has))
        reasons_add(damage, "writer %s: its SEAL of %s states other sums than the archive holds",
                    r->writer->writer, said->period.text);
    else if (!heads_are_equal(&seal->heads, &r->heads))
        reasons_add(damage, "writer %s: its SEAL of %s states other heads than the archive holds",
                    r->writer->writer, said->period.text);
}

static bool heads_are_equal(const struct record_heads *a, const struct record_heads *b)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (a->at[side][i].n != b->at[side][i].n || a->at[side][i].crc != b->at[side][i].crc)
                return false;
    return true;
}

/* Of a period that began after its end nothing can come any more. */
static void stay_sealed(struct reading *r, uint64_t last)
{
    r->sealed_in = last;
    r->found.sealed_at = r->retired_at;
    r->found.heads = r->heads;
    r->found.totals = (struct writer_totals){.period = r->scan->period};
}

/* A sealed writer is covered up to its SEAL, another as far as it was read. */
static bool finish_writer(struct reading *r, uint64_t last, struct err *err)
{
    const struct archive_scan *s = r->scan;
    struct archive_header header;

    if (r->limit != UINT64_MAX && last < r->limit)
        return err_set(err, ERR_CORRUPT, "writer %s: the archive has %llu segments, not %llu",
                       r->writer->writer, (unsigned long long)last, (unsigned long long)r->limit);
    if (!r->sealed_in && r->retired_at && period_compare(s->period, period_of(r->retired_at)) > 0)
        stay_sealed(r, last);
    r->found.segments = r->sealed_in ? r->sealed_in : last;
    if (r->retired_in > r->found.segments)
        free(KEEP(r->found.retired));
    if (r->found.segments > 0) {
        AUTO_STRING path = archive_path(s->archive, r->writer->writer, r->found.segments);

        if (!archive_file_digest(path, &header, r->found.sha256, err))
            return false;
        if (strcmp(header.installation, s->installation) != 0)
            return err_set(err, ERR_CORRUPT, "%s is of installation %s", path, header.installation);
    }
    if (!r->sealed_in)
        r->found.heads = r->heads;
    if (!r->sealed_in && is_of_period(r, r->totals.period))
        r->found.totals = r->totals;
    if (!r->sealed_in && period_compare(r->writer->first_period, s->period) <= 0)
        reasons_add(&r->scan->unsealed,
                    "writer %s has not sealed %s: the archive holds its segments up to %llu",
                    r->writer->writer, s->period.text, (unsigned long long)last);
    return true;
}

/* Records of a writer that nobody announced would be missed. */
static void check_unregistered(struct archive_scan *s, const struct archive_writer *writers,
                               size_t count)
{
    char **names;
    size_t name_count;
    struct err why;

    if (!dir_list(s->archive, &names, &name_count, &why)) {
        reasons_add(&s->damage, "%s", why.text);
        return;
    }
    for (size_t i = 0; i < name_count; i++) {
        size_t w = 0;

        while (w < count && strcmp(writers[w].writer, names[i]) != 0)
            w++;
        if (w == count && writer_is_valid(span_of(names[i])))
            reasons_add(&s->damage, "%s/%s holds records of a writer that is not registered",
                        s->archive, names[i]);
    }
    dir_names_free(names, name_count);
}

static int compare_writers(const void *a, const void *b)
{
    return strcmp(((const struct manifest_writer *)a)->writer,
                  ((const struct manifest_writer *)b)->writer);
}

static int compare_periods(const void *a, const void *b)
{
    return period_compare(((const struct scanned_period *)a)->period,
                          ((const struct scanned_period *)b)->period);
}
