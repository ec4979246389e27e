/* addr.c - addresses as people write them, and listening sockets. Names are never looked up by
 * addr_parse(), so that nothing on the loop can come to wait for a name server. */
#include "lib/net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/text.h"

#define BACKLOG  4096 /* the kernel cuts it to net.core.somaxconn */
#define HOST_MAX 256

struct parts {
    char host[HOST_MAX];
    char port[6];
};

static bool parse_local(const char *path, struct addr *out, struct err *err);
static bool split(const char *text, struct parts *out, struct err *err);
static bool set_numeric(const struct parts *p, struct addr *out);
static bool has_path(const struct addr *a);
static int open_socket(const struct addr *a, struct err *err);
static bool listen_on(int fd, const struct addr *a, struct err *err);
static bool set_options(int fd, struct err *err);
static bool make_way(int fd, const struct addr *a, struct err *err);
static bool is_answered(const struct addr *a);
static bool read_name(int fd, struct addr *out, struct err *err);

bool addr_parse(const char *text, struct addr *out, struct err *err)
{
    struct parts p;

    if (strncmp(text, "unix:", 5) == 0)
        return parse_local(text + 5, out, err);
    if (!split(text, &p, err))
        return false;
    if (strcmp(p.host, "localhost") == 0)
        snprintf(p.host, sizeof p.host, "127.0.0.1");
    return set_numeric(&p, out) ||
           err_set(err, ERR_INPUT, "%s is not a numeric address; names are not looked up here",
                   text);
}

static bool parse_local(const char *path, struct addr *out, struct err *err)
{
    struct addr a = {.u.local = {.sun_family = AF_UNIX}};
    size_t len = strlen(path);

    if (len == 0)
        return err_set(err, ERR_INPUT, "unix: needs a path");
    if (len >= sizeof a.u.local.sun_path)
        return err_set(err, ERR_INPUT,
                       "unix:%.200s is longer than the %zu bytes that a socket's path may have",
                       path, sizeof a.u.local.sun_path - 1);
    memcpy(a.u.local.sun_path, path, len);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    *out = a;
    return true;
}

/* "host:port" or "[host]:port". */
static bool split(const char *text, struct parts *out, struct err *err)
{
    const char *colon = strrchr(text, ':');
    struct span host = {text, colon ? (size_t)(colon - text) : 0};
    uint64_t port;

    if (!colon || !digits_parse(span_of(colon + 1), UINT16_MAX, &port))
        return err_set(err, ERR_INPUT, "%.200s is not HOST:PORT with a port of 0 to 65535", text);
    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = (struct span){host.data + 1, host.len - 2};
    else if (host.len && memchr(host.data, ':', host.len))
        return err_set(err, ERR_INPUT, "%.200s: an IPv6 address stands in brackets, [::1]:8443",
                       text);
    if (host.len == 0 || !span_copy(host, out->host, sizeof out->host))
        return err_set(err, ERR_INPUT, "%.200s has no host", text);
    snprintf(out->port, sizeof out->port, "%u", (unsigned)port);
    return true;
}

static bool set_numeric(const struct parts *p, struct addr *out)
{
    in_port_t port = htons((uint16_t)strtoul(p->port, NULL, 10));
    struct addr v4 = {.len = sizeof v4.u.v4, .u.v4 = {.sin_family = AF_INET, .sin_port = port}};
    struct addr v6 = {.len = sizeof v6.u.v6, .u.v6 = {.sin6_family = AF_INET6, .sin6_port = port}};

    if (inet_pton(AF_INET, p->host, &v4.u.v4.sin_addr) == 1)
        *out = v4;
    else if (inet_pton(AF_INET6, p->host, &v6.u.v6.sin6_addr) == 1)
        *out = v6;
    else
        return false;
    return true;
}

bool addr_resolve(const char *text, struct addr *out, struct err *err)
{
    struct addr_list found;

    if (addr_parse(text, out, NULL))
        return true;
    if (strncmp(text, "unix:", 5) == 0)
        return addr_parse(text, out, err);
    if (!addr_look_up(text, &found, err))
        return err_context(err, "cannot look up %s", text);
    *out = found.addr[0];
    return true;
}

