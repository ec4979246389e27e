/* price.h - a price version: decimal currency per scale of each unit, from an instant on; and
 * rating. amount = round_half_up(exact sum over all units), in 128 bits, once per event. */
#ifndef TOLLGATE_BILLING_PRICE_H
#define TOLLGATE_BILLING_PRICE_H

#include "billing/money.h"
#include "billing/unit.h"
#include "lib/base/json.h"

#define PRICE_ID_TEXT 65
#define VERSION_TEXT  100 /* "demo-price@2026-11-01T00:00:00.000Z" */

struct price {
    char id[PRICE_ID_TEXT];
    char version[VERSION_TEXT]; /* id@from */
    char currency[CURRENCY_TEXT];
    int64_t from;
    size_t count;
    struct {
        const struct unit *unit;
        int64_t nanos; /* per unit->scale, ≥ 0 */
    } rate[USED_MAX];
};

/* "id@2026-11-01T00:00:00.000Z": how an event names the version of a price or contract that takes
 * effect at `from`. Returns `out`. */
const char *version_make(const char *id, int64_t from, char out[VERSION_TEXT]);
/* Exactly what version_make() writes of a valid id. */
bool version_is_valid(struct span version);

/* From {"id","from","units":{unit: decimal string}} and the catalogue's currency, or from what
 * price_write() wrote: then `currency` may be null, else "currency" must be the same. Refuses
 * unknown units and members, negative or malformed prices, JSON numbers (money is a string), an
 * empty table, and a "from" finer than milliseconds. */
bool price_parse(const json_t *object, const char *currency, struct price *out,
                 struct err *err) MUST_USE;
/* Writes the same object (with "currency"), units in the table's order. */
void price_write(const struct price *p, struct jw *w);

/* Nanos per scale of `unit`, its own or its nearest priced ancestor's; false when there is none. */
bool price_of(const struct price *p, const struct unit *unit, int64_t *nanos) MUST_USE;
/* ERR_INPUT for a unit without any price, ERR_LIMIT beyond AMOUNT_NANOS_MAX. */
bool price_rate(const struct price *p, const struct used *used, int64_t *amount_nanos,
                struct err *err) MUST_USE;
/* No call bounded like this can cost more: input tokens ≤ input_bound at the dearest input price,
 * output ≤ output_bound at the dearest output price, plus every priced per-one unit: `character`
 * input_bound times (the body bounds it), the others `calls` times. The bounds are ≥ 0. */
bool price_worst_case(const struct price *p, int64_t input_bound, int64_t output_bound,
                      int64_t calls, int64_t *amount_nanos, struct err *err) MUST_USE;

#endif
