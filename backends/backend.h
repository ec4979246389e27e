/* backend.h - one call to one model: whatever the provider speaks, the gateway sees the same few events.
 *
 * A call ends with exactly one on_end, also after backend_cancel(). Usage is the provider's own where it states any (provenance upstream), else counted (one per
 * content chunk) or estimated (bytes / 4). Zero is a value; missing is not zero. Backends know nothing of money or of who is calling. */
#ifndef TOLLGATE_BACKENDS_BACKEND_H
#define TOLLGATE_BACKENDS_BACKEND_H

#include "backends/usage.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"
#include "lib/net/httpc.h"

enum dialect { DIALECT_OPENAI_CHAT };

/* What the caller asked for, as the surface understood it; everything is borrowed until on_end. */
struct backend_request {
    enum dialect dialect;
    struct span body;           /* the caller's JSON, valid */
    struct span model_value;    /* where in `body` the value of "model" stands (spans point into body) */
    const char *model;          /* the backend's own name for it */
    bool stream;
    /* Edits to be spliced: the cap that is set upstream when the caller gave none or a larger one. */
    int64_t output_cap;
    struct span cap_value;      /* the value of max_tokens / max_completion_tokens in body, or null data */
    struct span stream_options; /* the value of stream_options in body, or null data */
    bool usage_wanted;          /* the caller asked for include_usage itself */
    const char *request_id, *traceparent; /* passed on; traceparent may be null */
};

/* Bytes for the client, ready to be sent as they are. */
struct backend_event {
    struct span bytes;
    int64_t content;   /* content chunks among them: what a cut stream is billed by */
    bool closing;      /* from here on to the end: final usage, [DONE], or a plain body: held back until the bill is durable */
};

enum backend_outcome {
    BACKEND_COMPLETE,     /* the provider ended its answer properly */
    BACKEND_REFUSED,      /* it answered with an error before any output: `status`, `body` */
    BACKEND_BROKEN,       /* the connection or the protocol broke: before or after output */
    BACKEND_TIMED_OUT,
    BACKEND_CANCELLED,    /* we stopped it */
};

struct backend_result {
    enum backend_outcome outcome;
    bool accepted;            /* the provider may have begun: no other backend may be tried */
    unsigned status;          /* of a refusal, else 0 */
    struct span body;         /* of a refusal: its body, at most 64 KB */
    struct span retry_after;  /* header value of a refusal, or empty */
    struct usage usage;
    struct err err;           /* of BROKEN and TIMED_OUT */
};

struct backend_handlers {
    void (*on_start)(void *arg, unsigned status, struct span content_type); /* once, before the first event of an answer that is no refusal */
    void (*on_event)(void *arg, const struct backend_event *event);
    void (*on_end)(void *arg, const struct backend_result *result);
};

/* Configuration of one backend, by name; from the config file. */
struct backend_config {
    const char *kind;              /* "echo", "openai" */
    const char *url;               /* "http://127.0.0.1:8000/v1"; null for built-in ones */
    const struct secret *key;      /* null: none is sent */
    const char *ca_file;           /* for https */
    int64_t connect_ms, first_byte_ms, between_bytes_ms;
    int64_t reply_bytes_max;       /* of a plain reply */
    int64_t idle_max, idle_ms;
    int64_t delay_ms;              /* echo: before each word */
};

struct backend;      /* shared by all its calls in a process */
struct backend_call;

/* A kind of backend is one file and one row in backend.c. */
struct backend_kind {
    const char *name;
    const char *about;
    struct backend *(*open)(struct loop *loop, const struct backend_config *config, struct err *err);
    void (*free)(struct backend *b);
    struct backend_call *(*start)(struct backend *b, const struct backend_request *request, const struct backend_handlers *handlers,
                                  void *arg, struct err *err);
    void (*pause)(struct backend_call *call);
    void (*resume)(struct backend_call *call);
    void (*cancel)(struct backend_call *call);
};

struct backend *backend_open(struct loop *loop, const struct backend_config *config, struct err *err) MUST_USE;
void backend_free(struct backend *b);
DEFINE_AUTO(backend)
/* Null: it could not even be begun (nothing was sent). Handlers never run inside. */
struct backend_call *backend_start(struct backend *b, const struct backend_request *request, const struct backend_handlers *handlers,
                                   void *arg, struct err *err) MUST_USE;
void backend_pause(struct backend_call *call);
void backend_resume(struct backend_call *call);
/* on_end comes in a later turn with BACKEND_CANCELLED and the usage known so far. */
void backend_cancel(struct backend_call *call);
/* What is known of the usage while the call runs (upstream's numbers if it stated any already). */
const struct usage *backend_usage(const struct backend_call *call);
bool backend_kind_is_known(const char *kind);

#endif
