/* neutral_write.c - small pieces of JSON, copied rather than made. */
#include "backends/neutral_write.h"

#include "lib/base/jscan.h"
#include "lib/base/jview.h"

void write_raw_member(struct jw *w, const char *name, struct span json)
{
    if (!json.data)
        return;
    jw_key(w, name);
    jw_raw(w, json);
}

void write_inside_member(struct jw *w, const char *name, struct span inside)
{
    jw_key(w, name);
    jw_raw(w, SPAN("\""));
    buf_add_span(w->out, inside);
    buf_add_char(w->out, '"');
}

void write_text_part(struct jw *w, struct span literal)
{
    jw_object(w);
    jw_string_member(w, "type", "text");
    write_raw_member(w, "text", literal);
    jw_object_end(w);
}

void write_result_content(struct jw *w, const struct neutral_part *part)
{
    struct jview v = jview_of(part->list);
    struct span item;

    jw_key(w, "content");
    if (!part->list.data) {
        jw_raw(w, part->text);
        return;
    }
    jw_array(w);
    while (jview_item(&v, &item))
        write_text_part(w, jview_get(item, "text"));
    jw_array_end(w);
}

void write_frame(struct jw *w, const struct neutral_frame *frame, struct frame_marks *marks)
{
    jw_key(w, "model");
    marks->model_at = w->out->len;
    jw_string(w, frame->model);
    marks->model_end = w->out->len;
    jw_key(w, "max_tokens");
    marks->cap_at = w->out->len;
    jw_int(w, frame->output_cap);
    marks->cap_end = w->out->len;
    if (frame->stream)
        jw_bool_member(w, "stream", true);
}

void places_of(const struct buf *out, const struct frame_marks *marks,
               struct neutral_places *places)
{
    places->model_value =
        (struct span){out->data + marks->model_at, marks->model_end - marks->model_at};
    places->cap_value = (struct span){out->data + marks->cap_at, marks->cap_end - marks->cap_at};
}

bool is_json_object(struct span text)
{
    static const char *const paths[] = {"-"};
    AUTO(jscan) scanner = jscan_new(paths, 1);
    size_t blanks = 0;

    if (jscan_feed(scanner, text.data, text.len, NULL) == JSCAN_BAD || !jscan_end(scanner, NULL))
        return false;
    while (strchr(" \t\r\n", text.data[blanks]))
        blanks++;
    return text.data[blanks] == '{';
}
