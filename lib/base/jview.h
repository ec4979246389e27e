/* jview.h - looks into a JSON text without a tree: the members of an object and the elements of an array, as spans of the
 * text itself, so that numbers, strings and whole values can be copied as they were written.
 *
 * The text must be valid, as jscan.h finds out; of another one nothing is promised but that no byte beside it is read. */
#ifndef TOLLGATE_BASE_JVIEW_H
#define TOLLGATE_BASE_JVIEW_H

#include "lib/base/buf.h"

struct jview {
    const char *at, *end;
};
/* The beginning of an object or array; of anything else (also of null data) there is nothing to come. */
struct jview jview_of(struct span value);
/* The next member, its name a string with its quotes; or element. False when there is none. */
bool jview_member(struct jview *v, struct span *name, struct span *value);
bool jview_item(struct jview *v, struct span *value);

/* The value of a member, null data when there is none; of several the last. */
struct span jview_get(struct span object, const char *name);
/* The same, with null data for a null. */
struct span jview_given(struct span object, const char *name);

static inline bool jview_is_string(struct span value)
{
    return value.len >= 2 && value.data[0] == '"';
}
static inline bool jview_is_object(struct span value)
{
    return value.len >= 2 && value.data[0] == '{';
}
static inline bool jview_is_array(struct span value)
{
    return value.len >= 2 && value.data[0] == '[';
}
/* What stands between a string's quotes, escapes as they are; empty for what is no string. */
struct span jview_inside(struct span string);
/* The string says exactly this text. */
bool jview_says(struct span string, const char *text);
/* Appends what the string means, in UTF-8. */
void jview_unescape(struct span string, struct buf *out);

#endif
