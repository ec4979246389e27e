/* catalogue_change.c - both sides are described as texts by name, and where these differ is what changes. */
#include "gateway/catalogue_change.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/text.h"

#define LIST_MAX 4096

/* The same object as it is and as it is to be; null: there is none. */
struct sides {
    json_t *before, *after; /* {name: text} */
    char supersedes[VERSION_TEXT];
    char from[CLOCK_TEXT];
};

static void describe_sides(const struct catalogue_change *c, struct sides *out);
static void look_at_creator(const struct catalogue_change *c, struct sides *out);
static void look_at_contract(const struct catalogue_change *c, struct sides *out);
static void look_at_price(const struct catalogue_change *c, struct sides *out);
static void look_at_model(const struct catalogue_change *c, struct sides *out);
static const struct price *earlier_price(const struct catalogue_change *c, const struct price *p);
static json_t *describe_price(const struct price *p);
static json_t *describe_model(const struct model *m);
static void write_members(const struct sides *s, struct jw *w);
static void write_member(const char *name, const char *before, const char *after, struct jw *w);

void catalogue_change_write(const struct catalogue_change *change, struct jw *w)
{
    struct sides s = {.before = NULL};

    describe_sides(change, &s);
    jw_object(w);
    jw_string_member(w, "object", change->object);
    jw_string_member(w, "id", change->id);
    jw_int_member(w, "revision", change->revision);
    jw_string_member(w, "change", !s.before ? "add" : s.supersedes[0] ? "supersede" : "change");
    if (s.supersedes[0])
        jw_string_member(w, "supersedes", s.supersedes);
    if (s.from[0])
        jw_string_member(w, "from", s.from);
    write_members(&s, w);
    jw_object_end(w);
    json_decref(s.before);
    json_decref(s.after);
}

static void describe_sides(const struct catalogue_change *c, struct sides *out)
{
    static const struct {
        const char *object;
        void (*look)(const struct catalogue_change *c, struct sides *out);
    } rows[] = {
        {"creator", look_at_creator},
        {"contract", look_at_contract},
        {"price", look_at_price},
        {"model", look_at_model},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].object, c->object) == 0)
            rows[i].look(c, out);
}

static void look_at_creator(const struct catalogue_change *c, struct sides *out)
{
    const struct creator *was = catalogue_creator(c->now, c->id);
    const struct creator *is = catalogue_creator(c->next, c->id);

    out->before = was ? json_pack("{s:s}", "name", was->name) : NULL;
    out->after = json_pack("{s:s}", "name", is->name);
}

/* 7000 of 10000 as "70 %". */
static json_t *describe_contract(const struct contract *k)
{
    char share[DECIMAL_TEXT];

    decimal_format(k->share_bp * (NANOS_PER_UNIT / 100), share);
    return json_pack("{s:s+}", "share", share, " %");
}

static const struct contract *earlier_contract(const struct catalogue_change *c,
                                               const struct contract *k)
{
    const struct contract *kept = catalogue_contract(c->now, k->creator, k->from - 1);
    const struct contract *stated = catalogue_contract(c->next, k->creator, k->from - 1);

    return kept && stated ? (stated->from > kept->from ? stated : kept) : kept ? kept : stated;
}

static void look_at_contract(const struct catalogue_change *c, struct sides *out)
{
    const struct contract *is = catalogue_contract_version(c->next, c->id);
    const struct contract *was = earlier_contract(c, is);

    if (was) {
        out->before = describe_contract(was);
        memcpy(out->supersedes, was->version, sizeof out->supersedes);
    }
    out->after = describe_contract(is);
    clock_format(is->from, out->from);
}

static void look_at_price(const struct catalogue_change *c, struct sides *out)
{
    const struct price *is = NULL, *was;

    for (size_t i = 0; i < catalogue_price_count(c->next); i++)
        if (strcmp(catalogue_price_at(c->next, i)->version, c->id) == 0)
            is = catalogue_price_at(c->next, i);
    was = earlier_price(c, is);
    if (was) {
        out->before = describe_price(was);
        memcpy(out->supersedes, was->version, sizeof out->supersedes);
    }
    out->after = describe_price(is);
    clock_format(is->from, out->from);
}

