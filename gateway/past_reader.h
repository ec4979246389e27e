/* past_reader.h - the console's look into the archive: one search after the other, each read on the
 * loop a few milliseconds at a time. It is the console's alone, so it delays no call. */
#ifndef TOLLGATE_GATEWAY_PAST_READER_H
#define TOLLGATE_GATEWAY_PAST_READER_H

#include "billing/archive_index.h"
#include "gateway/history.h"

struct past_reader;
/* Borrows all. */
struct past_reader *past_reader_new(struct loop *loop, struct redis *redis, const char *archive,
                                    struct archive_index *index) MUST_USE;
/* Searches that run end with ERR_CANCELLED. */
void past_reader_free(struct past_reader *p);
DEFINE_AUTO(past_reader)
/* A search that takes longer than 20 s, or finds 64 before it, fails with ERR_UNAVAILABLE. */
struct past past_of_reader(struct past_reader *p);

#endif
