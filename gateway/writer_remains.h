/* writer_remains.h - what Redis holds of one writer: how far it applied it, its whole records, and calls whose holds were
 * never ended. */
#ifndef TOLLGATE_GATEWAY_WRITER_REMAINS_H
#define TOLLGATE_GATEWAY_WRITER_REMAINS_H

#include "billing/archive_retire.h"
#include "gateway/console_state.h"

/* `remains` lives during the call; null: `err` says why. */
typedef void writer_remains_on_read(void *arg, const struct retired_findings *remains,
                                    const struct err *err);
/* Reads all streams of recent records, once; answers once, not inside this call. Lines at or below `archived` are left out. */
void writer_remains_read(struct console *c, const char *writer, const struct record_heads *archived,
                         writer_remains_on_read *on_read, void *arg);

#endif
