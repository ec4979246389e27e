/* anthropic_answer_write.c - an answer as one message, or as the events of one. Its blocks of content stand one behind the
 * other, so a stream needs to remember only which one is open. */
#include "backends/anthropic_form.h"

#include "backends/neutral_write.h"
#include "lib/base/jview.h"
#include "lib/base/rand.h"

#define TOOL_ID_RANDOM 24

static void begin(struct neutral_writer *w, const struct neutral_delta *d);
static void write_message_head(struct neutral_writer *w, struct jw *j);
static void write_usage(const struct usage *u, struct jw *j);
static void open_block(struct neutral_writer *w, const struct neutral_delta *d);
static void write_block_head(const struct neutral_delta *d, bool stream, struct jw *j);
static void write_tool_id(struct span id, struct jw *j);
static void add_piece(struct neutral_writer *w, const struct neutral_delta *d);
static void close_block(struct neutral_writer *w);
static void close_plain_block(struct neutral_writer *w);
static void begin_event(struct neutral_writer *w, const char *type, struct jw *j);
static void end_event(struct jw *j);
static const char *stop_reason(const struct neutral_writer *w);

bool anthropic_write_delta(struct neutral_writer *w, const struct neutral_delta *d, struct err *err)
{
    if (d->kind == DELTA_BEGIN) {
        if (!w->has_begun)
            begin(w, d);
    } else if (d->kind == DELTA_FINISH) {
        w->finish = d->finish;
    } else if (d->kind == DELTA_TOOL) {
        close_block(w);
        open_block(w, d);
    } else if (d->kind == DELTA_ARGUMENTS && !(w->is_open && w->open == DELTA_TOOL)) {
        return err_set(err, ERR_PROTOCOL, "the backend goes on with a tool call that has ended");
    } else {
        if (d->kind != DELTA_ARGUMENTS && !(w->is_open && w->open == d->kind)) {
            close_block(w);
            open_block(w, d);
        }
        add_piece(w, d);
    }
    return true;
}

static void begin(struct neutral_writer *w, const struct neutral_delta *d)
{
    struct jw j;

    w->has_begun = true;
    buf_add_span(&w->model, d->name);
    if (!w->stream) {
        jw_init(&j, w->out);
        jw_object(&j);
        write_message_head(w, &j);
        jw_key(&j, "content");
        buf_add_char(w->out, '[');
        return;
    }
    begin_event(w, "message_start", &j);
    jw_key(&j, "message");
    jw_object(&j);
    write_message_head(w, &j);
    jw_key(&j, "content");
    jw_array(&j);
    jw_array_end(&j);
    jw_key(&j, "stop_reason");
    jw_null(&j);
    jw_key(&j, "stop_sequence");
    jw_null(&j);
    jw_key(&j, "usage"); /* not known yet; message_delta states all of it */
    jw_raw(&j, SPAN("{\"input_tokens\":0,\"output_tokens\":0}"));
    jw_object_end(&j);
    end_event(&j);
    begin_event(w, "ping", &j);
    end_event(&j);
}

static void write_message_head(struct neutral_writer *w, struct jw *j)
{
    jw_string_member(j, "id", w->id);
    jw_string_member(j, "type", "message");
    jw_string_member(j, "role", "assistant");
    write_inside_member(j, "model", buf_span(&w->model));
}

static void open_block(struct neutral_writer *w, const struct neutral_delta *d)
{
    struct jw j;

    w->is_open = true;
    w->open = d->kind;
    w->tools += d->kind == DELTA_TOOL;
    buf_truncate(&w->text, 0);
    if (!w->stream) {
        if (w->blocks)
            buf_add_char(w->out, ',');
        jw_init(&j, w->out);
        jw_object(&j);
        write_block_head(d, false, &j);
        return;
    }
    begin_event(w, "content_block_start", &j);
    jw_int_member(&j, "index", w->blocks);
    jw_key(&j, "content_block");
    jw_object(&j);
    write_block_head(d, true, &j);
    jw_object_end(&j);
    end_event(&j);
}

/* Of a plain block without what it holds. */
static void write_block_head(const struct neutral_delta *d, bool stream, struct jw *j)
{
    if (d->kind == DELTA_TOOL) {
        jw_string_member(j, "type", "tool_use");
        write_tool_id(d->id, j);
        write_inside_member(j, "name", d->name);
        if (stream)
            jw_key(j, "input");
        if (stream)
            jw_raw(j, SPAN("{}"));
    } else {
        const char *what = d->kind == DELTA_TEXT ? "text" : "thinking";

        jw_string_member(j, "type", what);
        if (d->kind == DELTA_REASONING)
            jw_string_member(j, "signature", "");
        if (stream)
            jw_string_member(j, what, "");
    }
}

/* A call that has no id gets one, by which its result can name it. */
static void write_tool_id(struct span id, struct jw *j)
{
    char made[NEUTRAL_ID_TEXT];

    rand_text(made, TOOL_ID_RANDOM);
    write_inside_member(j, "id", id.len ? id : span_of(made));
}

