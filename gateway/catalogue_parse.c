/* catalogue_parse.c - a catalogue is written by hand, so each mistake is named with the object it stands in. */
#include "gateway/catalogue_parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

#define WEIGHT_MAX        1000000
#define PRIORITY_MAX      1000
#define OUTPUT_TOKENS_MAX 10000000
#define WHAT_TEXT         (MODEL_TEXT + 16)

static bool take_id(const char *id, char *out, size_t size, const char *kind, struct err *err);
static bool take_model_id(const char *id, char *out, struct err *err);
static bool read_owners(const json_t *body, const char *what, struct model *out, struct err *err);
static bool read_backends(const json_t *body, const char *what, struct model *out, struct err *err);
static bool read_terms(const json_t *body, const char *what, struct model *out, struct err *err);
static bool read_surfaces(const json_t *body, const char *what, struct model *out, struct err *err);
static bool read_time_or(const json_t *body, const char *name, const char *what, int64_t *out,
                         struct err *err);
static bool read_range(const json_t *object, const char *name, int64_t min, int64_t max,
                       int64_t *out, const char *what, struct err *err);

bool creator_parse(const char *id, const json_t *body, struct creator *out, struct err *err)
{
    static const char *const members[] = {"id", "name", "tax_profile", "payout", NULL};
    char what[WHAT_TEXT];
    const char *name = id;
    struct creator creator = {.name = NULL};

    snprintf(what, sizeof what, "creator %s", id);
    if (!take_id(id, creator.id, sizeof creator.id, "creator", err) ||
        !json_only_members(body, members, what, err) ||
        !json_get_string_or(body, "name", &name, what, err))
        return false;
    creator.name = xstrdup(name);
    *out = creator;
    return true;
}

bool contract_parse(const char *id, const json_t *body, struct contract *out, struct err *err)
{
    static const char *const members[] = {"creator", "share_bp", "from", NULL};
    char what[WHAT_TEXT], from[CLOCK_TEXT];
    const char *creator;
    struct contract contract = {.share_bp = 7000};

    snprintf(what, sizeof what, "contract %.64s", id);
    if (!json_only_members(body, members, what, err) ||
        !json_get_string(body, "creator", &creator, what, err) ||
        !take_id(creator, contract.creator, sizeof contract.creator, "creator", err) ||
        !read_range(body, "share_bp", 0, 10000, &contract.share_bp, what, err) ||
        !json_get_string(body, "from", &creator, what, err) ||
        !read_time_or(body, "from", what, &contract.from, err))
        return false;
    snprintf(contract.version, sizeof contract.version, "%s@%s", contract.creator,
             clock_format(contract.from, from));
    if (strcmp(contract.version, id) != 0)
        return err_set(err, ERR_INPUT, "%s: its id must be %s", what, contract.version);
    *out = contract;
    return true;
}

bool model_parse(const char *id, const json_t *body, struct model *out, struct err *err)
{
    static const char *const members[] = {"id",
                                          "owners",
                                          "surfaces",
                                          "backends",
                                          "price",
                                          "max_output_tokens",
                                          "on_disconnect",
                                          "created_at",
                                          "card",
                                          NULL};
    char what[WHAT_TEXT];
    json_t *card = NULL;
    struct model model = {.card_json = NULL};
    AUTO_CLEAR(buf) text = {.max = 64 * 1024};

    snprintf(what, sizeof what, "model %s", id);
    if (!take_model_id(id, model.id, err) || !json_only_members(body, members, what, err) ||
        !read_surfaces(body, what, &model, err) || !read_owners(body, what, &model, err) ||
        !read_backends(body, what, &model, err) || !read_terms(body, what, &model, err) ||
        !json_get_object_or(body, "card", &card, what, err))
        return false;
    if (card && !(json_dump(card, &text) && buf_ok(&text, "a model card", err)))
        return false;
    model.card_json = xstrdup(card ? text.data : "{}");
    *out = model;
    return true;
}

static bool take_id(const char *id, char *out, size_t size, const char *kind, struct err *err)
{
    return (id_is_valid(span_of(id)) && span_copy(span_of(id), out, size)) ||
           err_set(err, ERR_INPUT,
                   "'%.80s' is no %s id: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or "
                   "digit",
                   id, kind);
}

static bool take_model_id(const char *id, char *out, struct err *err)
{
    const char *slash = strchr(id, '/');

    if (slash && id_is_valid((struct span){id, (size_t)(slash - id)}) &&
        id_is_valid(span_of(slash + 1)) && span_copy(span_of(id), out, MODEL_TEXT))
        return true;
    return err_set(err, ERR_INPUT, "'%.140s' is no model id: it must be creator/name", id);
}

static int compare_owners(const void *a, const void *b)
{
    return strcmp(((const struct owner *)a)->id, ((const struct owner *)b)->id);
}

