/* model_routes.c - the catalogue as clients see it: {"id","object":"model","created","owned_by","price":{…},"card":{…}}. */
#include "gateway/model_routes.h"

#include "gateway/key_gate.h"
#include "gateway/server.h"
#include "gateway/service.h"

#define LIST_BYTES_MAX (4 * 1024 * 1024)

static void write_model(const struct catalogue *c, const struct model *m, struct jw *w);

void models_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct catalogue *c = ((struct server *)server)->ledger.catalogue;
    AUTO_CLEAR(buf) json = {.max = LIST_BYTES_MAX};
    const struct key_access *access = request_caller(r)->holder.access;
    struct jw w;

    (void)match;
    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "object", "list");
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; i < catalogue_model_count(c); i++)
        if (key_access_has_model(access, catalogue_model_at(c, i)->id))
            write_model(c, catalogue_model_at(c, i), &w);
    jw_array_end(&w);
    jw_object_end(&w);
    reply_built(r, &json);
}

void model_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct catalogue *c = ((struct server *)server)->ledger.catalogue;
    const struct model *m = catalogue_model(c, match->value[0]);
    AUTO_CLEAR(buf) json = {.max = LIST_BYTES_MAX};
    struct gate_refusal why;
    struct jw w;

    if (!m) {
        reply_problem(r, CALLER_UNKNOWN_MODEL,
                      "The model '%s' does not exist; GET /v1/models lists what this key may call",
                      match->value[0]);
        return;
    }
    if (!gate_lets_call(&request_caller(r)->holder, m->id, &why)) {
        reply_problem(r, why.problem, "%s", why.text);
        return;
    }
    jw_init(&w, &json);
    write_model(c, m, &w);
    reply_built(r, &json);
}

static void write_model(const struct catalogue *c, const struct model *m, struct jw *w)
{
    const struct price *price = catalogue_price(c, m->price, clock_now());

    jw_object(w);
    jw_string_member(w, "id", m->id);
    jw_string_member(w, "object", "model");
    jw_int_member(w, "created", m->created_at / NANOS_PER_SECOND);
    jw_span_member(w, "owned_by", (struct span){m->id, strcspn(m->id, "/")});
    jw_key(w, "surfaces");
    jw_array(w);
    for (enum surface s = 0; s < SURFACES; s++)
        if (model_serves(m, s))
            jw_string(w, surface_row(s)->name);
    jw_array_end(w);
    jw_int_member(w, "max_output_tokens", m->max_output_tokens);
    if (price) {
        jw_key(w, "price");
        price_write(price, w);
    }
    jw_string_member(w, "on_disconnect", m->drain_on_disconnect ? "drain" : "cancel");
    jw_key(w, "card");
    jw_raw(w, span_of(m->card_json));
    jw_object_end(w);
}
