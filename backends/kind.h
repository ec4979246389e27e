/* kind.h - what every kind of backend is made of: the call's request, its events, its result, and the row of functions
 * that a kind fills in. Included by the kinds; everybody else includes backend.h.
 *
 * Embedding: a kind's own backend and call are structs that begin with `struct backend` and `struct backend_call`, so a
 * pointer to one is a pointer to the other. The kind's open() and start() set `kind` to the kind's row, and it keeps
 * `usage` up to date from then on: before each on_event it is what is known including that event. */
#ifndef TOLLGATE_BACKENDS_KIND_H
#define TOLLGATE_BACKENDS_KIND_H

#include "backends/usage.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"
#include "lib/net/names.h"

#define BACKEND_REFUSAL_MAX 65536 /* bytes of a refusal's body that are kept */

/* How a call's body, its answer and its errors are worded. */
enum dialect {
    DIALECT_OPENAI_CHAT,
    DIALECT_OPENAI_COMPLETIONS,
    DIALECT_OPENAI_EMBEDDINGS,
    DIALECT_ANTHROPIC_MESSAGES,
    DIALECTS
};
static inline unsigned dialect_bit(enum dialect d)
{
    return 1u << d;
}

/* What the caller asked for, as the surface understood it; everything is borrowed until on_end. */
struct backend_request {
    enum dialect dialect;
    struct span body;        /* the caller's JSON, valid */
    struct span model_value; /* where in `body` the value of "model" stands (quotes included) */
    const char *model;       /* the backend's own name for it */
    bool stream;
    int64_t choices; /* answers that are asked for; 0 is taken for 1 */
    /* Edits to be spliced: the cap that is set upstream when the caller gave none or a larger one; 0: none is set (embeddings have none). */
    int64_t output_cap;
    struct span cap_value; /* value of max_tokens / max_completion_tokens in body, or null data */
    struct span stream_options;           /* the value of stream_options in body, or null data */
    bool usage_wanted;                    /* the caller asked for include_usage itself */
    const char *request_id, *traceparent; /* passed on; traceparent may be null */
};

/* Bytes for the client, ready to be sent as they are. A stream's event is whole unless it is longer than
 * event_bytes_max: then it comes in parts, of which the last ends the event. */
struct backend_event {
    struct span bytes;
    int64_t content; /* content chunks among them: what a cut stream is billed by */
    bool closing;    /* from here on to the end: final usage, [DONE], or a plain body: held back
                        until the bill is durable. The usage is final at on_end */
};

enum backend_outcome {
    BACKEND_COMPLETE, /* the provider ended its answer properly */
    BACKEND_REFUSED,  /* it answered with an error before any output: `status`, `body` */
    BACKEND_BROKEN,   /* the connection or the protocol broke: before or after output */
    BACKEND_TIMED_OUT,
    BACKEND_CANCELLED, /* we stopped it */
};

struct backend_result {
    enum backend_outcome outcome;
    bool accepted;          /* the provider may have begun: no other backend may be tried */
    unsigned status;        /* of a refusal, else 0 */
    struct span body;       /* of a refusal: its body, at most BACKEND_REFUSAL_MAX */
    int64_t retry_after_ms; /* that a refusal asks for; 0: it asks for nothing */
    struct usage usage;     /* all missing when the provider cannot have begun or refused */
    struct err err;         /* of BROKEN and TIMED_OUT */
};

struct backend_handlers {
    /* Once, before the first event of an answer that is no refusal. */
    void (*on_start)(void *arg, unsigned status, struct span content_type);
    void (*on_event)(void *arg, const struct backend_event *event);
    void (*on_end)(void *arg, const struct backend_result *result);
};

/* Configuration of one backend, by name; from the config file. Copied where it is kept. */
struct backend_config {
    const char *kind;         /* "echo", "openai" */
    const char *url;          /* "http://127.0.0.1:8000/v1"; null for built-in ones */
    const struct secret *key; /* null: none is sent */
    const char *ca_file;      /* for https */
    struct names
        *names; /* looks up the url's host and outlives the backend; null: opening does, blocking */
    int64_t connect_ms, first_byte_ms, between_bytes_ms;
    int64_t total_ms;        /* of one call; 0: no end is set */
    int64_t reply_bytes_max; /* of a plain reply */
    int64_t event_bytes_max; /* longer events of a stream pass in parts; 0: 64 KB */
    int64_t idle_max, idle_ms;
    int64_t delay_ms; /* echo: before each word */
};

struct backend_kind;
struct backend { /* shared by all its calls in a process */
    const struct backend_kind *kind;
    struct loop *loop; /* set by backend_open() */
};
struct backend_call {
    const struct backend_kind *kind;
    struct usage usage;
};

/* A kind of backend is one file and one row in backend.c. The promises are those of backend.h. */
struct backend_kind {
    const char *name;
    const char *about;
    unsigned speaks; /* dialect_bit() of each that it takes */
    bool (*check)(const struct backend_config *config, const char **option, struct err *err);
    struct backend *(*open)(struct loop *loop, const struct backend_config *config,
                            struct err *err);
    void (*free)(struct backend *b);
    struct backend_call *(*start)(struct backend *b, const struct backend_request *request,
                                  const struct backend_handlers *handlers, void *arg,
                                  struct err *err);
    void (*pause)(struct backend_call *call);
    void (*resume)(struct backend_call *call);
    void (*cancel)(struct backend_call *call);
};

#endif
