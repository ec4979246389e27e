/* file_reply.c - one piece at a time: the next is read when the last has left. */
#include "gateway/file_reply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/service.h"
#include "lib/base/mem.h"

#define PIECE     (64 * 1024)
#define NAME_TEXT 200

struct sending {
    struct http_request *request;
    int fd;
    bool is_over; /* the answer has its end: only on_done may come */
};

static void send_more(void *data);
static void on_gone(void *data);
static void on_done(void *data);

bool file_reply(struct http_request *r, const char *path, const char *name, const char *type,
                struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char disposition[NAME_TEXT + 40];
    const struct http_field fields[] = {{"content-type", type},
                                        {"content-disposition", disposition},
                                        {"x-content-type-options", "nosniff"},
                                        {"cache-control", "no-store"}};
    struct sending *s;

    if (fd < 0)
        return err_sys(err, "%s", path);
    snprintf(disposition, sizeof disposition, "attachment; filename=\"%.*s\"", NAME_TEXT, name);
    request_release(r);
    s = xcalloc(1, sizeof *s);
    *s = (struct sending){.request = r, .fd = fd};
    http_request_set_data(r, s);
    http_request_watch(r, on_gone, on_done);
    http_reply_start(r, 200, fields, ARRAY_LEN(fields));
    send_more(s);
    return true;
}

static void send_more(void *data)
{
    struct sending *s = data;
    char piece[PIECE];

    while (!s->is_over && !http_reply_is_full(s->request)) {
        ssize_t n = read(s->fd, piece, sizeof piece);

        if (n < 0 && errno == EINTR)
            continue;
        s->is_over = n <= 0;
        if (n > 0)
            http_reply_write(s->request, (struct span){piece, (size_t)n});
        else if (n == 0)
            http_reply_end(s->request);
        else
            http_reply_break(s->request);
    }
    if (!s->is_over)
        http_reply_on_drained(s->request, send_more);
}

static void on_gone(void *data)
{
    struct sending *s = data;

    s->is_over = true;
}

static void on_done(void *data)
{
    struct sending *s = data;

    close(s->fd);
    free(s);
}
