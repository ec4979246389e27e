/* projection_batch.c - all texts of a batch stand in one buffer, and pieces of it are pointed at only when it is
 * sent: so a batch costs no allocation once it has grown to its usual size. */
#include "billing/projection_batch.h"

#include <endian.h>

#include "billing/scripts.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define BYTES_HEAVY    (512 * 1024)
#define BYTES_MAX      (BYTES_HEAVY + 4 * RECORD_BYTES_MAX)
#define PIECES_FIRST   64
#define CHANGES_KEPT   "10000"
#define CHANGES_STREAM "tg:changes"

static void add(struct pieces *pieces, struct batch *b, struct span text);
static struct span *spans_of(const struct batch *b, const struct pieces *pieces);
static struct span span_at(const struct batch *b, const struct piece *piece);
static void on_announced(void *arg, const struct redis_reply *reply, const struct err *err);

void batch_init(struct batch *b)
{
    *b = (struct batch){0};
    buf_init(&b->bytes, BYTES_MAX);
}

void batch_clear(struct batch *b)
{
    buf_clear(&b->bytes);
    free(b->keys.piece);
    free(b->args.piece);
    free(b->changes.piece);
    b->keys = b->args = b->changes = (struct pieces){0};
}

void batch_start(struct batch *b, struct partition p, const char *installation, const char *writer,
                 enum batch_source source)
{
    static const char *const fixed[] = {"state", "cursors", "suspense", "records"};

    b->partition = p;
    b->records = 0;
    b->past_ms = 0;
    b->last = (struct record_cursor){0};
    buf_truncate(&b->bytes, 0);
    b->keys.count = b->args.count = b->changes.count = 0;
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        batch_key(b, fixed[i], NULL);
    batch_key(b, p.side == SIDE_ACCOUNT ? "ops" : "catalogue", NULL);
    batch_key(b, "trimmed", NULL);
    batch_field_text(b, installation);
    batch_field_int(b, PARTITIONS);
    batch_field_text(b, writer);
    batch_field_text(b, source == FROM_ARCHIVE ? "archive" : "journal");
}

void batch_past(struct batch *b, int64_t ms)
{
    b->past_ms = ms;
}

void batch_record(struct batch *b, struct record_cursor cursor, const char *kind, struct span line,
                  unsigned keys, unsigned fields)
{
    char n[INT64_TEXT], crc[2 * sizeof cursor.crc + 1];
    uint32_t in_order = htobe32(cursor.crc);

    batch_field(b, uint64_text(cursor.n, n));
    hex_encode(&in_order, sizeof in_order, crc);
    batch_field_text(b, crc);
    batch_field_text(b, kind);
    batch_field(b, line);
    batch_field_int(b, b->past_ms);
    batch_field_int(b, keys);
    batch_field_int(b, fields);
    b->records++;
    b->last = cursor;
}

void batch_key(struct batch *b, const char *what, const char *rest)
{
    char key[PARTITION_KEY];

    add(&b->keys, b, partition_key(b->partition, what, rest, key));
}

void batch_field(struct batch *b, struct span text)
{
    add(&b->args, b, text);
}

void batch_field_text(struct batch *b, const char *text)
{
    add(&b->args, b, span_of(text));
}

void batch_field_int(struct batch *b, int64_t n)
{
    char text[INT64_TEXT];

    add(&b->args, b, int64_text(n, text));
}

void batch_change(struct batch *b, const char *kind, const char *id)
{
    add(&b->changes, b, span_of(kind));
    add(&b->changes, b, span_of(id));
}

static void add(struct pieces *pieces, struct batch *b, struct span text)
{
    if (pieces->count == pieces->cap) {
        pieces->cap = pieces->cap ? 2 * pieces->cap : PIECES_FIRST;
        pieces->piece = xrealloc_array(pieces->piece, pieces->cap, sizeof *pieces->piece);
    }
    pieces->piece[pieces->count++] = (struct piece){b->bytes.len, text.len};
    buf_add_span(&b->bytes, text);
    /* A batch is bounded: memory refused for it ends the process, as for any small thing. The journal is replayed. */
    if (b->bytes.failed)
        abort();
}

bool batch_is_heavy(const struct batch *b)
{
    return b->bytes.len >= BYTES_HEAVY;
}

/* The last key is one that never exists. A server of a Cluster that is giving a slot away, or taking it over, runs no
 * script that names a key it does not have; else one might fail midway, at a key that it has removed itself. */
void batch_send(const struct batch *b, struct redis *redis, redis_on_reply *on_reply, void *arg)
{
    enum script script =
        b->partition.side == SIDE_ACCOUNT ? SCRIPT_APPLY_ACCOUNT : SCRIPT_APPLY_MODEL;
    struct span *keys = spans_of(b, &b->keys), *args = spans_of(b, &b->args);
    const struct redis_eval eval = {
        script_get(script), {keys, b->keys.count + 1}, {args, b->args.count}};
    char never[PARTITION_KEY];

    keys[b->keys.count] = partition_key(b->partition, "never", NULL, never);
    redis_eval(redis, &eval, on_reply, arg);
    free(keys);
    free(args);
}

static struct span *spans_of(const struct batch *b, const struct pieces *pieces)
{
    struct span *spans = xcalloc(pieces->count + 1, sizeof *spans);

    for (size_t i = 0; i < pieces->count; i++)
        spans[i] = span_at(b, &pieces->piece[i]);
    return spans;
}

static struct span span_at(const struct batch *b, const struct piece *piece)
{
    return (struct span){b->bytes.data + piece->start, piece->len};
}

void batch_announce(const struct batch *b, struct redis *redis)
{
    for (size_t i = 0; i + 1 < b->changes.count; i += 2) {
        const struct span command[] = {
            SPAN("XADD"),
            SPAN(CHANGES_STREAM),
            SPAN("MAXLEN"),
            SPAN("~"),
            SPAN(CHANGES_KEPT),
            SPAN("*"),
            span_at(b, &b->changes.piece[i]),
            span_at(b, &b->changes.piece[i + 1]),
        };
        redis_command(redis, command, ARRAY_LEN(command), on_announced, NULL);
    }
}

static void on_announced(void *arg, const struct redis_reply *reply, const struct err *err)
{
    (void)arg;
    (void)reply;
    (void)err;
}
