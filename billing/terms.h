/* terms.h - under which versions a period is settled: terms.json of a bundle. With the events it is
 * all that is needed to make every other file again.
 *
 * {"format":1,"period","zone","installation","testing","rules":{…},
 * "contracts":[{"version","creator","from","share_bp"}],
 * "prices":[{"id","from","currency","units":{…}}],
 * "owners":[{"model","creators":[{"id","weight"}]}],
 * "openings":[{"creator","currency","amount"}],
 * "priors":[{"period","model","currency","contract","share_bp","creators":[{"id","weight"}],"net"}],
 * "funds":[{"kind","account","currency","amount","count"}],
 * "keys":[JWK, …]}
 *
 * A prior net is what earlier closes left of calls that this period gives money back of.
 * Each list is sorted: by version, by model and owners, by creator and currency, by kind, account and currency, by
 * parties_name_of_period(). */
#ifndef TOLLGATE_BILLING_TERMS_H
#define TOLLGATE_BILLING_TERMS_H

#include "billing/parties.h"
#include "billing/public_keys.h"
#include "billing/segment.h"
#include "billing/sum_table.h"

#define TERMS_FORMAT    1
#define TERMS_BYTES_MAX (256 * 1024 * 1024)

struct term_price {
    struct price price;
    int64_t revision;
    bool is_used; /* by an event of the period */
};
struct term_contract {
    char version[VERSION_TEXT];
    char creator[ID_TEXT];
    int64_t from, share_bp, revision;
    bool is_used;
};
struct terms {
    struct period period;
    char zone[ZONE_TEXT], installation[INSTALLATION_TEXT];
    bool testing;
    size_t price_count, contract_count;
    struct term_price *prices;
    struct term_contract *contracts;
    struct sum_table *owners;   /* "model id:weight,…": who owned what, as the events say */
    struct sum_table *openings; /* "creator currency" → nanos */
    struct sum_table *funds;    /* "kind account currency" → nanos; `calls`: how many: what moved without a call */
    struct sum_table *priors;   /* parties_name_of_period() → net; `calls`: how many refunds need it */
};
void terms_init(struct terms *t);
void terms_clear(struct terms *t);
DEFINE_AUTO_CLEAR(terms)

/* A catalogue object of any kind: prices and contracts are kept, of one version the highest
 * revision. */
bool terms_add(struct terms *t, const char *object, const char *id, int64_t revision,
               const json_t *body, struct err *err) MUST_USE;
/* After the last terms_add(), before the first event. */
void terms_sort(struct terms *t);
/* The price of that version; null when it is nowhere stated. */
const struct price *terms_price(const struct terms *t, const char *version);
/* ERR_CORRUPT unless the price that the event names, applied to its units, gives its amount, and
 * the contract its share. Marks both as used, and its owners. */
bool terms_take_event(struct terms *t, const struct event *e, struct err *err) MUST_USE;

/* The same of a refund, whose call's price was applied in its own period; its prior net is marked as
 * needed, unless its call is of the terms' period. */
bool terms_take_refund(struct terms *t, const struct refund *r, struct err *err) MUST_USE;

/* What is used or needed, and all openings. `keys` may sign this bundle. */
bool terms_write(struct terms *t, const struct public_keys *keys, struct buf *out);
/* Everything in it is taken as not used yet. */
bool terms_parse(struct span text, struct terms *t, struct public_keys *keys,
                 struct err *err) MUST_USE;

#endif
