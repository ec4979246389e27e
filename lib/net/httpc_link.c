/* httpc_link.c - the machine of one connection to an origin. A reply is read as it comes, also while the request is still being
 * sent; a connection goes back to the pool only when both are complete and nothing is left over. */
#include "lib/net/httpc_link.h"

#include <assert.h>
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define SLICE         65536 /* of a request's body, written while there is room */
#define SEND_RATE     64 /* bytes a millisecond: what a request's bytes add to the first deadline */
#define RESET_WAIT_MS 3000 /* a busy peer may end a connection, and close it a while later */
#define MEETING_MS    500  /* a peer that had closed when a request came is heard of by then */

static const struct stream_limits stream_limits = {
    .queue_max = 1 << 20,
    .high = 256 << 10,
    .low = 64 << 10,
};

static const struct err no_memory = {.code = ERR_MEMORY, .text = "no memory for the reply"};

enum link_state {
    LINK_IDLE, /* in the pool */
    LINK_HEAD,
    LINK_BODY,
    LINK_CUT, /* the peer ended it without a reply; a reset may follow */
    LINK_NSTATES,
};

struct link {
    struct httpc *client;
    struct stream *stream;
    struct httpc_call *call; /* null while idle */
    enum link_state state;
    struct pooled pooled; /* while idle */

    struct buf in;     /* what came and could not be used yet */
    struct span input; /* while running: what there is to use */
    bool is_input_kept;
    size_t searched; /* bytes of an unfinished head that were looked at before */

    uint64_t sent_before; /* bytes taken for earlier calls */
    int64_t begun_ms;     /* of this call, monotonic */
    size_t address;       /* which one it was to be connected to */
    bool is_open, is_reused;
    bool has_reply; /* any byte of one */
    bool is_eof;

    enum http_body body; /* of the reply */
    uint64_t body_left;
    struct http1_chunks chunks;
    bool keeps_alive;

    bool is_running, is_dead; /* dead: closed by its call while running */
};

enum step { GO, WAIT, OVER };

static struct link *connect_any(struct httpc_call *call, struct err *err);
static struct link *connect_new(struct httpc *c, const struct addr *to, struct err *err);
static void begin(struct link *l, struct httpc_call *call);
static void feed_request(struct link *l);
static void arm_for_reply(struct link *l);
static void arm(struct link *l, int64_t ms, const char *sentence);
static void run(struct link *l);
static void run_kept(struct link *l);
static bool keep_rest(struct link *l);
static enum step read_head(struct link *l);
static int64_t parse_head(struct link *l, struct err *err);
static enum step begin_body(struct link *l);
static enum step read_body(struct link *l);
static enum step read_chunks(struct link *l);
static enum step deliver(struct link *l, struct span bytes);
static enum step after_callback(const struct link *l);
static enum step await_reset(struct link *l);
static enum step finish(struct link *l);
static bool is_reusable(const struct link *l);
static void put_idle(struct link *l);
static enum step fail(struct link *l, const struct err *err);
static bool move_on(struct link *l);
static bool may_send_again(const struct link *l, const struct err *err);
static void link_free(struct link *l);
static void at_eof(struct link *l);
static void on_open(void *arg);
static void on_bytes(void *arg, const char *bytes, size_t n);
static void on_eof(void *arg);
static void on_drained(void *arg);
static void on_failed(void *arg, const struct err *err);

static enum step (*const steps[LINK_NSTATES])(struct link *) = {
    [LINK_HEAD] = read_head, /* -> BODY */
    [LINK_BODY] = read_body, /* -> IDLE, or closed */
    [LINK_CUT] = await_reset,
};

/* --- a call gets a connection --- */

bool link_carry(struct httpc_call *call, struct err *err)
{
    struct link *l = call->is_sent_again ? NULL : pool_take(&call->client->pool);

    if (!l && !httpc_addrs(call->client, err)) {
        call_wait(call);
        return true;
    }
    if (l)
        l->is_reused = true;
    else if (!(l = connect_any(call, err)))
        return false;
    begin(l, call);
    return true;
}

/* What can't be connected to at once is passed over; the others share what is left of the call's time. */
static struct link *connect_any(struct httpc_call *call, struct err *err)
{
    struct httpc *c = call->client;
    const struct addr_list *addrs = httpc_addrs(c, err);
    int64_t left_ms = call_connect_ms(call);

