/* catalogue.c - the snapshot that calls are routed and priced by. It is built once from objects, then only read;
 * the few hundred rows of a platform are found by walking sorted arrays. */
#include "gateway/catalogue.h"

#include <assert.h>
#include <stdlib.h>

#include "gateway/catalogue_parse.h"
#include "lib/base/mem.h"

struct catalogue {
    unsigned holds;
    int64_t revision;
    size_t creator_count, contract_count, price_count, model_count;
    struct creator *creators;
    struct contract *contracts;
    struct price *prices;
    struct model *models;
};

static bool add_creator(struct catalogue *c, const char *id, const json_t *body, struct err *err);
static bool add_contract(struct catalogue *c, const char *id, const json_t *body, struct err *err);
static bool add_price(struct catalogue *c, const char *id, const json_t *body, struct err *err);
static bool add_model(struct catalogue *c, const char *id, const json_t *body, struct err *err);

/* The kinds of object, each with its reader. */
static const struct {
    const char *name;
    bool (*add)(struct catalogue *c, const char *id, const json_t *body, struct err *err);
} kinds[] = {
    {"creator", add_creator},
    {"contract", add_contract},
    {"price", add_price},
    {"model", add_model},
};

struct catalogue *catalogue_new(void)
{
    struct catalogue *c = xcalloc(1, sizeof *c);

    c->holds = 1;
    return c;
}

struct catalogue *catalogue_hold(struct catalogue *c)
{
    c->holds++;
    return c;
}

void catalogue_free(struct catalogue *c)
{
    if (!c || --c->holds)
        return;
    for (size_t i = 0; i < c->creator_count; i++)
        free(c->creators[i].name);
    for (size_t i = 0; i < c->model_count; i++)
        free(c->models[i].card_json);
    free(c->creators);
    free(c->contracts);
    free(c->prices);
    free(c->models);
    free(c);
}

bool catalogue_add(struct catalogue *c, const char *object, const char *id, int64_t revision,
                   const json_t *body, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].name, object) != 0)
            continue;
        if (!kinds[i].add(c, id, body, err))
            return false;
        if (revision > c->revision)
            c->revision = revision;
        return true;
    }
    return err_set(err, ERR_INPUT, "there is no catalogue object of kind '%s'", object);
}

/* Appends a zeroed row and returns it; the caller fills it or takes it back by lowering the count. */
static void *grow(void *array, size_t *count, size_t row_size, void **row)
{
    char *grown = xrealloc_array(array, *count + 1, row_size);

    *row = grown + *count * row_size;
    memset(*row, 0, row_size);
    ++*count;
    return grown;
}

static int compare_creators(const void *a, const void *b)
{
    return strcmp(((const struct creator *)a)->id, ((const struct creator *)b)->id);
}

static int compare_models(const void *a, const void *b)
{
    return strcmp(((const struct model *)a)->id, ((const struct model *)b)->id);
}

static bool add_creator(struct catalogue *c, const char *id, const json_t *body, struct err *err)
{
    void *row;

    c->creators = grow(c->creators, &c->creator_count, sizeof *c->creators, &row);
    if (!creator_parse(id, body, row, err)) {
        c->creator_count--;
        return false;
    }
    qsort(c->creators, c->creator_count, sizeof *c->creators, compare_creators);
    return true;
}

static bool add_contract(struct catalogue *c, const char *id, const json_t *body, struct err *err)
{
    void *row;

    c->contracts = grow(c->contracts, &c->contract_count, sizeof *c->contracts, &row);
    if (!contract_parse(id, body, row, err)) {
        c->contract_count--;
        return false;
    }
    return true;
}

static bool add_price(struct catalogue *c, const char *id, const json_t *body, struct err *err)
{
    const char *currency = "";
    void *row;

    c->prices = grow(c->prices, &c->price_count, sizeof *c->prices, &row);
    if (!json_get_string(body, "currency", &currency, id, err) ||
        !price_parse(body, currency, row, err)) {
        c->price_count--;
        return false;
    }
    return true;
}

static bool add_model(struct catalogue *c, const char *id, const json_t *body, struct err *err)
{
    void *row;

    c->models = grow(c->models, &c->model_count, sizeof *c->models, &row);
    if (!model_parse(id, body, row, err)) {
        c->model_count--;
        return false;
    }
    qsort(c->models, c->model_count, sizeof *c->models, compare_models);
    return true;
}

const struct model *catalogue_model(const struct catalogue *c, const char *id)
{
    struct model wanted;

    if (!span_copy(span_of(id), wanted.id, sizeof wanted.id) || !c->model_count)
        return NULL;
    return bsearch(&wanted, c->models, c->model_count, sizeof *c->models, compare_models);
}

size_t catalogue_model_count(const struct catalogue *c)
{
    return c->model_count;
}

const struct model *catalogue_model_at(const struct catalogue *c, size_t i)
{
    assert(i < c->model_count);
    return &c->models[i];
}

const struct creator *catalogue_creator(const struct catalogue *c, const char *id)
{
    struct creator wanted;

    if (!span_copy(span_of(id), wanted.id, sizeof wanted.id) || !c->creator_count)
        return NULL;
    return bsearch(&wanted, c->creators, c->creator_count, sizeof *c->creators, compare_creators);
}

size_t catalogue_creator_count(const struct catalogue *c)
{
    return c->creator_count;
}

const struct creator *catalogue_creator_at(const struct catalogue *c, size_t i)
{
    assert(i < c->creator_count);
    return &c->creators[i];
}

size_t catalogue_price_count(const struct catalogue *c)
{
    return c->price_count;
}

const struct price *catalogue_price_at(const struct catalogue *c, size_t i)
{
    assert(i < c->price_count);
    return &c->prices[i];
}

const struct price *catalogue_price(const struct catalogue *c, const char *price_id, int64_t at)
{
    const struct price *best = NULL;

    for (size_t i = 0; i < c->price_count; i++) {
        const struct price *p = &c->prices[i];

        if (strcmp(p->id, price_id) == 0 && p->from <= at && (!best || p->from > best->from))
            best = p;
    }
    return best;
}

const struct contract *catalogue_contract(const struct catalogue *c, const char *creator,
                                          int64_t at)
{
    const struct contract *best = NULL;

    for (size_t i = 0; i < c->contract_count; i++) {
        const struct contract *k = &c->contracts[i];

        if (strcmp(k->creator, creator) == 0 && k->from <= at && (!best || k->from > best->from))
            best = k;
    }
    return best;
}

const struct contract *catalogue_contract_version(const struct catalogue *c, const char *version)
{
    for (size_t i = 0; i < c->contract_count; i++)
        if (strcmp(c->contracts[i].version, version) == 0)
            return &c->contracts[i];
    return NULL;
}

int64_t catalogue_revision(const struct catalogue *c)
{
    return c->revision;
}