static void add_piece(struct neutral_writer *w, const struct neutral_delta *d)
{
    static const char *const types[] = {[DELTA_TEXT] = "text_delta",
                                        [DELTA_REASONING] = "thinking_delta",
                                        [DELTA_ARGUMENTS] = "input_json_delta"};
    static const char *const names[] = {
        [DELTA_TEXT] = "text", [DELTA_REASONING] = "thinking", [DELTA_ARGUMENTS] = "partial_json"};
    struct jw j;

    if (!w->stream) {
        buf_add_span(&w->text, d->text);
        return;
    }
    begin_event(w, "content_block_delta", &j);
    jw_int_member(&j, "index", w->blocks);
    jw_key(&j, "delta");
    jw_object(&j);
    jw_string_member(&j, "type", types[d->kind]);
    write_inside_member(&j, names[d->kind], d->text);
    jw_object_end(&j);
    end_event(&j);
}

static void close_block(struct neutral_writer *w)
{
    struct jw j;

    if (!w->is_open)
        return;
    w->is_open = false;
    if (w->stream) {
        begin_event(w, "content_block_stop", &j);
        jw_int_member(&j, "index", w->blocks);
        end_event(&j);
    } else {
        close_plain_block(w);
    }
    w->blocks++;
}

/* What a model wrote as arguments may be no JSON, most often because it was cut at the cap. */
static void close_plain_block(struct neutral_writer *w)
{
    AUTO_CLEAR(buf) string = {.max = w->out->max};
    AUTO_CLEAR(buf) plain = {.max = w->out->max};

    buf_add_char(&string, '"');
    buf_add_span(&string, buf_span(&w->text));
    buf_add_char(&string, '"');
    if (w->open == DELTA_TOOL) {
        jview_unescape(buf_span(&string), &plain);
        buf_add_string(w->out, ",\"input\":");
        if (plain.len == 0)
            buf_add_string(w->out, "{}");
        else if (is_json_object(buf_span(&plain)))
            buf_add_span(w->out, buf_span(&plain));
        else
            buf_printf(w->out, "{\"invalid_json\":%s}", string.data);
    } else {
        buf_add_string(w->out, w->open == DELTA_TEXT ? ",\"text\":" : ",\"thinking\":");
        buf_add_span(w->out, buf_span(&string));
    }
    buf_add_char(w->out, '}');
}

void anthropic_write_end(struct neutral_writer *w, const struct usage *usage)
{
    struct neutral_delta nothing = {.kind = DELTA_BEGIN, .name = SPAN("")};
    struct jw j;

    if (!w->has_begun)
        begin(w, &nothing);
    close_block(w);
    if (!w->stream) {
        buf_printf(w->out,
                   "],\"stop_reason\":\"%s\",\"stop_sequence\":null,\"usage\":", stop_reason(w));
        jw_init(&j, w->out);
        write_usage(usage, &j);
        buf_add_char(w->out, '}');
        return;
    }
    begin_event(w, "message_delta", &j);
    jw_key(&j, "delta");
    jw_object(&j);
    jw_string_member(&j, "stop_reason", stop_reason(w));
    jw_key(&j, "stop_sequence");
    jw_null(&j);
    jw_object_end(&j);
    jw_key(&j, "usage");
    write_usage(usage, &j);
    end_event(&j);
    begin_event(w, "message_stop", &j);
    end_event(&j);
}

/* Some servers say "stop" where tools are to be called. */
static const char *stop_reason(const struct neutral_writer *w)
{
    static const char *const words[] = {[FINISH_STOP] = "end_turn",
                                        [FINISH_LENGTH] = "max_tokens",
                                        [FINISH_TOOLS] = "tool_use",
                                        [FINISH_REFUSAL] = "refusal"};

    return words[w->finish == FINISH_STOP && w->tools ? FINISH_TOOLS : w->finish];
}

/* Input without what was read from a cache or written to one. */
static void write_usage(const struct usage *u, struct jw *j)
{
    int64_t cached = u->bucket[USAGE_CACHED_INPUT].n, written = u->bucket[USAGE_CACHE_WRITE].n;

    jw_object(j);
    jw_int_member(j, "input_tokens", neutral_input_tokens(u) - cached - written);
    jw_int_member(j, "cache_creation_input_tokens", written);
    jw_int_member(j, "cache_read_input_tokens", cached);
    jw_int_member(j, "output_tokens", neutral_output_tokens(u));
    jw_object_end(j);
}

static void begin_event(struct neutral_writer *w, const char *type, struct jw *j)
{
    buf_printf(w->out, "event: %s\ndata: ", type);
    jw_init(j, w->out);
    jw_object(j);
    jw_string_member(j, "type", type);
}

static void end_event(struct jw *j)
{
    jw_object_end(j);
    buf_add_string(j->out, "\n\n");
}

const char *anthropic_error_type(unsigned status)
{
    static const struct {
        unsigned status;
        const char *type;
    } rows[] = {
        {401, "authentication_error"}, {402, "billing_error"},    {403, "permission_error"},
        {404, "not_found_error"},      {408, "timeout_error"},    {409, "conflict_error"},
        {413, "request_too_large"},    {429, "rate_limit_error"}, {504, "timeout_error"},
        {529, "overloaded_error"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].type;
    return status < 500 ? "invalid_request_error" : "api_error";
}

void anthropic_write_error(unsigned status, struct span message, const char *request_id,
                           struct buf *out)
{
    struct jw j;

    jw_init(&j, out);
    jw_object(&j);
    jw_string_member(&j, "type", "error");
    jw_key(&j, "error");
    jw_object(&j);
    jw_string_member(&j, "type", anthropic_error_type(status));
    jw_key(&j, "message");
    jw_raw(&j, message);
    jw_object_end(&j);
    if (request_id)
        jw_string_member(&j, "request_id", request_id);
    jw_object_end(&j);
}
