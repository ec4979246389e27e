/* redis_slots.c - the arithmetic and the table of Redis Cluster. */
#include "lib/net/redis_slots.h"

#include <stdio.h>

static struct span hashed_part(struct span key);
static void find_name(const struct redis_reply *server, struct redis_place *place);

unsigned redis_slot_of(struct span key)
{
    struct span part = hashed_part(key);
    unsigned crc = 0;

    for (size_t i = 0; i < part.len; i++) {
        crc ^= (unsigned)(unsigned char)part.data[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1;
    }
    return crc % REDIS_SLOTS;
}

static struct span hashed_part(struct span key)
{
    const char *open = key.len ? memchr(key.data, '{', key.len) : NULL;
    size_t rest = open ? key.len - (size_t)(open + 1 - key.data) : 0;
    const char *close = rest ? memchr(open + 1, '}', rest) : NULL;

    if (!close || close == open + 1)
        return key;
    return (struct span){open + 1, (size_t)(close - open - 1)};
}

bool redis_slot_range_read(const struct redis_reply *element, const struct redis_place *from,
                           struct redis_slot_range *out, struct err *err)
{
    const struct redis_reply *server = redis_reply_at(element, 2);
    int64_t first = redis_reply_int(redis_reply_at(element, 0));
    int64_t last = redis_reply_int(redis_reply_at(element, 1));
    struct span host = redis_reply_text(redis_reply_at(server, 0));
    int64_t port = redis_reply_int(redis_reply_at(server, 1));
    struct redis_slot_range range;
    char where[REDIS_HOST + 16];

    if (redis_reply_count(element) < 3 || redis_reply_count(server) < 2 || first < 0 ||
        last < first || last >= REDIS_SLOTS || port <= 0 || port > UINT16_MAX ||
        host.len >= REDIS_HOST)
        return err_set(err, ERR_PROTOCOL, "the answer to CLUSTER SLOTS is malformed");
    if (host.len == 0)
        host = span_of(from->host);
    snprintf(where, sizeof where, memchr(host.data, ':', host.len) ? "[%.*s]:%d" : "%.*s:%d",
             SPAN_FMT(host), (int)port);
    if (!redis_place_parse(where, &range.place, err))
        return err_context(err, "a server of the cluster");
    find_name(server, &range.place);
    range.first = (unsigned)first;
    range.last = (unsigned)last;
    *out = range;
    return true;
}

/* Certificates are for names rather than for addresses. */
static void find_name(const struct redis_reply *server, struct redis_place *place)
{
    const struct redis_reply *names = redis_reply_at(server, 3);
    char name[REDIS_HOST];

    for (size_t i = 0; i + 1 < redis_reply_count(names); i += 2)
        if (span_equal(redis_reply_text(redis_reply_at(names, i)), SPAN("hostname")) &&
            span_copy(redis_reply_text(redis_reply_at(names, i + 1)), name, sizeof name) && name[0])
            memcpy(place->host, name, sizeof name);
}
