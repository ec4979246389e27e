/* prior_nets.c - a close says in its lines what it left of each party, so nothing is read of the
 * calls of a closed month. */
#include "billing/prior_nets.h"

#include "billing/archive_scan.h"
#include "billing/bundle.h"
#include "billing/closes.h"
#include "billing/statement_files.h"
#include "lib/base/mem.h"

/* Of a sum's `calls`: whether its net is known. */
#define WANTED 0
#define KNOWN  1

struct search {
    const struct prior_sources *sources;
    struct period period;
    struct sum_table *nets;
    struct period last_closed; /* "" when there is none */
};

static bool want_all(struct search *s, struct err *err);
static bool parse_entry(const struct refund_entry *e, struct refund *out, struct err *err);
static struct sum *net_of(struct search *s, const struct parties *p, struct period orig);
static bool ask_closes(struct search *s, struct err *err);
static bool ask_close(struct search *s, struct period close, struct err *err);
static bool ask_archive(struct search *s, struct err *err);
static bool add_calls_of(struct search *s, struct period orig, struct err *err);
static bool on_call(void *arg, const struct event *e, struct span line, struct err *err);
static bool subtract_refunds(struct search *s, struct err *err);
static struct period orig_of(const struct sum *net);

bool prior_nets_read(const struct prior_sources *sources, struct sum_table *nets, struct err *err)
{
    struct search s = {.sources = sources, .period = sources->facts->period, .nets = nets};

    return want_all(&s, err) &&
           (sum_table_count(nets) == 0 ||
            (ask_closes(&s, err) && ask_archive(&s, err) && subtract_refunds(&s, err)));
}

static bool want_all(struct search *s, struct err *err)
{
    const struct fact_list *f = s->sources->facts;

    for (size_t i = 0; i < f->due_count; i++) {
        struct parties parties;
        struct refund r;
        char name[PARTIES_TEXT];

        if (!parse_entry(f->due[i], &r, err))
            return false;
        parties = parties_of_refund(&r);
        if (period_compare(r.orig_period, s->period) != 0)
            sum_table_row(s->nets, span_of(parties_name_of_period(&parties, r.orig_period, name)));
    }
    return true;
}

static bool parse_entry(const struct refund_entry *e, struct refund *out, struct err *err)
{
    AUTO_JSON object = json_parse(span_of(e->line), err);

    return object && refund_parse(object, out, err);
}

/* The newest first: what it says of a party is the last word. */
static bool ask_closes(struct search *s, struct err *err)
{
    struct period *closed;
    size_t count;
    bool ok = true;

    if (!closes_list(s->sources->archive, &closed, &count, err))
        return false;
    for (size_t i = count; ok && i-- > 0;) {
        if (period_compare(closed[i], s->period) >= 0)
            continue;
        if (!s->last_closed.text[0])
            s->last_closed = closed[i];
        ok = ask_close(s, closed[i], err);
    }
    free(closed);
    return ok;
}

static bool ask_close(struct search *s, struct period close, struct err *err)
{
    AUTO_STRING dir = close_dir(s->sources->archive, close);
    AUTO_CLEAR(buf) lines = {.max = BUNDLE_TEXT_MAX};
    AUTO(sum_table) said = sum_table_new();
    char sha256[SHA256_HEX];

    if (!bundle_read_listed(dir, BUNDLE_LINES_CSV, &lines, sha256, err) ||
        (!lines_csv_nets(buf_span(&lines), said, err)))
        return err_context(err, "the close of %s", close.text);
    for (size_t i = 0; i < sum_table_count(s->nets); i++) {
        const struct sum *wanted = sum_table_at(s->nets, i);
        const struct sum *found = sum_table_find(said, span_of(wanted->name));
        struct sum *row;

        if (wanted->calls == KNOWN || !found)
            continue;
        row = sum_table_row(s->nets, span_of(wanted->name));
        row->nanos = found->nanos;
        row->calls = KNOWN;
    }
    return true;
}

/* What no close says must be of a period that is not closed yet. */
static bool ask_archive(struct search *s, struct err *err)
{
    for (size_t i = 0; i < sum_table_count(s->nets); i++) {
        const struct sum *wanted = sum_table_at(s->nets, i);
        struct period orig = orig_of(wanted);

        if (wanted->calls == KNOWN)
            continue;
        if (s->last_closed.text[0] && period_compare(orig, s->last_closed) <= 0)
            return err_set(err, ERR_CORRUPT, "no close up to %s says what was left of %.400s",
                           s->last_closed.text, wanted->name);
        if (!add_calls_of(s, orig, err))
            return false;
    }
    return true;
}

static struct period orig_of(const struct sum *net)
{
    struct period p = {""};

    memcpy(p.text, net->name, PERIOD_TEXT - 1);
    return p;
}

/* All wanted parties of that period at once. */
static bool add_calls_of(struct search *s, struct period orig, struct err *err)
{
    AUTO_CLEAR(terms) terms;
    AUTO_CLEAR(archive_scan)
    scan = {.archive = s->sources->archive,
            .installation = s->sources->installation,
            .period = orig,
            .on_call = on_call,
            .arg = s,
            .covered = s->sources->covered,
            .covered_count = s->sources->covered_count};

    terms_init(&terms);
    scan.terms = &terms;
    if (!archive_scan_run(&scan, err) || !reasons_none(&scan.damage, err))
        return false;
    for (size_t i = 0; i < sum_table_count(s->nets); i++) {
        const struct sum *net = sum_table_at(s->nets, i);

        if (period_compare(orig_of(net), orig) == 0)
            sum_table_row(s->nets, span_of(net->name))->calls = KNOWN;
    }
    return true;
}

static bool on_call(void *arg, const struct event *e, struct span line, struct err *err)
{
    const struct parties parties = parties_of_event(e);
    struct sum *net = net_of(arg, &parties, e->period);

    (void)line;
    (void)err;
    if (net)
        net->nanos += e->amount.nanos;
    return true;
}

/* Null when it is not wanted. */
static struct sum *net_of(struct search *s, const struct parties *p, struct period orig)
{
    char name[PARTIES_TEXT];

    parties_name_of_period(p, orig, name);
    return sum_table_find(s->nets, span_of(name)) ? sum_table_row(s->nets, span_of(name)) : NULL;
}

static bool subtract_refunds(struct search *s, struct err *err)
{
    const struct refund_set *all = &s->sources->facts->refunds;

    for (size_t i = 0; i < all->count; i++) {
        const struct refund_entry *e = &all->entries[i];
        struct parties parties;
        struct refund r;
        struct sum *net;

        if (!e->counts || period_compare(e->period, s->period) >= 0 ||
            (s->last_closed.text[0] && period_compare(e->period, s->last_closed) <= 0))
            continue;
        if (!parse_entry(e, &r, err))
            return false;
        parties = parties_of_refund(&r);
        net = net_of(s, &parties, r.orig_period);
        if (net)
            net->nanos -= r.amount.nanos;
    }
    return true;
}
