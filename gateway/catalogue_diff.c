/* catalogue_diff.c - a catalogue file is declarative: it is read whole, checked against itself and against what is
 * there, and only then becomes changes. Versions are never edited, only superseded. */
#include <inttypes.h>
#include <stdio.h>

#include "gateway/catalogue.h"
#include "gateway/catalogue_parse.h"

#define NOTICE_NANOS (60 * NANOS_PER_SECOND) /* caches live 30 s at most */

/* One run: what is, what the file states, and what was found to change. Bodies are kept in `changes` until all is valid. */
struct diff {
    const struct catalogue *now;
    struct catalogue *next;
    int64_t at, revision;
    const char *currency;
    json_t *changes; /* [[object, id, body], …] */
};

static bool read_creators(struct diff *d, const json_t *file, struct err *err);
static bool read_creator(struct diff *d, const json_t *item, struct err *err);
static bool read_contract(struct diff *d, const char *creator, const json_t *contract,
                          struct err *err);
static bool read_prices(struct diff *d, const json_t *file, struct err *err);
static bool read_models(struct diff *d, const json_t *file, struct err *err);
static bool check_model(struct diff *d, const struct model *m, struct err *err);
static bool check_all_rates(const struct catalogue *models, const struct catalogue *prices,
                            struct err *err);
static bool check_notice(const struct diff *d, const char *version, int64_t from, bool first,
                         struct err *err);
static bool change(struct diff *d, const char *object, const char *id, json_t *body, bool is_new,
                   struct err *err);
static bool prices_are_equal(const struct price *a, const struct price *b);
static bool models_are_equal(const struct model *a, const struct model *b);

bool catalogue_diff(const struct catalogue *now, const json_t *file, int64_t at,
                    catalogue_on_change *each, void *arg, struct err *err)
{
    static const char *const members[] = {"currency", "creators", "models", "prices", NULL};
    AUTO(catalogue) next = catalogue_new();
    AUTO_JSON changes = json_array();
    struct diff d = {.now = now,
                     .next = next,
                     .at = at,
                     .revision = catalogue_revision(now) + 1,
                     .changes = changes};
    json_t *row;
    size_t i;

    if (!json_only_members(file, members, "the catalogue", err) ||
        !json_get_string(file, "currency", &d.currency, "the catalogue", err))
        return false;
    if (!currency_is_known(span_of(d.currency)))
        return err_set(err, ERR_INPUT,
                       "the catalogue: '%.20s' is no currency that is settled here, such as CNY",
                       d.currency);
    if (!read_creators(&d, file, err) || !read_prices(&d, file, err) || !read_models(&d, file, err))
        return false;
    if (!check_all_rates(next, next, err) || !check_all_rates(next, now, err) ||
        !check_all_rates(now, next, err))
        return false;
    json_array_foreach(changes, i, row)
    {
        struct catalogue_change c = {
            .object = json_string_value(json_array_get(row, 0)),
            .id = json_string_value(json_array_get(row, 1)),
            .revision = d.revision,
            .body = json_array_get(row, 2),
            .now = now,
            .next = next,
        };

        if (!each(arg, &c, err))
            return false;
    }
    return true;
}

static bool read_creators(struct diff *d, const json_t *file, struct err *err)
{
    json_t *list = NULL, *item;
    size_t i;

    if (!json_get_array_or(file, "creators", &list, "the catalogue", err))
        return false;
    json_array_foreach(list, i, item) if (!read_creator(d, item, err)) return false;
    return true;
}

static bool read_creator(struct diff *d, const json_t *item, struct err *err)
{
    AUTO_JSON body = json_copy((json_t *)item);
    AUTO_JSON contract = json_incref(json_object_get(body, "contract"));
    const struct creator *was;
    const char *id, *name;

    if (!json_get_string(item, "id", &id, "a creator", err))
        return false;
    if (catalogue_creator(d->next, id))
        return err_set(err, ERR_INPUT, "creator %s stands twice in the catalogue", id);
    json_object_del(body, "contract");
    if (!catalogue_add(d->next, "creator", id, d->revision, body, err))
        return false;
    was = catalogue_creator(d->now, id);
    name = catalogue_creator(d->next, id)->name;
    if (!change(d, "creator", id, body, !was || strcmp(was->name, name) != 0, err))
        return false;
    return !contract || read_contract(d, id, contract, err);
}

