/* writer_words.h - what Redis keeps of a writer in each partition, as text (scripts/README.md): how far it was applied,
 * in `cursors`, and that it lives, in `live`. */
#ifndef TOLLGATE_BILLING_WRITER_WORDS_H
#define TOLLGATE_BILLING_WRITER_WORDS_H

#include "billing/record.h"

/* "n crc": a decimal number and 8 hex digits. */
bool cursor_word_parse(struct span word, struct record_cursor *out) MUST_USE;

#define LIVE_SILENT_MS 30000 /* three times what a living writer lets pass between two words */
struct live_word {
    bool is_behind;   /* it has not applied all that it has, or has not put its holds yet */
    int64_t heard_ms; /* when it last said so, by Redis's clock */
};
/* "run_id ms turn"; of one that is behind "-" and what it comes under, if it has come, instead of the run id. */
bool live_word_parse(struct span word, struct live_word *out) MUST_USE;

#endif
