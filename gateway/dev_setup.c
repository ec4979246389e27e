/* dev_setup.c - steps that are each tried until they succeed: processes start, Redis may be away, a
 * worker may be restarting. Every operation has an id that was kept before its first attempt, so
 * that none counts twice. */
#include "gateway/dev_setup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/admin_client.h"
#include "gateway/dev_catalogue.h"
#include "gateway/fetch.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define PAUSE_MS        100
#define TELL_FIRST_MS   1000  /* after so long a wait is explained */
#define TELL_MS         10000 /* and then this often */
#define CALL_MS         30000
#define UPSTREAM_MS     60000 /* for it to be there */
#define REPLY_BYTES_MAX (4 << 20)

struct setup {
    struct dev_machine *machine;
    struct admin_client *admin;
    struct tls_context *tls;
    char *api_url, *console_url;
    int64_t upstream_until_ms; /* 0: it has not been waited for */
};

static bool run_steps(struct setup *s);
static bool try_until_done(struct setup *s, const char *what,
                           bool (*step)(struct setup *s, struct err *err));
static bool prepare(struct setup *s, struct err *err);
static bool find_upstream_model(struct setup *s, struct err *err);
static void tell_of_upstream(const struct dev_machine *m, const struct err *why);
static bool ask_upstream(const struct dev_machine *m, json_t **reply, struct err *err);
static bool first_model(const json_t *reply, const char **id, struct err *err);
static bool apply_catalogue(struct setup *s, struct err *err);
static bool open_account(struct setup *s, struct err *err);
static bool credit_account(struct setup *s, struct err *err);
static bool forget_ended_keys(struct setup *s, struct err *err);
static bool has_ended(const json_t *listed, const char *key);
static void forget(char **key, char **op);
static bool make_key(struct setup *s, struct err *err);
static bool make_creator_key(struct setup *s, struct err *err);
static bool make_key_for(struct setup *s, const char *kind, const char *owner, const char *op,
                         char **key, struct err *err);
static bool change(struct setup *s, const char *target, const json_t *body, json_t **reply,
                   struct err *err);
static bool see_ready(struct setup *s, struct err *err);
static bool see_models(struct setup *s, struct err *err);
static bool get_json(struct fetch *f, const char *target, const char *head_lines, json_t **reply,
                     struct err *err);
static bool lists_model(const json_t *reply, const char *id);
static char *bearer(const char *key);
static char *url_of(const char *address);
static void print_ready(const struct setup *s);
static void setup_clear(struct setup *s);

int dev_setup_run(void *machine)
{
    struct setup s = {.machine = machine};
    bool done = run_steps(&s);

    if (done)
        print_ready(&s);
    setup_clear(&s);
    return done ? 0 : 1;
}

static bool run_steps(struct setup *s)
{
    static const struct {
        const char *what;
        bool (*step)(struct setup *s, struct err *err);
    } steps[] = {
        {"the command line's socket", prepare},
        {"the upstream's models", find_upstream_model},
        {"the demo catalogue", apply_catalogue},
        {"the demo account", open_account},
        {"the demo account's credit", credit_account},
        {"keys that were revoked", forget_ended_keys},
        {"the demo account's key", make_key},
        {"the demo creator's key", make_creator_key},
        {"the API", see_ready},
        {"the demo model", see_models},
    };

    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (!try_until_done(s, steps[i].what, steps[i].step))
            return false;
    return true;
}

