/* partition.c - where an id lives, and its keys. Admission builds several keys a call, so they are
 * copied together by hand. */
#include "billing/partition.h"

#include <assert.h>

#include "lib/base/crc32c.h"

static void put_index(struct partition p, char out[2]);
static struct span append(struct span key, const char *text, char *out);

static const char side_letters[SIDES] = {[SIDE_ACCOUNT] = 'a', [SIDE_MODEL] = 'm'};

struct partition partition_at(unsigned number)
{
    assert(number < PARTITIONS_ALL);
    return (struct partition){(enum partition_side)(number / PARTITIONS), number % PARTITIONS};
}

unsigned partition_number(struct partition p)
{
    assert(p.index < PARTITIONS);
    return (unsigned)p.side * PARTITIONS + p.index;
}

struct partition partition_of(enum partition_side side, struct span id)
{
    return (struct partition){side, crc32c(0, id.data, id.len) % PARTITIONS};
}

const char *partition_name(struct partition p, char out[PARTITION_NAME])
{
    assert(p.index < PARTITIONS);
    out[0] = side_letters[p.side];
    put_index(p, out + 1);
    out[3] = '\0';
    return out;
}

static void put_index(struct partition p, char out[2])
{
    out[0] = (char)('0' + p.index / 10);
    out[1] = (char)('0' + p.index % 10);
}

struct span partition_key(struct partition p, const char *what, const char *rest,
                          char out[PARTITION_KEY])
{
    static const char prefix[] = "tg:{a00}:";
    struct span key = {out, sizeof prefix - 1};

    assert(p.index < PARTITIONS);
    memcpy(out, prefix, sizeof prefix);
    out[4] = side_letters[p.side];
    put_index(p, out + 5);
    key = append(key, what, out);
    if (rest) {
        out[key.len++] = ':';
        key = append(key, rest, out);
    }
    return key;
}

static struct span append(struct span key, const char *text, char *out)
{
    size_t n = strlen(text);

    assert(key.len + n < PARTITION_KEY);
    memcpy(out + key.len, text, n + 1);
    return (struct span){out, key.len + n};
}

struct partition partition_catalogue(void)
{
    return (struct partition){SIDE_MODEL, 0};
}
