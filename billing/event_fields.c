/* event_fields.c - each member has one reader, which accepts one spelling. */
#include "billing/event_fields.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

#define SHARE_BP_MAX 10000

static bool parse_owner(const json_t *item, struct owner *owners, size_t at, struct err *err);

bool field_texts_parse(const json_t *object, const struct field_text *texts, size_t count,
                       const char *what, void *out, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *text;

        if (!json_get_string(object, texts[i].name, &text, what, err))
            return false;
        if (!texts[i].is_valid(span_of(text)) ||
            !span_copy(span_of(text), (char *)out + texts[i].offset, texts[i].size))
            return err_set(err, ERR_INPUT, "%s: \"%.40s\" cannot be its \"%s\"", what, text,
                           texts[i].name);
    }
    return true;
}

bool model_is_valid(struct span model)
{
    const char *slash = model.len > 0 ? memchr(model.data, '/', model.len) : NULL;
    size_t creator = slash ? (size_t)(slash - model.data) : 0;

    return slash && id_is_valid((struct span){model.data, creator}) &&
           id_is_valid((struct span){slash + 1, model.len - creator - 1});
}

void field_owners_write(const struct owner *owners, size_t count, struct jw *w)
{
    assert(count >= 1 && count <= OWNERS_MAX);
    jw_key(w, "creators");
    jw_array(w);
    for (size_t i = 0; i < count; i++) {
        jw_object(w);
        jw_string_member(w, "id", owners[i].id);
        jw_int_member(w, "weight", owners[i].weight);
        jw_object_end(w);
    }
    jw_array_end(w);
}

bool field_owners_parse(const json_t *object, struct owner owners[OWNERS_MAX], size_t *count,
                        struct err *err)
{
    json_t *creators = NULL;
    int64_t left = OWNER_WEIGHTS_MAX;
    size_t n;

    if (!json_get_array_or(object, "creators", &creators, "owners", err))
        return false;
    n = json_array_size(creators);
    if (n < 1 || n > OWNERS_MAX)
        return err_set(err, ERR_INPUT, "\"creators\" must name 1 to %d creators", OWNERS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!parse_owner(json_array_get(creators, i), owners, i, err))
            return false;
        if (owners[i].weight > left)
            return err_set(err, ERR_INPUT, "the creators' weights add up to more than 2^62");
        left -= owners[i].weight;
    }
    *count = n;
    return true;
}

static bool parse_owner(const json_t *item, struct owner *owners, size_t at, struct err *err)
{
    static const char *const owner_members[] = {"id", "weight", NULL};
    struct owner *owner = &owners[at];
    const char *id;

    if (!json_only_members(item, owner_members, "creator", err) ||
        !json_get_string(item, "id", &id, "creator", err) ||
        !json_get_int(item, "weight", &owner->weight, "creator", err))
        return false;
    if (!id_is_valid(span_of(id)) || !span_copy(span_of(id), owner->id, sizeof owner->id))
        return err_set(err, ERR_INPUT, "\"%.40s\" cannot be a creator's id", id);
    if (owner->weight < 1)
        return err_set(err, ERR_INPUT, "creator %s must weigh at least 1", id);
    return at == 0 || strcmp(owner[-1].id, id) < 0 ||
           err_set(err, ERR_INPUT, "creator %s must stand once, in the order of ids", id);
}

void field_used_write(const struct used *used, struct jw *w)
{
    jw_key(w, "units");
    jw_object(w);
    for (size_t i = 0; i < used->count; i++)
        jw_int_member(w, used->item[i].unit->name, used->item[i].n);
    jw_object_end(w);
    jw_key(w, "provenance");
    jw_object(w);
    for (size_t i = 0; i < used->count; i++)
        jw_string_member(w, used->item[i].unit->name, provenance_name(used->item[i].provenance));
    jw_object_end(w);
}

bool field_amount_parse(const json_t *object, const char *name, int64_t *nanos, struct err *err)
{
    char canonical[DECIMAL_TEXT];
    const char *text;

    if (!json_get_string(object, name, &text, "money", err) ||
        !decimal_parse(span_of(text), nanos, err))
        return false;
    if (*nanos < 0 || *nanos > AMOUNT_NANOS_MAX)
        return err_set(err, ERR_INPUT, "\"%s\" must be between 0 and 9000000", name);
    return strcmp(text, decimal_format(*nanos, canonical)) == 0 ||
           err_set(err, ERR_INPUT, "\"%s\" must be written as %s", name, canonical);
}

bool field_share_parse(const json_t *object, const char *first_owner, const char *contract,
                       int64_t *share_bp, struct err *err)
{
    size_t id_len = strlen(first_owner);

    if (strncmp(contract, first_owner, id_len) != 0 || contract[id_len] != '@')
        return err_set(err, ERR_INPUT, "\"contract\" must be of the first creator, %s",
                       first_owner);
    if (!json_get_int(object, "share_bp", share_bp, "terms", err))
        return false;
    return (*share_bp >= 0 && *share_bp <= SHARE_BP_MAX) ||
           err_set(err, ERR_INPUT, "\"share_bp\" must be between 0 and %d", SHARE_BP_MAX);
}

bool field_time_parse(const json_t *object, const char *name, int64_t *nanos, struct err *err)
{
    char canonical[CLOCK_TEXT];
    const char *text;

    if (!json_get_string(object, name, &text, "time", err))
        return false;
    if (!clock_parse(span_of(text), nanos, err))
        return err_context(err, "\"%s\"", name);
    return strcmp(text, clock_format(*nanos, canonical)) == 0 ||
           err_set(err, ERR_INPUT, "\"%s\" must be written as %s", name, canonical);
}

bool field_period_parse(const json_t *object, const char *name, struct period *p, struct err *err)
{
    const char *text;

    if (!json_get_string(object, name, &text, "period", err))
        return false;
    return period_parse(span_of(text), p, err) || err_context(err, "\"%s\"", name);
}
