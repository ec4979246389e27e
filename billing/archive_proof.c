/* archive_proof.c - makes from the archive what the bundle has, and walks through both side by
 * side. */
#include "billing/archive_proof.h"

#include "billing/archive_scan.h"
#include "billing/bundle.h"
#include "billing/event_pass.h"
#include "billing/funds_set.h"
#include "billing/prior_nets.h"
#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

/* What the scan puts together. */
struct found {
    struct fact_list *facts;
    struct funds_set *funds;
};

static void on_funds(void *arg, const struct funds *f, const struct record_head *head);
static bool check_is_archive(const struct archive_proof *p, struct err *err);
static bool check_registered(const struct archive_proof *p, struct err *err);
static bool check_scan(const struct archive_proof *p, const struct archive_scan *scan,
                       struct err *err);
static bool writers_are_equal(const struct manifest_writer *a, const struct manifest_writer *b);
static bool compare_facts(const struct archive_proof *p, struct fact_list *facts,
                          struct event_pass *pass, struct err *err);
static bool complete_terms(const struct archive_proof *p, struct found *found, struct terms *terms,
                           struct err *err);
static bool compare_terms(const struct archive_proof *p, struct event_pass *pass, struct err *err);
static bool on_call(void *arg, const struct event *e, struct span line, struct err *err);
static void on_refund(void *arg, const struct refund *r, const struct record_head *head,
                      struct span line);

bool archive_proof_check(const struct archive_proof *p, struct err *err)
{
    AUTO_CLEAR(fact_list) facts;
    AUTO_CLEAR(funds_set) funds = {0};
    struct found found = {&facts, &funds};
    AUTO_CLEAR(archive_scan)
    scan = {.archive = p->archive,
            .installation = p->manifest->installation,
            .period = p->manifest->period,
            .on_call = on_call,
            .on_refund = on_refund,
            .on_funds = on_funds,
            .arg = &found,
            .covered = p->manifest->writers,
            .covered_count = p->manifest->writer_count};
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(event_pass) pass;

    terms_init(&terms);
    terms.period = p->manifest->period;
    event_pass_init(&pass, &terms);
    scan.terms = &terms;
    return fact_list_init(&facts, p->manifest->period, true, NULL, err) &&
           check_is_archive(p, err) && check_registered(p, err) && archive_scan_run(&scan, err) &&
           check_scan(p, &scan, err) && complete_terms(p, &found, &terms, err) &&
           compare_facts(p, &facts, &pass, err) && compare_terms(p, &pass, err);
}

static bool on_call(void *arg, const struct event *e, struct span line, struct err *err)
{
    return fact_list_add_event(((struct found *)arg)->facts, e, line, err);
}

static void on_refund(void *arg, const struct refund *r, const struct record_head *head,
                      struct span line)
{
    fact_list_add_refund(((struct found *)arg)->facts, r, head, line);
}

static void on_funds(void *arg, const struct funds *f, const struct record_head *head)
{
    funds_set_add(((struct found *)arg)->funds, f, head);
}

static bool complete_terms(const struct archive_proof *p, struct found *found, struct terms *terms,
                           struct err *err)
{
    const struct prior_sources sources = {.archive = p->archive,
                                          .installation = p->manifest->installation,
                                          .facts = found->facts,
                                          .covered = p->manifest->writers,
                                          .covered_count = p->manifest->writer_count};

    fact_list_decide(found->facts);
    funds_set_sum(found->funds, p->manifest->period, terms->funds);
    return prior_nets_read(&sources, terms->priors, err);
}

static bool check_is_archive(const struct archive_proof *p, struct err *err)
{
    AUTO_STRING writers = xasprintf("%s/writers", p->archive);

    if (!file_exists(p->archive))
        return err_set(err, ERR_NOT_FOUND, "there is no archive %s", p->archive);
    return file_exists(writers) ||
           err_set(
               err, ERR_INPUT,
               "%s is no archive: it has no folder writers; name the directory that `archive` of "
               "the config names",
               p->archive);
}

