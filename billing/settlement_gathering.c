/* settlement_gathering.c - the archive is read once; Redis is asked only whether it agrees. */
#include "billing/settlement_gathering.h"

#include "billing/bundle.h"
#include "billing/closes.h"
#include "billing/prior_nets.h"
#include "billing/settlement.h"
#include "lib/base/mem.h"

#define CLOCKS_APART_MAX (60 * NANOS_PER_SECOND)

static bool name_terms(struct terms *t, const struct settlement_sources *s, struct period p,
                       struct err *err);
static bool on_call(void *arg, const struct event *e, struct span line, struct err *err);
static void on_refund(void *arg, const struct refund *r, const struct record_head *head,
                      struct span line);
static void on_funds(void *arg, const struct funds *f, const struct record_head *head);
static void take_funds(struct gathering *g);
static bool take_refunds(struct gathering *g, const struct settlement_sources *s, struct err *err);
static void check_began(const struct archive_scan *scan, struct reasons *out);
static void check_time(struct period p, struct reasons *out);
static void check_order(const struct gathering *g, const struct settlement_sources *s,
                        struct reasons *out);
static void refuse_before(const struct scanned_period *earlier, struct reasons *out);
static void check_redis(struct gathering *g, const struct settlement_sources *s,
                        struct reasons *out);
static void check_redis_time(int64_t redis_time, struct reasons *out);
static void move_all(const struct reasons *from, struct reasons *to);

bool gathering_read(struct gathering *g, const struct settlement_sources *s, struct period p,
                    const char *spool_dir, struct err *err)
{
    *g = (struct gathering){0};
    terms_init(&g->terms);
    ledger_sums_init(&g->sums);
    if (!fact_list_init(&g->facts, p, spool_dir != NULL, spool_dir, err) ||
        !name_terms(&g->terms, s, p, err))
        return false;
    g->scan = (struct archive_scan){.archive = s->archive,
                                    .installation = s->installation,
                                    .period = p,
                                    .terms = &g->terms,
                                    .on_call = on_call,
                                    .on_refund = on_refund,
                                    .on_funds = on_funds,
                                    .scratch_dir = spool_dir,
                                    .arg = g};
    if (!archive_scan_run(&g->scan, err) || !take_refunds(g, s, err))
        return false;
    take_funds(g);
    return close_carry(s->archive, p, g->previous, g->terms.openings, err);
}

static bool name_terms(struct terms *t, const struct settlement_sources *s, struct period p,
                       struct err *err)
{
    t->period = p;
    t->testing = s->testing;
    return (span_copy(span_of(s->zone), t->zone, sizeof t->zone) &&
            span_copy(span_of(s->installation), t->installation, sizeof t->installation)) ||
           err_set(err, ERR_LIMIT, "the name of the zone or of the installation is too long");
}

static bool on_call(void *arg, const struct event *e, struct span line, struct err *err)
{
    struct gathering *g = arg;

    ledger_sums_add_event(&g->sums, e);
    return fact_list_add_event(&g->facts, e, line, err);
}

/* What a close has settled is not needed again: only that it was. */
static void on_refund(void *arg, const struct refund *r, const struct record_head *head,
                      struct span line)
{
    struct gathering *g = arg;
    bool is_settled =
        period_compare(r->period, g->scan.period) != 0 && close_exists(g->scan.archive, r->period);

    fact_list_add_refund(&g->facts, r, head, is_settled ? (struct span){NULL, 0} : line);
}

static void on_funds(void *arg, const struct funds *f, const struct record_head *head)
{
    struct gathering *g = arg;

    funds_set_add(&g->funds, f, head);
}

/* Redis is compared with them, and the bundle states them. */
static void take_funds(struct gathering *g)
{
    funds_set_sum(&g->funds, g->scan.period, g->sums.funds);
    funds_set_sum(&g->funds, g->scan.period, g->terms.funds);
}

static bool take_refunds(struct gathering *g, const struct settlement_sources *s, struct err *err)
{
    const struct prior_sources sources = {
        .archive = s->archive, .installation = s->installation, .facts = &g->facts};

    fact_list_decide(&g->facts);
    for (size_t i = 0; i < g->facts.due_count; i++) {
        AUTO_JSON object = json_parse(span_of(g->facts.due[i]->line), err);
        struct refund r;

        if (!object || !refund_parse(object, &r, err))
            return false;
        ledger_sums_add_refund(&g->sums, &r);
    }
    return prior_nets_read(&sources, g->terms.priors, err);
}

