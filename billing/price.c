/* price.c - rating. Every unit's scale divides RATING_SCALE, so an amount is one exact integer sum
 * in units of 1/RATING_SCALE nanos, rounded once. No product is taken before it is known to fit. */
#include "billing/price.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

#define RATING_SCALE INT64_C(1000000)

static bool parse_currency(const json_t *object, const char *currency, struct price *p,
                           struct err *err);
static bool parse_from(const json_t *object, struct price *p, struct err *err);
static bool parse_units(const json_t *object, struct price *p, struct err *err);
static bool parse_rate(const struct unit *unit, const json_t *value, struct price *p,
                       struct err *err);
static const int64_t *own_rate(const struct price *p, const struct unit *unit);
static bool add_product(int128 *sum, int64_t nanos, int64_t scale, int64_t n);
static bool round_sum(const struct price *p, int128 sum, int64_t *amount_nanos, struct err *err);
static bool too_much(const struct price *p, struct err *err);

const char *version_make(const char *id, int64_t from, char out[VERSION_TEXT])
{
    char time[CLOCK_TEXT];
    size_t id_len = strlen(id), time_len = strlen(clock_format(from, time));

    assert(id_len + 1 + time_len < VERSION_TEXT);
    memcpy(out, id, id_len);
    out[id_len] = '@';
    memcpy(out + id_len + 1, time, time_len + 1);
    return out;
}

bool version_is_valid(struct span version)
{
    const char *at = version.len > 0 ? memchr(version.data, '@', version.len) : NULL;
    struct span id, time;
    char canonical[CLOCK_TEXT];
    int64_t from;

    if (!at)
        return false;
    id = (struct span){version.data, (size_t)(at - version.data)};
    time = (struct span){at + 1, version.len - id.len - 1};
    return id_is_valid(id) && clock_parse(time, &from, NULL) &&
           span_equal(time, span_of(clock_format(from, canonical)));
}

bool price_parse(const json_t *object, const char *currency, struct price *out, struct err *err)
{
    static const char *const members[] = {"id", "from", "currency", "units", NULL};
    struct price p = {0};
    const char *id;

    if (!json_only_members(object, members, "price", err) ||
        !json_get_string(object, "id", &id, "price", err))
        return false;
    if (!id_is_valid(span_of(id)) || !span_copy(span_of(id), p.id, sizeof p.id))
        return err_set(err, ERR_INPUT,
                       "price: \"id\" must be 1 to 64 letters, digits, '.', '_' or '-'");
    if (!parse_currency(object, currency, &p, err) || !parse_from(object, &p, err) ||
        !parse_units(object, &p, err))
        return err_context(err, "price %s", p.id);
    *out = p;
    return true;
}

static bool parse_currency(const json_t *object, const char *currency, struct price *p,
                           struct err *err)
{
    const char *stated = currency;

    if (!json_get_string_or(object, "currency", &stated, "currency", err))
        return false;
    if (!stated)
        return err_set(err, ERR_INPUT, "\"currency\" is missing");
    if (currency && strcmp(currency, stated) != 0)
        return err_set(err, ERR_INPUT, "its currency is %.8s, but the catalogue's is %s", stated,
                       currency);
    if (!currency_is_known(span_of(stated)))
        return err_set(err, ERR_INPUT, "\"%.8s\" is not a currency that can be settled in", stated);
    return span_copy(span_of(stated), p->currency, sizeof p->currency);
}

static bool parse_from(const json_t *object, struct price *p, struct err *err)
{
    const char *from;

    if (!json_get_string(object, "from", &from, "effective time", err) ||
        !clock_parse(span_of(from), &p->from, err))
        return false;
    if (p->from % NANOS_PER_MS != 0)
        return err_set(err, ERR_INPUT, "\"from\" must not be finer than milliseconds");
    version_make(p->id, p->from, p->version);
    return true;
}

/* Rates come to stand in the order of the table of units, whatever the object's. */
static bool parse_units(const json_t *object, struct price *p, struct err *err)
{
    json_t *units = NULL;
    const char *name;
    json_t *value;

    if (!json_get_object_or(object, "units", &units, "rates", err))
        return false;
    if (json_object_size(units) == 0)
        return err_set(err, ERR_INPUT, "\"units\" must have a rate for at least one unit");
    json_object_foreach (units, name, value)
        if (!unit_find(span_of(name)))
            return err_set(err, ERR_INPUT, "there is no unit \"%.64s\"", name);
    for (size_t i = 0; i < unit_count(); i++) {
        value = json_object_get(units, unit_at(i)->name);
        if (value && !parse_rate(unit_at(i), value, p, err))
            return false;
    }
    return true;
}

