/* meter.c - providers count in buckets, prices in units of the same names; everything that turns one into the other,
 * and decides what a cut stream owes, stands here. */
#include "gateway/meter.h"

#include <assert.h>

static bool set_names(const struct model *model, const struct meter_subject *subject,
                      struct event *out);
static enum provenance provenance_of(enum usage_source source);
static bool use(struct event *e, enum usage_bucket b, int64_t n, enum provenance p,
                struct err *err);
static bool rate(struct event *e, const struct price *price, struct err *err);

bool meter_begin(const struct catalogue *catalogue, const struct meter_subject *subject, int64_t at,
                 struct event *out, const struct price **price, struct err *err)
{
    const struct model *model = subject->model;
    const struct contract *contract = catalogue_contract(catalogue, model->owners[0].id, at);

    *price = catalogue_price(catalogue, model->price, at);
    if (!*price || !contract)
        return err_set(err, ERR_NOT_FOUND, "model %s has no %s in force yet", model->id,
                       *price ? "contract" : "price");
    *out = (struct event){
        .share_bp = contract->share_bp, .outcome = OUTCOME_VOID, .started_at = at, .ended_at = at};
    if (!set_names(model, subject, out) ||
        !span_copy(span_of((*price)->version), out->price, sizeof out->price) ||
        !span_copy(span_of(contract->version), out->contract, sizeof out->contract))
        return err_set(err, ERR_LIMIT, "a name of model %s is too long", model->id);
    memcpy(out->amount.currency, (*price)->currency, sizeof out->amount.currency);
    return true;
}

static bool set_names(const struct model *model, const struct meter_subject *subject,
                      struct event *out)
{
    out->owner_count = model->owner_count;
    memcpy(out->owners, model->owners, sizeof out->owners);
    return span_copy(span_of(subject->request_id), out->request_id, sizeof out->request_id) &&
           span_copy(span_of(subject->account), out->account, sizeof out->account) &&
           span_copy(span_of(subject->key), out->key, sizeof out->key) &&
           span_copy(span_of(model->id), out->model, sizeof out->model);
}

bool meter_worst_case(const struct price *price, int64_t body_bytes, int64_t output_cap,
                      int64_t choices, int64_t *amount_nanos, struct err *err)
{
    return price_worst_case(price, body_bytes, output_cap * choices, 1, amount_nanos, err);
}

bool meter_whole(struct event *e, const struct price *price, const struct usage *usage,
                 struct err *err)
{
    meter_nothing(e);
    for (enum usage_bucket b = 0; b < USAGE_BUCKETS; b++)
        if (usage->bucket[b].source != USAGE_MISSING &&
            !use(e, b, usage->bucket[b].n, provenance_of(usage->bucket[b].source), err))
            return false;
    return rate(e, price, err);
}

bool meter_cut(struct event *e, const struct price *price, const struct usage *usage,
               int64_t body_bytes, int64_t handed, struct err *err)
{
    static const enum usage_bucket inputs[] = {USAGE_INPUT, USAGE_CACHED_INPUT, USAGE_CACHE_WRITE,
                                               USAGE_AUDIO_INPUT};
    bool stated = false;

    meter_nothing(e);
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        if (usage->bucket[inputs[i]].source != USAGE_UPSTREAM)
            continue;
        stated = true;
        if (!use(e, inputs[i], usage->bucket[inputs[i]].n, FROM_UPSTREAM, err))
            return false;
    }
    if (!stated && !use(e, USAGE_INPUT, body_bytes / 4, ESTIMATED, err))
        return false;
    return use(e, USAGE_OUTPUT, handed, COUNTED, err) && rate(e, price, err);
}

void meter_nothing(struct event *e)
{
    e->used.count = 0;
    e->amount.nanos = 0;
}

static enum provenance provenance_of(enum usage_source source)
{
    assert(source != USAGE_MISSING);
    return source == USAGE_UPSTREAM ? FROM_UPSTREAM : source == USAGE_COUNTED ? COUNTED : ESTIMATED;
}

static bool use(struct event *e, enum usage_bucket b, int64_t n, enum provenance p, struct err *err)
{
    const struct unit *unit = unit_find(span_of(usage_bucket_name(b)));

    assert(unit);
    return used_set(&e->used, unit, n, p, err);
}

/* Prices per call are due once for every call that owes anything at all. */
static bool rate(struct event *e, const struct price *price, struct err *err)
{
    const struct unit *call = unit_find(SPAN("call"));
    int64_t unused;

    if (price_of(price, call, &unused) && !used_set(&e->used, call, 1, COUNTED, err))
        return false;
    return price_rate(price, &e->used, &e->amount.nanos, err);
}

void meter_mark(struct meter_marks *m, uint64_t offset, int64_t content_total)
{
    size_t last;

    if (m->count < METER_MARKS)
        m->count++; /* else the newest two become one, whose content counts only once all its bytes are gone */
    last = (m->first + m->count - 1) % METER_MARKS;
    m->mark[last].offset = offset;
    m->mark[last].content = content_total;
}

int64_t meter_handed(struct meter_marks *m, uint64_t taken)
{
    while (m->count && m->mark[m->first].offset <= taken) {
        m->handed = m->mark[m->first].content;
        m->first = (m->first + 1) % METER_MARKS;
        m->count--;
    }
    return m->handed;
}