static bool check_registered(const struct archive_proof *p, struct err *err)
{
    const struct manifest *m = p->manifest;
    struct archive_writer *writers;
    bool is_listed = true;
    size_t count;

    if (!archive_writers(p->archive, &writers, &count, err))
        return false;
    for (size_t i = 0; is_listed && i < count; i++) {
        size_t w = 0;

        while (w < m->writer_count && strcmp(m->writers[w].writer, writers[i].writer) != 0)
            w++;
        is_listed =
            w < m->writer_count || period_compare(writers[i].first_period, m->period) > 0 ||
            err_set(err, ERR_CORRUPT, "writer %s began in %s, but the manifest does not list it",
                    writers[i].writer, writers[i].first_period.text);
    }
    free(writers);
    return is_listed;
}

static bool check_scan(const struct archive_proof *p, const struct archive_scan *scan,
                       struct err *err)
{
    const struct manifest *m = p->manifest;

    if (!reasons_none(&scan->damage, err) ||
        (!m->is_preview && !reasons_none(&scan->unsealed, err)))
        return false;
    if (scan->writer_count != m->writer_count)
        return err_set(err, ERR_CORRUPT, "the manifest lists %zu writers, the archive has %zu",
                       m->writer_count, scan->writer_count);
    for (size_t i = 0; i < m->writer_count; i++)
        if (!writers_are_equal(&m->writers[i], &scan->writers[i]))
            return err_set(err, ERR_CORRUPT,
                           "writer %s: the archive does not hold what the manifest states",
                           m->writers[i].writer);
    return true;
}

/* As the manifest spells them. */
static bool writers_are_equal(const struct manifest_writer *a, const struct manifest_writer *b)
{
    const struct manifest_writer *both[] = {a, b};
    AUTO_CLEAR(buf) text_a = {.max = SEGMENT_HEADER_MAX + RECORD_BYTES_MAX};
    AUTO_CLEAR(buf) text_b = {.max = SEGMENT_HEADER_MAX + RECORD_BYTES_MAX};
    struct buf *texts[] = {&text_a, &text_b};

    for (int i = 0; i < 2; i++) {
        struct jw w;

        jw_init(&w, texts[i]);
        manifest_writer_write(both[i], &w);
    }
    return !text_a.failed && !text_b.failed && span_equal(buf_span(&text_a), buf_span(&text_b));
}

static bool compare_facts(const struct archive_proof *p, struct fact_list *facts,
                          struct event_pass *pass, struct err *err)
{
    AUTO_STRING path = path_join(p->dir, bundle_file_name(BUNDLE_EVENTS));
    AUTO(zstd_reader) zstd = zstd_reader_open(path, err);
    struct span has, archived;
    struct pass_line fact = {.request_id = ""};
    int got, more;

    if (!zstd || !fact_list_start(facts, err))
        return false;
    do {
        got = zstd_reader_line(zstd, RECORD_BYTES_MAX, &has, err);
        more = got < 0 ? -1 : fact_list_next(facts, &archived, err);
        if (got < 0 || more < 0)
            return false;
        if (more && !event_pass_line(pass, archived, &fact, err))
            return err_context(err, "the archive");
        if (got != more || (got && !span_equal(has, archived)))
            return err_set(err, ERR_CORRUPT,
                           "line %llu of the events is not the archive's, which has %s there",
                           (unsigned long long)zstd_reader_line_number(zstd),
                           more ? fact.request_id : "no more");
    } while (got);
    return true;
}

static bool compare_terms(const struct archive_proof *p, struct event_pass *pass, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = TERMS_BYTES_MAX};
    struct terms *archived = pass->terms;

    archived->testing = p->terms->testing;
    memcpy(archived->zone, p->terms->zone, sizeof archived->zone);
    memcpy(archived->installation, p->terms->installation, sizeof archived->installation);
    for (size_t i = 0; i < sum_table_count(p->terms->openings); i++) {
        const struct sum *s = sum_table_at(p->terms->openings, i);

        sum_table_row(archived->openings, span_of(s->name))->nanos = s->nanos;
    }
    terms_write(archived, p->keys, &text);
    return buf_ok(&text, "the terms", err) &&
           (span_equal(buf_span(&text), p->terms_text) ||
            err_set(
                err, ERR_CORRUPT,
                "the archive has other prices, contracts, prior nets or money of accounts than %s",
                bundle_file_name(BUNDLE_TERMS)));
}