    while (call->addrs_tried < addrs->count) {
        int64_t share_ms = left_ms / (int64_t)(addrs->count - call->addrs_tried++);
        struct link *l = connect_new(c, &addrs->addr[c->addr_at % addrs->count], err);

        if (l) {
            l->address = c->addr_at;
            arm(l, share_ms + 1, c->connect_sentence); /* 0 would be no end */
            return l;
        }
        c->addr_at++;
    }
    return NULL;
}

static struct link *connect_new(struct httpc *c, const struct addr *to, struct err *err)
{
    static const struct stream_handlers handlers = {
        .on_open = on_open,
        .on_bytes = on_bytes,
        .on_eof = on_eof,
        .on_drained = on_drained,
        .on_failed = on_failed,
    };
    struct link *l = xcalloc(1, sizeof *l);
    const struct stream_peer peer = {*to, c->tls, c->tls_host};
    const struct stream_owner owner = {&stream_limits, &handlers, l};

    l->client = c;
    l->pooled.link = l;
    buf_init(&l->in, c->limits.head.head_bytes_max + 2 * LOOP_SCRATCH);
    l->stream = httpc_may_connect(c, to, err) ? stream_connect(c->loop, &peer, &owner, err) : NULL;
    if (!l->stream) {
        err_context(err, "%s", c->origin);
        link_free(l);
        return NULL;
    }
    return l;
}

static void begin(struct link *l, struct httpc_call *call)
{
    call->link = l;
    call->body_sent = 0;
    l->call = call;
    l->state = LINK_HEAD;
    l->sent_before = stream_taken(l->stream);
    l->begun_ms = clock_monotonic_ms();
    l->has_reply = false;
    if (call->is_paused)
        stream_pause(l->stream);
    stream_write(l->stream, call->head.data, call->head.len);
    feed_request(l);
}

/* As much as there is room for. The peer's time to answer begins anew with each piece. */
static void feed_request(struct link *l)
{
    struct httpc_call *call = l->call;

    while (call->body_sent < call->body.len && !stream_is_full(l->stream)) {
        size_t left = call->body.len - call->body_sent, n = left < SLICE ? left : SLICE;

        stream_write(l->stream, call->body.data + call->body_sent, n);
        call->body_sent += n;
    }
    if (l->state == LINK_HEAD && l->is_open && !call->is_paused)
        arm_for_reply(l);
}

static void arm_for_reply(struct link *l)
{
    const struct httpc *c = l->client;
    uint64_t queued = stream_offered(l->stream) - stream_taken(l->stream);

    if (l->state == LINK_HEAD)
        arm(l, c->limits.first_byte_ms + (int64_t)(queued / SEND_RATE), c->first_byte_sentence);
    else
        arm(l, c->limits.between_bytes_ms, c->between_bytes_sentence);
}

static void arm(struct link *l, int64_t ms, const char *sentence)
{
    stream_deadline(l->stream, ms, sentence);
}

static void on_open(void *arg)
{
    struct link *l = arg;

    l->is_open = true;
    arm(l, 0, NULL);
    if (!l->call->is_paused)
        arm_for_reply(l);
}

static void on_drained(void *arg)
{
    struct link *l = arg;

    if (l->call)
        feed_request(l);
}

/* --- the reply --- */

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    struct link *l = arg;

    if (!l->call) { /* nobody asked: such a connection can't be trusted */
        link_close(l);
        return;
    }
    l->has_reply = true;
    l->is_input_kept = l->in.len > 0;
    if (l->is_input_kept && !buf_add(&l->in, bytes, n)) {
        fail(l, &no_memory);
        return;
    }
    l->input = l->is_input_kept ? buf_span(&l->in) : (struct span){bytes, n};
    if (l->state == LINK_BODY)
        arm_for_reply(l);
    run(l);
}

static void run_kept(struct link *l)
{
    l->is_input_kept = true;
    l->input = buf_span(&l->in);
    run(l);
}

static void run(struct link *l)
{
    enum step step = l->call->is_paused ? WAIT : GO;

    l->is_running = true;
    while (step == GO)
        step = steps[l->state](l);
    if (step == OVER)
        return; /* in the pool, or gone */
    l->is_running = false;
    if (l->is_dead)
        link_free(l);
    else if (!keep_rest(l))
        fail(l, &no_memory);
    else if (l->is_eof && !l->call->is_paused)
        at_eof(l);
}

