/* script_model_terms.c - of each form of operation the first record counts; of those, each member is as the highest revision
 * that names it says. */
#include "tests/billing/script_model_terms.h"

#include <inttypes.h>

#define CELLS (SETTING_FORMS * SETTING_OPS)

/* The first of each operation. */
struct operations {
    const struct fact *first[CELLS];
};

static bool comes_before(const struct fact *a, const struct fact *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->writer != b->writer ? a->writer < b->writer : a->n[SIDE_ACCOUNT] < b->n[SIDE_ACCOUNT];
}

static bool replaces(const struct fact *f, enum record_kind kind, unsigned subject)
{
    return kind == RECORD_KEY && f->sets & SETS_ROTATION && f->subject != subject &&
           first_key_of(f->subject) == subject;
}

static struct operations operations_of(const struct model *m, enum record_kind kind,
                                       unsigned subject)
{
    struct operations all = {{NULL}};

    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = m->booked[i].fact;
        bool is_replacing = f->kind == kind && replaces(f, kind, subject);
        unsigned form = is_replacing ? SETTING_ROTATE : f->form;
        unsigned cell = form * SETTING_OPS + f->op;
        if (f->kind == kind && (f->subject == subject || is_replacing) && !m->booked[i].reason &&
            (!all.first[cell] || comes_before(f, all.first[cell])))
            all.first[cell] = f;
    }
    return all;
}

/* Of a key that was replaced the record of the other one sets its end. */
static unsigned sets_of(const struct operations *all, unsigned cell)
{
    if (!all->first[cell])
        return 0;
    return cell / SETTING_OPS == SETTING_ROTATE ? SETS_EXPIRY | SETS_REPLACED
                                                : all->first[cell]->sets;
}

#define ANY_MODEL MODELS
static const struct fact *setter_for(const struct operations *all, enum set member, unsigned model)
{
    const struct fact *found = NULL;

    for (unsigned i = 0; i < CELLS; i++) {
        const struct fact *f = all->first[i];
        if (sets_of(all, i) & member && (model == ANY_MODEL || f->model == model) &&
            (!found || f->revision > found->revision ||
             (f->revision == found->revision && comes_before(found, f))))
            found = f;
    }
    return found;
}

static const struct fact *setter(const struct operations *all, enum set member)
{
    return setter_for(all, member, ANY_MODEL);
}

static bool compose(const struct operations *all, struct fact *out)
{
    const struct fact *whole = setter(all, SETS_WHOLE);

    if (!whole)
        return false;
    *out = *whole;
    out->limit = setter(all, SETS_LIMIT)->limit;
    out->concurrency = setter(all, SETS_CONCURRENCY)->concurrency;
    out->rpm = setter(all, SETS_RPM)->rpm;
    out->tpm = setter(all, SETS_TPM)->tpm;
    out->budget_day = setter(all, SETS_BUDGETS)->budget_day;
    out->budget_month = setter(all, SETS_BUDGETS)->budget_month;
    return true;
}

static void compose_key(const struct operations *all, struct fact *out)
{
    const struct fact *expiry = setter(all, SETS_EXPIRY);
    const struct fact *rotation = setter(all, SETS_ROTATION);
    const struct fact *other = setter(all, SETS_REPLACED);

    out->expires_at = expiry->subject == out->subject ? expiry->expires_at : expiry->replaced_until;
    out->has_models = setter(all, SETS_MODELS)->has_models;
    out->has_scopes = setter(all, SETS_SCOPES)->has_scopes;
    out->is_revoked = setter(all, SETS_STATE);
    out->sets = (rotation ? SETS_ROTATION : 0) | (other ? SETS_REPLACED : 0);
    out->grace = rotation ? rotation->grace : 0;
    out->replaced_by = other ? other->subject : 0;
}

bool model_account(const struct model *m, unsigned account, struct fact *out)
{
    struct operations all = operations_of(m, RECORD_ACCOUNT, account);

    if (!compose(&all, out))
        return false;
    out->zone = setter(&all, SETS_ZONE)->zone;
    for (unsigned model = 0; model < MODELS; model++) {
        const struct fact *f = setter_for(&all, SETS_MODEL_BUDGETS, model);
        out->model_budgets[model].is_there = f;
        out->model_budgets[model].day = f ? f->budget_day : 0;
        out->model_budgets[model].month = f ? f->budget_month : 0;
    }
    return true;
}

bool model_key(const struct model *m, unsigned key, struct fact *out)
{
    struct operations all = operations_of(m, RECORD_KEY, key);

    if (!compose(&all, out))
        return false;
    compose_key(&all, out);
    out->hash_writer = setter(&all, SETS_HASH)->writer;
    out->hash_n = setter(&all, SETS_HASH)->n[SIDE_ACCOUNT];
    return true;
}

void terms_lines(const struct model *m, enum record_kind kind, unsigned subject, const char *key,
                 struct buf *out)
{
    struct operations all = operations_of(m, kind, subject);

    for (unsigned i = 0; i < CELLS; i++) {
        const struct fact *f = all.first[i];
        if (!f)
            continue;
        buf_printf(out, "%s%s op%u = %" PRId64 " %" PRId64 " %s %" PRIu64, key,
                   setting_form_name(i / SETTING_OPS), f->op, f->revision, f->at,
                   writer_texts[f->writer], f->n[SIDE_ACCOUNT]);
        if (i / SETTING_OPS == SETTING_ROTATE)
            buf_printf(out, " expires_at=%" PRId64 " replaced_by=" KEY_FMT, f->replaced_until,
                       f->subject);
        else
            fact_values(f, out);
        buf_add_char(out, '\n');
    }
}