static bool read_owners(const json_t *body, const char *what, struct model *out, struct err *err)
{
    static const char *const members[] = {"creator", "weight", NULL};
    json_t *list = NULL, *item;
    const char *creator;
    size_t i;

    if (!json_get_array_or(body, "owners", &list, what, err))
        return false;
    if (!list || json_array_size(list) == 0 || json_array_size(list) > OWNERS_MAX)
        return err_set(err, ERR_INPUT, "%s: 'owners' must name 1 to %d creators", what, OWNERS_MAX);
    json_array_foreach(list, i, item)
    {
        struct owner *o = &out->owners[i];

        o->weight = 1;
        if (!json_only_members(item, members, what, err) ||
            !json_get_string(item, "creator", &creator, what, err) ||
            !take_id(creator, o->id, sizeof o->id, "creator", err) ||
            !read_range(item, "weight", 1, WEIGHT_MAX, &o->weight, what, err))
            return false;
    }
    out->owner_count = json_array_size(list);
    qsort(out->owners, out->owner_count, sizeof out->owners[0], compare_owners);
    for (i = 1; i < out->owner_count; i++)
        if (strcmp(out->owners[i - 1].id, out->owners[i].id) == 0)
            return err_set(err, ERR_INPUT, "%s: owner %s is named twice", what, out->owners[i].id);
    return true;
}

static bool read_backends(const json_t *body, const char *what, struct model *out, struct err *err)
{
    static const char *const members[] = {"name", "model", "weight", "priority", NULL};
    json_t *list = NULL, *item;
    size_t i;

    if (!json_get_array_or(body, "backends", &list, what, err))
        return false;
    if (!list || json_array_size(list) == 0 || json_array_size(list) > ARRAY_LEN(out->backends))
        return err_set(err, ERR_INPUT, "%s: 'backends' must name 1 to %zu backends", what,
                       ARRAY_LEN(out->backends));
    json_array_foreach(list, i, item)
    {
        struct model_backend *b = &out->backends[i];
        const char *name, *model = out->id;

        b->weight = 1;
        if (!json_only_members(item, members, what, err) ||
            !json_get_string(item, "name", &name, what, err) ||
            !take_id(name, b->name, sizeof b->name, "backend", err) ||
            !json_get_string_or(item, "model", &model, what, err) ||
            !read_range(item, "weight", 1, WEIGHT_MAX, &b->weight, what, err) ||
            !read_range(item, "priority", 0, PRIORITY_MAX, &b->priority, what, err))
            return false;
        if (!span_copy(span_of(model), b->model, sizeof b->model))
            return err_set(err, ERR_INPUT, "%s: the name of the model at backend %s is too long",
                           what, b->name);
    }
    out->backend_count = json_array_size(list);
    return true;
}

static bool read_terms(const json_t *body, const char *what, struct model *out, struct err *err)
{
    const char *price, *policy = "cancel";

    out->max_output_tokens = 4096;
    if (!json_get_string(body, "price", &price, what, err) ||
        !take_id(price, out->price, sizeof out->price, "price", err) ||
        !read_range(body, "max_output_tokens", 1, OUTPUT_TOKENS_MAX, &out->max_output_tokens, what,
                    err) ||
        !json_get_string_or(body, "on_disconnect", &policy, what, err) ||
        !read_time_or(body, "created_at", what, &out->created_at, err))
        return false;
    out->drain_on_disconnect = strcmp(policy, "drain") == 0;
    return out->drain_on_disconnect || strcmp(policy, "cancel") == 0 ||
           err_set(err, ERR_INPUT, "%s: 'on_disconnect' must be \"cancel\" or \"drain\"", what);
}

/* A model that states none serves chat. */
static bool read_surfaces(const json_t *body, const char *what, struct model *out, struct err *err)
{
    json_t *list = NULL, *item;
    enum surface surface;
    size_t i;

    out->surfaces = surface_bit(SURFACE_CHAT);
    if (!json_get_array_or(body, "surfaces", &list, what, err))
        return false;
    if (!list)
        return true;
    out->surfaces = 0;
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item) || !surface_find(span_of(json_string_value(item)), &surface))
            return err_set(err, ERR_INPUT,
                           "%s: 'surfaces' may list \"chat\", \"completions\" and \"embeddings\"",
                           what);
        out->surfaces |= surface_bit(surface);
    }
    return out->surfaces || err_set(err, ERR_INPUT, "%s: 'surfaces' must list one at least", what);
}

static bool read_time_or(const json_t *body, const char *name, const char *what, int64_t *out,
                         struct err *err)
{
    const char *text = NULL;

    if (!json_get_string_or(body, name, &text, what, err))
        return false;
    if (!text || instant_parse(span_of(text), out, err))
        return true;
    return err_context(err, "%s: '%s'", what, name);
}

static bool read_range(const json_t *object, const char *name, int64_t min, int64_t max,
                       int64_t *out, const char *what, struct err *err)
{
    if (!json_get_int_or(object, name, out, what, err))
        return false;
    return (*out >= min && *out <= max) ||
           err_set(err, ERR_INPUT, "%s: '%s' must be from %lld to %lld", what, name, (long long)min,
                   (long long)max);
}

static int field_of(struct span text, size_t at, size_t n)
{
    uint64_t value = 0;

    return digits_parse((struct span){text.data + at, n}, 9999, &value) ? (int)value : 0;
}

/* A date is checked by clock_parse() as its own midnight, then taken apart. */
bool instant_parse(struct span text, int64_t *nanos, struct err *err)
{
    AUTO_CLEAR(buf) midnight = {.max = 64};

    if (text.len != strlen("2026-11-01"))
        return clock_parse(text, nanos, err);
    buf_printf(&midnight, "%.*sT00:00:00Z", SPAN_FMT(text));
    if (!clock_parse(buf_span(&midnight), nanos, err))
        return err_set(err, ERR_INPUT, "'%.*s' is no date", SPAN_FMT(text));
    *nanos = clock_civil_start(
        (struct civil){field_of(text, 0, 4), field_of(text, 5, 2), field_of(text, 8, 2)});
    return true;
}
