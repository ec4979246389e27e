/* openai_fixture.h - for tests of the backend "openai": one call to a scripted server, and what came of it. */
#ifndef TOLLGATE_TESTS_BACKENDS_OPENAI_FIXTURE_H
#define TOLLGATE_TESTS_BACKENDS_OPENAI_FIXTURE_H

#include "backends/backend.h"
#include "tests/backends/upstream.h"

#define WAIT_MS 60000

/* What a server may say. */
#define REPLY                                                                                     \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello, you\"}," \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,"       \
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}"
#define REPLY_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
#define SSE_HEAD \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin:\r\n"
#define UNTIL_CLOSE "Connection: close\r\n\r\n"
#define CHUNK(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH      "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE        "data: [DONE]\n\n"

struct call {
    struct loop *loop;
    struct backend *backend;
    struct backend_call *call;
    struct buf bytes;
    struct buf refusal;
    int starts, events, ends, closing;
    int64_t content;
    size_t closing_at;
    unsigned status;
    char content_type[64];
    bool ended;
    struct backend_result result;
    int cancel_at, pause_at; /* in that event, counted from one */
};

extern const char body[]; /* that every call asks with */
extern const struct backend_handlers call_handlers;

struct backend_config config_of(const char *url); /* borrows it */
struct backend_request asking(bool stream);
void call_open(struct call *c, const struct backend_config *config);
void call_start(struct call *c, const struct backend_request *r);
void call_run(struct call *c, const struct backend_request *r); /* until it has ended, once */
void call_close(struct call *c);
/* Opens and runs one call against one script. */
void run_script(struct call *c, const struct upstream_step *script, bool stream);

void check_bucket(const struct call *c, enum usage_bucket b, int64_t n, enum usage_source source);

#endif