static bool keep_rest(struct link *l)
{
    if (l->is_input_kept)
        buf_consume(&l->in, l->in.len - l->input.len);
    else if (!buf_add_span(&l->in, l->input))
        return false;
    l->input = SPAN("");
    if (l->in.len == 0)
        buf_clear(&l->in);
    return true;
}

static enum step read_head(struct link *l)
{
    struct http_head *head = &l->client->head;
    struct err err;
    int64_t n = parse_head(l, &err);

    if (n < 0)
        return fail(l, &err);
    if (n == 0)
        return WAIT;
    l->input.data += n;
    l->input.len -= (size_t)n;
    if (head->status == 101) {
        err_set(&err, ERR_PROTOCOL, "it switched protocols without being asked to");
        return fail(l, &err);
    }
    return head->status < 200 ? GO : begin_body(l);
}

static int64_t parse_head(struct link *l, struct err *err)
{
    const struct http_limits *limits = &l->client->limits.head;
    int64_t n = 0;

    if (!l->searched || l->input.len > limits->head_bytes_max ||
        memchr(l->input.data + l->searched, '\n', l->input.len - l->searched))
        n = http1_response(l->input, l->call->method, limits, &l->client->head, err);
    l->searched = n == 0 ? l->input.len : 0;
    return n;
}

static enum step begin_body(struct link *l)
{
    const struct http_head *head = &l->client->head;

    l->body = head->body;
    l->body_left = head->body == HTTP_BODY_LENGTH ? head->length : 0;
    l->keeps_alive = head->keep_alive;
    http1_chunks_init(&l->chunks);
    l->state = LINK_BODY;
    arm_for_reply(l);
    l->call->handlers.on_head(l->call->arg, head);
    return after_callback(l);
}

static enum step after_callback(const struct link *l)
{
    return l->is_dead || l->call->is_paused ? WAIT : GO;
}

static enum step read_body(struct link *l)
{
    struct span bytes = l->input;

    if (l->body == HTTP_BODY_CHUNKED)
        return read_chunks(l);
    if (l->body != HTTP_BODY_UNTIL_CLOSE && l->body_left == 0)
        return finish(l);
    if (bytes.len == 0)
        return WAIT;
    if (l->body == HTTP_BODY_LENGTH) {
        bytes.len = bytes.len < l->body_left ? bytes.len : (size_t)l->body_left;
        l->body_left -= bytes.len;
    }
    l->input.data += bytes.len;
    l->input.len -= bytes.len;
    return deliver(l, bytes);
}

static enum step deliver(struct link *l, struct span bytes)
{
    l->call->handlers.on_bytes(l->call->arg, bytes.data, bytes.len);
    return after_callback(l);
}

static enum step read_chunks(struct link *l)
{
    struct span payload;
    struct err err;

    switch (http1_chunks_next(&l->chunks, &l->input, &payload, &err)) {
    case HTTP1_CHUNK_PAYLOAD:
        return deliver(l, payload);
    case HTTP1_CHUNK_MORE:
        return WAIT;
    case HTTP1_CHUNK_DONE:
        return finish(l);
    default:
        err.code = ERR_PROTOCOL;
        return fail(l, &err);
    }
}

static enum step await_reset(struct link *l UNUSED)
{
    return WAIT;
}

/* The call's end is the last thing that happens here: it may start another call, or free the client. */
static enum step finish(struct link *l)
{
    struct httpc_call *call = l->call;

    call->was_accepted = true;
    l->is_running = false;
    call->link = NULL;
    l->call = NULL;
    if (is_reusable(l))
        put_idle(l);
    else
        link_close(l);
    call_end(call, NULL);
    return OVER;
}

static bool is_reusable(const struct link *l)
{
    return l->keeps_alive && l->input.len == 0 && !l->is_eof &&
           stream_taken(l->stream) == stream_offered(l->stream) &&
           l->client->pool.count < l->client->limits.idle_max;
}

static void put_idle(struct link *l)
{
    buf_clear(&l->in);
    l->input = SPAN("");
    l->state = LINK_IDLE;
    l->pooled.was_stream = l->body == HTTP_BODY_CHUNKED;
    pool_put(&l->client->pool, &l->pooled);
    arm(l, l->client->limits.idle_ms, "idle for too long");
}

/* --- connections end --- */

