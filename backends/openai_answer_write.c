/* openai_answer_write.c - an answer as a chat completion of one choice, or as the chunks of one. */
#include "backends/openai_form.h"

#include "backends/neutral_write.h"
#include "lib/base/jview.h"

static void begin(struct neutral_writer *w, const struct neutral_delta *d);
static void write_text(struct neutral_writer *w, const struct neutral_delta *d);
static void begin_call(struct neutral_writer *w, const struct neutral_delta *d);
static void end_call(struct neutral_writer *w);
static void begin_plain_call(struct neutral_writer *w, const struct neutral_delta *d);
static void write_arguments(struct neutral_writer *w, const struct neutral_delta *d);
static void end_plain_call(struct neutral_writer *w);
static void write_reply(struct neutral_writer *w, const struct usage *usage);
static void begin_chunk(const struct neutral_writer *w, struct jw *j);
static void end_chunk(struct jw *j, const char *finish);
static void write_head(const struct neutral_writer *w, const char *object, struct jw *j);
static void write_usage(const struct usage *u, struct jw *j);
static const char *finish_reason(const struct neutral_writer *w);

bool openai_write_delta(struct neutral_writer *w, const struct neutral_delta *d, struct err *err)
{
    switch (d->kind) {
    case DELTA_BEGIN:
        if (!w->has_begun)
            begin(w, d);
        return true;
    case DELTA_TEXT:
    case DELTA_REASONING:
        write_text(w, d);
        return true;
    case DELTA_TOOL:
        w->stream ? begin_call(w, d) : begin_plain_call(w, d);
        return true;
    case DELTA_ARGUMENTS:
        if (!w->tools)
            return err_set(err, ERR_PROTOCOL, "the backend gives arguments of no tool call");
        write_arguments(w, d);
        return true;
    default:
        w->finish = d->finish;
        return true;
    }
}

static void begin(struct neutral_writer *w, const struct neutral_delta *d)
{
    struct jw j;

    w->has_begun = true;
    buf_add_span(&w->model, d->name);
    if (!w->stream)
        return;
    begin_chunk(w, &j);
    jw_string_member(&j, "role", "assistant");
    jw_string_member(&j, "content", "");
    end_chunk(&j, NULL);
}

static void write_text(struct neutral_writer *w, const struct neutral_delta *d)
{
    bool is_text = d->kind == DELTA_TEXT;
    struct jw j;

    if (!w->stream) {
        buf_add_span(is_text ? &w->text : &w->reasoning, d->text);
        return;
    }
    begin_chunk(w, &j);
    write_inside_member(&j, is_text ? "content" : "reasoning_content", d->text);
    end_chunk(&j, NULL);
}

static void begin_call(struct neutral_writer *w, const struct neutral_delta *d)
{
    struct jw j;

    end_call(w);
    w->has_arguments = false;
    begin_chunk(w, &j);
    jw_key(&j, "tool_calls");
    jw_array(&j);
    jw_object(&j);
    jw_int_member(&j, "index", w->tools++);
    write_inside_member(&j, "id", d->id);
    jw_string_member(&j, "type", "function");
    jw_key(&j, "function");
    jw_object(&j);
    write_inside_member(&j, "name", d->name);
    jw_string_member(&j, "arguments", "");
    jw_object_end(&j);
    jw_object_end(&j);
    jw_array_end(&j);
    end_chunk(&j, NULL);
}

/* A call without arguments has an empty object of them, for clients parse what they get. */
static void end_call(struct neutral_writer *w)
{
    if (w->tools && !w->has_arguments)
        write_arguments(w, &(struct neutral_delta){.kind = DELTA_ARGUMENTS, .text = SPAN("{}")});
}

/* Up to its arguments, which follow piece by piece. */
static void begin_plain_call(struct neutral_writer *w, const struct neutral_delta *d)
{
    end_plain_call(w);
    if (w->tools++)
        buf_add_char(&w->calls, ',');
    buf_add_string(&w->calls, "{\"id\":\"");
    buf_add_span(&w->calls, d->id);
    buf_add_string(&w->calls, "\",\"type\":\"function\",\"function\":{\"name\":\"");
    buf_add_span(&w->calls, d->name);
    buf_add_string(&w->calls, "\",\"arguments\":\"");
    w->is_open = true;
}

static void end_plain_call(struct neutral_writer *w)
{
    if (w->is_open)
        buf_add_string(&w->calls, "\"}}");
    w->is_open = false;
}

static void write_arguments(struct neutral_writer *w, const struct neutral_delta *d)
{
    struct jw j;

    w->has_arguments = true;
    if (!w->stream) {
        buf_add_span(&w->calls, d->text);
        return;
    }
    begin_chunk(w, &j);
    jw_key(&j, "tool_calls");
    jw_array(&j);
    jw_object(&j);
    jw_int_member(&j, "index", w->tools - 1);
    jw_key(&j, "function");
    jw_object(&j);
    write_inside_member(&j, "arguments", d->text);
    jw_object_end(&j);
    jw_object_end(&j);
    jw_array_end(&j);
    end_chunk(&j, NULL);
}

