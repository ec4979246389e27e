/* json.c - trees by jansson: parsing that names the place of a mistake, and members fetched with a sentence each. */
#include "lib/base/json.h"

#include <pthread.h>

static void seed_hashes(void);
static const char *kind_of(const json_t *value);
static bool wrong_kind(const json_t *value, const char *name, const char *wanted, const char *what,
                       struct err *err);
static bool find(const json_t *object, const char *name, json_t **out, const char *what,
                 struct err *err);
static bool is_named(const char *const *names, const char *name);
static int append(const char *bytes, size_t n, void *out);

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

json_t *json_parse(struct span text, struct err *err)
{
    json_error_t why;
    json_t *value;

    pthread_once(&seed_once, seed_hashes);
    value = json_loadb(text.data ? text.data : "", text.len,
                       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!value)
        err_set(err, ERR_INPUT, "line %d, column %d: %s", why.line, why.column, why.text);
    return value;
}

/* Without a secret seed, names can be chosen that all fall into one bucket. */
static void seed_hashes(void)
{
    json_object_seed(0);
}

bool json_get_string(const json_t *object, const char *name, const char **out, const char *what,
                     struct err *err)
{
    const char *found = NULL;

    if (!json_get_string_or(object, name, &found, what, err))
        return false;
    if (!found)
        return err_set(err, ERR_INPUT, "%s: \"%s\" is missing", what, name);
    *out = found;
    return true;
}

bool json_get_string_or(const json_t *object, const char *name, const char **out, const char *what,
                        struct err *err)
{
    json_t *value;

    if (!find(object, name, &value, what, err))
        return false;
    if (value && !json_is_string(value))
        return wrong_kind(value, name, "a string", what, err);
    if (value)
        *out = json_string_value(value);
    return true;
}

bool json_get_int(const json_t *object, const char *name, int64_t *out, const char *what,
                  struct err *err)
{
    if (json_is_object(object) && !json_object_get(object, name))
        return err_set(err, ERR_INPUT, "%s: \"%s\" is missing", what, name);
    return json_get_int_or(object, name, out, what, err);
}

bool json_get_int_or(const json_t *object, const char *name, int64_t *out, const char *what,
                     struct err *err)
{
    json_t *value;

    if (!find(object, name, &value, what, err))
        return false;
    if (value && !json_is_integer(value))
        return wrong_kind(value, name, "an integer", what, err);
    if (value)
        *out = json_integer_value(value);
    return true;
}

bool json_get_bool_or(const json_t *object, const char *name, bool *out, const char *what,
                      struct err *err)
{
    json_t *value;

    if (!find(object, name, &value, what, err))
        return false;
    if (value && !json_is_boolean(value))
        return wrong_kind(value, name, "true or false", what, err);
    if (value)
        *out = json_is_true(value);
    return true;
}

bool json_get_array_or(const json_t *object, const char *name, json_t **out, const char *what,
                       struct err *err)
{
    json_t *value;

    if (!find(object, name, &value, what, err))
        return false;
    if (value && !json_is_array(value))
        return wrong_kind(value, name, "an array", what, err);
    if (value)
        *out = value;
    return true;
}

bool json_get_object_or(const json_t *object, const char *name, json_t **out, const char *what,
                        struct err *err)
{
    json_t *value;

    if (!find(object, name, &value, what, err))
        return false;
    if (value && !json_is_object(value))
        return wrong_kind(value, name, "an object", what, err);
    if (value)
        *out = value;
    return true;
}

/* Null in `out` when there is no such member. */
static bool find(const json_t *object, const char *name, json_t **out, const char *what,
                 struct err *err)
{
    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, "%s must be an object, not %s", what, kind_of(object));
    *out = json_object_get(object, name);
    return true;
}

static bool wrong_kind(const json_t *value, const char *name, const char *wanted, const char *what,
                       struct err *err)
{
    return err_set(err, ERR_INPUT, "%s: \"%s\" must be %s, not %s", what, name, wanted,
                   kind_of(value));
}

static const char *kind_of(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object",
        [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer",
        [JSON_REAL] = "a number with a fraction",
        [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",
        [JSON_NULL] = "null",
    };

    return value ? kinds[json_typeof(value)] : "nothing";
}

bool json_only_members(const json_t *object, const char *const *names, const char *what,
                       struct err *err)
{
    const char *name;
    json_t *value, *writable = (json_t *)(uintptr_t)object; /* jansson's iterator takes no const */

    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, "%s must be an object, not %s", what, kind_of(object));
    json_object_foreach(writable, name, value) if (!is_named(names, name)) return err_set(
        err, ERR_INPUT, "%s: \"%s\" is not a known member", what, name);
    return true;
}

static bool is_named(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

bool json_dump(const json_t *value, struct buf *out)
{
    if (json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        return true;
    if (!out->failed)
        out->failed = out->out_of_memory = true;
    return false;
}

static int append(const char *bytes, size_t n, void *out)
{
    return buf_add(out, bytes, n) ? 0 : -1;
}
