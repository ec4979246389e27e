/* echo_format.c - members and their order are those that OpenAI sends, since SDKs are tested against them. */
#include "backends/echo_format.h"

#include "lib/base/json.h"

static void begin(const struct echo_answer *a, const char *object, struct jw *w);
static void begin_chunk(const struct echo_answer *a, int64_t choice, struct jw *w, struct buf *out);
static void end_chunk(const struct echo_answer *a, const char *finish_reason, struct jw *w);
static void finish_reason_member(struct jw *w, const char *reason);
static void usage_member(const struct echo_answer *a, struct jw *w);

void echo_write_reply(const struct echo_answer *a, struct span text, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    begin(a, "chat.completion", &w);
    for (int64_t i = 0; i < a->choices; i++) {
        jw_object(&w);
        jw_int_member(&w, "index", i);
        jw_key(&w, "message");
        jw_object(&w);
        jw_string_member(&w, "role", "assistant");
        jw_span_member(&w, "content", text);
        jw_key(&w, "refusal");
        jw_null(&w);
        jw_object_end(&w);
        finish_reason_member(&w, a->finish_reason);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    usage_member(a, &w);
    jw_object_end(&w);
}

/* Up to the choices. */
static void begin(const struct echo_answer *a, const char *object, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "id", a->id);
    jw_string_member(w, "object", object);
    jw_int_member(w, "created", a->created);
    jw_string_member(w, "model", a->model);
    jw_key(w, "choices");
    jw_array(w);
}

static void finish_reason_member(struct jw *w, const char *reason)
{
    jw_key(w, "logprobs");
    jw_null(w);
    jw_key(w, "finish_reason");
    if (reason)
        jw_string(w, reason);
    else
        jw_null(w);
}

static void usage_member(const struct echo_answer *a, struct jw *w)
{
    jw_key(w, "usage");
    jw_object(w);
    jw_int_member(w, "prompt_tokens", a->input_tokens);
    jw_int_member(w, "completion_tokens", a->output_tokens);
    jw_int_member(w, "total_tokens", a->input_tokens + a->output_tokens);
    jw_object_end(w);
}

void echo_write_role(const struct echo_answer *a, int64_t choice, struct buf *out)
{
    struct jw w;

    begin_chunk(a, choice, &w, out);
    jw_string_member(&w, "role", "assistant");
    jw_string_member(&w, "content", "");
    end_chunk(a, NULL, &w);
}

void echo_write_word(const struct echo_answer *a, int64_t choice, struct span word, struct buf *out)
{
    struct jw w;

    begin_chunk(a, choice, &w, out);
    jw_span_member(&w, "content", word);
    end_chunk(a, NULL, &w);
}

void echo_write_finish(const struct echo_answer *a, int64_t choice, struct buf *out)
{
    struct jw w;

    begin_chunk(a, choice, &w, out);
    end_chunk(a, a->finish_reason, &w);
}

/* Up to the members of delta. */
static void begin_chunk(const struct echo_answer *a, int64_t choice, struct jw *w, struct buf *out)
{
    jw_init(w, out);
    buf_add_string(out, "data: ");
    begin(a, "chat.completion.chunk", w);
    jw_object(w);
    jw_int_member(w, "index", choice);
    jw_key(w, "delta");
    jw_object(w);
}

static void end_chunk(const struct echo_answer *a, const char *finish_reason, struct jw *w)
{
    jw_object_end(w);
    finish_reason_member(w, finish_reason);
    jw_object_end(w);
    jw_array_end(w);
    if (a->usage_wanted) {
        jw_key(w, "usage");
        jw_null(w);
    }
    jw_object_end(w);
    buf_add_string(w->out, "\n\n");
}

void echo_write_usage(const struct echo_answer *a, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    buf_add_string(out, "data: ");
    begin(a, "chat.completion.chunk", &w);
    jw_array_end(&w);
    usage_member(a, &w);
    jw_object_end(&w);
    buf_add_string(out, "\n\n");
}

void echo_write_done(struct buf *out)
{
    buf_add_string(out, "data: [DONE]\n\n");
}

void echo_write_error(const char *message, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, "error");
    jw_object(&w);
    jw_string_member(&w, "message", message);
    jw_string_member(&w, "type", "invalid_request_error");
    jw_key(&w, "param");
    jw_null(&w);
    jw_key(&w, "code");
    jw_null(&w);
    jw_object_end(&w);
    jw_object_end(&w);
}
