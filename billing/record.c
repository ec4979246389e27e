/* record.c - the head that every record begins with. It is always written by record_compose(), so reading it is
 * comparing bytes in one order: a line that says the same in another way is none of ours. */
#include "billing/record.h"

#include <assert.h>
#include <stdio.h>

#include "lib/base/text.h"

#define WRITER_RANDOM 16
#define NUMBER_MAX    INT64_MAX

struct kind {
    const char *name;
    bool has_writer, archived;
    bool on[SIDES];
    bool is_either; /* one side is enough */
};

struct scan {
    const char *at, *end;
};

static void add_number(struct buf *out, char side, const char *rest_of_name, uint64_t n);
static bool read_kind(struct scan *s, enum record_kind *out);
static bool read_place(struct scan *s, const struct kind *kind, struct record_place *out,
                       struct err *err);
static bool read_writer(struct scan *s, char out[WRITER_TEXT]);
static bool read_side(struct scan *s, enum partition_side side, struct record_place *out);
static bool read_number(struct scan *s, uint64_t max, uint64_t *out);
static struct span read_word(struct scan *s);
static bool skip(struct scan *s, const char *text);
static bool starts(const struct scan *s, const char *text);
static bool read_cursor(const char *name, const json_t *value, struct record_heads *out);

static const struct kind kinds[RECORD_KINDS] = {
    [RECORD_CALL] = {"call", true, true, {true, true}, false},
    [RECORD_ACCOUNT] = {"account", true, true, {true, false}, false},
    [RECORD_KEY] = {"key", true, true, {true, false}, false},
    [RECORD_CREDIT] = {"credit", true, true, {true, false}, false},
    [RECORD_ADJUST] = {"adjust", true, true, {true, false}, false},
    [RECORD_GRANT] = {"grant", true, true, {true, false}, false},
    [RECORD_EXPIRY] = {"expiry", true, true, {true, false}, false},
    [RECORD_CATALOGUE] = {"catalogue", true, true, {false, true}, false},
    [RECORD_REFUND] = {"refund", true, true, {true, true}, false},
    [RECORD_RESOLVE] = {"resolve", true, true, {true, true}, true},
    [RECORD_WEBHOOK] = {"webhook", true, true, {true, false}, false},
    [RECORD_NOTICE] = {"notice", true, true, {true, false}, false},
    [RECORD_LOST] = {"lost", true, true, {true, true}, true},
    [RECORD_SEAL] = {"seal", true, true, {false, false}, false},
    [RECORD_RETIRE] = {"retire", true, true, {false, false}, false},
    [RECORD_SEGMENT] = {"segment", false, false, {false, false}, false},
    [RECORD_SYNC] = {"sync", false, false, {false, false}, false},
    [RECORD_BEGIN] = {"begin", true, false, {false, false}, false},
    [RECORD_PROGRESS] = {"progress", true, false, {false, false}, false},
};
static const char side_letters[SIDES] = {[SIDE_ACCOUNT] = 'a', [SIDE_MODEL] = 'm'};

const char *record_kind_name(enum record_kind k)
{
    return kinds[k].name;
}

bool record_is_funds(enum record_kind k)
{
    return k == RECORD_CREDIT || k == RECORD_ADJUST || k == RECORD_GRANT || k == RECORD_EXPIRY;
}

bool record_is_numbered(enum record_kind k)
{
    return kinds[k].on[SIDE_ACCOUNT] || kinds[k].on[SIDE_MODEL];
}

bool record_is_archived(enum record_kind k)
{
    return kinds[k].archived;
}

bool record_compose(struct buf *out, enum record_kind kind, const char *writer,
                    const struct record_place *place, struct span body)
{
    assert(body.len > 2 && body.data[0] == '{');
    buf_add_string(out, "{\"kind\":\"");
    buf_add_string(out, kinds[kind].name);
    if (kinds[kind].has_writer) {
        buf_add_string(out, "\",\"writer\":\"");
        buf_add_string(out, writer);
    }
    buf_add_string(out, "\",");
    for (int side = 0; side < SIDES; side++) {
        if (!kinds[kind].on[side] || (kinds[kind].is_either && !place->on[side]))
            continue;
        assert(place->on[side] && place->partition[side] < PARTITIONS && place->n[side] > 0);
        add_number(out, side_letters[side], "\":", place->partition[side]);
        add_number(out, side_letters[side], "n\":", place->n[side]);
    }
    return buf_add(out, body.data + 1, body.len - 1);
}

