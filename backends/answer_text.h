/* answer_text.h - how much a plain answer says, for one whose server states no numbers, and whether a piece of a stream says
 * anything. It goes by what is there, not by names that are known: what is new in a dialect counts too. */
#ifndef TOLLGATE_BACKENDS_ANSWER_TEXT_H
#define TOLLGATE_BACKENDS_ANSWER_TEXT_H

#include <stdint.h>

#include "lib/base/buf.h"

#define BYTES_PER_TOKEN 4

/* Bytes in UTF-8 of all strings in a valid JSON value, whatever their depth; not of names, nor of "role", "id" and "type". */
int64_t answer_text_bytes(struct span value);
/* A member of the object is a string, an array or an object that is not empty, and none of those that cost no token ("role",
 * "annotations" …). */
bool answer_delta_says(struct span delta);

#endif
