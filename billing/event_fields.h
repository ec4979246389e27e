/* event_fields.h - the members that events and refunds share, as JSON: each has one spelling, and
 * what is accepted is written the same again. */
#ifndef TOLLGATE_BILLING_EVENT_FIELDS_H
#define TOLLGATE_BILLING_EVENT_FIELDS_H

#include "billing/event.h"

/* A string that is copied as it is, into `size` bytes at `offset`, once it is valid. */
struct field_text {
    const char *name;
    bool (*is_valid)(struct span);
    size_t offset, size;
};
bool field_texts_parse(const json_t *object, const struct field_text *texts, size_t count,
                       const char *what, void *out, struct err *err) MUST_USE;
bool model_is_valid(struct span model); /* creator/name */

/* The member "creators": 1 to OWNERS_MAX, by id, weights of 1 or more. */
void field_owners_write(const struct owner *owners, size_t count, struct jw *w);
bool field_owners_parse(const json_t *object, struct owner owners[OWNERS_MAX], size_t *count,
                        struct err *err) MUST_USE;
/* The members "units" and "provenance", objects by unit. */
void field_used_write(const struct used *used, struct jw *w);
/* 0 to AMOUNT_NANOS_MAX. */
bool field_amount_parse(const json_t *object, const char *name, int64_t *nanos,
                        struct err *err) MUST_USE;
/* "share_bp"; the first owner's contract decides the share. */
bool field_share_parse(const json_t *object, const char *first_owner, const char *contract,
                       int64_t *share_bp, struct err *err) MUST_USE;
bool field_time_parse(const json_t *object, const char *name, int64_t *nanos,
                      struct err *err) MUST_USE;
bool field_period_parse(const json_t *object, const char *name, struct period *p,
                        struct err *err) MUST_USE;

#endif