static void on_eof(void *arg)
{
    struct link *l = arg;

    l->is_eof = true;
    if (!l->call || (l->is_reused && !l->has_reply))
        pool_note_end(&l->client->pool, &l->pooled);
    if (!l->call)
        link_close(l);
    else if (!l->call->is_paused)
        at_eof(l);
}

static void at_eof(struct link *l)
{
    const char *where = l->state == LINK_BODY ? "in the middle of its reply"
                        : l->has_reply        ? "in the middle of its reply's head"
                                              : "without a reply";
    struct err err;

    if (l->state == LINK_CUT)
        return;
    if (l->state == LINK_BODY && l->body == HTTP_BODY_UNTIL_CLOSE) {
        finish(l);
        return;
    }
    err_set(&err, ERR_CLOSED, "it ended the connection %s", where);
    if (l->has_reply || !l->is_reused || !link_has_sent(l)) {
        fail(l, &err);
        return;
    }
    l->state = LINK_CUT;
    stream_await_reset(l->stream);
    arm(l, RESET_WAIT_MS, "it ended the connection without a reply");
}

static void on_failed(void *arg, const struct err *err)
{
    struct link *l = arg;
    struct err why = *err;

    if (!l->call) {
        link_close(l);
        return;
    }
    if (l->state == LINK_CUT && err->code == ERR_TIMEOUT)
        why.code = ERR_CLOSED;
    if (why.code == ERR_CLOSED && why.sys == 0 && stream_was_reset(l->stream))
        why.sys = ECONNRESET;
    fail(l, &why);
}

static enum step fail(struct link *l, const struct err *err)
{
    struct httpc_call *call = l->call;
    bool again = may_send_again(l, err), moves_on = move_on(l);
    struct err why = *err;

    if (why.code != ERR_TIMEOUT)
        err_context(&why, "%s", l->client->origin);
    if (!again && link_has_sent(l))
        call->was_accepted = true;
    l->is_running = false;
    call->link = NULL;
    l->call = NULL;
    link_close(l);
    call->is_sent_again = call->is_sent_again || again;
    if (!(again || moves_on) || !link_carry(call, &why))
        call_end(call, &why);
    return OVER;
}

/* An address that can't be reached is tried last from now on. */
static bool move_on(struct link *l)
{
    struct httpc *c = l->client;
    const struct addr_list *addrs = httpc_addrs(c, &(struct err){0});

    if (l->is_open || l->is_reused || !addrs)
        return false;
    if (c->addr_at == l->address)
        c->addr_at++;
    return l->call->addrs_tried < addrs->count;
}

/* A reset without a reply tells that the peer had not read the request to its end, if it comes behind the peer's own end or
 * soon after the request was sent. Another may be of a peer that died over its work. */
static bool may_send_again(const struct link *l, const struct err *err)
{
    bool is_reset = err->sys == ECONNRESET || err->sys == EPIPE;
    bool is_meeting = clock_monotonic_ms() - l->begun_ms < MEETING_MS;

    if (!l->is_reused || l->has_reply || err->code != ERR_CLOSED)
        return false;
    return !link_has_sent(l) || (is_reset && (l->state == LINK_CUT || is_meeting));
}

bool link_has_sent(const struct link *l)
{
    return stream_taken(l->stream) > l->sent_before;
}

/* Its memory stays while the machine runs, which may be the caller's caller. */
void link_close(struct link *l)
{
    pool_remove(&l->client->pool, &l->pooled);
    stream_free(l->stream);
    l->stream = NULL;
    l->is_dead = true;
    if (!l->is_running)
        link_free(l);
}

static void link_free(struct link *l)
{
    buf_clear(&l->in);
    free(l);
}

/* --- what the call's owner asks for --- */

void link_pause(struct link *l)
{
    stream_pause(l->stream);
    if (l->is_open && l->state != LINK_CUT)
        arm(l, 0, NULL);
}

void link_resume(struct link *l)
{
    stream_resume(l->stream);
    if (l->is_open && l->state != LINK_CUT)
        arm_for_reply(l);
    if (!l->is_running)
        turn_end_schedule(l->client->loop, &l->call->later);
}

void call_run_later(void *arg)
{
    struct httpc_call *call = arg;
    struct err err;

    if (call->is_cancelled) {
        err_set(&err, ERR_CANCELLED, "%s: the call was cancelled", call->client->origin);
        call_end(call, &err);
    } else if (call->link && !call->is_paused) {
        run_kept(call->link);
    }
}
