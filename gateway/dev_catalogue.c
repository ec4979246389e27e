/* dev_catalogue.c - one creator, one price, the built-in model and, if there is one, the
 * upstream's. conf/catalogue.json is the same with a fixed date, as an example to start from; a
 * test compares them. */
#include "gateway/dev_catalogue.h"

static json_t *model(const char *id, const char *backend, const char *name,
                     const char *description);

json_t *dev_catalogue(const char *since, const char *upstream_model)
{
    json_t *catalogue =
        json_pack("{s:s, s:[{s:s, s:s, s:{s:i, s:s}}], s:[{s:s, s:s, s:{s:s, s:s}}], s:[]}",
                  "currency", DEV_CURRENCY, "creators", "id", DEV_CREATOR, "name", "Demo creator",
                  "contract", "share_bp", 7000, "from", since, "prices", "id", "demo-price", "from",
                  since, "units", "input_tokens", "2.00", "output_tokens", "8.00", "models");
    json_t *models = json_object_get(catalogue, "models");

    json_array_append_new(models, model(DEV_ECHO_MODEL, "echo", DEV_ECHO_MODEL,
                                        "Answers with the words of the last user message."));
    if (upstream_model)
        json_array_append_new(models, model(DEV_UPSTREAM_MODEL, "upstream", upstream_model,
                                            "The model behind --upstream."));
    return catalogue;
}

static json_t *model(const char *id, const char *backend, const char *name, const char *description)
{
    return json_pack("{s:s, s:[{s:s, s:i}], s:[s], s:[{s:s, s:s}], s:s, s:i, s:{s:s}}", "id", id,
                     "owners", "creator", DEV_CREATOR, "weight", 1, "surfaces", "chat", "backends",
                     "name", backend, "model", name, "price", "demo-price", "max_output_tokens",
                     4096, "card", "description", description);
}