/* A file may state several versions of one price. */
static const struct price *earlier_price(const struct catalogue_change *c, const struct price *p)
{
    const struct price *kept = catalogue_price(c->now, p->id, p->from - 1);
    const struct price *stated = catalogue_price(c->next, p->id, p->from - 1);

    return kept && stated ? (stated->from > kept->from ? stated : kept) : kept ? kept : stated;
}

static json_t *describe_price(const struct price *p)
{
    json_t *object = json_pack("{s:s}", "currency", p->currency);
    char amount[DECIMAL_TEXT];

    for (size_t i = 0; i < p->count; i++)
        json_object_set_new(object, p->rate[i].unit->name,
                            json_string(decimal_format(p->rate[i].nanos, amount)));
    return object;
}

static void look_at_model(const struct catalogue_change *c, struct sides *out)
{
    const struct model *was = catalogue_model(c->now, c->id);

    out->before = was ? describe_model(was) : NULL;
    out->after = describe_model(catalogue_model(c->next, c->id));
}

static json_t *list_owners(const struct model *m)
{
    AUTO_CLEAR(buf) text = {.max = LIST_MAX};

    for (size_t i = 0; i < m->owner_count; i++)
        buf_printf(&text, "%s%s:%" PRId64, i ? ", " : "", m->owners[i].id, m->owners[i].weight);
    return json_stringn(text.data, text.len);
}

static json_t *list_backends(const struct model *m)
{
    AUTO_CLEAR(buf) text = {.max = LIST_MAX};

    for (size_t i = 0; i < m->backend_count; i++) {
        const struct model_backend *b = &m->backends[i];

        buf_printf(&text, "%s%s (%s, weight %" PRId64 ", priority %" PRId64 ")", i ? ", " : "",
                   b->name, b->model, b->weight, b->priority);
    }
    return json_stringn(text.data ? text.data : "", text.len);
}

static json_t *list_surfaces(const struct model *m)
{
    AUTO_CLEAR(buf) text = {.max = LIST_MAX};

    for (int s = 0; s < SURFACES; s++)
        if (m->surfaces & surface_bit((enum surface)s))
            buf_printf(&text, "%s%s", text.len ? ", " : "", surface_row((enum surface)s)->name);
    return json_stringn(text.data ? text.data : "", text.len);
}

static json_t *describe_model(const struct model *m)
{
    char most[INT64_TEXT];
    struct span digits = int64_text(m->max_output_tokens, most);

    return json_pack("{s:o, s:o, s:o, s:s, s:s%, s:s, s:s}", "owners", list_owners(m), "backends",
                     list_backends(m), "surfaces", list_surfaces(m), "price", m->price,
                     "max_output_tokens", digits.data, digits.len, "on_disconnect",
                     m->drain_on_disconnect ? "drain" : "cancel", "card", m->card_json);
}

/* In the order of what is to be; then what is no longer. */
static void write_members(const struct sides *s, struct jw *w)
{
    const char *name;
    json_t *value;

    jw_key(w, "members");
    jw_array(w);
    json_object_foreach(s->after, name, value) write_member(
        name, json_string_value(json_object_get(s->before, name)), json_string_value(value), w);
    json_object_foreach(s->before, name, value) if (!json_object_get(s->after, name))
        write_member(name, json_string_value(value), NULL, w);
    jw_array_end(w);
}

static void write_member(const char *name, const char *before, const char *after, struct jw *w)
{
    if (before && after && strcmp(before, after) == 0)
        return;
    jw_object(w);
    jw_string_member(w, "name", name);
    if (before)
        jw_string_member(w, "before", before);
    if (after)
        jw_string_member(w, "after", after);
    jw_object_end(w);
}
