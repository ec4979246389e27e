/* backend.c - the kinds of backend there are, and how a call finds its kind. */
#include "backends/backend.h"

#include "backends/anthropic.h"
#include "backends/echo.h"
#include "backends/openai.h"
#include "backends/translated_call.h"

static const struct backend_kind *find(const char *name, struct err *err);

static const struct backend_kind *const kinds[] = {
    &echo_kind,
    &openai_kind,
    &anthropic_kind,
};

static const char *const dialect_names[DIALECTS] = {
    [DIALECT_OPENAI_CHAT] = "chat",
    [DIALECT_OPENAI_COMPLETIONS] = "completions",
    [DIALECT_OPENAI_EMBEDDINGS] = "embeddings",
    [DIALECT_ANTHROPIC_MESSAGES] = "messages",
};

bool backend_check(const struct backend_config *config, const char **option, struct err *err)
{
    const struct backend_kind *kind = find(config->kind, err);

    *option = "kind";
    return kind && kind->check(config, option, err);
}

struct backend *backend_open(struct loop *loop, const struct backend_config *config,
                             struct err *err)
{
    const struct backend_kind *kind = find(config->kind, err);
    struct backend *b = kind ? kind->open(loop, config, err) : NULL;

    if (b)
        b->loop = loop;
    return b;
}

static const struct backend_kind *find(const char *name, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    err_set(err, ERR_INPUT, "no kind of backend is called \"%s\"", name);
    return NULL;
}

bool backend_kind_is_known(const char *kind)
{
    return find(kind, NULL) != NULL;
}

bool backend_kind_serves(const char *kind, enum dialect dialect)
{
    const struct backend_kind *k = find(kind, NULL);

    return k && (k->speaks & dialect_bit(dialect) || translation_exists(k, dialect));
}

void backend_free(struct backend *b)
{
    if (b)
        b->kind->free(b);
}

struct backend_call *backend_start(struct backend *b, const struct backend_request *request,
                                   const struct backend_handlers *handlers, void *arg,
                                   struct err *err)
{
    if (b->kind->speaks & dialect_bit(request->dialect))
        return b->kind->start(b, request, handlers, arg, err);
    if (translation_exists(b->kind, request->dialect))
        return translated_call_start(b, request, handlers, arg, err);
    err_set(err, ERR_NOT_FOUND, "a backend of kind %s serves no %s", b->kind->name,
            dialect_names[request->dialect]);
    return NULL;
}

void backend_pause(struct backend_call *call)
{
    call->kind->pause(call);
}

void backend_resume(struct backend_call *call)
{
    call->kind->resume(call);
}

void backend_cancel(struct backend_call *call)
{
    call->kind->cancel(call);
}

const struct usage *backend_usage(const struct backend_call *call)
{
    return &call->usage;
}
