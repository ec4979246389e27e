/* listeners.c - the master's TCP sockets. With SO_REUSEPORT two programs of one user can listen on the same
 * port and each would get half of the connections; so a socket without it tries first. */
#include "gateway/listeners.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool open_all(const char *api, const char *console, size_t workers, struct listeners *l,
                     struct err *err);
static int open_first(const char *text, char bound_text[ADDR_TEXT], struct err *err);
static bool is_free(const struct addr *a, const char *text, struct err *err);
static int open_again(const char *text, struct err *err);
static void close_fd(int *fd);

bool listeners_open(const char *api, const char *console, size_t workers, struct listeners *out,
                    struct err *err)
{
    AUTO_CLEAR(listeners) l = {.console = -1};

    assert(workers > 0 && workers <= WORKERS_MAX);
    if (!open_all(api, console, workers, &l, err))
        return false;
    *out = l;
    l = (struct listeners){.console = -1};
    return true;
}

static bool open_all(const char *api, const char *console, size_t workers, struct listeners *l,
                     struct err *err)
{
    l->console = open_first(console, l->console_address, err);
    if (l->console < 0)
        return err_context(err, "console");
    for (; l->count < workers; l->count++) {
        int fd =
            l->count == 0 ? open_first(api, l->api_address, err) : open_again(l->api_address, err);

        if (fd < 0)
            return err_context(err, "listen");
        l->api[l->count] = fd;
    }
    return true;
}

static int open_first(const char *text, char bound_text[ADDR_TEXT], struct err *err)
{
    struct addr wanted, bound;
    int fd;

    if (!addr_parse(text, &wanted, err) || !is_free(&wanted, text, err))
        return -1;
    fd = addr_listen(&wanted, &bound, err);
    if (fd >= 0)
        addr_format(&bound, bound_text);
    return fd;
}

/* Other failures than "in use" are left to addr_listen() to explain. */
static bool is_free(const struct addr *a, const char *text, struct err *err)
{
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool is_taken;

    if (fd < 0)
        return err_sys(err, "cannot make a socket");
    is_taken = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
               bind(fd, &a->u.any, a->len) != 0 && errno == EADDRINUSE;
    close(fd);
    return !is_taken || err_set(err, ERR_EXISTS, "%s is in use by another program", text);
}

static int open_again(const char *text, struct err *err)
{
    struct addr a;

    return addr_parse(text, &a, err) ? addr_listen(&a, NULL, err) : -1;
}

void listeners_close_others(struct listeners *l, int keep_api, int keep_console)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->api[i] != keep_api)
            close_fd(&l->api[i]);
    if (l->console != keep_console)
        close_fd(&l->console);
}

void listeners_clear(struct listeners *l)
{
    listeners_close_others(l, -1, -1);
    l->count = 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
