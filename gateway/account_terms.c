/* account_terms.c - terms are checked in full before a record is written. */
#include "gateway/account_terms.h"

#include "gateway/desk.h"
#include "lib/base/mem.h"

static bool read_limit(const json_t *body, const char *name, int64_t max, int64_t *out,
                       struct err *err);
static bool read_zone(const json_t *body, const char **out, struct err *err);
static void write_terms(struct jw *w, const struct account_terms *t);
static void write_limits(struct jw *w, const struct account_terms *t, const json_t *body);
static void write_stamp(struct jw *w, const struct account_stamp *stamp);

bool account_limits_read(const json_t *body, struct account_terms *t, struct err *err)
{
    if (!desk_amount(body, "credit_limit", false, &t->credit_limit, err) ||
        !read_limit(body, "concurrency", CONCURRENCY_MAX, &t->concurrency, err) ||
        !rate_limits_read(body, &t->rpm, &t->tpm, err) ||
        !budgets_read(body, &t->budget_day, &t->budget_month, err) ||
        !read_zone(body, &t->zone, err))
        return false;
    if (t->credit_limit < 0)
        return err_set(err, ERR_INPUT, "'credit_limit' must not be negative");
    if (t->credit_limit && strcmp(t->mode, "prepaid") == 0)
        return err_set(err, ERR_INPUT,
                       "'credit_limit' goes with postpaid; a prepaid account is credited instead");
    return true;
}

bool rate_limits_read(const json_t *body, int64_t *rpm, int64_t *tpm, struct err *err)
{
    return read_limit(body, "rpm", RATE_MAX, rpm, err) &&
           read_limit(body, "tpm", RATE_MAX, tpm, err);
}

bool budgets_read(const json_t *body, int64_t *day, int64_t *month, struct err *err)
{
    if (!desk_amount(body, "budget_day", false, day, err) ||
        !desk_amount(body, "budget_month", false, month, err))
        return false;
    return (*day >= 0 && *month >= 0) ||
           err_set(err, ERR_INPUT, "a budget must not be negative; 0 is none");
}

void budgets_write(struct jw *w, int64_t day, int64_t month, const json_t *names)
{
    char decimal[DECIMAL_TEXT];

    if (!names || json_object_get(names, "budget_day"))
        jw_string_member(w, "budget_day", decimal_format(day, decimal));
    if (!names || json_object_get(names, "budget_month"))
        jw_string_member(w, "budget_month", decimal_format(month, decimal));
}

static bool read_limit(const json_t *body, const char *name, int64_t max, int64_t *out,
                       struct err *err)
{
    if (!json_get_int_or(body, name, out, "the request", err))
        return false;
    return (*out >= 0 && *out <= max) ||
           err_set(err, ERR_INPUT, "'%s' must be from 1 to %lld, or 0 for no limit", name,
                   (long long)max);
}

/* Null is the platform's. */
static bool read_zone(const json_t *body, const char **out, struct err *err)
{
    const json_t *zone = json_object_get(body, "zone");

    if (json_is_null(zone))
        *out = "";
    if (!zone || json_is_null(zone))
        return true;
    if (!json_get_string(body, "zone", out, "the request", err))
        return false;
    AUTO(zone) opened = zone_open(*out, err);
    return opened != NULL;
}

void zone_write(struct jw *w, const char *zone)
{
    jw_key(w, "zone");
    zone[0] ? jw_string(w, zone) : jw_null(w);
}

struct account_terms account_terms_of(const char *id, const struct account_state *state)
{
    return (struct account_terms){.id = id,
                                  .currency = state->currency,
                                  .mode = state->prepaid ? "prepaid" : "postpaid",
                                  .credit_limit = state->credit_limit,
                                  .concurrency = state->concurrency,
                                  .rpm = state->rpm,
                                  .tpm = state->tpm,
                                  .budget_day = state->budget_day,
                                  .budget_month = state->budget_month,
                                  .zone = state->zone};
}

bool account_terms_equal(const struct account_terms *a, const struct account_terms *b)
{
    return strcmp(a->currency, b->currency) == 0 && strcmp(a->mode, b->mode) == 0 &&
           a->credit_limit == b->credit_limit && a->concurrency == b->concurrency &&
           a->rpm == b->rpm && a->tpm == b->tpm && a->budget_day == b->budget_day &&
           a->budget_month == b->budget_month && strcmp(a->zone, b->zone) == 0;
}

void account_terms_write(const struct account_terms *t, const struct account_stamp *stamp,
                         struct buf *record)
{
    struct jw w;

    jw_init(&w, record);
    jw_object(&w);
    write_terms(&w, t);
    write_stamp(&w, stamp);
}

static void write_terms(struct jw *w, const struct account_terms *t)
{
    jw_string_member(w, "account", t->id);
    jw_string_member(w, "currency", t->currency);
    jw_string_member(w, "mode", t->mode);
    write_limits(w, t, NULL);
}

/* Those that `body` names; null: all. */
static void write_limits(struct jw *w, const struct account_terms *t, const json_t *body)
{
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"concurrency", t->concurrency}, {"rpm", t->rpm}, {"tpm", t->tpm}};
    char decimal[DECIMAL_TEXT];

    if (!body || json_object_get(body, "credit_limit"))
        jw_string_member(w, "credit_limit", decimal_format(t->credit_limit, decimal));
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (!body || json_object_get(body, counts[i].name))
            jw_int_member(w, counts[i].name, counts[i].value);
    budgets_write(w, t->budget_day, t->budget_month, body);
    if (!body || json_object_get(body, "zone"))
        zone_write(w, t->zone);
}

static void write_stamp(struct jw *w, const struct account_stamp *stamp)
{
    jw_int_member(w, "revision", stamp->revision);
    jw_time_member(w, "at", stamp->at);
    jw_string_member(w, "op", stamp->op);
    jw_object_end(w);
}

void account_change_write(const struct account_terms *t, const json_t *body,
                          const struct account_stamp *stamp, struct buf *record)
{
    struct jw w;

    jw_init(&w, record);
    jw_object(&w);
    jw_string_member(&w, "account", t->id);
    if (t->model)
        jw_string_member(&w, "model", t->model);
    write_limits(&w, t, body);
    write_stamp(&w, stamp);
}

void account_model_answer(const struct account_terms *t, const json_t *body, const char *op,
                          bool is_repeated, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "account", t->id);
    jw_string_member(&w, "model", t->model);
    budgets_write(&w, t->budget_day, t->budget_month, body);
    jw_string_member(&w, "op", op);
    if (is_repeated)
        jw_bool_member(&w, "repeated", true);
    jw_object_end(&w);
}

void account_terms_answer(const struct account_terms *t, const char *op, bool is_repeated,
                          struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    write_terms(&w, t);
    jw_string_member(&w, "op", op);
    if (is_repeated)
        jw_bool_member(&w, "repeated", true);
    jw_object_end(&w);
}
