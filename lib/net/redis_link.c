/* redis_link.c - a stream, hiredis's reply parser, and a ring of who waits for which reply.
 * Commands are encoded straight into buffers of ours: redisFormatCommandArgv() would allocate and
 * copy each once more. One timer watches the oldest command, and is touched only when the ring was
 * empty. */
#include "lib/net/redis_link.h"

#include <assert.h>
#include <hiredis/hiredis.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/stream.h"

#define QUEUE_MAX ((size_t)128 << 20)
#define REPLY_MAX ((size_t)64 << 20)
#define RING_MIN  64

struct call {
    redis_on_reply *on_reply;
    void *arg;
    int64_t due_ms;
};

struct redis_link {
    struct redis_link_handlers handlers;
    void *arg;
    struct stream *stream;
    redisReader *reader;
    size_t unparsed; /* bytes since the last whole reply */
    struct timer *timer;

    struct call *ring; /* `cap` is a power of two */
    size_t cap, first, count;
    uint64_t sent;
    int64_t last_due_ms;

    bool is_broken, is_freed;
    unsigned frames;
};

static void opened(void *arg);
static void take_bytes(void *arg, const char *bytes, size_t n);
static bool next_reply(struct redis_link *l);
static void peer_closed(void *arg);
static void stream_failed(void *arg, const struct err *err);
static int64_t left_until(int64_t due_ms);
static void check_oldest(void *arg);
static void break_off(struct redis_link *l, const struct err *err);
static void fail_pending(struct redis_link *l, const struct err *err);
static void push(struct redis_link *l, const struct call *call);
static void grow(struct redis_link *l);
static struct call pop(struct redis_link *l);
static char *put_count(char *at, char kind, size_t n);
static char *put_line_end(char *at);
static void enter(struct redis_link *l);
static void leave(struct redis_link *l);

static const struct stream_handlers stream_handlers = {
    .on_open = opened,
    .on_bytes = take_bytes,
    .on_eof = peer_closed,
    .on_failed = stream_failed,
};
static const struct stream_limits stream_limits = {
    .queue_max = QUEUE_MAX, .high = QUEUE_MAX, .low = QUEUE_MAX / 2};

struct redis_link *redis_link_open(struct loop *loop, const struct redis_link_peer *peer,
                                   const struct redis_link_handlers *handlers, void *arg,
                                   struct err *err)
{
    struct redis_link *l = xcalloc(1, sizeof *l);
    const struct stream_owner owner = {&stream_limits, &stream_handlers, l};

    l->handlers = *handlers;
    l->arg = arg;
    l->timer = timer_new(loop, check_oldest, l);
    l->reader = redisReaderCreate();
    l->stream = stream_connect(loop, &peer->stream, &owner, err);
    if (!l->reader || !l->stream) {
        if (!l->reader)
            err_set(err, ERR_MEMORY, "no memory for a connection to Redis");
        redis_link_free(l, NULL);
        return NULL;
    }
    stream_deadline(l->stream, peer->connect_ms, "it did not accept the connection in time");
    return l;
}

void redis_link_free(struct redis_link *l, const struct err *why)
{
    if (!l || l->is_freed)
        return;
    l->is_freed = l->is_broken = true;
    stream_free(l->stream);
    timer_free(l->timer);
    enter(l);
    fail_pending(l, why);
    leave(l);
}

static void enter(struct redis_link *l)
{
    l->frames++;
}

static void leave(struct redis_link *l)
{
    if (--l->frames || !l->is_freed)
        return;
    if (l->reader)
        redisReaderFree(l->reader);
    free(l->ring);
    free(l);
}

static void opened(void *arg)
{
    struct redis_link *l = arg;

    stream_deadline(l->stream, 0, NULL);
    l->handlers.on_open(l->arg);
}

void redis_link_send(struct redis_link *l, struct span command, int64_t due_ms,
                     redis_on_reply *on_reply, void *arg)
{
    struct call call = {on_reply, arg, due_ms};

    assert(!l->is_broken);
    if (l->count && call.due_ms < l->last_due_ms)
        call.due_ms = l->last_due_ms;
    if (l->count == 0)
        timer_start(l->timer, left_until(due_ms));
    l->last_due_ms = call.due_ms;
    l->sent++;
    push(l, &call);
    stream_write(l->stream, command.data, command.len);
}

static int64_t left_until(int64_t due_ms)
{
    int64_t now = clock_monotonic_ms();

    return due_ms > now ? due_ms - now : 0;
}

uint64_t redis_link_sent(const struct redis_link *l)
{
    return l->sent;
}

size_t redis_link_pending(const struct redis_link *l)
{
    return l->count;
}

size_t redis_link_queued(const struct redis_link *l)
{
    return l->is_broken ? 0 : (size_t)(stream_offered(l->stream) - stream_taken(l->stream));
}

bool redis_link_is_broken(const struct redis_link *l)
{
    return l->is_broken;
}