void gathering_clear(struct gathering *g)
{
    archive_scan_clear(&g->scan);
    terms_clear(&g->terms);
    fact_list_clear(&g->facts);
    funds_set_clear(&g->funds);
    ledger_sums_clear(&g->sums);
    *g = (struct gathering){0};
}

void gathering_refusals(struct gathering *g, const struct settlement_sources *s,
                        struct reasons *out)
{
    check_time(g->scan.period, out);
    check_began(&g->scan, out);
    check_order(g, s, out);
    move_all(&g->scan.damage, out);
    move_all(&g->scan.unsealed, out);
    check_redis(g, s, out);
}

static void move_all(const struct reasons *from, struct reasons *to)
{
    for (size_t i = 0; i < from->kept; i++)
        reasons_add(to, "%s", from->sentence[i]);
    to->count += from->count - from->kept;
}

static void check_time(struct period p, struct reasons *out)
{
    char end[CLOCK_TEXT];

    if (clock_now() < period_end(p))
        reasons_add(out, "%s is not over: it ends at %s", p.text, clock_format(period_end(p), end));
}

/* Who wrote then, or before, would be among the writers. */
static void check_began(const struct archive_scan *scan, struct reasons *out)
{
    if (scan->writer_count == 0 && scan->damage.count == 0)
        reasons_add(out,
                    "nothing was metered in %s: no process of this installation wrote calls "
                    "by then",
                    scan->period.text);
}

/* Balances are carried from close to close, so periods close in order. */
static void check_order(const struct gathering *g, const struct settlement_sources *s,
                        struct reasons *out)
{
    struct period p = g->scan.period, *closed = NULL;
    size_t count = 0;
    struct err why;

    for (size_t i = 0; i < g->scan.period_count; i++) {
        const struct scanned_period *earlier = &g->scan.periods[i];

        if (period_compare(earlier->period, p) < 0 && !close_exists(s->archive, earlier->period))
            refuse_before(earlier, out);
    }
    if (!closes_list(s->archive, &closed, &count, &why))
        reasons_add(out, "%s", why.text);
    if (count > 0 && period_compare(closed[count - 1], p) > 0)
        reasons_add(out, "%s is closed already, and periods are closed in order",
                    closed[count - 1].text);
    free(closed);
}

static void refuse_before(const struct scanned_period *earlier, struct reasons *out)
{
    unsigned long long events = earlier->events, refunds = earlier->refunds;

    if (refunds == 0)
        reasons_add(out, "%s has %llu event%s and must be closed first", earlier->period.text,
                    events, events == 1 ? "" : "s");
    else
        reasons_add(out, "%s has %llu event%s, %llu refund%s and must be closed first",
                    earlier->period.text, events, events == 1 ? "" : "s", refunds,
                    refunds == 1 ? "" : "s");
}

static void check_redis(struct gathering *g, const struct settlement_sources *s,
                        struct reasons *out)
{
    AUTO_CLEAR(ledger_sums) redis;
    struct err why = {0};

    ledger_sums_init(&redis);
    if (!s->read_ledger(s->arg, g->scan.period, &redis, &why)) {
        reasons_add(out, "Redis cannot be compared with the archive: %s", why.text);
        return;
    }
    check_redis_time(redis.redis_time, out);
    move_all(&redis.suspense, out);
    ledger_sums_compare(&g->sums, &redis, out);
}

static void check_redis_time(int64_t redis_time, struct reasons *out)
{
    int64_t apart = clock_now() - redis_time;

    if (apart > CLOCKS_APART_MAX || apart < -CLOCKS_APART_MAX)
        reasons_add(
            out, "the clocks of this machine and of Redis are %lld s apart: at most 60 are allowed",
            (long long)((apart < 0 ? -apart : apart) / NANOS_PER_SECOND));
}

bool gathering_bundle(struct gathering *g, const struct settlement_sources *s, bool is_preview,
                      const char *dir, struct err *err)
{
    AUTO_CLEAR(manifest) m;

    manifest_init(&m);
    m.is_preview = is_preview;
    m.testing = s->testing;
    m.period = g->scan.period;
    m.created_at = clock_now();
    memcpy(m.zone, g->terms.zone, sizeof m.zone);
    memcpy(m.installation, g->terms.installation, sizeof m.installation);
    memcpy(m.previous, g->previous, sizeof m.previous);
    m.writer_count = g->scan.writer_count;
    m.writers = xcalloc(m.writer_count, sizeof *m.writers);
    for (size_t i = 0; i < m.writer_count; i++) {
        m.writers[i] = g->scan.writers[i];
        m.writers[i].retired = m.writers[i].retired ? xstrdup(m.writers[i].retired) : NULL;
    }
    return bundle_write(dir, &m, &g->terms, &g->facts, s->key, err);
}
