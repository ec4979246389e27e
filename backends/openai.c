/* openai.c - where the calls of one backend go: its URL taken apart, its key, its pool of connections. */
#include "backends/openai.h"

#include <stdlib.h>
#include <string.h>

#include "backends/anthropic_reply.h"
#include "backends/backend_url.h"
#include "backends/http_call.h"
#include "lib/base/mem.h"
#include "lib/net/tls.h"

#define HEAD_BYTES_MAX  65536
#define EVENT_BYTES_MAX 65536 /* where the config states nothing */

struct openai {
    struct backend base;
    struct http_backend server;
    char *origin; /* "http://host:port" */
    struct tls_context *tls;
};

static struct backend *openai_open(struct loop *loop, const struct backend_config *config,
                                   struct err *err);
static void openai_free(struct openai *o);
DEFINE_AUTO(openai)
static struct openai *prepare(const struct backend_config *config, const char **option,
                              struct err *err);
static void set_targets(struct openai *o, const char *path);
static bool take_key(struct openai *o, const struct secret *key, struct err *err);
static bool pool_open(struct openai *o, const struct backend_config *config, struct err *err);

const struct backend_kind openai_kind = {
    .name = "openai",
    .about = "any server that speaks OpenAI's chat completions, completions or embeddings over "
             "HTTP or HTTPS",
    .speaks = 1u << DIALECT_OPENAI_CHAT | 1u << DIALECT_OPENAI_COMPLETIONS |
              1u << DIALECT_OPENAI_EMBEDDINGS,
    .check = openai_backend_check,
    .open = openai_open,
    .free = openai_backend_free,
    .start = openai_backend_start,
    .pause = http_call_pause,
    .resume = http_call_resume,
    .cancel = http_call_cancel,
};

static struct backend *openai_open(struct loop *loop, const struct backend_config *config,
                                   struct err *err)
{
    return openai_backend_open(&openai_kind, loop, config, err);
}

bool openai_backend_check(const struct backend_config *config, const char **option, struct err *err)
{
    AUTO(openai) o = prepare(config, option, err);

    return o != NULL;
}

struct backend *openai_backend_open(const struct backend_kind *kind, struct loop *loop,
                                    const struct backend_config *config, struct err *err)
{
    const char *option;
    AUTO(openai) o = prepare(config, &option, err);

    if (!o)
        return NULL;
    o->base.kind = kind;
    o->server.loop = loop;
    o->server.head_bytes_max = HEAD_BYTES_MAX;
    o->server.reply_bytes_max = (size_t)config->reply_bytes_max;
    o->server.event_bytes_max =
        config->event_bytes_max > 0 ? (size_t)config->event_bytes_max : EVENT_BYTES_MAX;
    o->server.total_ms = config->total_ms;
    o->server.reply_scanner = openai_reply_scanner();
    o->server.message_scanner = anthropic_reply_scanner();
    return pool_open(o, config, err) ? &KEEP(o)->base : NULL;
}

/* All that can be wrong with what the config says and its files hold. */
static struct openai *prepare(const struct backend_config *config, const char **option,
                              struct err *err)
{
    AUTO(openai) o = xcalloc(1, sizeof *o);
    struct backend_url url = {.path = ""};

    *option = "url";
    if (!config->url)
        err_set(err, ERR_INPUT, "it has no url");
    if (!config->url || !backend_url_parse(config->url, &url, err))
        return NULL;
    o->origin = url.origin;
    set_targets(o, url.path);
    *option = "key_file";
    if (!take_key(o, config->key, err))
        return NULL;
    *option = "ca_file";
    if (url.is_tls && !(o->tls = tls_client_new(config->ca_file, err)))
        return NULL;
    return KEEP(o);
}

static void set_targets(struct openai *o, const char *path)
{
    static const char *const names[DIALECTS] = {
        [DIALECT_OPENAI_CHAT] = "chat/completions",
        [DIALECT_OPENAI_COMPLETIONS] = "completions",
        [DIALECT_OPENAI_EMBEDDINGS] = "embeddings",
        [DIALECT_ANTHROPIC_MESSAGES] = "messages",
    };
    const char *slash = path[0] && path[strlen(path) - 1] == '/' ? "" : "/";

    for (enum dialect d = 0; d < DIALECTS; d++)
        o->server.targets[d] = xasprintf("%s%s%s", path, slash, names[d]);
}

/* What is sent in a header must not be able to end it. */
static bool take_key(struct openai *o, const struct secret *key, struct err *err)
{
    struct span text;

    if (!key)
        return true;
    text = secret_reveal(key);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return err_set(err, ERR_INPUT,
                           "the backend's key has a blank, a second line or a character beyond "
                           "ASCII in it: its file has the key alone, on one line");
    o->server.key = *key;
    o->server.has_key = true;
    return true;
}

static bool pool_open(struct openai *o, const struct backend_config *config, struct err *err)
{
    const struct httpc_origin origin = {.url = o->origin, .tls = o->tls, .names = config->names};
    const struct httpc_limits limits = {
        .idle_max = (size_t)config->idle_max,
        .idle_ms = config->idle_ms,
        .connect_ms = config->connect_ms,
        .first_byte_ms = config->first_byte_ms,
        .between_bytes_ms = config->between_bytes_ms,
        .head = {.head_bytes_max = HEAD_BYTES_MAX},
    };

    o->server.http = httpc_new(o->server.loop, &origin, &limits, err);
    return o->server.http != NULL;
}

void openai_backend_free(struct backend *b)
{
    openai_free((struct openai *)b);
}

static void openai_free(struct openai *o)
{
    if (!o)
        return;
    httpc_free(o->server.http);
    jscan_free(o->server.reply_scanner);
    jscan_free(o->server.message_scanner);
    tls_context_free(o->tls);
    secret_clear(&o->server.key);
    free(o->origin);
    for (enum dialect d = 0; d < DIALECTS; d++)
        free(o->server.targets[d]);
    free(o);
}

struct backend_call *openai_backend_start(struct backend *b, const struct backend_request *request,
                                          const struct backend_handlers *handlers, void *arg,
                                          struct err *err)
{
    const struct openai *o = (struct openai *)b;

    return http_call_start(b->kind, &o->server, request, handlers, arg, err);
}
