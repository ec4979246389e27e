/* redis_reply.c - hiredis's reply tree, seen through redis.h. Whoever asks for what a reply is not
 * gets nothing, never a crash: replies are outside bytes. */
#include <hiredis/hiredis.h>

#include "lib/net/redis.h"

static const redisReply *tree(const struct redis_reply *r)
{
    return (const void *)r;
}

enum redis_type redis_reply_type(const struct redis_reply *r)
{
    if (!r)
        return REDIS_NIL;
    switch (tree(r)->type) {
    case REDIS_REPLY_INTEGER:
        return REDIS_INT;
    case REDIS_REPLY_STRING:
        return REDIS_TEXT;
    case REDIS_REPLY_STATUS:
        return REDIS_STATUS;
    case REDIS_REPLY_ARRAY:
        return REDIS_ARRAY;
    case REDIS_REPLY_ERROR:
        return REDIS_ERROR;
    default:
        return REDIS_NIL;
    }
}

int64_t redis_reply_int(const struct redis_reply *r)
{
    return redis_reply_type(r) == REDIS_INT ? tree(r)->integer : 0;
}

struct span redis_reply_text(const struct redis_reply *r)
{
    enum redis_type type = redis_reply_type(r);

    if (type != REDIS_TEXT && type != REDIS_STATUS && type != REDIS_ERROR)
        return SPAN("");
    return (struct span){tree(r)->str, (size_t)tree(r)->len};
}

size_t redis_reply_count(const struct redis_reply *r)
{
    return redis_reply_type(r) == REDIS_ARRAY ? tree(r)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i)
{
    return i < redis_reply_count(r) ? (const void *)tree(r)->element[i] : NULL;
}

const struct err *redis_failure(const struct redis_reply *r, const struct err *err,
                                struct err *room)
{
    if (err || redis_reply_type(r) != REDIS_ERROR)
        return err;
    err_set(room, ERR_UNAVAILABLE, "Redis refused: %.*s", SPAN_FMT(redis_reply_text(r)));
    return room;
}
