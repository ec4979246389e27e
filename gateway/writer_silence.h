/* writer_silence.h - when Redis heard of a writer last. */
#ifndef TOLLGATE_GATEWAY_WRITER_SILENCE_H
#define TOLLGATE_GATEWAY_WRITER_SILENCE_H

#include "gateway/console_state.h"

/* `silent_ms`: since it last said that it lives, by Redis's clock; INT64_MAX: Redis never heard of it. `err` not null: it
 * could not be found out. Called once, not inside writer_silence_read(). */
typedef void writer_silence_on_read(void *arg, int64_t silent_ms, const struct err *err);
void writer_silence_read(struct console *c, const char *writer, writer_silence_on_read *on_read,
                         void *arg);

#endif