static void add_number(struct buf *out, char side, const char *rest_of_name, uint64_t n)
{
    char digits[INT64_TEXT];

    buf_add_char(out, '"');
    buf_add_char(out, side);
    buf_add_string(out, rest_of_name);
    buf_add_span(out, uint64_text(n, digits));
    buf_add_char(out, ',');
}

bool record_head_parse(struct span line, struct record_head *out, struct err *err)
{
    struct scan s = {line.data, line.data + line.len};
    struct record_head head = {0};

    if (!skip(&s, "{\"kind\":\"") || !read_kind(&s, &head.kind))
        return err_set(err, ERR_CORRUPT, "a record of no known kind");
    if (kinds[head.kind].has_writer && !read_writer(&s, head.writer))
        return err_set(err, ERR_CORRUPT, "a %s record without its writer", kinds[head.kind].name);
    if (!read_place(&s, &kinds[head.kind], &head.place, err))
        return false;
    if (!skip(&s, ",\"") || s.end[-1] != '}')
        return err_set(err, ERR_CORRUPT, "a %s record without a body", kinds[head.kind].name);
    *out = head;
    return true;
}

static bool read_place(struct scan *s, const struct kind *kind, struct record_place *out,
                       struct err *err)
{
    bool is_placed = !kind->is_either;

    for (int side = 0; side < SIDES; side++) {
        char member[] = {',', '"', side_letters[side], '"', '\0'};

        if (!kind->on[side] || (kind->is_either && !starts(s, member)))
            continue;
        if (!read_side(s, (enum partition_side)side, out))
            return err_set(err, ERR_CORRUPT, "a %s record without its number for side %c",
                           kind->name, side_letters[side]);
        is_placed = true;
    }
    return is_placed || err_set(err, ERR_CORRUPT, "a %s record without a number", kind->name);
}

static bool read_kind(struct scan *s, enum record_kind *out)
{
    struct span word = read_word(s);

    for (int k = 0; k < RECORD_KINDS; k++) {
        if (span_equal(word, span_of(kinds[k].name))) {
            *out = (enum record_kind)k;
            return true;
        }
    }
    return false;
}

static bool read_writer(struct scan *s, char out[WRITER_TEXT])
{
    struct span id;

    if (!skip(s, ",\"writer\":\""))
        return false;
    id = read_word(s);
    return writer_is_valid(id) && span_copy(id, out, WRITER_TEXT);
}

bool writer_is_valid(struct span id)
{
    if (id.len != 2 + WRITER_RANDOM || !span_starts(id, SPAN("w-")))
        return false;
    for (size_t i = 2; i < id.len; i++)
        if ((id.data[i] < '0' || id.data[i] > '9') && (id.data[i] < 'a' || id.data[i] > 'z'))
            return false;
    return true;
}

static bool read_side(struct scan *s, enum partition_side side, struct record_place *out)
{
    char partition_member[] = ",\"?\":", number_member[] = ",\"?n\":";
    uint64_t partition;

    partition_member[2] = number_member[2] = side_letters[side];
    if (!skip(s, partition_member) || !read_number(s, PARTITIONS - 1, &partition) ||
        !skip(s, number_member) || !read_number(s, NUMBER_MAX, &out->n[side]))
        return false;
    out->partition[side] = (unsigned)partition;
    out->on[side] = true;
    return out->n[side] > 0;
}

/* Without leading zeros. */
static bool read_number(struct scan *s, uint64_t max, uint64_t *out)
{
    struct span digits = {s->at, 0};

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    digits.len = (size_t)(s->at - digits.data);
    return (digits.len == 1 || (digits.len > 0 && digits.data[0] != '0')) &&
           digits_parse(digits, max, out);
}

