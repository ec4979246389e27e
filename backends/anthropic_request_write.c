/* anthropic_request_write.c - a neutral request as a body of /v1/messages. */
#include "backends/anthropic_form.h"

#include "backends/neutral_write.h"
#include "lib/base/jview.h"

static void write_system(const struct neutral_request *r, struct jw *w);
static bool write_messages(const struct neutral_request *r, struct jw *w, struct err *err);
static bool write_part(const struct neutral_part *p, struct jw *w, struct err *err);
static void write_image(const struct neutral_part *p, struct jw *w);
static bool write_call(const struct neutral_part *p, struct jw *w, struct err *err);
static bool write_arguments(struct span arguments, struct jw *w, struct err *err);
static void write_result(const struct neutral_part *p, struct jw *w);
static void write_tools(const struct neutral_request *r, struct jw *w);
static void write_choice(const struct neutral_request *r, struct jw *w);
static void write_rest(const struct neutral_request *r, struct jw *w);

bool anthropic_write_request(const struct neutral_request *r, const struct neutral_frame *frame,
                             struct buf *out, struct neutral_places *places, struct err *err)
{
    struct frame_marks marks;
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    write_frame(&w, frame, &marks);
    write_rest(r, &w);
    write_system(r, &w);
    if (!write_messages(r, &w, err))
        return false;
    write_tools(r, &w);
    write_choice(r, &w);
    jw_object_end(&w);
    if (!buf_ok(out, "the translated request", err))
        return false;
    places_of(out, &marks, places);
    return true;
}

static void write_rest(const struct neutral_request *r, struct jw *w)
{
    write_raw_member(w, "temperature", r->temperature);
    write_raw_member(w, "top_p", r->top_p);
    if (jview_is_string(r->stop)) {
        jw_key(w, "stop_sequences");
        jw_array(w);
        jw_raw(w, r->stop);
        jw_array_end(w);
    } else {
        write_raw_member(w, "stop_sequences", r->stop);
    }
    if (r->user.data) {
        jw_key(w, "metadata");
        jw_object(w);
        write_raw_member(w, "user_id", r->user);
        jw_object_end(w);
    }
}

/* All that the system says stands before the conversation, wherever it stood. */
static void write_system(const struct neutral_request *r, struct jw *w)
{
    bool any = false;

    for (size_t i = 0; i < r->message_count; i++)
        any = any || (r->messages[i].role == ROLE_SYSTEM && r->messages[i].count > 0);
    if (!any)
        return;
    jw_key(w, "system");
    jw_array(w);
    for (size_t i = 0; i < r->message_count; i++) {
        const struct neutral_message *m = &r->messages[i];

        if (m->role != ROLE_SYSTEM)
            continue;
        for (size_t p = m->first; p < m->first + m->count; p++)
            if (r->parts[p].kind == PART_TEXT)
                write_text_part(w, r->parts[p].text);
    }
    jw_array_end(w);
}

static bool write_messages(const struct neutral_request *r, struct jw *w, struct err *err)
{
    jw_key(w, "messages");
    jw_array(w);
    for (size_t i = 0; i < r->message_count; i++) {
        const struct neutral_message *m = &r->messages[i];

        if (m->role == ROLE_SYSTEM)
            continue;
        jw_object(w);
        jw_string_member(w, "role", m->role == ROLE_USER ? "user" : "assistant");
        jw_key(w, "content");
        jw_array(w);
        for (size_t p = m->first; p < m->first + m->count; p++)
            if (!write_part(&r->parts[p], w, err))
                return err_context(err, "messages");
        jw_array_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
    return true;
}

static bool write_part(const struct neutral_part *p, struct jw *w, struct err *err)
{
    switch (p->kind) {
    case PART_TEXT:
        write_text_part(w, p->text);
        return true;
    case PART_IMAGE:
        write_image(p, w);
        return true;
    case PART_TOOL_CALL:
        return write_call(p, w, err);
    default:
        write_result(p, w);
        return true;
    }
}

static void write_image(const struct neutral_part *p, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "type", "image");
    jw_key(w, "source");
    jw_object(w);
    if (p->media_type.data) {
        jw_string_member(w, "type", "base64");
        write_inside_member(w, "media_type", p->media_type);
        write_inside_member(w, "data", p->text);
    } else {
        jw_string_member(w, "type", "url");
        write_inside_member(w, "url", p->text);
    }
    jw_object_end(w);
    jw_object_end(w);
}

static bool write_call(const struct neutral_part *p, struct jw *w, struct err *err)
{
    jw_object(w);
    jw_string_member(w, "type", "tool_use");
    write_raw_member(w, "id", p->id);
    write_raw_member(w, "name", p->name);
    jw_key(w, "input");
    if (!write_arguments(p->arguments, w, err))
        return false;
    jw_object_end(w);
    return true;
}

static bool write_arguments(struct span arguments, struct jw *w, struct err *err)
{
    AUTO_CLEAR(buf) plain = {.max = arguments.len};

    if (jview_is_string(arguments))
        jview_unescape(arguments, &plain);
    else
        buf_add_span(&plain, arguments);
    if (plain.len > 0 && !is_json_object(buf_span(&plain)))
        return err_set(err, ERR_INPUT, "the arguments of a tool call are no JSON object");
    jw_raw(w, plain.len > 0 ? buf_span(&plain) : SPAN("{}"));
    return true;
}

static void write_result(const struct neutral_part *p, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "type", "tool_result");
    write_raw_member(w, "tool_use_id", p->id);
    write_result_content(w, p);
    jw_object_end(w);
}

static void write_tools(const struct neutral_request *r, struct jw *w)
{
    if (!r->tool_count)
        return;
    jw_key(w, "tools");
    jw_array(w);
    for (size_t i = 0; i < r->tool_count; i++) {
        const struct neutral_tool *t = &r->tools[i];

        jw_object(w);
        write_raw_member(w, "name", t->name);
        write_raw_member(w, "description", t->description);
        write_raw_member(w, "input_schema", t->schema);
        if (span_equal(t->strict, SPAN("true")))
            write_raw_member(w, "strict", t->strict);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_choice(const struct neutral_request *r, struct jw *w)
{
    static const char *const types[] = {[CHOICE_UNSTATED] = "auto",
                                        [CHOICE_AUTO] = "auto",
                                        [CHOICE_NONE] = "none",
                                        [CHOICE_ANY] = "any",
                                        [CHOICE_TOOL] = "tool"};

    if (!r->tool_count || (r->choice == CHOICE_UNSTATED && !r->one_tool_at_a_time))
        return;
    jw_key(w, "tool_choice");
    jw_object(w);
    jw_string_member(w, "type", types[r->choice]);
    if (r->choice == CHOICE_TOOL)
        write_raw_member(w, "name", r->chosen_tool);
    if (r->one_tool_at_a_time && r->choice != CHOICE_NONE)
        jw_bool_member(w, "disable_parallel_tool_use", true);
    jw_object_end(w);
}
