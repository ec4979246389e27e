/* writer_remains.c - one command after another: a host is lost rarely, and Redis has calls to serve. */
#include "gateway/writer_remains.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/writer_words.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define PAGE        "500"
#define CURSOR_TEXT 48

/* What may hold a record, or a hold, by the part of the key behind the partition. */
struct source {
    const char *what;
    enum { STREAM, STREAM_OF_NOTES, HASH_OF_RECORDS, HASH_OF_HOLDS } shape;
};
static const struct source sources[] = {
    {"events:", STREAM},       {"records", STREAM},        {"suspense", HASH_OF_RECORDS},
    {"holds:", HASH_OF_HOLDS}, {"swept", STREAM_OF_NOTES},
};

struct place {
    const struct source *source;
    char *key;
};

struct reading {
    struct console *console;
    char writer[WRITER_TEXT];
    struct record_heads archived;
    writer_remains_on_read *on_read;
    void *arg;
    struct retired_findings remains;
    unsigned step; /* whose cursor is read: two of each partition */
    size_t server;
    char cursor[CURSOR_TEXT]; /* of SCAN, then of the stream that is read */
    struct place *places;
    size_t place_count, place;
    struct buf text; /* all lines */
    size_t *starts;  /* of each, and behind the last */
};

static void ask(struct reading *r, const struct span *argv, size_t argc, redis_on_reply *on_reply);
static bool is_answer(struct reading *r, const struct redis_reply *reply, const struct err *err);
static void read_cursor(struct reading *r);
static void on_cursor(void *arg, const struct redis_reply *reply, const struct err *err);
static void scan(struct reading *r);
static void on_keys(void *arg, const struct redis_reply *reply, const struct err *err);
static void note_key(struct reading *r, struct span key);
static void read_place(struct reading *r);
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_fields(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_line(struct reading *r, struct span line);
static void take_note(struct reading *r, struct span note);
static void take_hold(struct reading *r, struct span account, struct span request,
                      struct span entry);
static void end(struct reading *r, const struct err *err);

void writer_remains_read(struct console *c, const char *writer, const struct record_heads *archived,
                         writer_remains_on_read *on_read, void *arg)
{
    struct reading *r = xcalloc(1, sizeof *r);

    r->console = c;
    snprintf(r->writer, sizeof r->writer, "%s", writer);
    r->archived = *archived;
    r->on_read = on_read;
    r->arg = arg;
    buf_init(&r->text, SIZE_MAX / 4);
    snprintf(r->cursor, sizeof r->cursor, "0");
    read_cursor(r);
}

static void ask(struct reading *r, const struct span *argv, size_t argc, redis_on_reply *on_reply)
{
    redis_command(r->console->ledger.redis, argv, argc, on_reply, r);
}

/* Else it is over. */
static bool is_answer(struct reading *r, const struct redis_reply *reply, const struct err *err)
{
    struct err refused;

    err = redis_failure(reply, err, &refused);
    if (err)
        end(r, err);
    return !err;
}

/* ------------------------------------------------------------------ how far */

/* How far it is applied; and how far it was when the partition was emptied, which it may not have come to again. */
static void read_cursor(struct reading *r)
{
    static const char *const names[] = {"cursors", "before"};
    char key[PARTITION_KEY];
    const struct span argv[] = {SPAN("HGET"),
                                partition_key(partition_at(r->step / ARRAY_LEN(names)),
                                              names[r->step % ARRAY_LEN(names)], NULL, key),
                                span_of(r->writer)};

    ask(r, argv, ARRAY_LEN(argv), on_cursor);
}

static void on_cursor(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    struct partition p = partition_at(r->step / 2);
    struct record_cursor *most = &r->remains.cursors.at[p.side][p.index], at;

    if (!is_answer(r, reply, err))
        return;
    if (cursor_word_parse(redis_reply_text(reply), &at) && at.n > most->n)
        *most = at;
    if (++r->step < 2 * PARTITIONS_ALL)
        read_cursor(r);
    else
        scan(r);
}

/* ------------------------------------------------------------------ where records may be */

static void scan(struct reading *r)
{
    const struct span argv[] = {SPAN("SCAN"),  span_of(r->cursor), SPAN("MATCH"),
                                SPAN("tg:{*"), SPAN("COUNT"),      SPAN("1000")};

    redis_command_to(r->console->ledger.redis, r->server, &(struct redis_words)REDIS_WORDS(argv),
                     on_keys, r);
}

static void on_keys(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    const struct redis_reply *keys;
    struct err malformed;

    if (!is_answer(r, reply, err))
        return;
    if (redis_reply_count(reply) != 2 ||
        !span_copy(redis_reply_text(redis_reply_at(reply, 0)), r->cursor, sizeof r->cursor)) {
        err_set(&malformed, ERR_PROTOCOL, "Redis's answer to SCAN is malformed");
        end(r, &malformed);
        return;
    }
    keys = redis_reply_at(reply, 1);
    for (size_t i = 0; i < redis_reply_count(keys); i++)
        note_key(r, redis_reply_text(redis_reply_at(keys, i)));
    r->server += strcmp(r->cursor, "0") == 0;
    if (r->server < redis_servers(r->console->ledger.redis)) {
        scan(r);
        return;
    }
    snprintf(r->cursor, sizeof r->cursor, "-");
    read_place(r);
}

static void note_key(struct reading *r, struct span key)
{
    const char *brace = memchr(key.data, '}', key.len);
    struct span rest;

    if (!brace || (size_t)(brace + 2 - key.data) > key.len)
        return;
    rest = (struct span){brace + 2, key.len - (size_t)(brace + 2 - key.data)};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        struct span what = span_of(sources[i].what);

        if (what.data[what.len - 1] == ':' ? !span_starts(rest, what) : !span_equal(rest, what))
            continue;
        r->places = xrealloc_array(r->places, r->place_count + 1, sizeof *r->places);
        r->places[r->place_count++] = (struct place){&sources[i], xstrndup(key.data, key.len)};
    }
}