static bool parse_rate(const struct unit *unit, const json_t *value, struct price *p,
                       struct err *err)
{
    int64_t nanos;

    if (!json_is_string(value))
        return err_set(err, ERR_INPUT, "the rate of %s must be a string such as \"2.00\"",
                       unit->name);
    if (!decimal_parse(span_of(json_string_value(value)), &nanos, err))
        return err_context(err, "the rate of %s", unit->name);
    if (nanos < 0 || nanos > AMOUNT_NANOS_MAX)
        return err_set(err, ERR_INPUT, "the rate of %s must be between 0 and 9000000", unit->name);
    assert(p->count < ARRAY_LEN(p->rate));
    p->rate[p->count].unit = unit;
    p->rate[p->count].nanos = nanos;
    p->count++;
    return true;
}

void price_write(const struct price *p, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "id", p->id);
    jw_time_member(w, "from", p->from);
    jw_string_member(w, "currency", p->currency);
    jw_key(w, "units");
    jw_object(w);
    for (size_t i = 0; i < p->count; i++)
        jw_string_member(w, p->rate[i].unit->name, decimal_format(p->rate[i].nanos, decimal));
    jw_object_end(w);
    jw_object_end(w);
}

bool price_of(const struct price *p, const struct unit *unit, int64_t *nanos)
{
    for (; unit; unit = unit->parent ? unit_find(span_of(unit->parent)) : NULL) {
        const int64_t *own = own_rate(p, unit);

        if (own) {
            *nanos = *own;
            return true;
        }
    }
    return false;
}

static const int64_t *own_rate(const struct price *p, const struct unit *unit)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->rate[i].unit == unit)
            return &p->rate[i].nanos;
    return NULL;
}

bool price_rate(const struct price *p, const struct used *used, int64_t *amount_nanos,
                struct err *err)
{
    int128 sum = 0;

    for (size_t i = 0; i < used->count; i++) {
        const struct unit *unit = used->item[i].unit;
        int64_t nanos;

        if (!price_of(p, unit, &nanos))
            return err_set(err, ERR_INPUT, "price %s has no rate for %s", p->version, unit->name);
        if (!add_product(&sum, nanos, unit->scale, used->item[i].n))
            return too_much(p, err);
    }
    return round_sum(p, sum, amount_nanos, err);
}

bool price_worst_case(const struct price *p, int64_t input_bound, int64_t output_bound,
                      int64_t calls, int64_t *amount_nanos, struct err *err)
{
    int64_t dearest[] = {[UNIT_INPUT] = 0, [UNIT_OUTPUT] = 0, [UNIT_OTHER] = 0};
    const int64_t bound[] = {
        [UNIT_INPUT] = input_bound, [UNIT_OUTPUT] = output_bound, [UNIT_OTHER] = calls};
    int128 sum = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct unit *unit = p->rate[i].unit;
        int64_t nanos = p->rate[i].nanos;

        if (unit->scale != 1)
            dearest[unit->side] = nanos > dearest[unit->side] ? nanos : dearest[unit->side];
        else if (!add_product(&sum, nanos, unit->scale, bound[unit->side]))
            return too_much(p, err);
    }
    for (size_t side = 0; side < ARRAY_LEN(dearest); side++)
        if (!add_product(&sum, dearest[side], RATING_SCALE, bound[side]))
            return too_much(p, err);
    return round_sum(p, sum, amount_nanos, err);
}

/* False when the product alone is more than any amount may be; so sums of a few stay far inside 128
 * bits. */
static bool add_product(int128 *sum, int64_t nanos, int64_t scale, int64_t n)
{
    int128 product;

    assert(nanos >= 0 && n >= 0);
    product = (int128)nanos * n;
    if (product > (int128)AMOUNT_NANOS_MAX * RATING_SCALE)
        return false;
    *sum += product * (RATING_SCALE / scale);
    return true;
}

static bool round_sum(const struct price *p, int128 sum, int64_t *amount_nanos, struct err *err)
{
    int128 amount = round_half_up(sum, RATING_SCALE);

    if (amount > AMOUNT_NANOS_MAX)
        return too_much(p, err);
    *amount_nanos = (int64_t)amount;
    return true;
}

static bool too_much(const struct price *p, struct err *err)
{
    return err_set(err, ERR_LIMIT,
                   "at price %s this costs more than 9000000 %s, the most that one "
                   "amount may be",
                   p->version, p->currency);
}