/* A contract stands inside its creator in the file and is an object of its own, named by its version. */
static bool read_contract(struct diff *d, const char *creator, const json_t *contract,
                          struct err *err)
{
    AUTO_JSON body = json_copy((json_t *)contract);
    const struct contract *was;
    const char *from_text;
    char version[VERSION_TEXT], from_canonical[CLOCK_TEXT];
    int64_t from, share_bp = 7000;

    if (!json_get_string(contract, "from", &from_text, "a contract", err) ||
        !json_get_int_or(contract, "share_bp", &share_bp, "a contract", err))
        return false;
    if (!instant_parse(span_of(from_text), &from, err))
        return err_context(err, "the contract of %s: 'from'", creator);
    clock_format(from, from_canonical);
    snprintf(version, sizeof version, "%.64s@%s", creator, from_canonical);
    if (json_object_set_new(body, "creator", json_string(creator)) ||
        json_object_set_new(body, "from", json_string(from_canonical)) ||
        json_object_set_new(body, "share_bp", json_integer(share_bp)))
        return err_set(err, ERR_MEMORY, "no memory for a contract");
    if (!catalogue_add(d->next, "contract", version, d->revision, body, err))
        return false;
    was = catalogue_contract(d->now, creator, from);
    if (was && was->from == from)
        return was->share_bp == share_bp ||
               err_set(err, ERR_INPUT,
                       "contract %s has a share of %" PRId64
                       " and is never edited; supersede it by one with a later 'from'",
                       version, was->share_bp);
    return check_notice(d, version, from, !catalogue_contract(d->now, creator, INT64_MAX), err) &&
           change(d, "contract", version, body, true, err);
}

static bool read_prices(struct diff *d, const json_t *file, struct err *err)
{
    json_t *list = NULL, *item;
    size_t i;

    if (!json_get_array_or(file, "prices", &list, "the catalogue", err))
        return false;
    json_array_foreach(list, i, item)
    {
        AUTO_JSON body = json_copy(item);
        const struct price *was;
        struct price price;

        if (json_object_set_new(body, "currency", json_string(d->currency)) ||
            !price_parse(body, d->currency, &price, err))
            return false;
        if (!catalogue_add(d->next, "price", price.version, d->revision, body, err))
            return false;
        was = catalogue_price(d->now, price.id, price.from);
        if (was && was->from == price.from) {
            if (!prices_are_equal(was, &price))
                return err_set(err, ERR_INPUT,
                               "price %s is never edited; supersede it by one with a later 'from'",
                               price.version);
            continue;
        }
        if (!check_notice(d, price.version, price.from,
                          !catalogue_price(d->now, price.id, INT64_MAX), err) ||
            !change(d, "price", price.version, body, true, err))
            return false;
    }
    return true;
}

static bool read_models(struct diff *d, const json_t *file, struct err *err)
{
    json_t *list = NULL, *item;
    size_t i;

    if (!json_get_array_or(file, "models", &list, "the catalogue", err))
        return false;
    json_array_foreach(list, i, item)
    {
        AUTO_JSON body = json_copy(item);
        const struct model *was, *is;
        const char *id;
        char created[CLOCK_TEXT];

        if (!json_get_string(item, "id", &id, "a model", err))
            return false;
        if (catalogue_model(d->next, id))
            return err_set(err, ERR_INPUT, "model %s stands twice in the catalogue", id);
        was = catalogue_model(d->now, id);
        if (!json_object_get(body, "created_at") &&
            json_object_set_new(body, "created_at",
                                json_string(clock_format(was ? was->created_at : d->at, created))))
            return err_set(err, ERR_MEMORY, "no memory for a model");
        if (!catalogue_add(d->next, "model", id, d->revision, body, err))
            return false;
        is = catalogue_model(d->next, id);
        if (!check_model(d, is, err) ||
            !change(d, "model", id, body, !was || !models_are_equal(was, is), err))
            return false;
    }
    return true;
}

static bool writes(const struct model *m)
{
    for (enum surface s = 0; s < SURFACES; s++)
        if (model_serves(m, s) && surface_row(s)->has_output)
            return true;
    return false;
}

