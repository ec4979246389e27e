/* httpc.c - origins and the calls to them. */
#include "lib/net/httpc.h"

#include <assert.h>
#include <inttypes.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/httpc_link.h"

#define NAME_BYTES_MAX 261 /* 255 of a host, a colon and a port */

static bool read_origin(struct httpc *c, struct names *names, struct err *err);
static bool read_authority(struct httpc *c, const char *port, struct names *names, struct err *err);
static bool no_origin(const char *url, struct err *err);
static char *place_of(const char *origin, const char *port, struct err *err);
static size_t name_len(const char *authority);
static bool is_name(const char *text, struct err *err);
static const char *port_of(const char *authority);
static char *deadline_sentence(const struct httpc *c, const char *what, int64_t ms);
static void write_head(struct httpc_call *call, struct span target, struct span head_lines);
static bool states_length(const struct httpc_call *call);

struct httpc *httpc_new(struct loop *loop, const struct httpc_origin *origin,
                        const struct httpc_limits *limits, struct err *err)
{
    AUTO(httpc) c = xcalloc(1, sizeof *c);

    c->loop = loop;
    c->tls = origin->tls;
    c->limits = *limits;
    c->may_connect = origin->may_connect;
    c->may_connect_arg = origin->may_connect_arg;
    c->origin = xstrdup(origin->url);
    c->waiting_end = timer_new(loop, waiting_over, c);
    if (!read_origin(c, origin->names, err))
        return NULL;
    c->connect_sentence =
        deadline_sentence(c, "did not take the connection within", limits->connect_ms);
    c->first_byte_sentence =
        deadline_sentence(c, "did not begin to reply within", limits->first_byte_ms);
    c->between_bytes_sentence =
        deadline_sentence(c, "fell silent in its reply for", limits->between_bytes_ms);
    return KEEP(c);
}

static bool read_origin(struct httpc *c, struct names *names, struct err *err)
{
    if (strncmp(c->origin, "unix:", 5) == 0) {
        c->tls = NULL;
        c->host = xstrdup("localhost");
        c->addrs.count = 1;
        return addr_parse(c->origin, &c->addrs.addr[0], err);
    }
    if (strncmp(c->origin, "https://", 8) == 0 && c->tls)
        return read_authority(c, "443", names, err);
    if (strncmp(c->origin, "http://", 7) == 0) {
        c->tls = NULL;
        return read_authority(c, "80", names, err);
    }
    return no_origin(c->origin, err);
}

static bool no_origin(const char *url, struct err *err)
{
    return err_set(err, ERR_INPUT, "'%s' is not http://host:port, https://host:port or unix:path",
                   url);
}

static bool read_authority(struct httpc *c, const char *port, struct names *names, struct err *err)
{
    const char *authority = strstr(c->origin, "://") + 3;
    size_t name = name_len(authority);
    AUTO_STRING place = place_of(c->origin, port, err);

    if (!place)
        return false;
    c->host = xstrdup(authority);
    if (c->tls)
        c->tls_host =
            authority[0] == '[' ? xstrndup(authority + 1, name - 2) : xstrndup(authority, name);
    c->addrs.count = 1;
    if (!names || addr_parse(place, &c->addrs.addr[0], NULL))
        return addr_resolve(place, &c->addrs.addr[0], err) || err_context(err, "%s", c->origin);
    c->name = name_watch(names, place, waiting_name_told, c);
    return true;
}

bool httpc_url_check(const char *url, struct err *err)
{
    bool is_tls = strncmp(url, "https://", 8) == 0;
    AUTO_STRING place = NULL;
    struct addr addr;

    if (strncmp(url, "unix:", 5) == 0)
        return addr_parse(url, &addr, err);
    if (!is_tls && strncmp(url, "http://", 7) != 0)
        return no_origin(url, err);
    place = place_of(url, is_tls ? "443" : "80", err);
    return place != NULL;
}

/* "host:port", of a number or a name, with that port where the origin gives none; the caller frees it. */
static char *place_of(const char *origin, const char *port, struct err *err)
{
    const char *authority = strstr(origin, "://") + 3;
    AUTO_STRING place =
        port_of(authority) ? xstrdup(authority) : xasprintf("%s:%s", authority, port);
    struct addr number;

    if (name_len(authority) == 0 || strpbrk(authority, "/?#@ \t\r\n")) {
        err_set(err, ERR_INPUT, "'%s' has more or less than a host and a port", origin);
        return NULL;
    }
    if (!addr_parse(place, &number, NULL) && !is_name(place, err)) {
        err_context(err, "%s", origin);
        return NULL;
    }
    return KEEP(place);
}

