/* names_server.c - it waits for questions and for the ends of lookups, and never for a name server. */
#include "lib/net/names_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CLIENTS_MAX    1024
#define LOOKUPS_MAX    256 /* at once; what is asked meanwhile waits in its socket */
#define LOOKUP_SECONDS 10
#define QUESTION_MAX   512
#define ANSWER_MAX     2048
#define LOOK_AGAIN_MS  50 /* for lookups that have ended */

struct client {
    int fd;
    size_t len;
    char line[QUESTION_MAX]; /* not whole yet */
};

struct names_server {
    names_look_up *look_up;
    int listener;
    size_t lookups;
    size_t client_count;
    struct client clients[CLIENTS_MAX];
    struct pollfd polls[CLIENTS_MAX + 1]; /* the listener's last */
};

static bool wait_for_work(struct names_server *s);
static void reap(struct names_server *s);
static void take_clients(struct names_server *s);
static bool read_client(struct names_server *s, struct client *c);
static void take_lines(struct names_server *s, struct client *c);
static void begin_lookup(struct names_server *s, int fd, const char *text);
static void answer(names_look_up *look_up, int fd, const char *text);

int names_serve(int listener, names_look_up *look_up)
{
    struct names_server *s = xcalloc(1, sizeof *s);

    s->look_up = look_up;
    s->listener = listener;
    while (wait_for_work(s)) {
        reap(s);
        for (size_t i = s->client_count; i-- > 0;) {
            struct client *c = &s->clients[i];

            if (!s->polls[i].revents || read_client(s, c))
                continue;
            close(c->fd);
            *c = s->clients[--s->client_count];
        }
        if (s->polls[CLIENTS_MAX].revents)
            take_clients(s);
    }
    free(s);
    return 1;
}

static bool wait_for_work(struct names_server *s)
{
    bool has_room = s->lookups < LOOKUPS_MAX;

    for (size_t i = 0; i < s->client_count; i++)
        s->polls[i] = (struct pollfd){.fd = has_room ? s->clients[i].fd : -1, .events = POLLIN};
    for (size_t i = s->client_count; i < CLIENTS_MAX; i++)
        s->polls[i] = (struct pollfd){.fd = -1};
    s->polls[CLIENTS_MAX] =
        (struct pollfd){.fd = s->client_count < CLIENTS_MAX ? s->listener : -1, .events = POLLIN};
    if (poll(s->polls, CLIENTS_MAX + 1, s->lookups ? LOOK_AGAIN_MS : -1) >= 0 || errno == EINTR)
        return !(s->polls[CLIENTS_MAX].revents & (POLLNVAL | POLLERR));
    log_error("names_failed", "cannot wait for questions: %s", strerror(errno));
    return false;
}

static void reap(struct names_server *s)
{
    while (s->lookups > 0 && waitpid(-1, NULL, WNOHANG) > 0)
        s->lookups--;
}

static void take_clients(struct names_server *s)
{
    int fd;

    while (s->client_count < CLIENTS_MAX &&
           (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        s->clients[s->client_count++] = (struct client){.fd = fd};
}

/* False: it is gone, or no client of ours. */
static bool read_client(struct names_server *s, struct client *c)
{
    ssize_t n = recv(c->fd, c->line + c->len, sizeof c->line - c->len, MSG_DONTWAIT);

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    c->len += (size_t)n;
    take_lines(s, c);
    return c->len < sizeof c->line;
}

/* LOOKUPS_MAX is passed by what one read brings at most. */
static void take_lines(struct names_server *s, struct client *c)
{
    char *end;

    while ((end = memchr(c->line, '\n', c->len))) {
        size_t n = (size_t)(end - c->line);

        *end = '\0';
        begin_lookup(s, c->fd, c->line);
        c->len -= n + 1;
        memmove(c->line, end + 1, c->len);
    }
}

/* When it can't be begun nothing is said: the other end asks again. */
static void begin_lookup(struct names_server *s, int fd, const char *text)
{
    pid_t parent = getpid(), pid = fork();

    if (pid > 0)
        s->lookups++;
    if (pid < 0)
        log_warn("names_failed", "cannot begin to look up %s: %s", text, strerror(errno));
    if (pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        alarm(LOOKUP_SECONDS);
        answer(s->look_up, fd, text);
    }
    _exit(0);
}

static void answer(names_look_up *look_up, int fd, const char *text)
{
    AUTO_CLEAR(buf) line = {.max = ANSWER_MAX};
    struct addr_list found;
    struct err err;
    char one[ADDR_TEXT];

    buf_add_string(&line, text);
    if (look_up(text, &found, &err)) {
        for (size_t i = 0; i < found.count; i++)
            buf_printf(&line, " %s", addr_format(&found.addr[i], one));
    } else {
        buf_printf(&line, " !%s", err.text);
    }
    buf_add_char(&line, '\n');
    if (!line.failed)
        (void)!send(fd, line.data, line.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}
