/* partition.c - where an id lives, and its keys. Admission builds several keys a call, so they are
 * copied together by hand. */
#include "billing/partition.h"

#include <assert.h>

#include "lib/base/crc32c.h"

static struct span append(struct span key, const char *text, char *out);

static const char side_letters[SIDES] = {[SIDE_ACCOUNT] = 'a', [SIDE_MODEL] = 'm'};

struct partition partition_of(enum partition_side side, struct span id)
{
    return (struct partition){side, crc32c(0, id.data, id.len) % PARTITIONS};
}

const char *partition_name(struct partition p, char out[PARTITION_NAME])
{
    assert(p.index < PARTITIONS);
    out[0] = side_letters[p.side];
    out[1] = (char)('0' + p.index / 10);
    out[2] = (char)('0' + p.index % 10);
    out[3] = '\0';
    return out;
}

struct span partition_key(struct partition p, const char *what, const char *rest,
                          char out[PARTITION_KEY])
{
    char name[PARTITION_NAME];
    struct span key = {out, 0};

    key = append(key, "tg:{", out);
    key = append(key, partition_name(p, name), out);
    key = append(key, "}:", out);
    key = append(key, what, out);
    if (rest) {
        key = append(key, ":", out);
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
