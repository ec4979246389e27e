/* record.h - the line of JSON that a journal frame, an archive line and a Redis stream entry hold: every change that outlives a call.
 *
 * A numbered record is {"kind":…,"writer":…,"a":17,"an":1234,"m":5,"mn":88, …body}: `an` is its dense number among this writer's records
 * for account partition a17, `mn` for model partition m05; a record has one or both. Its bytes never change; its CRC32C
 * is part of every cursor. Kinds, and the members of their bodies:
 *
 *   call      account + model   an event (event.h)
 *   account   account           account, revision, at, op, and of an account that is opened all, else only what is set: currency, mode prepaid|postpaid, credit_limit, concurrency, rpm, tpm, budget_day, budget_month, zone (null: the platform's); with a model only its budget_day, budget_month
 *   key       account           key (public id), revision, at, op, and of a new one owner_kind account|creator, owner, hash (hex HMAC), pepper (the id of the one it is made with), expires_at (or null), rpm, tpm, budget_day, budget_month,
 *                               scopes, models, ips (lists, or null: all); of one that replaces another also replaces (that one), replaced_until (when that one ends),
 *                               grace (the seconds that were asked for), first_key (where the rotations began); else only what is set; or hash and pepper; or state revoked
 *   credit    account           a top-up (positive) or its correction (funds.h)
 *   adjust    account           the balance put right, with a reason (funds.h)
 *   grant     account           credit that is spent before what was paid in, and ends at a time (funds.h)
 *   expiry    account           what is taken back of a grant that has ended (funds.h)
 *   catalogue model (m00)       object creator|contract|price|model, id, revision, at, op, body {…}
 *   refund    account + model   money given back of a call (refund.h)
 *   resolve   account or model  entry (what stood in suspense, ':' for blanks), as dropped|booked, detail (of a currency the sum; else "-"), by, reason, at, op
 *   webhook   account           account, id, as made|ended, body {…} (webhook_record.h), at, op
 *   notice    account           account, id, period (its month), as raised|done (then id is notice.webhook), body {…} (webhook_record.h), at
 *   lost      account or model  of, at: the record of a retired writer that nobody holds any more had this number (archive_retire.h)
 *
 * Unnumbered, journal only: segment (a segment's first frame), sync (states what is durable), begin, progress.
 * Unnumbered, archived but not shipped: seal (a period's end of one writer), retire (a writer's end). */
#ifndef TOLLGATE_BILLING_RECORD_H
#define TOLLGATE_BILLING_RECORD_H

#include "billing/event.h"
#include "billing/partition.h"

enum record_kind {
    RECORD_CALL, RECORD_ACCOUNT, RECORD_KEY, RECORD_CREDIT, RECORD_ADJUST, RECORD_GRANT, RECORD_EXPIRY,
    RECORD_CATALOGUE, RECORD_REFUND, RECORD_RESOLVE, RECORD_WEBHOOK, RECORD_NOTICE,
    RECORD_LOST,                                                                             /* numbered */
    RECORD_SEAL, RECORD_RETIRE,                                                              /* archived */
    RECORD_SEGMENT, RECORD_SYNC, RECORD_BEGIN, RECORD_PROGRESS,                              /* journal only */
    RECORD_KINDS
};
const char *record_kind_name(enum record_kind k);

#define WRITER_TEXT 20 /* "w-" and 16 of [0-9a-z] */
bool writer_is_valid(struct span id);
#define RECORD_BYTES_MAX (64 * 1024) /* catalogue bodies; calls are under EVENT_BYTES_MAX */

/* Where a record stands in its writer's order: for each side, whether it is there, the partition, the number. */
struct record_place {
    bool on[SIDES];
    unsigned partition[SIDES];
    uint64_t n[SIDES];
};

/* What every record says of itself, found by one scan. The spans point into the line. */
struct record_head {
    enum record_kind kind;
    char writer[WRITER_TEXT];
    struct record_place place;
};
bool record_head_parse(struct span line, struct record_head *out, struct err *err) MUST_USE;
bool record_is_funds(enum record_kind k); /* money of an account that no call moves (funds.h) */
bool record_is_numbered(enum record_kind k);
bool record_is_archived(enum record_kind k); /* numbered ones, seals and retire */

/* "{"kind":…,"writer":…,"a":…" + the members of `body` (a JSON object with at least one member). Segment and sync records
 * have no writer; the place is used of numbered kinds only, and must have the kind's sides (one of them, where either will do). */
bool record_compose(struct buf *out, enum record_kind kind, const char *writer, const struct record_place *place, struct span body);

/* Heads of one writer: the last number and its CRC per partition and side. */
struct record_cursor {
    uint64_t n;
    uint32_t crc;
};
struct record_heads {
    struct record_cursor at[SIDES][PARTITIONS];
};
/* {"a17":[n,"crc"],…}: partitions without a record are left out; the CRC as eight hex digits. */
void record_heads_write(const struct record_heads *h, struct jw *w);
bool record_heads_parse(const json_t *object, struct record_heads *out, struct err *err) MUST_USE;
/* The numbered record at `place` follows: ERR_CORRUPT unless its numbers are the next on both its sides, and then nothing moves. */
bool record_heads_advance(struct record_heads *h, const struct record_place *place, uint32_t crc, struct err *err) MUST_USE;
bool record_heads_equal(const struct record_heads *a, const struct record_heads *b);
/* True when `place` is beyond `h` on a side: a reader that has everything up to `h` lacks this record. */
bool record_is_beyond(const struct record_heads *h, const struct record_place *place);

#endif