/* ------------------------------------------------------------------ the records */

static void read_place(struct reading *r)
{
    const struct place *p = &r->places[r->place];

    if (r->place == r->place_count) {
        end(r, NULL);
    } else if (p->source->shape == STREAM || p->source->shape == STREAM_OF_NOTES) {
        const struct span argv[] = {SPAN("XRANGE"), span_of(p->key), span_of(r->cursor),
                                    SPAN("+"),      SPAN("COUNT"),   SPAN(PAGE)};

        ask(r, argv, ARRAY_LEN(argv), on_entries);
    } else {
        const struct span argv[] = {SPAN("HGETALL"), span_of(p->key)};

        ask(r, argv, ARRAY_LEN(argv), on_fields);
    }
}

/* [[id, ["r", record]], …] */
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    size_t count;

    if (!is_answer(r, reply, err))
        return;
    count = redis_reply_count(reply);
    for (size_t i = 0; i < count; i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i);
        struct span id = redis_reply_text(redis_reply_at(entry, 0));

        struct span text = redis_reply_text(redis_reply_at(redis_reply_at(entry, 1), 1));

        if (r->places[r->place].source->shape == STREAM)
            take_line(r, text);
        else
            take_note(r, text);
        snprintf(r->cursor, sizeof r->cursor, "(%.*s", SPAN_FMT(id));
    }
    if (count == 0) {
        r->place++;
        snprintf(r->cursor, sizeof r->cursor, "-");
    }
    read_place(r);
}

/* "writer n" → "reason record", or request id → hold. */
static void on_fields(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    const struct place *p;

    if (!is_answer(r, reply, err))
        return;
    p = &r->places[r->place];
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        struct span field = redis_reply_text(redis_reply_at(reply, i));
        struct span value = redis_reply_text(redis_reply_at(reply, i + 1));
        const char *brace = value.len ? memchr(value.data, '{', value.len) : NULL;

        if (p->source->shape == HASH_OF_HOLDS)
            take_hold(r, span_of(strrchr(p->key, ':') + 1), field, value);
        else if (brace)
            take_line(r, (struct span){brace, value.len - (size_t)(brace - value.data)});
    }
    r->place++;
    read_place(r);
}

static void take_line(struct reading *r, struct span line)
{
    struct record_head head;

    if (!record_head_parse(line, &head, NULL) || strcmp(head.writer, r->writer) != 0 ||
        !record_is_beyond(&r->archived, &head.place))
        return;
    r->starts = xrealloc_array(r->starts, r->remains.line_count + 2, sizeof *r->starts);
    r->starts[r->remains.line_count++] = r->text.len;
    buf_add_span(&r->text, line);
    r->starts[r->remains.line_count] = r->text.len;
}

/* "request account hold" */
static void take_note(struct reading *r, struct span note)
{
    struct span parts[2];

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *blank = note.len ? memchr(note.data, ' ', note.len) : NULL;

        if (!blank)
            return;
        parts[i] = (struct span){note.data, (size_t)(blank - note.data)};
        note = (struct span){blank + 1, note.len - parts[i].len - 1};
    }
    take_hold(r, parts[1], parts[0], note);
}

/* "amount writer ms …" */
static void take_hold(struct reading *r, struct span account, struct span request,
                      struct span entry)
{
    struct retired_findings *f = &r->remains;
    const char *blank = entry.len ? memchr(entry.data, ' ', entry.len) : NULL;
    struct retired_call call;

    if (!blank ||
        !span_starts((struct span){blank + 1, entry.len - (size_t)(blank + 1 - entry.data)},
                     span_of(r->writer)) ||
        !span_copy(request, call.request_id, sizeof call.request_id) ||
        !span_copy(account, call.account, sizeof call.account))
        return;
    f->calls = xrealloc_array(f->calls, f->call_count + 1, sizeof *f->calls);
    f->calls[f->call_count++] = call;
}

static void end(struct reading *r, const struct err *err)
{
    struct retired_findings *f = &r->remains;

    f->lines = xcalloc(f->line_count + 1, sizeof *f->lines);
    for (size_t i = 0; i < f->line_count; i++)
        f->lines[i] = (struct span){r->text.data + r->starts[i], r->starts[i + 1] - r->starts[i]};
    r->on_read(r->arg, err ? NULL : &r->remains, err);
    for (size_t i = 0; i < r->place_count; i++)
        free(r->places[i].key);
    free(r->places);
    free(f->lines);
    free(f->calls);
    free(r->starts);
    buf_clear(&r->text);
    free(r);
}