static size_t name_len(const char *authority)
{
    const char *port = port_of(authority);

    return port ? (size_t)(port - 1 - authority) : strlen(authority);
}

/* Else asking for it would be of no use. */
static bool is_name(const char *text, struct err *err)
{
    const char *colon = strchr(text, ':');
    uint64_t port;

    return (strlen(text) <= NAME_BYTES_MAX && colon && !strchr(text, '[') &&
            digits_parse(span_of(colon + 1), UINT16_MAX, &port)) ||
           err_set(err, ERR_INPUT, "that is no host and port");
}

/* The colons of "[::1]" belong to the address. */
static const char *port_of(const char *authority)
{
    const char *colon = strrchr(authority, ':'), *bracket = strrchr(authority, ']');

    return colon && (!bracket || colon > bracket) ? colon + 1 : NULL;
}

static char *deadline_sentence(const struct httpc *c, const char *what, int64_t ms)
{
    return ms % 1000 ? xasprintf("%s %s %" PRId64 " ms", c->origin, what, ms)
                     : xasprintf("%s %s %" PRId64 " s", c->origin, what, ms / 1000);
}

void httpc_free(struct httpc *c)
{
    if (!c)
        return;
    assert(c->call_count == 0);
    while (c->pool.first)
        link_close(c->pool.first->link);
    name_free(c->name);
    timer_free(c->waiting_end);
    free(c->origin);
    free(c->host);
    free(c->tls_host);
    free(c->connect_sentence);
    free(c->first_byte_sentence);
    free(c->between_bytes_sentence);
    free(c);
}

const char *httpc_host(const struct httpc *c)
{
    return c->host;
}

struct httpc_call *httpc_call(struct httpc *c, const struct httpc_request *request,
                              const struct httpc_handlers *handlers, void *arg, struct err *err)
{
    struct httpc_call *call = call_new(c, handlers, arg);

    call->body = request->body;
    call->method = request->method;
    write_head(call, request->target, request->head_lines);
    if (!link_carry(call, err)) {
        c->call_count--;
        call_free(call);
        return NULL;
    }
    return call;
}

static void write_head(struct httpc_call *call, struct span target, struct span head_lines)
{
    struct buf *head = &call->head;
    char length[INT64_TEXT];

    buf_add_span(head, call->method);
    buf_add_char(head, ' ');
    buf_add_span(head, target);
    buf_add_string(head, " HTTP/1.1\r\nhost: ");
    buf_add_string(head, call->client->host);
    buf_add_string(head, "\r\n");
    buf_add_span(head, head_lines);
    if (states_length(call)) {
        buf_add_string(head, "content-length: ");
        buf_add_span(head, uint64_text(call->body.len, length));
        buf_add_string(head, "\r\n");
    }
    buf_add_string(head, "\r\n");
    assert(!head->failed);
    call->method.data = head->data; /* the caller's may not live as long */
}

static bool states_length(const struct httpc_call *call)
{
    return call->body.len > 0 || span_equal(call->method, SPAN("POST")) ||
           span_equal(call->method, SPAN("PUT")) || span_equal(call->method, SPAN("PATCH"));
}

bool httpc_may_be_accepted(const struct httpc_call *call)
{
    return call->was_accepted || (call->link && link_has_sent(call->link));
}

void httpc_pause(struct httpc_call *call)
{
    if (call->is_paused || (!call->link && !call->is_waiting))
        return;
    call->is_paused = true;
    if (call->link)
        link_pause(call->link);
}

void httpc_resume(struct httpc_call *call)
{
    if (!call->is_paused || (!call->link && !call->is_waiting))
        return;
    call->is_paused = false;
    if (call->link)
        link_resume(call->link);
}

void httpc_cancel(struct httpc_call *call)
{
    struct link *l = call->link;

    if (call->is_cancelled || (!l && !call_stop_waiting(call)))
        return;
    call->is_cancelled = true;
    call->was_accepted = call->was_accepted || (l && link_has_sent(l));
    call->link = NULL;
    if (l)
        link_close(l);
    turn_end_schedule(call->client->loop, &call->later);
}
