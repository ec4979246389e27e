/* model_routes.c - the catalogue as clients see it: {"id","object":"model","created","owned_by",…}, or for who speaks Anthropic's
 * dialect {"id","type":"model","display_name","created_at",…}, both with surfaces, price and card. */
#include "gateway/model_routes.h"

#include "gateway/backend_choice.h"
#include "gateway/key_gate.h"
#include "gateway/readiness.h"
#include "gateway/service.h"

#define LIST_BYTES_MAX (4 * 1024 * 1024)

static bool may_be_called(const struct server *server, const struct model *m);
static bool is_listed(const struct server *server, const struct http_request *r,
                      const struct model *m);
static void begin_list(const struct http_request *r, struct jw *w);
static void end_list(const struct server *server, const struct http_request *r, struct jw *w);
static void write_model(const struct http_request *r, const struct catalogue *c,
                        const struct model *m, struct jw *w);
static void write_identity(const struct http_request *r, const struct model *m, struct jw *w);

void models_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct server *s = server;
    const struct catalogue *c = s->ledger.catalogue;
    AUTO_CLEAR(buf) json = {.max = LIST_BYTES_MAX};
    struct jw w;

    (void)match;
    if (!readiness_has_catalogue(&s->ledger, r))
        return;
    jw_init(&w, &json);
    begin_list(r, &w);
    for (size_t i = 0; i < catalogue_model_count(c); i++)
        if (is_listed(s, r, catalogue_model_at(c, i)))
            write_model(r, c, catalogue_model_at(c, i), &w);
    end_list(s, r, &w);
    reply_built(r, &json);
}

/* One whose price or contract begins later, or whose backends are all unknown here, could not be. */
static bool may_be_called(const struct server *server, const struct model *m)
{
    const struct catalogue *c = server->ledger.catalogue;
    int64_t now = clock_now();

    if (!catalogue_price(c, m->price, now) || !catalogue_contract(c, m->owners[0].id, now))
        return false;
    for (size_t i = 0; i < m->backend_count; i++)
        if (backend_find(server, m->backends[i].name))
            return true;
    return false;
}

/* And those that the key may not call are none of its holder's business. */
static bool is_listed(const struct server *server, const struct http_request *r,
                      const struct model *m)
{
    return may_be_called(server, m) &&
           key_access_has_model(request_caller(r)->holder.access, m->id);
}

static void begin_list(const struct http_request *r, struct jw *w)
{
    jw_object(w);
    if (error_shape_of(r) == ERROR_OPENAI)
        jw_string_member(w, "object", "list");
    jw_key(w, "data");
    jw_array(w);
}

static void end_list(const struct server *server, const struct http_request *r, struct jw *w)
{
    const struct catalogue *c = server->ledger.catalogue;
    const struct model *first = NULL, *last = NULL;

    jw_array_end(w);
    for (size_t i = 0; i < catalogue_model_count(c); i++) {
        if (!is_listed(server, r, catalogue_model_at(c, i)))
            continue;
        last = catalogue_model_at(c, i);
        first = first ? first : last;
    }
    if (error_shape_of(r) == ERROR_ANTHROPIC) {
        jw_bool_member(w, "has_more", false);
        jw_key(w, "first_id");
        first ? jw_string(w, first->id) : jw_null(w);
        jw_key(w, "last_id");
        last ? jw_string(w, last->id) : jw_null(w);
    }
    jw_object_end(w);
}

void model_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct server *s = server;
    AUTO_CLEAR(buf) json = {.max = LIST_BYTES_MAX};
    const struct model *m;
    struct gate_refusal why;
    struct jw w;

    if (!readiness_has_catalogue(&s->ledger, r))
        return;
    m = catalogue_model(s->ledger.catalogue, match->value[0]);
    if (!m || !may_be_called(s, m)) {
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
    write_model(r, s->ledger.catalogue, m, &w);
    reply_built(r, &json);
}

static void write_identity(const struct http_request *r, const struct model *m, struct jw *w)
{
    jw_string_member(w, "id", m->id);
    if (error_shape_of(r) == ERROR_ANTHROPIC) {
        jw_string_member(w, "type", "model");
        jw_string_member(w, "display_name", m->id);
        jw_time_member(w, "created_at", m->created_at);
        jw_string_member(w, "lifecycle", "active");
        jw_int_member(w, "max_tokens", m->max_output_tokens);
    } else {
        jw_string_member(w, "object", "model");
        jw_int_member(w, "created", m->created_at / NANOS_PER_SECOND);
    }
    jw_span_member(w, "owned_by", (struct span){m->id, strcspn(m->id, "/")});
}

static void write_model(const struct http_request *r, const struct catalogue *c,
                        const struct model *m, struct jw *w)
{
    const struct price *price = catalogue_price(c, m->price, clock_now());

    jw_object(w);
    write_identity(r, m, w);
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
