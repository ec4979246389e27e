/* projection_batch.h - a batch of records for one partition, as keys and arguments of the apply scripts.
 *
 * Records are added in their order: batch_record(), then exactly the keys and fields it announced. */
#ifndef TOLLGATE_BILLING_PROJECTION_BATCH_H
#define TOLLGATE_BILLING_PROJECTION_BATCH_H

#include "billing/record.h"
#include "lib/net/redis.h"

struct piece {
    size_t start, len;
};

struct pieces {
    struct piece *piece;
    size_t count, cap;
};

/* What a retired writer's process still ships is not applied; what the archive has of it is. */
enum batch_source { FROM_JOURNAL, FROM_ARCHIVE };

struct batch {
    struct partition partition;
    size_t records;
    int64_t past_ms;
    struct record_cursor last; /* of the last record added */
    struct buf bytes;
    struct pieces keys, args;
    struct pieces changes; /* what caches must forget once it was applied: kind and id in turn */
};

void batch_init(struct batch *b);
void batch_clear(struct batch *b);
DEFINE_AUTO_CLEAR(batch)

/* Forgets what was in it; its memory is used again. Records that are added are not past until batch_past(). */
void batch_start(struct batch *b, struct partition p, const char *installation, const char *writer,
                 enum batch_source source);
/* What is added from now on is archived and no longer recent, being of this time (ms): it enters no stream. 0: it does. */
void batch_past(struct batch *b, int64_t ms);
void batch_record(struct batch *b, struct record_cursor cursor, const char *kind, struct span line,
                  unsigned keys, unsigned fields);
void batch_key(struct batch *b, const char *what, const char *rest);
void batch_field(struct batch *b, struct span text);
void batch_field_text(struct batch *b, const char *text);
void batch_field_int(struct batch *b, int64_t n);
void batch_change(struct batch *b, const char *kind, const char *id);

/* So many bytes that it should be sent before more is added. */
bool batch_is_heavy(const struct batch *b);
void batch_send(const struct batch *b, struct redis *redis, redis_on_reply *on_reply, void *arg);
/* Tells caches what changed; its loss costs them no more than their entries' age. */
void batch_announce(const struct batch *b, struct redis *redis);

#endif
