/* catalogue_parse.h - reads the bodies of catalogue objects, every member checked, none ignored.
 *
 *   creator   {"id","name","tax_profile"?,"payout"?}
 *   contract  {"creator","share_bp","from"}                        its object id is its version, creator@from
 *   price     {"id","from","currency","units"}                     likewise id@from
 *   model     {"id","owners":[{"creator","weight"}],"surfaces","backends":[{"name","model","weight"?,"priority"?}],
 *              "price","max_output_tokens","on_disconnect"?,"created_at"?,"card"?} */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_PARSE_H
#define TOLLGATE_GATEWAY_CATALOGUE_PARSE_H

#include "gateway/catalogue.h"

/* Each fills `out`; what it allocates there (name, card_json) belongs to the caller. On failure nothing is kept. */
bool creator_parse(const char *id, const json_t *body, struct creator *out, struct err *err) MUST_USE;
bool contract_parse(const char *id, const json_t *body, struct contract *out, struct err *err) MUST_USE;
bool model_parse(const char *id, const json_t *body, struct model *out, struct err *err) MUST_USE;

/* RFC 3339, or a bare date: the instant at which that day begins in the platform's zone. */
bool instant_parse(struct span text, int64_t *nanos, struct err *err) MUST_USE;

#endif
