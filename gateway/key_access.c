/* key_access.c - checked in full when it is given, so that what stands in a record never has to be guessed at. */
#include "gateway/key_access.h"

#include <stdlib.h>

#include "billing/event.h"
#include "lib/base/mem.h"

enum list { LIST_SCOPES, LIST_MODELS, LIST_IPS, LISTS };
static const char *const list_names[LISTS] = {"scopes", "models", "ips"};

struct key_access {
    unsigned refs;
    unsigned scopes; /* a bit each; 0: all */
    size_t model_count, range_count;
    char *models[ACCESS_LIST_MAX];
    struct addr_range ranges[ACCESS_LIST_MAX];
    struct buf json;
    struct {
        size_t start, len; /* in the JSON; len 0: there is none */
    } lists[LISTS];
};

static const char *const scope_words[SCOPES] = {[SCOPE_CALL] = "call", [SCOPE_USAGE] = "usage"};

typedef bool add_word(struct key_access *a, const char *word, struct err *err);
static bool read_list(struct key_access *a, const json_t *object, enum list which, struct jw *w,
                      struct err *err);
static add_word add_scope, add_model, add_range;
static add_word *const adders[LISTS] = {add_scope, add_model, add_range};
static bool is_pattern(const char *text);
static bool matches(const char *pattern, const char *text);

bool key_access_read(const json_t *object, struct key_access **out, struct err *err)
{
    AUTO(key_access) a = xcalloc(1, sizeof *a);
    struct jw w;

    a->refs = 1;
    buf_init(&a->json, ACCESS_BYTES_MAX);
    jw_init(&w, &a->json);
    jw_object(&w);
    for (enum list which = 0; which < LISTS; which++)
        if (!read_list(a, object, which, &w, err))
            return false;
    jw_object_end(&w);
    if (!buf_ok(&a->json, "what the key opens", err))
        return false;
    *out = a->scopes || a->model_count || a->range_count ? KEEP(a) : NULL;
    return true;
}

static bool read_list(struct key_access *a, const json_t *object, enum list which, struct jw *w,
                      struct err *err)
{
    const char *name = list_names[which];
    const json_t *list = json_object_get(object, name), *word;
    size_t i;

    if (!list || json_is_null(list) || (json_is_array(list) && !json_array_size(list)))
        return true;
    if (!json_is_array(list))
        return err_set(err, ERR_INPUT, "'%s' must be a list", name);
    if (json_array_size(list) > ACCESS_LIST_MAX)
        return err_set(err, ERR_LIMIT, "'%s' has more than %d entries", name, ACCESS_LIST_MAX);
    jw_key(w, name);
    a->lists[which].start = a->json.len;
    jw_array(w);
    json_array_foreach(list, i, word)
    {
        if (!json_is_string(word))
            return err_set(err, ERR_INPUT, "'%s' must be a list of texts", name);
        if (!adders[which](a, json_string_value(word), err))
            return err_context(err, "'%s'", name);
        jw_string(w, json_string_value(word));
    }
    jw_array_end(w);
    a->lists[which].len = a->json.len - a->lists[which].start;
    return a->lists[which].len <= ACCESS_LIST_BYTES_MAX ||
           err_set(err, ERR_LIMIT, "'%s' is longer than %d bytes", name, ACCESS_LIST_BYTES_MAX);
}

static bool add_scope(struct key_access *a, const char *word, struct err *err)
{
    for (unsigned s = SCOPE_NONE + 1; s < SCOPES; s++) {
        if (strcmp(word, scope_words[s]) != 0)
            continue;
        a->scopes |= 1u << s;
        return true;
    }
    return err_set(err, ERR_INPUT, "'%.40s' is no scope; there are call and usage", word);
}

static bool add_model(struct key_access *a, const char *word, struct err *err)
{
    if (!is_pattern(word))
        return err_set(err, ERR_INPUT,
                       "'%.80s' is no model, nor a pattern such as demo/*: at most %d of A-Z a-z "
                       "0-9 . _ - / and *",
                       word, MODEL_TEXT - 1);
    a->models[a->model_count++] = xstrdup(word);
    return true;
}

static bool is_pattern(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/*";
    size_t n = strspn(text, letters);

    return n > 0 && n < MODEL_TEXT && text[n] == '\0';
}

static bool add_range(struct key_access *a, const char *word, struct err *err)
{
    return addr_range_parse(word, &a->ranges[a->range_count], err) && ++a->range_count;
}

bool key_access_parse(struct span json, struct key_access **out, struct err *err)
{
    AUTO_JSON object = NULL;

    if (!json.len || span_equal(json, SPAN("null"))) {
        *out = NULL;
        return true;
    }
    object = json_parse(json, err);
    return object && key_access_read(object, out, err);
}

struct key_access *key_access_hold(struct key_access *a)
{
    if (a)
        a->refs++;
    return a;
}

void key_access_free(struct key_access *a)
{
    if (!a || --a->refs)
        return;
    for (size_t i = 0; i < a->model_count; i++)
        free(a->models[i]);
    buf_clear(&a->json);
    free(a);
}

struct span key_access_json(const struct key_access *a)
{
    return a ? buf_span(&a->json) : SPAN("");
}

struct span key_access_list(const struct key_access *a, const char *name)
{
    for (enum list which = 0; a && which < LISTS; which++)
        if (a->lists[which].len && strcmp(name, list_names[which]) == 0)
            return (struct span){a->json.data + a->lists[which].start, a->lists[which].len};
    return SPAN("null");
}

bool key_access_opens(const struct key_access *a, enum scope scope)
{
    return !a || !a->scopes || scope == SCOPE_NONE || (a->scopes >> scope & 1u);
}

bool key_access_has_model(const struct key_access *a, const char *model)
{
    if (!key_access_opens(a, SCOPE_CALL))
        return false;
    if (!a || !a->model_count)
        return true;
    for (size_t i = 0; i < a->model_count; i++)
        if (matches(a->models[i], model))
            return true;
    return false;
}

/* Behind the last '*' that was passed, the text is tried again one character further on: never more than the product of
 * both lengths. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *tried = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            tried = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++tried;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

bool key_access_names_places(const struct key_access *a)
{
    return a && a->range_count > 0;
}

bool key_access_has_place(const struct key_access *a, const struct addr *from)
{
    for (size_t i = 0; a && i < a->range_count; i++)
        if (addr_range_has(&a->ranges[i], from))
            return true;
    return !key_access_names_places(a);
}
