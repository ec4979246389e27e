/* setting.h - what a record sets of an account or a key, as names and values.
 *
 * A creation names all that the object has, any other record only what it changes: what is not named stays. Redis keeps
 * every operation of an object in this spelling (scripts/terms.lua), so that one that is repeated sets nothing again. */
#ifndef TOLLGATE_BILLING_SETTING_H
#define TOLLGATE_BILLING_SETTING_H

#include "billing/projection_members.h"
#include "billing/record.h"

#define SETTING_TEXT 8192 /* of all values of one record */

enum setting_form {
    SETTING_CREATE,
    SETTING_LIMIT, /* or any other change of some members */
    SETTING_REVOKE,
    SETTING_ROTATE, /* of the key that was replaced */
    SETTING_HASH,   /* of a key: another hash of the same secret, under another pepper */
    SETTING_FORMS
};
const char *setting_form_name(enum setting_form form);

struct setting {
    enum setting_form form;
    const char *op; /* lives as long as the members */
    int64_t revision, at;
    char values[SETTING_TEXT]; /* "name=value …", in the order of the table */
};
/* Of a record of kind account or key. False: a member is not as it must be. */
bool setting_read(struct members *m, enum record_kind kind, struct setting *out) MUST_USE;
/* Of the creation of a key that replaces another: what it sets of that other one. */
bool setting_read_replaced(struct members *m, struct setting *out) MUST_USE;

#endif
