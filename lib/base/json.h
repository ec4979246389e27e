/* json.h - JSON as trees (jansson) for config, catalogue and console, and a writer for what we send and store.
 * Bodies of calls are never parsed to a tree: see jscan.h. Money is always a string, never a JSON real. */
#ifndef TOLLGATE_BASE_JSON_H
#define TOLLGATE_BASE_JSON_H

#include <jansson.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"

static inline UNUSED void json_auto_free(json_t **p)
{
    json_decref(*p);
}
#define AUTO_JSON __attribute__((cleanup(json_auto_free))) json_t *

/* Parses with duplicate members refused; ERR_INPUT naming line and column. The caller owns the reference. */
json_t *json_parse(struct span text, struct err *err) MUST_USE;

/* Members by name. `what` names the object in the sentence ("model demo/echo"). A missing optional member leaves
 * the output as it was and returns true. Borrowed results live as long as the object. */
bool json_get_string(const json_t *object, const char *name, const char **out, const char *what, struct err *err) MUST_USE;
bool json_get_string_or(const json_t *object, const char *name, const char **out, const char *what, struct err *err) MUST_USE;
bool json_get_int(const json_t *object, const char *name, int64_t *out, const char *what, struct err *err) MUST_USE;
bool json_get_int_or(const json_t *object, const char *name, int64_t *out, const char *what, struct err *err) MUST_USE;
bool json_get_bool_or(const json_t *object, const char *name, bool *out, const char *what, struct err *err) MUST_USE;
bool json_get_array_or(const json_t *object, const char *name, json_t **out, const char *what, struct err *err) MUST_USE;
bool json_get_object_or(const json_t *object, const char *name, json_t **out, const char *what, struct err *err) MUST_USE;
/* ERR_INPUT if the object has a member whose name is not in the null-terminated list: typos are never ignored. */
bool json_only_members(const json_t *object, const char *const *names, const char *what, struct err *err) MUST_USE;
/* Compact, members in insertion order, appended to `out`. */
bool json_dump(const json_t *value, struct buf *out);

/* The writer: commas and escapes are its business; nesting up to 32. It appends to a buf and fails as the buf does.
 * In an object every value call is preceded by jw_key(), or use the jw_<type>_member() short forms. */
struct jw {
    struct buf *out;
    uint32_t has_members; /* one bit a depth */
    unsigned depth;
    bool after_key;
};
void jw_init(struct jw *w, struct buf *out);
void jw_object(struct jw *w);
void jw_object_end(struct jw *w);
void jw_array(struct jw *w);
void jw_array_end(struct jw *w);
void jw_key(struct jw *w, const char *name);
void jw_string(struct jw *w, const char *s);
void jw_span(struct jw *w, struct span s); /* invalid UTF-8 becomes U+FFFD */
void jw_int(struct jw *w, int64_t n);
void jw_bool(struct jw *w, bool b);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct span json); /* a JSON text, as it is */
void jw_string_member(struct jw *w, const char *name, const char *s);
void jw_span_member(struct jw *w, const char *name, struct span s);
void jw_int_member(struct jw *w, const char *name, int64_t n);
void jw_bool_member(struct jw *w, const char *name, bool b);
void jw_time_member(struct jw *w, const char *name, int64_t nanos); /* RFC 3339, UTC, milliseconds */

#endif
