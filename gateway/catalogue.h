/* catalogue.h - what can be called, by whom it is owned, what it costs: an immutable, counted snapshot.
 *
 * Made from catalogue objects (creator, contract, price, model), each with a revision, as Redis holds them (tg:{m00}:catalogue) or as a catalogue file states them.
 * Versions (contracts, prices) are kept all; the one in force at an instant is the latest whose `from` is not after it. */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_H
#define TOLLGATE_GATEWAY_CATALOGUE_H

#include "billing/event.h"
#include "billing/price.h"
#include "gateway/surface.h"

struct contract {
    char creator[ID_TEXT];
    char version[VERSION_TEXT]; /* creator@from */
    int64_t share_bp;
    int64_t from;
};
struct model_backend {
    char name[ID_TEXT];     /* a backend section of the config */
    char model[MODEL_TEXT]; /* what that backend calls it */
    int64_t weight, priority;
};
struct model {
    char id[MODEL_TEXT]; /* creator/name */
    size_t owner_count;
    struct owner owners[OWNERS_MAX]; /* ordered by id */
    size_t backend_count;
    struct model_backend backends[8];
    unsigned surfaces; /* surface_bit() of each that it serves */
    char price[PRICE_ID_TEXT];
    int64_t max_output_tokens;
    bool drain_on_disconnect;
    int64_t created_at;
    char *card_json; /* an object */
};
static inline bool model_serves(const struct model *m, enum surface s)
{
    return m->surfaces & surface_bit(surface_row(s)->of);
}
struct creator {
    char id[ID_TEXT];
    char *name;
};

struct catalogue;
struct catalogue *catalogue_new(void) MUST_USE;
struct catalogue *catalogue_hold(struct catalogue *c);
void catalogue_free(struct catalogue *c); /* gives one hold back */
DEFINE_AUTO(catalogue)
/* One object of a `catalogue` record: kind "creator", "contract", "price" or "model", with its body. Only while building. */
bool catalogue_add(struct catalogue *c, const char *object, const char *id, int64_t revision,
                   const json_t *body, struct err *err) MUST_USE;

const struct model *catalogue_model(const struct catalogue *c, const char *id);
size_t catalogue_model_count(const struct catalogue *c);
const struct model *catalogue_model_at(const struct catalogue *c, size_t i);
const struct creator *catalogue_creator(const struct catalogue *c, const char *id);
size_t catalogue_creator_count(const struct catalogue *c);
const struct creator *catalogue_creator_at(const struct catalogue *c, size_t i);
/* Every version of every price. */
size_t catalogue_price_count(const struct catalogue *c);
const struct price *catalogue_price_at(const struct catalogue *c, size_t i);
/* Null: there is none so called. */
const struct contract *catalogue_contract_version(const struct catalogue *c, const char *version);
/* The version in force at that instant; null when none is yet. */
const struct price *catalogue_price(const struct catalogue *c, const char *price_id, int64_t at);
const struct contract *catalogue_contract(const struct catalogue *c, const char *creator,
                                          int64_t at);
/* The highest revision among the objects. */
int64_t catalogue_revision(const struct catalogue *c);

/* The changes that make `now` into what a catalogue file states, as bodies of `catalogue` records: unchanged objects give nothing; removed ones stay; a version that exists
 * is never edited (ERR_INPUT), a superseding one must begin ≥ 60 s ahead of `at` unless it is its id's first. `each` is called once per change, after everything was validated. */
struct catalogue_change {
    const char *object, *id;
    int64_t revision;
    const json_t *body;
    const struct catalogue *now, *next; /* as it is; what the file states, and nothing else */
};
typedef bool catalogue_on_change(void *arg, const struct catalogue_change *change, struct err *err);
bool catalogue_diff(const struct catalogue *now, const json_t *file, int64_t at,
                    catalogue_on_change *each, void *arg, struct err *err) MUST_USE;

#endif
