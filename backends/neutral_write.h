/* neutral_write.h - what both dialects write alike. */
#ifndef TOLLGATE_BACKENDS_NEUTRAL_WRITE_H
#define TOLLGATE_BACKENDS_NEUTRAL_WRITE_H

#include "backends/neutral.h"
#include "lib/base/json.h"

/* A member whose value is copied; none when it has null data. */
void write_raw_member(struct jw *w, const char *name, struct span json);
/* A string whose escapes are made already. */
void write_inside_member(struct jw *w, const char *name, struct span inside);
/* {"type":"text","text":…} */
void write_text_part(struct jw *w, struct span literal);
/* The member "content" of what a tool answered. */
void write_result_content(struct jw *w, const struct neutral_part *part);
/* The members that every request begins with, after its opening brace, and where their values stand: see places_of(). */
struct frame_marks {
    size_t model_at, model_end, cap_at, cap_end;
};
void write_frame(struct jw *w, const struct neutral_frame *frame, struct frame_marks *marks);
/* Once all is written, since `out` moves while it grows. */
void places_of(const struct buf *out, const struct frame_marks *marks,
               struct neutral_places *places);
/* The text is one JSON object. */
bool is_json_object(struct span text);

#endif
