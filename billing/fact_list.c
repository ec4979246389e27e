/* fact_list.c - refunds are few, so all of them are kept: which of a period's count depends on those
 * of the periods before. */
#include "billing/fact_list.h"

#include "lib/base/mem.h"

static int compare_due(const void *a, const void *b);

bool fact_list_init(struct fact_list *f, struct period period, bool keeps_events,
                    const char *spool_dir, struct err *err)
{
    *f = (struct fact_list){.period = period};
    return !keeps_events || (f->spool = event_spool_new(spool_dir, err));
}

void fact_list_clear(struct fact_list *f)
{
    event_spool_free(f->spool);
    refund_set_clear(&f->refunds);
    free(f->due);
    *f = (struct fact_list){0};
}

bool fact_list_add_event(struct fact_list *f, const struct event *e, struct span line,
                         struct err *err)
{
    return !f->spool || event_spool_add(f->spool, e, line, err);
}

void fact_list_add_refund(struct fact_list *f, const struct refund *r,
                          const struct record_head *head, struct span line)
{
    refund_set_add(&f->refunds, r, head, line);
}

void fact_list_decide(struct fact_list *f)
{
    refund_set_decide(&f->refunds);
    f->due = xcalloc(f->refunds.count, sizeof *f->due);
    for (size_t i = 0; i < f->refunds.count; i++) {
        struct refund_entry *e = &f->refunds.entries[i];

        if (e->counts && period_compare(e->period, f->period) == 0)
            f->due[f->due_count++] = e;
    }
    if (f->due_count > 1)
        qsort(f->due, f->due_count, sizeof *f->due, compare_due);
}

static int compare_due(const void *a, const void *b)
{
    const struct refund_entry *x = *(struct refund_entry *const *)a;
    const struct refund_entry *y = *(struct refund_entry *const *)b;
    int order = event_order(x->at, x->request_id, y->at, y->request_id);

    return order ? order : strcmp(x->op, y->op);
}

bool fact_list_start(struct fact_list *f, struct err *err)
{
    f->next = 0;
    f->is_past_events = false;
    return event_spool_start(f->spool, err);
}

int fact_list_next(struct fact_list *f, struct span *line, struct err *err)
{
    int got = f->is_past_events ? 0 : event_spool_next(f->spool, line, err);

    if (got != 0)
        return got;
    f->is_past_events = true;
    if (f->next == f->due_count)
        return 0;
    *line = span_of(f->due[f->next++]->line);
    return 1;
}
