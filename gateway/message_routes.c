/* message_routes.c - no tokenizer is at hand for whatever model is asked about, so the count says that it is an estimate. */
#include "gateway/message_routes.h"

#include "gateway/key_gate.h"
#include "gateway/readiness.h"
#include "gateway/service.h"
#include "lib/base/jscan.h"

#define BYTES_PER_TOKEN 4

enum field { MODEL, MESSAGES };

static const char *const paths[] = {[MODEL] = "model", [MESSAGES] = "messages"};

static bool read_model(struct span body, char model[MODEL_TEXT], struct err *err);

void count_tokens_post(void *server, struct http_request *r, const struct route_match *match)
{
    const struct server *s = server;
    struct span body = http_request_body(r);
    AUTO_CLEAR(buf) json = {.max = 256};
    char model[MODEL_TEXT];
    struct gate_refusal why;
    const struct model *m;
    struct err err;
    struct jw w;

    (void)match;
    if (!read_model(body, model, &err)) {
        reply_problem(r, CALLER_BAD_REQUEST, "%s", err.text);
        return;
    }
    if (!readiness_has_catalogue(&s->ledger, r))
        return;
    m = catalogue_model(s->ledger.catalogue, model);
    if (!m || !model_serves(m, SURFACE_MESSAGES)) {
        reply_problem(r, m ? CALLER_WRONG_SURFACE : CALLER_UNKNOWN_MODEL,
                      "There is no model '%s' that is served at /v1/messages; GET /v1/models lists "
                      "what this key may call",
                      model);
        return;
    }
    if (!gate_lets_call(&request_caller(r)->holder, m->id, &why)) {
        reply_problem(r, why.problem, "%s", why.text);
        return;
    }
    jw_init(&w, &json);
    jw_object(&w);
    jw_int_member(&w, "input_tokens", (int64_t)body.len / BYTES_PER_TOKEN);
    jw_string_member(&w, "provenance", "estimated");
    jw_object_end(&w);
    reply_built(r, &json);
}

static bool read_model(struct span body, char model[MODEL_TEXT], struct err *err)
{
    AUTO(jscan) scanner = jscan_new(paths, ARRAY_LEN(paths));
    const struct jscan_hit *hit = jscan_get(scanner, MODEL);

    if (jscan_feed(scanner, body.data, body.len, err) == JSCAN_BAD || !jscan_end(scanner, err))
        return err_context(err, "body");
    if (hit->seen != 1 || hit->type != JSCAN_STRING || hit->text_cut ||
        !span_copy((struct span){hit->text, hit->text_len}, model, MODEL_TEXT))
        return err_set(err, ERR_INPUT, "'model' is required, once: the id of a model");
    return jscan_get(scanner, MESSAGES)->type == JSCAN_ARRAY ||
           err_set(err, ERR_INPUT, "'messages' is required: an array");
}
