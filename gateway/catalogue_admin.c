/* catalogue_admin.c - a catalogue file becomes one record per object that changed; a dry run only shows them. */
#include "gateway/catalogue_admin.h"

#include <stdlib.h>

#include "gateway/catalogue_backends.h"
#include "gateway/catalogue_change.h"
#include "gateway/catalogue_load.h"
#include "gateway/desk.h"
#include "gateway/readiness.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (4 * 1024 * 1024)

/* A file that is being applied. What each change is turned into: a row of the answer and, unless it is a dry run, a record. */
struct application {
    struct console *console;
    struct http_request *request;
    json_t *file;
    bool is_dry;
    char op[OP_TEXT];
    struct desk_batch *batch; /* null: a dry run */
    size_t changes;
    struct buf json;
    struct jw answer;
};

static void on_present(void *arg, struct catalogue *present, const struct err *err);
static void apply(struct application *a, const struct catalogue *present);
static size_t count_objects(const json_t *file);
static bool take_change(void *arg, const struct catalogue_change *change, struct err *err);
static bool add_record(struct application *a, const struct catalogue_change *change,
                       struct err *err);
static void write_model(const struct console *c, const struct model *m, struct jw *w);

void catalogue_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct application *a;
    char dry[8] = "", op[OP_TEXT] = "";
    struct err err;

    (void)match;
    AUTO_JSON file = json_parse(http_request_body(r), &err);
    if (!file) {
        reply_err(r, &err);
        return;
    }
    if (!desk_is_open(c, r))
        return;
    if (c->is_applying || !projection_is_current(c->ledger.projection)) {
        reply_problem(r, GATEWAY_RECOVERING,
                      "changes made before are still on their way to Redis; apply the catalogue "
                      "again in a moment");
        return;
    }
    if (query_get(http_request_query(r), "dry_run", dry, sizeof dry) == QUERY_ABSENT &&
        (query_get(http_request_query(r), "op", op, sizeof op) != QUERY_FOUND ||
         !id_is_valid(span_of(op)))) {
        reply_problem(r, CALLER_BAD_REQUEST, "an operation id is needed: ?op=…");
        return;
    }
    a = xcalloc(1, sizeof *a);
    a->console = c;
    a->file = KEEP(file);
    a->is_dry = op[0] == '\0';
    memcpy(a->op, op, sizeof op);
    buf_init(&a->json, ANSWER_MAX);
    request_keep(r, &a->request);
    c->is_applying = true;
    catalogue_load(c->ledger.redis, on_present, a);
}

static void on_present(void *arg, struct catalogue *present, const struct err *err)
{
    struct application *a = arg;

    a->console->is_applying = false;
    if (a->request && present)
        apply(a, present);
    else if (a->request)
        reply_err(a->request, err);
    catalogue_free(present);
    json_decref(a->file);
    buf_clear(&a->json);
    free(a);
}

static void apply(struct application *a, const struct catalogue *present)
{
    struct http_request *r = a->request;
    struct jw *w = &a->answer;
    struct err err;
    bool applied;

    if (!backends_serve_file(a->console->options, a->file, &err)) {
        reply_err(r, &err);
        return;
    }
    jw_init(w, &a->json);
    if (!a->is_dry)
        a->batch = desk_batch_new(a->console, r);
    jw_object(w);
    jw_bool_member(w, "dry_run", a->is_dry);
    jw_key(w, "changes");
    jw_array(w);
    applied = catalogue_diff(present, a->file, journal_now(a->console->ledger.journal), take_change,
                             a, &err);
    jw_array_end(w);
    if (applied)
        jw_int_member(w, "unchanged", (int64_t)(count_objects(a->file) - a->changes));
    jw_object_end(w);
    if (a->batch)
        desk_batch_end(a->batch, buf_span(&a->json), applied ? NULL : &err);
    else if (applied)
        reply_built(r, &a->json);
    else
        reply_err(r, &err);
}

/* Of a file that was found good. */
static size_t count_objects(const json_t *file)
{
    size_t count = json_array_size(json_object_get(file, "creators")) +
                   json_array_size(json_object_get(file, "prices")) +
                   json_array_size(json_object_get(file, "models"));
    json_t *creator;
    size_t i;

    json_array_foreach(json_object_get(file, "creators"), i, creator) count +=
        json_object_get(creator, "contract") != NULL;
    return count;
}