void openai_write_end(struct neutral_writer *w, const struct usage *usage)
{
    struct jw j;

    if (!w->stream) {
        write_reply(w, usage);
        return;
    }
    end_call(w);
    begin_chunk(w, &j);
    end_chunk(&j, finish_reason(w));
    if (w->usage_wanted) {
        buf_add_string(w->out, "data: ");
        write_head(w, "chat.completion.chunk", &j);
        jw_key(&j, "choices");
        jw_array(&j);
        jw_array_end(&j);
        write_usage(usage, &j);
        jw_object_end(&j);
        buf_add_string(w->out, "\n\n");
    }
    buf_add_string(w->out, "data: [DONE]\n\n");
}

static void write_reply(struct neutral_writer *w, const struct usage *usage)
{
    struct jw j;

    end_plain_call(w);
    write_head(w, "chat.completion", &j);
    jw_key(&j, "choices");
    jw_array(&j);
    jw_object(&j);
    jw_int_member(&j, "index", 0);
    jw_key(&j, "message");
    jw_object(&j);
    jw_string_member(&j, "role", "assistant");
    if (w->text.len || !w->tools)
        write_inside_member(&j, "content", buf_span(&w->text));
    else
        write_raw_member(&j, "content", SPAN("null"));
    if (w->reasoning.len)
        write_inside_member(&j, "reasoning_content", buf_span(&w->reasoning));
    write_raw_member(&j, "refusal", SPAN("null"));
    if (w->tools) {
        jw_key(&j, "tool_calls");
        jw_raw(&j, SPAN("["));
        buf_add_span(w->out, buf_span(&w->calls));
        buf_add_char(w->out, ']');
    }
    jw_object_end(&j);
    write_raw_member(&j, "logprobs", SPAN("null"));
    jw_string_member(&j, "finish_reason", finish_reason(w));
    jw_object_end(&j);
    jw_array_end(&j);
    write_usage(usage, &j);
    jw_object_end(&j);
}

/* Up to the members of delta. */
static void begin_chunk(const struct neutral_writer *w, struct jw *j)
{
    buf_add_string(w->out, "data: ");
    write_head(w, "chat.completion.chunk", j);
    jw_key(j, "choices");
    jw_array(j);
    jw_object(j);
    jw_int_member(j, "index", 0);
    jw_key(j, "delta");
    jw_object(j);
}

static void end_chunk(struct jw *j, const char *finish)
{
    jw_object_end(j);
    jw_key(j, "finish_reason");
    finish ? jw_string(j, finish) : jw_null(j);
    jw_object_end(j);
    jw_array_end(j);
    jw_object_end(j);
    buf_add_string(j->out, "\n\n");
}

static void write_head(const struct neutral_writer *w, const char *object, struct jw *j)
{
    jw_init(j, w->out);
    jw_object(j);
    jw_string_member(j, "id", w->id);
    jw_string_member(j, "object", object);
    jw_int_member(j, "created", w->created);
    write_inside_member(j, "model", buf_span(&w->model));
}

/* The prompt with all that was cached of it, the completion with all that was thought. */
static void write_usage(const struct usage *u, struct jw *j)
{
    int64_t in = neutral_input_tokens(u), out = neutral_output_tokens(u), total;

    if (__builtin_add_overflow(in, out, &total))
        total = INT64_MAX;
    jw_key(j, "usage");
    jw_object(j);
    jw_int_member(j, "prompt_tokens", in);
    jw_int_member(j, "completion_tokens", out);
    jw_int_member(j, "total_tokens", total);
    jw_key(j, "prompt_tokens_details");
    jw_object(j);
    jw_int_member(j, "cached_tokens", u->bucket[USAGE_CACHED_INPUT].n);
    jw_object_end(j);
    jw_object_end(j);
}

static const char *finish_reason(const struct neutral_writer *w)
{
    static const char *const words[] = {[FINISH_STOP] = "stop",
                                        [FINISH_LENGTH] = "length",
                                        [FINISH_TOOLS] = "tool_calls",
                                        [FINISH_REFUSAL] = "content_filter"};

    return words[w->finish];
}

void openai_write_error(unsigned status, struct span message, const char *request_id,
                        struct buf *out)
{
    const char *type = status == 429  ? "rate_limit_error"
                       : status < 500 ? "invalid_request_error"
                                      : "api_error";
    struct jw j;

    (void)request_id;
    jw_init(&j, out);
    jw_object(&j);
    jw_key(&j, "error");
    jw_object(&j);
    write_raw_member(&j, "message", message);
    jw_string_member(&j, "type", type);
    write_raw_member(&j, "param", SPAN("null"));
    write_raw_member(&j, "code", SPAN("null"));
    jw_object_end(&j);
    jw_object_end(&j);
}
