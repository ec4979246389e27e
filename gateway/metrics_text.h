/* metrics_text.h - what the board and the console know, as Prometheus reads it (text format 0.0.4).
 * Names follow Prometheus's conventions and, where they have one, OpenTelemetry's of GenAI. */
#ifndef TOLLGATE_GATEWAY_METRICS_TEXT_H
#define TOLLGATE_GATEWAY_METRICS_TEXT_H

#include "gateway/board.h"

/* What the console says of itself. */
struct console_numbers {
    bool has_redis;
    unsigned partitions_parked;
    int64_t archived_at; /* nanoseconds since 1970; 0: not yet */
    bool archive_fails;
    int64_t unarchived_since; /* of the oldest record that the archive lacks; 0: none */
};

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_write(const struct board *board, const struct console_numbers *console,
                   struct buf *out);

#endif
