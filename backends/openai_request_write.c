/* openai_request_write.c - a neutral request as the body of a chat completion. */
#include "backends/openai_form.h"

#include "backends/neutral_write.h"
#include "lib/base/jview.h"

static void write_messages(const struct neutral_request *r, struct jw *w);
static void write_message(const struct neutral_request *r, const struct neutral_message *m,
                          struct jw *w);
static void write_results(const struct neutral_request *r, const struct neutral_message *m,
                          struct jw *w);
static void write_content(const struct neutral_request *r, const struct neutral_message *m,
                          struct jw *w);
static void write_calls(const struct neutral_request *r, const struct neutral_message *m,
                        struct jw *w);
static void write_image(const struct neutral_part *p, struct jw *w);
static void write_tools(const struct neutral_request *r, struct jw *w);
static void write_choice(const struct neutral_request *r, struct jw *w);
static size_t count_parts(const struct neutral_request *r, const struct neutral_message *m,
                          enum neutral_part_kind kind);

bool openai_write_request(const struct neutral_request *r, const struct neutral_frame *frame,
                          struct buf *out, struct neutral_places *places, struct err *err)
{
    struct frame_marks marks;
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    write_frame(&w, frame, &marks);
    write_raw_member(&w, "temperature", r->temperature);
    write_raw_member(&w, "top_p", r->top_p);
    write_raw_member(&w, "stop", r->stop);
    write_raw_member(&w, "user", r->user);
    write_messages(r, &w);
    write_tools(r, &w);
    write_choice(r, &w);
    jw_object_end(&w);
    if (!buf_ok(out, "the translated request", err))
        return false;
    places_of(out, &marks, places);
    return true;
}

static void write_messages(const struct neutral_request *r, struct jw *w)
{
    jw_key(w, "messages");
    jw_array(w);
    for (size_t i = 0; i < r->message_count; i++) {
        write_results(r, &r->messages[i], w);
        write_message(r, &r->messages[i], w);
    }
    jw_array_end(w);
}

/* What tools answered are messages of their own, behind the calls that they answer. */
static void write_results(const struct neutral_request *r, const struct neutral_message *m,
                          struct jw *w)
{
    for (size_t i = m->first; i < m->first + m->count; i++) {
        const struct neutral_part *p = &r->parts[i];

        if (p->kind != PART_TOOL_RESULT)
            continue;
        jw_object(w);
        jw_string_member(w, "role", "tool");
        write_raw_member(w, "tool_call_id", p->id);
        write_result_content(w, p);
        jw_object_end(w);
    }
}

static void write_message(const struct neutral_request *r, const struct neutral_message *m,
                          struct jw *w)
{
    static const char *const roles[] = {
        [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant"};
    size_t results = count_parts(r, m, PART_TOOL_RESULT);

    if (m->count == results && results > 0)
        return;
    jw_object(w);
    jw_string_member(w, "role", roles[m->role]);
    write_content(r, m, w);
    write_calls(r, m, w);
    jw_object_end(w);
}

static size_t count_parts(const struct neutral_request *r, const struct neutral_message *m,
                          enum neutral_part_kind kind)
{
    size_t n = 0;

    for (size_t i = m->first; i < m->first + m->count; i++)
        n += r->parts[i].kind == kind;
    return n;
}

/* One text alone is a string, which every server takes. */
static void write_content(const struct neutral_request *r, const struct neutral_message *m,
                          struct jw *w)
{
    size_t texts = count_parts(r, m, PART_TEXT), images = count_parts(r, m, PART_IMAGE);

    jw_key(w, "content");
    if (texts + images == 0) {
        if (m->role == ROLE_ASSISTANT && m->count > 0)
            jw_null(w);
        else
            jw_string(w, "");
        return;
    }
    if (texts + images > 1 || images)
        jw_array(w);
    for (size_t i = m->first; i < m->first + m->count; i++) {
        const struct neutral_part *p = &r->parts[i];

        if (p->kind == PART_IMAGE) {
            write_image(p, w);
        } else if (p->kind == PART_TEXT && texts + images == 1) {
            jw_raw(w, p->text);
        } else if (p->kind == PART_TEXT) {
            write_text_part(w, p->text);
        }
    }
    if (texts + images > 1 || images)
        jw_array_end(w);
}

static void write_image(const struct neutral_part *p, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "type", "image_url");
    jw_key(w, "image_url");
    jw_object(w);
    jw_key(w, "url");
    jw_raw(w, SPAN("\""));
    if (p->media_type.data) {
        buf_add_string(w->out, "data:");
        buf_add_span(w->out, p->media_type);
        buf_add_string(w->out, ";base64,");
    }
    buf_add_span(w->out, p->text);
    buf_add_char(w->out, '"');
    jw_object_end(w);
    jw_object_end(w);
}

static void write_calls(const struct neutral_request *r, const struct neutral_message *m,
                        struct jw *w)
{
    if (!count_parts(r, m, PART_TOOL_CALL))
        return;
    jw_key(w, "tool_calls");
    jw_array(w);
    for (size_t i = m->first; i < m->first + m->count; i++) {
        const struct neutral_part *p = &r->parts[i];

        if (p->kind != PART_TOOL_CALL)
            continue;
        jw_object(w);
        write_raw_member(w, "id", p->id);
        jw_string_member(w, "type", "function");
        jw_key(w, "function");
        jw_object(w);
        write_raw_member(w, "name", p->name);
        jw_key(w, "arguments");
        if (jview_is_string(p->arguments))
            jw_raw(w, p->arguments);
        else
            jw_span(w, p->arguments);
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
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
        jw_string_member(w, "type", "function");
        jw_key(w, "function");
        jw_object(w);
        write_raw_member(w, "name", t->name);
        write_raw_member(w, "description", t->description);
        write_raw_member(w, "parameters", t->schema);
        write_raw_member(w, "strict", t->strict);
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_choice(const struct neutral_request *r, struct jw *w)
{
    static const char *const words[] = {
        [CHOICE_AUTO] = "auto", [CHOICE_NONE] = "none", [CHOICE_ANY] = "required"};

    if (r->one_tool_at_a_time)
        jw_bool_member(w, "parallel_tool_calls", false);
    if (r->choice == CHOICE_UNSTATED)
        return;
    if (r->choice != CHOICE_TOOL) {
        jw_string_member(w, "tool_choice", words[r->choice]);
        return;
    }
    jw_key(w, "tool_choice");
    jw_object(w);
    jw_string_member(w, "type", "function");
    jw_key(w, "function");
    jw_object(w);
    write_raw_member(w, "name", r->chosen_tool);
    jw_object_end(w);
    jw_object_end(w);
}