/* Whatever every call uses must have a rate in every version: one that left it out would make the model free. */
static bool check_rates(const struct model *m, const struct price *p, struct err *err)
{
    static const char *const must[] = {"input_tokens", "output_tokens"};
    size_t count = writes(m) ? 2 : 1;
    int64_t nanos;

    for (size_t i = 0; i < count; i++)
        if (!price_of(p, unit_find(span_of(must[i])), &nanos))
            return err_set(err, ERR_INPUT, "model %s: price %s has no rate for %s", m->id,
                           p->version, must[i]);
    return true;
}

static bool check_all_rates(const struct catalogue *models, const struct catalogue *prices,
                            struct err *err)
{
    for (size_t i = 0; i < catalogue_model_count(models); i++)
        for (size_t j = 0; j < catalogue_price_count(prices); j++) {
            const struct model *m = catalogue_model_at(models, i);
            const struct price *p = catalogue_price_at(prices, j);

            if (strcmp(m->price, p->id) == 0 && !check_rates(m, p, err))
                return false;
        }
    return true;
}

/* A model is published only when each owner has a contract and there is its price. */
static bool check_model(struct diff *d, const struct model *m, struct err *err)
{
    const struct price *price = catalogue_price(d->next, m->price, INT64_MAX);
    char creator[ID_TEXT];

    snprintf(creator, sizeof creator, "%.*s", (int)strcspn(m->id, "/"), m->id);
    if (!catalogue_creator(d->next, creator) && !catalogue_creator(d->now, creator))
        return err_set(err, ERR_INPUT, "model %s: there is no creator '%s'", m->id, creator);
    price = price ? price : catalogue_price(d->now, m->price, INT64_MAX);
    if (!price)
        return err_set(err, ERR_INPUT, "model %s: there is no price '%s'", m->id, m->price);
    for (size_t i = 0; i < m->owner_count; i++)
        if (!catalogue_contract(d->next, m->owners[i].id, INT64_MAX) &&
            !catalogue_contract(d->now, m->owners[i].id, INT64_MAX))
            return err_set(err, ERR_INPUT, "model %s: owner %s has no contract", m->id,
                           m->owners[i].id);
    return true;
}

static bool check_notice(const struct diff *d, const char *version, int64_t from, bool first,
                         struct err *err)
{
    char earliest[CLOCK_TEXT];

    if (first || from >= d->at + NOTICE_NANOS)
        return true;
    return err_set(err, ERR_INPUT,
                   "%s supersedes another version and must begin at least 60 s ahead: after %s",
                   version, clock_format(d->at + NOTICE_NANOS, earliest));
}

static bool change(struct diff *d, const char *object, const char *id, json_t *body, bool is_new,
                   struct err *err)
{
    json_t *row;

    if (!is_new)
        return true;
    row = json_pack("[s, s, O]", object, id, body);
    return (row && json_array_append_new(d->changes, row) == 0) ||
           err_set(err, ERR_MEMORY, "no memory for a change");
}

static bool prices_are_equal(const struct price *a, const struct price *b)
{
    int64_t nanos;

    if (a->count != b->count || strcmp(a->currency, b->currency) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!price_of(b, a->rate[i].unit, &nanos) || nanos != a->rate[i].nanos)
            return false;
    return true;
}

static bool backends_are_equal(const struct model *a, const struct model *b)
{
    for (size_t i = 0; i < a->backend_count; i++) {
        const struct model_backend *x = &a->backends[i], *y = &b->backends[i];

        if (strcmp(x->name, y->name) != 0 || strcmp(x->model, y->model) != 0 ||
            x->weight != y->weight || x->priority != y->priority)
            return false;
    }
    return true;
}

static bool models_are_equal(const struct model *a, const struct model *b)
{
    if (a->owner_count != b->owner_count || a->backend_count != b->backend_count ||
        a->surfaces != b->surfaces || strcmp(a->price, b->price) != 0 ||
        a->max_output_tokens != b->max_output_tokens ||
        a->drain_on_disconnect != b->drain_on_disconnect || a->created_at != b->created_at ||
        strcmp(a->card_json, b->card_json) != 0)
        return false;
    for (size_t i = 0; i < a->owner_count; i++)
        if (strcmp(a->owners[i].id, b->owners[i].id) != 0 ||
            a->owners[i].weight != b->owners[i].weight)
            return false;
    return backends_are_equal(a, b);
}