static bool take_change(void *arg, const struct catalogue_change *change, struct err *err)
{
    struct application *a = arg;

    a->changes++;
    catalogue_change_write(change, &a->answer);
    return !a->batch || add_record(a, change, err);
}

static bool add_record(struct application *a, const struct catalogue_change *change,
                       struct err *err)
{
    AUTO_CLEAR(buf) record = {.max = RECORD_BYTES_MAX};
    AUTO_CLEAR(buf) text = {.max = RECORD_BYTES_MAX};
    struct jw w;

    if (!json_dump(change->body, &text))
        return buf_ok(&text, "a catalogue object", err);
    jw_init(&w, &record);
    jw_object(&w);
    jw_string_member(&w, "object", change->object);
    jw_string_member(&w, "id", change->id);
    jw_int_member(&w, "revision", change->revision);
    jw_time_member(&w, "at", journal_now(a->console->ledger.journal));
    jw_string_member(&w, "op", a->op);
    jw_key(&w, "body");
    jw_raw(&w, buf_span(&text));
    jw_object_end(&w);
    return buf_ok(&record, "a catalogue object", err) &&
           desk_batch_add(
               a->batch,
               &(struct journal_change){RECORD_CATALOGUE, buf_span(&record), partition_catalogue()},
               err);
}

void creators_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct console *c = server;
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    (void)match;
    if (!readiness_has_catalogue(&c->ledger, r))
        return;
    jw_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; i < catalogue_creator_count(c->ledger.catalogue); i++) {
        const struct creator *creator = catalogue_creator_at(c->ledger.catalogue, i);
        const struct contract *contract =
            catalogue_contract(c->ledger.catalogue, creator->id, clock_now());

        jw_object(&w);
        jw_string_member(&w, "creator", creator->id);
        jw_string_member(&w, "name", creator->name);
        if (contract) {
            jw_string_member(&w, "contract", contract->version);
            jw_int_member(&w, "share_bp", contract->share_bp);
        }
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    reply_built(r, &json);
}

void models_list_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct console *c = server;
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    (void)match;
    if (!readiness_has_catalogue(&c->ledger, r))
        return;
    jw_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; i < catalogue_model_count(c->ledger.catalogue); i++)
        write_model(c, catalogue_model_at(c->ledger.catalogue, i), &w);
    jw_array_end(&w);
    jw_object_end(&w);
    reply_built(r, &json);
}

void model_show_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct console *c = server;
    const struct model *m = NULL;
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    if (!readiness_has_catalogue(&c->ledger, r))
        return;
    m = catalogue_model(c->ledger.catalogue, match->value[0]);
    if (!m) {
        reply_problem(r, CALLER_NOT_FOUND, "there is no model '%s'", match->value[0]);
        return;
    }
    jw_init(&w, &json);
    write_model(c, m, &w);
    reply_built(r, &json);
}

static void write_model(const struct console *c, const struct model *m, struct jw *w)
{
    const struct price *price = catalogue_price(c->ledger.catalogue, m->price, clock_now());

    jw_object(w);
    jw_string_member(w, "model", m->id);
    jw_key(w, "owners");
    jw_array(w);
    for (size_t i = 0; i < m->owner_count; i++) {
        jw_object(w);
        jw_string_member(w, "creator", m->owners[i].id);
        jw_int_member(w, "weight", m->owners[i].weight);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_key(w, "backends");
    jw_array(w);
    for (size_t i = 0; i < m->backend_count; i++) {
        jw_object(w);
        jw_string_member(w, "name", m->backends[i].name);
        jw_string_member(w, "model", m->backends[i].model);
        jw_int_member(w, "weight", m->backends[i].weight);
        jw_int_member(w, "priority", m->backends[i].priority);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_int_member(w, "max_output_tokens", m->max_output_tokens);
    jw_string_member(w, "on_disconnect", m->drain_on_disconnect ? "drain" : "cancel");
    if (price) {
        jw_key(w, "price");
        price_write(price, w);
    }
    jw_key(w, "card");
    jw_raw(w, span_of(m->card_json));
    jw_object_end(w);
}
