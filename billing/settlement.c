/* settlement.c - the four things that are done with a period. What a bundle is made of is
 * settlement_gathering.h's, how it is written bundle.h's. */
#include "billing/settlement.h"

#include <stdio.h>

#include "billing/bundle.h"
#include "billing/closes.h"
#include "billing/settlement_gathering.h"
#include "billing/settlement_report.h"
#include "lib/base/mem.h"

static bool preview_into(const struct settlement_sources *s, struct period p, const char *out_dir,
                         const char *temporary, struct settlement_report *report, struct err *err);
static bool make_close(const struct settlement_sources *s, struct period p,
                       struct settlement_report *report, struct err *err);
static char *make_temporary(const char *out_dir, struct err *err);
static bool choose_period(const struct settlement_sources *s, const struct period *wanted,
                          struct period *out, struct err *err);
static bool report_periods(struct settlement_report *r, const struct gathering *g,
                           const struct settlement_sources *s, struct err *err);
static void report_writers(struct settlement_report *r, const struct gathering *g);
static enum settlement_state state_of(const struct settlement_sources *s, struct period p);

bool settlement_preview(const struct settlement_sources *s, struct period p, const char *out_dir,
                        struct settlement_report *report, struct err *err)
{
    AUTO_STRING temporary = NULL;
    bool ok;

    report->period = p;
    report->state = state_of(s, p);
    if (report->state == SETTLEMENT_CLOSED)
        return err_set(err, ERR_EXISTS, "%s is closed: export it", p.text);
    if (out_dir && (!bundle_may_go_to(out_dir, p, true, err) || !dir_ensure(out_dir, 0755, err)))
        return false;
    temporary = make_temporary(out_dir, err);
    if (!temporary)
        return false;
    ok = preview_into(s, p, out_dir, temporary, report, err);
    bundle_remove(temporary);
    return ok;
}

/* Beside its place, hidden; or where temporary files are, when nobody wants to keep it. */
static char *make_temporary(const char *out_dir, struct err *err)
{
    const char *parent = getenv("TMPDIR");
    AUTO_STRING path = out_dir ? xasprintf("%s/.preview-XXXXXX", out_dir)
                               : xasprintf("%s/tollgate-preview-XXXXXX", parent ? parent : "/tmp");

    if (!mkdtemp(path)) {
        err_sys(err, "cannot create %s", path);
        return NULL;
    }
    return KEEP(path);
}

static bool preview_into(const struct settlement_sources *s, struct period p, const char *out_dir,
                         const char *temporary, struct settlement_report *report, struct err *err)
{
    AUTO_CLEAR(gathering) g;

    if (!gathering_read(&g, s, p, temporary, err) || !reasons_none(&g.scan.damage, err) ||
        !gathering_bundle(&g, s, true, temporary, err) ||
        !settlement_report_load(report, temporary, NULL, err))
        return false;
    report_writers(report, &g);
    if (!out_dir)
        return true;
    report->dir = xstrdup(out_dir);
    return bundle_copy(temporary, out_dir, err);
}

bool settlement_close(const struct settlement_sources *s, struct period p, const char *out_dir,
                      struct settlement_report *report, struct err *err)
{
    AUTO_STRING dir = close_dir(s->archive, p);

    report->period = p;
    report->state = state_of(s, p);
    report->was_kept = report->state == SETTLEMENT_CLOSED;
    if (out_dir && !bundle_may_go_to(out_dir, p, false, err))
        return false;
    if (!report->was_kept && !make_close(s, p, report, err))
        return false;
    report->state = SETTLEMENT_CLOSED;
    return (!out_dir || bundle_copy(dir, out_dir, err)) &&
           settlement_report_load(report, dir, out_dir ? out_dir : dir, err);
}

static bool make_close(const struct settlement_sources *s, struct period p,
                       struct settlement_report *report, struct err *err)
{
    AUTO(closing) closing = closing_begin(s->archive, err);
    AUTO_CLEAR(gathering) g = {0};