static void take_bytes(void *arg, const char *bytes, size_t n)
{
    struct redis_link *l = arg;
    struct err err;

    enter(l);
    l->unparsed += n;
    if (redisReaderFeed(l->reader, bytes, n) == REDIS_OK)
        while (!l->is_broken && next_reply(l))
            ;
    if (!l->is_broken && l->reader->err) {
        err_set(&err, ERR_PROTOCOL, "its reply cannot be read: %s", l->reader->errstr);
        break_off(l, &err);
    } else if (!l->is_broken && l->unparsed > REPLY_MAX) {
        err_set(&err, ERR_LIMIT, "a reply is larger than %zu bytes", REPLY_MAX);
        break_off(l, &err);
    }
    leave(l);
}

/* False: no whole reply is left. */
static bool next_reply(struct redis_link *l)
{
    void *reply = NULL;
    struct call call;
    struct err err;

    if (redisReaderGetReply(l->reader, &reply) != REDIS_OK || !reply)
        return false;
    l->unparsed = l->reader->len - l->reader->pos;
    if (l->count == 0) {
        err_set(&err, ERR_PROTOCOL, "it replied to what nobody asked");
        break_off(l, &err);
    } else {
        call = pop(l);
        call.on_reply(call.arg, reply, NULL);
    }
    freeReplyObject(reply);
    return true;
}

static void peer_closed(void *arg)
{
    struct err err;

    err_set(&err, ERR_CLOSED, "it closed the connection");
    break_off(arg, &err);
}

static void stream_failed(void *arg, const struct err *err)
{
    break_off(arg, err);
}

static void check_oldest(void *arg)
{
    struct redis_link *l = arg;
    int64_t left;
    struct err err;

    if (l->count == 0)
        return;
    left = left_until(l->ring[l->first].due_ms);
    if (left > 0) {
        timer_start(l->timer, left);
        return;
    }
    err_set(&err, ERR_TIMEOUT, "it did not reply in time");
    break_off(l, &err);
}

static void break_off(struct redis_link *l, const struct err *err)
{
    struct err unknown, why = *err;

    if (l->is_broken)
        return;
    err_set(&unknown, ERR_TIMEOUT, "Redis did not reply, so whether it was done is unknown: %s",
            why.text);
    enter(l);
    l->is_broken = true;
    stream_free(l->stream);
    l->stream = NULL;
    timer_stop(l->timer);
    fail_pending(l, &unknown);
    if (!l->is_freed)
        l->handlers.on_broken(l->arg, &why);
    leave(l);
}

/* One after the other out of the ring, because a callback may free the link. */
static void fail_pending(struct redis_link *l, const struct err *err)
{
    while (l->count) {
        struct call call = pop(l);

        call.on_reply(call.arg, NULL, err);
    }
}

static void push(struct redis_link *l, const struct call *call)
{
    if (l->count == l->cap)
        grow(l);
    l->ring[(l->first + l->count++) & (l->cap - 1)] = *call;
}

static void grow(struct redis_link *l)
{
    size_t cap = l->cap ? 2 * l->cap : RING_MIN;
    struct call *ring = xcalloc(cap, sizeof *ring);

    for (size_t i = 0; i < l->count; i++)
        ring[i] = l->ring[(l->first + i) & (l->cap - 1)];
    free(l->ring);
    l->ring = ring;
    l->cap = cap;
    l->first = 0;
}

static struct call pop(struct redis_link *l)
{
    struct call call = l->ring[l->first];

    l->first = (l->first + 1) & (l->cap - 1);
    l->count--;
    return call;
}

void redis_encode(struct buf *out, const struct span *argv, size_t argc)
{
    redis_encode_start(out, argc);
    for (size_t i = 0; i < argc; i++)
        redis_encode_arg(out, argv[i]);
}

void redis_encode_start(struct buf *out, size_t argc)
{
    char *room = buf_room(out, REDIS_FRAMING_MAX);

    if (room)
        buf_added(out, (size_t)(put_count(room, '*', argc) - room));
}

/* Arguments are short and many, so there is one look at the room for each. */
void redis_encode_arg(struct buf *out, struct span arg)
{
    char *room = buf_room(out, arg.len + REDIS_FRAMING_MAX), *at = room;

    if (!room)
        return;
    at = put_count(at, '$', arg.len);
    if (arg.len)
        memcpy(at, arg.data, arg.len);
    at = put_line_end(at + arg.len);
    buf_added(out, (size_t)(at - room));
}

static char *put_count(char *at, char kind, size_t n)
{
    size_t digits = 1;

    for (size_t left = n; left >= 10; left /= 10)
        digits++;
    *at++ = kind;
    for (size_t i = digits; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    return put_line_end(at + digits);
}

static char *put_line_end(char *at)
{
    *at++ = '\r';
    *at++ = '\n';
    return at;
}
