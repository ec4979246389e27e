/* names.c - one connection for all names of a process. An answer speaks for itself, so one that comes late, or was meant for
 * somebody before us, is as good as any. */
#include "lib/net/names.h"

#include <assert.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/net/stream.h"

#define LINE_MAX_BYTES 4096
#define AGAIN_MS       200 /* after the connection broke: the other process is being started again */

struct names {
    struct loop *loop;
    struct addr server;
    struct names_times times;
    struct stream *stream; /* null: not connected */
    struct buf in;         /* an unfinished line */
    struct name *first;
};

struct name {
    struct names *names;
    struct name *next, **link;
    char *text;
    void (*on_told)(void *arg);
    void *arg;
    struct timer *timer; /* the answer's deadline, or the next question */
    bool is_asked, is_untold;
    struct addr_list addrs;
    struct err failure; /* of the last lookup */
};

static const struct stream_limits stream_limits = {
    .queue_max = 1 << 18,
    .high = 1 << 17,
    .low = 1 << 16,
};

static bool connect_now(struct names *n, struct err *err);
static void disconnect(struct names *n);
static void on_timer(void *arg);
static void ask(struct name *name);
static void on_bytes(void *arg, const char *bytes, size_t size);
static void on_eof(void *arg);
static void on_failed(void *arg, const struct err *err);
static void take_line(struct names *n, struct span line);
static bool read_addrs(struct span text, struct addr_list *out);
static void take_failure(struct name *name, struct span why);
static void tell_all(struct names *n);

struct names *names_new(struct loop *loop, const struct addr *server,
                        const struct names_times *times)
{
    struct names *n = xcalloc(1, sizeof *n);

    n->loop = loop;
    n->server = *server;
    n->times = *times;
    buf_init(&n->in, LINE_MAX_BYTES);
    return n;
}

void names_free(struct names *n)
{
    if (!n)
        return;
    assert(!n->first);
    disconnect(n);
    free(n);
}

struct name *name_watch(struct names *n, const char *text, void (*on_told)(void *arg), void *arg)
{
    struct name *name = xcalloc(1, sizeof *name);

    name->names = n;
    name->text = xstrdup(text);
    name->on_told = on_told;
    name->arg = arg;
    name->timer = timer_new(n->loop, on_timer, name);
    name->link = &n->first;
    name->next = n->first;
    if (name->next)
        name->next->link = &name->next;
    n->first = name;
    timer_start(name->timer, 0);
    return name;
}

void name_free(struct name *name)
{
    if (!name)
        return;
    *name->link = name->next;
    if (name->next)
        name->next->link = name->link;
    timer_free(name->timer);
    free(name->text);
    free(name);
}

const struct addr_list *name_addrs(const struct name *name, struct err *err)
{
    if (name->addrs.count > 0)
        return &name->addrs;
    *err = name->failure;
    return NULL;
}

/* --- asking --- */

static void on_timer(void *arg)
{
    struct name *name = arg;

    if (name->is_asked) {
        disconnect(name->names);
        take_failure(name, SPAN("no answer came in time"));
        tell_all(name->names);
    } else {
        ask(name);
    }
}

static void ask(struct name *name)
{
    struct names *n = name->names;
    struct err err;

    if (!n->stream && !connect_now(n, &err)) {
        take_failure(name, span_of(err.text));
        tell_all(n);
        return;
    }
    name->is_asked = true;
    stream_write(n->stream, name->text, strlen(name->text));
    stream_write(n->stream, "\n", 1);
    timer_start(name->timer, n->times.answer_ms);
}

static bool connect_now(struct names *n, struct err *err)
{
    static const struct stream_handlers handlers = {
        .on_bytes = on_bytes, .on_eof = on_eof, .on_failed = on_failed};
    const struct stream_peer peer = {.addr = n->server};
    const struct stream_owner owner = {&stream_limits, &handlers, n};

    n->stream = stream_connect(n->loop, &peer, &owner, err);
    return n->stream != NULL;
}

static void disconnect(struct names *n)
{
    stream_free(n->stream);
    n->stream = NULL;
    buf_clear(&n->in);
    buf_init(&n->in, LINE_MAX_BYTES);
}

static void on_eof(void *arg)
{
    on_failed(arg, NULL);
}

/* What was asked is asked again; nobody needs to hear of it. */
static void on_failed(void *arg, const struct err *err UNUSED)
{
    struct names *n = arg;

    disconnect(n);
    for (struct name *name = n->first; name; name = name->next) {
        if (!name->is_asked)
            continue;
        name->is_asked = false;
        timer_start(name->timer, AGAIN_MS);
    }
}

/* --- answers --- */

static void on_bytes(void *arg, const char *bytes, size_t size)
{
    struct names *n = arg;
    const char *end;

    if (!buf_add(&n->in, bytes, size)) {
        on_failed(n, NULL);
        return;
    }
    while (n->in.len > 0 && (end = memchr(n->in.data, '\n', n->in.len))) {
        size_t len = (size_t)(end - n->in.data);

        take_line(n, (struct span){n->in.data, len});
        buf_consume(&n->in, len + 1);
    }
    tell_all(n);
}

static void take_line(struct names *n, struct span line)
{
    const char *blank = memchr(line.data, ' ', line.len);
    struct span text = {line.data, blank ? (size_t)(blank - line.data) : line.len};
    struct span rest = {blank ? blank + 1 : "", blank ? line.len - text.len - 1 : 0};
    struct addr_list addrs;

    for (struct name *name = n->first; name; name = name->next) {
        if (!span_equal(span_of(name->text), text))
            continue;
        if (rest.len > 0 && rest.data[0] == '!') {
            take_failure(name, (struct span){rest.data + 1, rest.len - 1});
        } else if (!read_addrs(rest, &addrs)) {
            take_failure(name, SPAN("the answer holds no address"));
        } else {
            name->addrs = addrs;
            name->is_asked = false;
            name->is_untold = true;
            timer_start(name->timer, n->times.fresh_ms);
        }
    }
}

static bool read_addrs(struct span text, struct addr_list *out)
{
    out->count = 0;
    while (text.len > 0 && out->count < ADDR_LIST_MAX) {
        const char *blank = memchr(text.data, ' ', text.len);
        size_t len = blank ? (size_t)(blank - text.data) : text.len;
        char one[ADDR_TEXT];

        if (span_copy((struct span){text.data, len}, one, sizeof one) &&
            addr_parse(one, &out->addr[out->count], NULL))
            out->count++;
        text = (struct span){text.data + len + (blank != NULL), text.len - len - (blank != NULL)};
    }
    return out->count > 0;
}

static void take_failure(struct name *name, struct span why)
{
    err_set(&name->failure, ERR_UNAVAILABLE, "cannot look up %s: %.*s", name->text, SPAN_FMT(why));
    name->is_asked = false;
    name->is_untold = true;
    timer_start(name->timer, name->names->times.retry_ms);
}

/* Whoever is told may free any name. */
static void tell_all(struct names *n)
{
    struct name *name = n->first;

    while (name) {
        if (!name->is_untold) {
            name = name->next;
            continue;
        }
        name->is_untold = false;
        name->on_told(name->arg);
        name = n->first;
    }
}