bool addr_look_up(const char *text, struct addr_list *out, struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct parts p;
    int failed;

    if (!split(text, &p, err))
        return false;
    failed = getaddrinfo(p.host, p.port, &hints, &found);
    if (failed)
        return err_set(err, ERR_UNAVAILABLE, "%s", gai_strerror(failed));
    out->count = 0;
    for (const struct addrinfo *at = found; at && out->count < ADDR_LIST_MAX; at = at->ai_next) {
        struct addr *a = &out->addr[out->count++];

        *a = (struct addr){.len = at->ai_addrlen};
        memcpy(&a->u, at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(found);
    return true;
}

const char *addr_format(const struct addr *a, char out[ADDR_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";

    switch (a->u.any.sa_family) {
    case AF_UNIX:
        snprintf(out, ADDR_TEXT, "unix:%s", has_path(a) ? a->u.local.sun_path : "");
        break;
    case AF_INET:
        inet_ntop(AF_INET, &a->u.v4.sin_addr, host, sizeof host);
        snprintf(out, ADDR_TEXT, "%s:%u", host, ntohs(a->u.v4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &a->u.v6.sin6_addr, host, sizeof host);
        snprintf(out, ADDR_TEXT, "[%s]:%u", host, ntohs(a->u.v6.sin6_port));
        break;
    default:
        snprintf(out, ADDR_TEXT, "unknown");
    }
    return out;
}

/* Whoever connects from an unnamed unix socket has none. */
static bool has_path(const struct addr *a)
{
    return a->u.any.sa_family == AF_UNIX && a->len > offsetof(struct sockaddr_un, sun_path);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    const struct in6_addr *v6 = &a->u.v6.sin6_addr;

    switch (a->u.any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(a->u.v4.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
    default:
        return false;
    }
}

int addr_listen(const struct addr *a, struct addr *bound, struct err *err)
{
    struct addr got = *a;
    int fd = open_socket(a, err);

    if (fd < 0)
        return -1;
    if (!listen_on(fd, a, err) || (!has_path(a) && !read_name(fd, &got, err))) {
        close(fd);
        return -1;
    }
    if (bound)
        *bound = got;
    return fd;
}

static int open_socket(const struct addr *a, struct err *err)
{
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        err_sys(err, "cannot make a socket");
    return fd;
}

static bool listen_on(int fd, const struct addr *a, struct err *err)
{
    char text[ADDR_TEXT];
    bool is_ready = has_path(a) ? make_way(fd, a, err) : set_options(fd, err);

    if (!is_ready)
        return false;
    if (bind(fd, &a->u.any, a->len) == 0 && listen(fd, BACKLOG) == 0)
        return true;
    if (errno == EADDRINUSE)
        return err_set(err, ERR_EXISTS, "%s is in use by another program", addr_format(a, text));
    return err_sys(err, "cannot listen on %s", addr_format(a, text));
}

static bool set_options(int fd, struct err *err)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return err_sys(err, "cannot set a listening socket's options");
    return true;
}

/* Linux gives the file the mode that the socket has when it is bound, so it is never open to
 * others. A socket file that nobody answers is what a killed process left. */
static bool make_way(int fd, const struct addr *a, struct err *err)
{
    const char *path = a->u.local.sun_path;
    struct stat st;

    if (fchmod(fd, 0600) != 0)
        return err_sys(err, "cannot set the mode of %s", path);
    if (lstat(path, &st) != 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_EXISTS, "%s exists and is not a socket", path);
    if (is_answered(a))
        return err_set(err, ERR_EXISTS, "%s is in use by another program", path);
    return unlink(path) == 0 || err_sys(err, "cannot replace the dead socket %s", path);
}

/* A full backlog (EAGAIN) is an answer too. */
static bool is_answered(const struct addr *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_dead = fd >= 0 && connect(fd, &a->u.any, a->len) != 0 && errno == ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return !is_dead;
}

static bool read_name(int fd, struct addr *out, struct err *err)
{
    out->len = sizeof out->u;
    return getsockname(fd, &out->u.any, &out->len) == 0 ||
           err_sys(err, "cannot read a socket's address");
}
