/* fake_redis.c - INFO it answers by itself, everything else the test does. */
#include "tests/net/fake_redis.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/stream.h"

#define WORDS_MAX 4096

struct fake_client {
    struct fake_redis *fake;
    struct stream *stream;
    struct buf in;
    struct fake_client *next;
};

static const struct stream_limits limits = {1 << 20, 1 << 18, 1 << 16};

/* One command off the front: true when it was whole. */
static bool take_command(struct buf *in, char words[WORDS_MAX])
{
    const char *at = in->data;
    size_t used = 0;
    long count;

    if (!in->len || !strstr(in->data, "\r\n"))
        return false;
    ck_assert_int_eq(in->data[0], '*');
    count = strtol(in->data + 1, NULL, 10);
    at = strstr(at, "\r\n") + 2;
    words[0] = '\0';
    while (count-- > 0) {
        const char *line = strstr(at, "\r\n");
        size_t len;

        if (!line)
            return false;
        len = strtoul(at + 1, NULL, 10);
        at = line + 2;
        if ((size_t)(at - in->data) + len + 2 > in->len)
            return false;
        used += (size_t)snprintf(words + used, WORDS_MAX - used, "%s%.*s", used ? " " : "",
                                 (int)len, at);
        ck_assert_uint_lt(used, WORDS_MAX);
        at += len + 2;
    }
    buf_consume(in, (size_t)(at - in->data));
    return true;
}

static void say_info(const struct fake_redis *f, struct buf *reply)
{
    AUTO_STRING info = xasprintf("run_id:%.40s\r\nmaster_replid:%s\r\nrole:%s\r\n"
                                 "cluster_enabled:%d\r\nloading:0\r\n"
                                 "aof_enabled:0\r\naof_rewrite_in_progress:0\r\n"
                                 "aof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:-1\r\n"
                                 "aof_last_bgrewrite_status:ok\r\n",
                                 f->run_id, f->run_id + 41, f->role, f->in_cluster);

    buf_printf(reply, "$%zu\r\n%s\r\n", strlen(info), info);
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    struct fake_client *c = arg;
    struct fake_redis *f = c->fake;
    char words[WORDS_MAX];

    buf_add(&c->in, bytes, n);
    while (take_command(&c->in, words)) {
        AUTO_CLEAR(buf) reply = {.max = 1 << 16};

        if (strncmp(words, "INFO", 4) == 0) {
            say_info(f, &reply);
        } else {
            f->asked++;
            f->answer(f, words, &reply);
            snprintf(f->last, sizeof f->last, "%s", words);
        }
        if (reply.len)
            stream_write(c->stream, reply.data, reply.len);
    }
}

static void on_accept(void *arg)
{
    static const struct stream_handlers handlers = {.on_bytes = on_bytes};
    struct fake_redis *f = arg;
    struct fake_client *c = xcalloc(1, sizeof *c);
    int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK);

    ck_assert_int_ge(fd, 0);
    f->connections++;
    c->fake = f;
    buf_init(&c->in, 1 << 20);
    c->stream = stream_accepted(f->loop, fd, NULL, &(struct stream_owner){&limits, &handlers, c});
    c->next = f->clients;
    f->clients = c;
}

void fake_redis_start(struct fake_redis *f, struct loop *loop, char letter, bool in_cluster,
                      fake_answer *answer)
{
    struct addr any, bound;
    struct err err;

    *f = (struct fake_redis){
        .loop = loop, .answer = answer, .role = "master", .in_cluster = in_cluster};
    memset(f->run_id, letter, sizeof f->run_id - 1);
    f->run_id[40] = '-';
    ck_assert(addr_parse("127.0.0.1:0", &any, &err));
    f->fd = addr_listen(&any, &bound, &err);
    ck_assert_msg(f->fd >= 0, "%s", err.text);
    addr_format(&bound, f->where);
    f->watch = watch_new(loop, f->fd, on_accept, NULL, f);
    watch_want(f->watch, true, false);
}

void fake_redis_stop(struct fake_redis *f)
{
    while (f->clients) {
        struct fake_client *c = f->clients;

        f->clients = c->next;
        stream_free(c->stream);
        buf_clear(&c->in);
        free(c);
    }
    if (f->watch) {
        watch_free(f->watch);
        close(f->fd);
    }
    f->watch = NULL;
}