/* Waits for as long as it takes: the machine is up and an operator can see why it is not ready. */
static bool try_until_done(struct setup *s, const char *what,
                           bool (*step)(struct setup *s, struct err *err))
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * NANOS_PER_MS};
    int64_t tell_at = clock_monotonic_ms() + TELL_FIRST_MS;
    struct err err;

    while (!step(s, &err)) {
        if (admin_client_is_refusal(err.code)) {
            log_error("setup_failed", "%s: %s", what, err.text);
            return false;
        }
        if (clock_monotonic_ms() >= tell_at) {
            log_warn("setup_waits", "%s: %s", what, err.text);
            tell_at = clock_monotonic_ms() + TELL_MS;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

static bool prepare(struct setup *s, struct err *err)
{
    const struct dev_machine *m = s->machine;

    setup_clear(s);
    s->api_url = url_of(m->listeners.api_address);
    s->console_url = url_of(m->listeners.console_address);
    s->tls = tls_client_new(m->ca, err);
    if (!s->tls)
        return false;
    s->admin = admin_client_connect(m->dir, err);
    return s->admin != NULL;
}

/* The first of GET {url}/models, unless it is known. */
static bool find_upstream_model(struct setup *s, struct err *err)
{
    struct dev_state *state = &s->machine->state;
    AUTO_JSON reply = NULL;
    const char *id = NULL;

    if (!state->upstream || state->upstream_model)
        return true;
    if (!ask_upstream(s->machine, &reply, err)) {
        if (admin_client_is_refusal(err->code))
            return false;
        if (!s->upstream_until_ms) {
            s->upstream_until_ms = clock_monotonic_ms() + UPSTREAM_MS;
            tell_of_upstream(s->machine, err);
        }
        if (clock_monotonic_ms() >= s->upstream_until_ms)
            return err_set(err, ERR_NOT_FOUND,
                           "%s has not answered within %d s: start the model "
                           "server first, or give another --upstream",
                           state->upstream, UPSTREAM_MS / 1000);
        return false;
    }
    if (!first_model(reply, &id, err))
        return false;
    dev_state_set(&state->upstream_model, id);
    return dev_state_save(state, err);
}

static void tell_of_upstream(const struct dev_machine *m, const struct err *why)
{
    log_warn(
        "setup_waits",
        "waiting at most %d s for the model server at %s (%s): start it, or stop this and give "
        "another --upstream",
        UPSTREAM_MS / 1000, m->state.upstream, why->text);
}

static bool ask_upstream(const struct dev_machine *m, json_t **reply, struct err *err)
{
    const char *url = m->state.upstream, *path = strchr(strstr(url, "://") + 3, '/');
    AUTO_STRING origin = path ? xstrndup(url, (size_t)(path - url)) : xstrdup(url);
    AUTO_STRING target = xasprintf("%s/models", path ? path : "");
    AUTO_STRING authorization = NULL;
    AUTO_CLEAR(secret) key = {0};
    AUTO(tls_context) tls = NULL;
    AUTO(fetch) fetch = NULL;

    if (file_exists(m->upstream_key)) {
        if (!secret_read_file(&key, m->upstream_key, err))
            return false;
        authorization = xasprintf("authorization: Bearer %.*s\r\n", SPAN_FMT(secret_reveal(&key)));
    }
    if (strncmp(url, "https://", 8) == 0 && !(tls = tls_client_new(NULL, err)))
        return false;
    fetch = fetch_new(origin, tls, err);
    return fetch && get_json(fetch, target, authorization, reply, err);
}

static bool first_model(const json_t *reply, const char **id, struct err *err)
{
    const json_t *first = json_array_get(json_object_get(reply, "data"), 0);
    const json_t *found = json_object_get(first, "id");

    if (!json_is_string(found))
        return err_set(err, ERR_INPUT, "it lists no model; name one with --upstream-model");
    *id = json_string_value(found);
    return true;
}

static bool apply_catalogue(struct setup *s, struct err *err)
{
    const struct dev_state *state = &s->machine->state;
    AUTO_JSON body = dev_catalogue(state->since, state->upstream ? state->upstream_model : NULL);
    char op[32], target[96];

    rand_text(op, 24);
    snprintf(target, sizeof target, "/admin/v1/catalogue?op=op_%s", op);
    return change(s, target, body, NULL, err);
}

static bool open_account(struct setup *s, struct err *err)
{
    AUTO_JSON body = json_pack("{s:s, s:s, s:s, s:s}", "id", DEV_ACCOUNT, "currency", DEV_CURRENCY,
                               "mode", "prepaid", "op", s->machine->state.account_op);

    return s->machine->state.key || change(s, "/admin/v1/accounts", body, NULL, err);
}

static bool credit_account(struct setup *s, struct err *err)
{
    AUTO_JSON body = json_pack("{s:s, s:s, s:s}", "amount", DEV_CREDIT, "reason", "demo credit",
                               "op", s->machine->state.credit_op);

    return s->machine->state.key ||
           change(s, "/admin/v1/accounts/" DEV_ACCOUNT "/credit", body, NULL, err);
}

/* A machine whose key was revoked has a new one when it starts again: with the old one no call
 * would succeed. */
static bool forget_ended_keys(struct setup *s, struct err *err)
{
    struct dev_state *state = &s->machine->state;
    AUTO_CLEAR(admin_reply) got = {.json = NULL};
    struct admin_request request = {
        .method = "GET", .target = "/admin/v1/keys", .timeout_ms = CALL_MS};

    if (!state->key && !state->creator_key)
        return true;
    if (!admin_client_call(s->admin, &request, &got, err))
        return false;
    if (has_ended(got.json, state->key))
        forget(&state->key, &state->key_op);
    if (has_ended(got.json, state->creator_key))
        forget(&state->creator_key, &state->creator_key_op);
    return true;
}

static bool has_ended(const json_t *listed, const char *key)
{
    const char *public_id, *state;
    const json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(listed, "data"), i, entry)
    {
        public_id = json_string_value(json_object_get(entry, "public_id"));
        state = json_string_value(json_object_get(entry, "state"));
        if (key && public_id && strstr(key, public_id))
            return state && strcmp(state, "active") != 0;
    }
    return false;
}

/* What replaces it is another operation. Both are kept when the new key is there. */
static void forget(char **key, char **op)
{
    dev_state_set(key, NULL);
    dev_state_new_operation(op);
}

static bool make_key(struct setup *s, struct err *err)
{
    struct dev_state *state = &s->machine->state;

    return make_key_for(s, "account", DEV_ACCOUNT, state->key_op, &state->key, err);
}

static bool make_creator_key(struct setup *s, struct err *err)
{
    struct dev_state *state = &s->machine->state;

    return make_key_for(s, "creator", DEV_CREATOR, state->creator_key_op, &state->creator_key, err);
}

/* A key that is kept was made when everything before it was done. */
static bool make_key_for(struct setup *s, const char *kind, const char *owner, const char *op,
                         char **key, struct err *err)
{
    AUTO_JSON body = json_pack("{s:s, s:s}", kind, owner, "op", op);
    AUTO_JSON reply = NULL;
    const char *secret;

    if (*key)
        return true;
    if (!change(s, "/admin/v1/keys", body, &reply, err) ||
        !json_get_string(reply, "secret", &secret, "the new key", err))
        return false;
    dev_state_set(key, secret);
    return dev_state_save(&s->machine->state, err);
}

static bool change(struct setup *s, const char *target, const json_t *body, json_t **reply,
                   struct err *err)
{
    AUTO_CLEAR(admin_reply) got = {.json = NULL};
    struct admin_request request = {
        .method = "POST", .target = target, .body = body, .timeout_ms = CALL_MS};

    if (!admin_client_call(s->admin, &request, &got, err))
        return false;
    if (reply)
        *reply = KEEP(got.json);
    return true;
}

static bool see_ready(struct setup *s, struct err *err)
{
    AUTO(fetch) fetch = fetch_new(s->api_url, s->tls, err);
    AUTO_CLEAR(fetch_answer) answer = {.body = {.max = REPLY_BYTES_MAX}};
    struct fetch_request request = {.method = "GET", .target = "/readyz", .timeout_ms = CALL_MS};

    if (!fetch || !fetch_call(fetch, &request, &answer, err))
        return fetch ? err_set(err, ERR_UNAVAILABLE, "%s: %s", s->api_url, err->text) : false;
    return answer.status == 200 || err_set(err, ERR_UNAVAILABLE, "/readyz says %u: %.200s",
                                           answer.status, answer.body.len ? answer.body.data : "");
}

static bool see_models(struct setup *s, struct err *err)
{
    AUTO(fetch) fetch = fetch_new(s->api_url, s->tls, err);
    AUTO_STRING authorization = bearer(s->machine->state.key);
    AUTO_JSON reply = NULL;

    if (!fetch || !get_json(fetch, "/v1/models", authorization, &reply, err))
        return err_set(err, ERR_UNAVAILABLE, "%s", err->text);
    return (lists_model(reply, DEV_ECHO_MODEL) &&
            (!s->machine->state.upstream || lists_model(reply, DEV_UPSTREAM_MODEL))) ||
           err_set(err, ERR_UNAVAILABLE, "the API does not list it yet");
}

/* A 4xx is ERR_DENIED: asking again does not help. */
static bool get_json(struct fetch *f, const char *target, const char *head_lines, json_t **reply,
                     struct err *err)
{
    AUTO_CLEAR(fetch_answer) answer = {.body = {.max = REPLY_BYTES_MAX}};
    struct fetch_request request = {
        .method = "GET", .target = target, .head_lines = head_lines, .timeout_ms = CALL_MS};

    if (!fetch_call(f, &request, &answer, err))
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", target, err->text);
    if (answer.status != 200)
        return err_set(err, answer.status / 100 == 4 ? ERR_DENIED : ERR_UNAVAILABLE,
                       "GET %s was answered with %u", target, answer.status);
    *reply = json_parse(buf_span(&answer.body), err);
    return *reply != NULL;
}

static bool lists_model(const json_t *reply, const char *id)
{
    const json_t *model, *found;
    size_t i;

    json_array_foreach(json_object_get(reply, "data"), i, model)
    {
        found = json_object_get(model, "id");
        if (json_is_string(found) && strcmp(json_string_value(found), id) == 0)
            return true;
    }
    return false;
}

static char *bearer(const char *key)
{
    return xasprintf("authorization: Bearer %s\r\n", key);
}

/* An address to call: where it listens on all, this machine's own, which is in the certificate. */
static char *url_of(const char *address)
{
    if (strncmp(address, "0.0.0.0:", 8) == 0)
        return xasprintf("https://127.0.0.1:%s", address + 8);
    if (strncmp(address, "[::]:", 5) == 0)
        return xasprintf("https://[::1]:%s", address + 5);
    return xasprintf("https://%s", address);
}

static void print_ready(const struct setup *s)
{
    const struct dev_machine *m = s->machine;
    AUTO_STRING redis = xasprintf("unix:%s", m->redis_socket);
    AUTO_CLEAR(buf) line = {.max = REPLY_BYTES_MAX};
    struct jw w;

    jw_init(&w, &line);
    jw_object(&w);
    jw_string_member(&w, "api", s->api_url);
    jw_string_member(&w, "console", s->console_url);
    jw_string_member(&w, "ca", m->ca);
    jw_string_member(&w, "config", m->config);
    jw_string_member(&w, "redis", redis);
    jw_string_member(&w, "account", DEV_ACCOUNT);
    jw_string_member(&w, "key", m->state.key);
    jw_string_member(&w, "creator", DEV_CREATOR);
    jw_key(&w, "models");
    jw_array(&w);
    jw_string(&w, DEV_ECHO_MODEL);
    if (m->state.upstream)
        jw_string(&w, DEV_UPSTREAM_MODEL);
    jw_array_end(&w);
    jw_span_member(&w, "operator_token", secret_reveal(&m->installation.operator_token));
    jw_string_member(&w, "creator_token", m->state.creator_key);
    jw_span_member(&w, "finance_token", secret_reveal(&m->installation.finance_token));
    jw_int_member(&w, "pid", getppid());
    jw_object_end(&w);
    printf("%.*s\n", SPAN_FMT(buf_span(&line)));
    fflush(stdout);
}

static void setup_clear(struct setup *s)
{
    admin_client_free(s->admin);
    s->admin = NULL;
    tls_context_free(s->tls);
    s->tls = NULL;
    free(s->api_url);
    free(s->console_url);
    s->api_url = s->console_url = NULL;
}