    if (!closing)
        return false;
    if (close_exists(s->archive, p)) {
        report->was_kept = true;
        return true;
    }
    if (!gathering_read(&g, s, p, closing_dir(closing), err))
        return false;
    gathering_refusals(&g, s, &report->reasons);
    report_writers(report, &g);
    return reasons_none(&report->reasons, err) &&
           gathering_bundle(&g, s, false, closing_dir(closing), err) &&
           closing_commit(closing, p, err);
}

bool settlement_export(const char *archive, struct period p, const char *out_dir,
                       struct settlement_report *report, struct err *err)
{
    AUTO_STRING dir = close_dir(archive, p);

    report->period = p;
    if (!close_exists(archive, p))
        return err_set(err, ERR_NOT_FOUND, "%s is not closed", p.text);
    report->state = SETTLEMENT_CLOSED;
    report->was_kept = true;
    return bundle_may_go_to(out_dir, p, false, err) && bundle_copy(dir, out_dir, err) &&
           settlement_report_load(report, dir, out_dir, err);
}

bool settlement_status(const struct settlement_sources *s, const struct period *p,
                       struct settlement_report *report, struct err *err)
{
    AUTO_CLEAR(gathering) g = {0};
    AUTO_STRING dir = NULL;

    if (!choose_period(s, p, &report->period, err) ||
        !gathering_read(&g, s, report->period, NULL, err) || !report_periods(report, &g, s, err))
        return false;
    report_writers(report, &g);
    report->state = state_of(s, report->period);
    if (report->state != SETTLEMENT_CLOSED) {
        gathering_refusals(&g, s, &report->reasons);
        return true;
    }
    dir = close_dir(s->archive, report->period);
    return settlement_report_load(report, dir, dir, err);
}

/* The earliest that waits to be closed, else the running one. */
static bool choose_period(const struct settlement_sources *s, const struct period *wanted,
                          struct period *out, struct err *err)
{
    AUTO_CLEAR(gathering) g = {0};

    *out = wanted ? *wanted : period_of(clock_now());
    if (wanted)
        return true;
    if (!gathering_read(&g, s, *out, NULL, err))
        return false;
    for (size_t i = 0; i < g.scan.period_count; i++) {
        if (state_of(s, g.scan.periods[i].period) == SETTLEMENT_OVER) {
            *out = g.scan.periods[i].period;
            return true;
        }
    }
    return true;
}

static enum settlement_state state_of(const struct settlement_sources *s, struct period p)
{
    if (close_exists(s->archive, p))
        return SETTLEMENT_CLOSED;
    return clock_now() < period_end(p) ? SETTLEMENT_OPEN : SETTLEMENT_OVER;
}

static bool report_periods(struct settlement_report *r, const struct gathering *g,
                           const struct settlement_sources *s, struct err *err)
{
    struct period *closed;
    size_t closed_count, n = 0;

    if (!closes_list(s->archive, &closed, &closed_count, err))
        return false;
    r->periods = xcalloc(g->scan.period_count + closed_count, sizeof *r->periods);
    for (size_t i = 0, c = 0; i < g->scan.period_count || c < closed_count;) {
        const struct scanned_period *with = i < g->scan.period_count ? &g->scan.periods[i] : NULL;
        const struct period *close = c < closed_count ? &closed[c] : NULL;
        int order = !with ? 1 : !close ? -1 : period_compare(with->period, *close);

        r->periods[n].period = order <= 0 ? with->period : *close;
        r->periods[n].events = order <= 0 ? with->events : 0;
        r->periods[n].state = state_of(s, r->periods[n].period);
        i += order <= 0;
        c += order >= 0;
        n++;
    }
    r->period_count = n;
    free(closed);
    return true;
}

static void report_writers(struct settlement_report *r, const struct gathering *g)
{
    r->writer_count = g->scan.writer_count;
    r->writers = xcalloc(r->writer_count, sizeof *r->writers);
    for (size_t i = 0; i < r->writer_count; i++) {
        const struct manifest_writer *w = &g->scan.writers[i];

        r->writers[i] = (struct settlement_writer){.first_period = w->first_period,
                                                   .segments = w->segments,
                                                   .records = w->totals.records,
                                                   .events = w->totals.events,
                                                   .is_sealed = w->sealed_at != 0};
        memcpy(r->writers[i].writer, w->writer, sizeof r->writers[i].writer);
    }
}
