/* key_access.h - what a key opens, narrower than all that its owner may do: kinds of calls, models, places it may come from.
 * One is immutable and counted; null stands for a key that is narrowed by nothing. It knows neither HTTP nor Redis.
 *
 * As JSON, in Redis and in the admin API: some of {"scopes":["call"],"models":["demo/e*"],"ips":["10.0.0.0/8"]}.
 * A list that is absent, null or empty narrows nothing. In a model's pattern '*' stands for any characters, also none. */
#ifndef TOLLGATE_GATEWAY_KEY_ACCESS_H
#define TOLLGATE_GATEWAY_KEY_ACCESS_H

#include "lib/base/json.h"
#include "lib/net/addr_range.h"

enum scope {
    SCOPE_NONE,  /* what every key opens */
    SCOPE_CALL,  /* to call models, and to see which */
    SCOPE_USAGE, /* to read the account's usage, receipts and balance */
    SCOPES
};

#define ACCESS_LIST_MAX 64 /* entries of one list */
#define ACCESS_LIST_BYTES_MAX 1500 /* of the JSON of one list */
#define ACCESS_BYTES_MAX (3 * ACCESS_LIST_BYTES_MAX + 64)

struct key_access;
/* Of the three members of `object`, which may have others; `*out` is null when they narrow nothing. ERR_INPUT names what is wrong. */
bool key_access_read(const json_t *object, struct key_access **out, struct err *err) MUST_USE;
/* The same of a text, which may be empty. */
bool key_access_parse(struct span json, struct key_access **out, struct err *err) MUST_USE;
struct key_access *key_access_hold(struct key_access *a); /* these two take null */
void key_access_free(struct key_access *a);
DEFINE_AUTO(key_access)

/* The JSON, in one spelling; empty of null. */
struct span key_access_json(const struct key_access *a);
/* The JSON of one of its lists, "scopes", "models" or "ips", spelled likewise; "null" when there is none. */
struct span key_access_list(const struct key_access *a, const char *name);

bool key_access_opens(const struct key_access *a, enum scope scope);
/* Also false when the key may call nothing at all. */
bool key_access_has_model(const struct key_access *a, const char *model);
bool key_access_names_places(const struct key_access *a); /* else it may come from anywhere */
bool key_access_has_place(const struct key_access *a, const struct addr *from);

#endif