/* Up to the closing quote, which is passed. */
static struct span read_word(struct scan *s)
{
    const char *from = s->at, *quote = memchr(from, '"', (size_t)(s->end - from));

    if (!quote)
        return (struct span){from, 0};
    s->at = quote + 1;
    return (struct span){from, (size_t)(quote - from)};
}

static bool skip(struct scan *s, const char *text)
{
    if (!starts(s, text))
        return false;
    s->at += strlen(text);
    return true;
}

static bool starts(const struct scan *s, const char *text)
{
    size_t n = strlen(text);

    return (size_t)(s->end - s->at) >= n && memcmp(s->at, text, n) == 0;
}

void record_heads_write(const struct record_heads *h, struct jw *w)
{
    char name[PARTITION_NAME], crc[9];

    jw_object(w);
    for (int side = 0; side < SIDES; side++) {
        for (unsigned i = 0; i < PARTITIONS; i++) {
            const struct record_cursor *c = &h->at[side][i];

            if (c->n == 0)
                continue;
            jw_key(w, partition_name((struct partition){(enum partition_side)side, i}, name));
            jw_array(w);
            jw_int(w, (int64_t)c->n);
            snprintf(crc, sizeof crc, "%08x", (unsigned)c->crc);
            jw_string(w, crc);
            jw_array_end(w);
        }
    }
    jw_object_end(w);
}

bool record_heads_parse(const json_t *object, struct record_heads *out, struct err *err)
{
    struct record_heads heads = {0};
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return err_set(err, ERR_CORRUPT, "heads are missing");
    json_object_foreach((json_t *)object, name, value)
    {
        if (!read_cursor(name, value, &heads))
            return err_set(err, ERR_CORRUPT, "the head of partition \"%.8s\" is malformed", name);
    }
    *out = heads;
    return true;
}

static bool read_cursor(const char *name, const json_t *value, struct record_heads *out)
{
    const char *crc = json_string_value(json_array_get(value, 1));
    json_int_t n = json_integer_value(json_array_get(value, 0));
    int side = name[0] == side_letters[SIDE_ACCOUNT] ? SIDE_ACCOUNT : SIDE_MODEL;
    unsigned char bytes[4];
    uint64_t partition;

    if (name[0] != side_letters[side] || strlen(name) != PARTITION_NAME - 1 ||
        !digits_parse(span_of(name + 1), PARTITIONS - 1, &partition) ||
        json_array_size(value) != 2 || n < 1 || !crc || !hex_decode(span_of(crc), bytes, 4))
        return false;
    out->at[side][partition] =
        (struct record_cursor){(uint64_t)n, (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                                                (uint32_t)bytes[2] << 8 | bytes[3]};
    return true;
}

bool record_heads_advance(struct record_heads *h, const struct record_place *place, uint32_t crc,
                          struct err *err)
{
    for (int side = 0; side < SIDES; side++) {
        uint64_t head = place->on[side] ? h->at[side][place->partition[side]].n : 0;

        if (place->on[side] && place->n[side] != head + 1)
            return err_set(err, ERR_CORRUPT,
                           "record %llu of partition %c%02u stands where %llu should",
                           (unsigned long long)place->n[side], side_letters[side],
                           place->partition[side], (unsigned long long)head + 1);
    }
    for (int side = 0; side < SIDES; side++)
        if (place->on[side])
            h->at[side][place->partition[side]] = (struct record_cursor){place->n[side], crc};
    return true;
}

bool record_heads_equal(const struct record_heads *a, const struct record_heads *b)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (a->at[side][i].n != b->at[side][i].n || a->at[side][i].crc != b->at[side][i].crc)
                return false;
    return true;
}

bool record_is_beyond(const struct record_heads *h, const struct record_place *place)
{
    for (int side = 0; side < SIDES; side++)
        if (place->on[side] && place->n[side] > h->at[side][place->partition[side]].n)
            return true;
    return false;
}
