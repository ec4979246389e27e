/* redis_fixture.c - the server is a child that dies with its parent, on a unix socket in a temporary folder. */
#include "tests/billing/redis_fixture.h"

#include <check.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define ARGS_MAX      8192
#define DUMP_MAX      (64 * 1024 * 1024)
#define OPEN_FILES    8
#define CONNECT_TRIES 6000

struct kept {
    char *name, *bytes;
    size_t name_len, len;
};

struct snapshot {
    struct kept *keys;
    size_t count;
};

static void write_config(const struct fixture *f, bool keeps);
static void run_server(struct fixture *f);
static bool connect_client(struct fixture *f);
static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at);
static char *text_of(redisReply *r);
static char *evaluate(struct fixture *f, const struct span what[2], const struct span *keys,
                      size_t key_count, const struct span *args, size_t arg_count);
static void add_text(struct buf *out, const redisReply *r);
static void dump_key(struct fixture *f, const char *key, struct buf *lines);
static void dump_pairs(const redisReply *pairs, const char *key, struct buf *lines);
static void dump_stream(const redisReply *entries, const char *key, struct buf *lines);
static void dump_set(const redisReply *members, const char *key, struct buf *lines);
static char *sorted(const struct buf *lines);
static int by_text(const void *a, const void *b);

void fixture_start(struct fixture *f, bool keeps)
{
    *f = (struct fixture){.dir = "/tmp/tollgate-redis-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->socket, sizeof f->socket, "%s/socket", f->dir);
    write_config(f, keeps);
    run_server(f);
}

static void write_config(const struct fixture *f, bool keeps)
{
    char path[96];

    snprintf(path, sizeof path, "%s/redis.conf", f->dir);
    FILE *config = fopen(path, "w");
    ck_assert_ptr_nonnull(config);
    fprintf(config,
            "port 0\nunixsocket %s\ndir %s\nlogfile %s/log\nsave \"\"\nappendonly %s\n"
            "maxmemory-policy noeviction\n",
            f->socket, f->dir, f->dir, keeps ? "yes" : "no");
    fclose(config);
}

static void run_server(struct fixture *f)
{
    char path[96];

    snprintf(path, sizeof path, "%s/redis.conf", f->dir);
    f->pid = fork();
    ck_assert_int_ge(f->pid, 0);
    if (f->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", path, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < CONNECT_TRIES; i++) {
        if (connect_client(f))
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    ck_abort_msg("redis-server did not come up in %s", f->dir);
}

static bool connect_client(struct fixture *f)
{
    f->client = redisConnectUnix(f->socket);
    if (f->client && !f->client->err) {
        redisReply *pong = redisCommand(f->client, "PING");
        bool is_up = pong && pong->type == REDIS_REPLY_STATUS;
        freeReplyObject(pong);
        if (is_up)
            return true;
    }
    redisFree(f->client);
    f->client = NULL;
    return false;
}

void fixture_kill(struct fixture *f)
{
    if (f->client)
        redisFree(f->client);
    f->client = NULL;
    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
    }
    f->pid = 0;
}

void fixture_restart(struct fixture *f)
{
    unlink(f->socket);
    run_server(f);
}

void fixture_stop(struct fixture *f)
{
    fixture_kill(f);
    nftw(f->dir, remove_entry, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

redisReply *fixture_command(struct fixture *f, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    redisReply *r = redisvCommand(f->client, format, ap);
    va_end(ap);
    ck_assert_msg(r != NULL, "%s: %s", format, f->client->errstr);
    ck_assert_msg(r->type != REDIS_REPLY_ERROR, "%s: %s", format, r->str);
    return r;
}

char *fixture_ask(struct fixture *f, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    redisReply *r = redisvCommand(f->client, format, ap);
    va_end(ap);
    ck_assert_msg(r != NULL, "%s: %s", format, f->client->errstr);
    return text_of(r);
}

static char *text_of(redisReply *r)
{
    AUTO_CLEAR(buf) out;

    buf_init(&out, DUMP_MAX);
    buf_add(&out, "", 0);
    add_text(&out, r);
    freeReplyObject(r);
    return xstrndup(out.data ? out.data : "", out.len);
}

static void add_text(struct buf *out, const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_NIL:
        buf_add_string(out, "(nil)");
        break;
    case REDIS_REPLY_INTEGER:
        buf_printf(out, "%lld", r->integer);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < r->elements; i++) {
            buf_add_string(out, i ? " " : "");
            add_text(out, r->element[i]);
        }
        break;
    case REDIS_REPLY_ERROR:
        buf_add_string(out, "error: ");
        buf_add(out, r->str, r->len);
        break;
    default:
        buf_add(out, r->str, r->len);
        break;
    }
}

char *fixture_eval(struct fixture *f, enum script s, const struct span *keys, size_t key_count,
                   const struct span *args, size_t arg_count)
{
    struct span what[] = {SPAN("EVAL"), span_of(script_get(s)->text)};

    return evaluate(f, what, keys, key_count, args, arg_count);
}

char *fixture_evalsha(struct fixture *f, const char *sha1, const struct span *keys,
                      size_t key_count, const struct span *args, size_t arg_count)
{
    struct span what[] = {SPAN("EVALSHA"), span_of(sha1)};

    return evaluate(f, what, keys, key_count, args, arg_count);
}

static char *evaluate(struct fixture *f, const struct span what[2], const struct span *keys,
                      size_t key_count, const struct span *args, size_t arg_count)
{
    const char *argv[ARGS_MAX] = {what[0].data, what[1].data};
    size_t lens[ARGS_MAX] = {what[0].len, what[1].len}, n = 3;
    char count[24];

    ck_assert_uint_le(3 + key_count + arg_count, ARGS_MAX);
    snprintf(count, sizeof count, "%zu", key_count);
    argv[2] = count;
    lens[2] = strlen(count);
    for (size_t i = 0; i < key_count + arg_count; i++, n++) {
        struct span part = i < key_count ? keys[i] : args[i - key_count];
        argv[n] = part.data;
        lens[n] = part.len;
    }
    redisReply *r = redisCommandArgv(f->client, (int)n, argv, lens);
    ck_assert_msg(r != NULL, "%s", f->client->errstr);
    return text_of(r);
}

char *fixture_apply(struct fixture *f, const struct batch *b)
{
    struct span spans[ARGS_MAX];
    const struct pieces *keys = &b->keys, *args = &b->args;
    enum script s = b->partition.side == SIDE_ACCOUNT ? SCRIPT_APPLY_ACCOUNT : SCRIPT_APPLY_MODEL;

    ck_assert_uint_le(keys->count + args->count, ARGS_MAX);
    for (size_t i = 0; i < keys->count + args->count; i++) {
        const struct piece *piece =
            i < keys->count ? &keys->piece[i] : &args->piece[i - keys->count];
        spans[i] = (struct span){b->bytes.data + piece->start, piece->len};
    }
    return fixture_eval(f, s, spans, keys->count, spans + keys->count, args->count);
}

char *fixture_dump(struct fixture *f)
{
    AUTO_CLEAR(buf) lines;
    redisReply *keys = fixture_command(f, "KEYS tg:*");

    buf_init(&lines, DUMP_MAX);
    buf_add(&lines, "", 0);
    for (size_t i = 0; i < keys->elements; i++)
        dump_key(f, keys->element[i]->str, &lines);
    freeReplyObject(keys);
    return sorted(&lines);
}

static void dump_key(struct fixture *f, const char *key, struct buf *lines)
{
    AUTO_STRING type = fixture_ask(f, "TYPE %s", key);
    redisReply *r;

    if (strcmp(type, "hash") == 0) {
        r = fixture_command(f, "HGETALL %s", key);
        dump_pairs(r, key, lines);
    } else if (strcmp(type, "stream") == 0) {
        r = fixture_command(f, "XRANGE %s - +", key);
        dump_stream(r, key, lines);
    } else if (strcmp(type, "set") == 0) {
        r = fixture_command(f, "SMEMBERS %s", key);
        dump_set(r, key, lines);
    } else if (strcmp(type, "zset") == 0) {
        r = fixture_command(f, "ZRANGE %s 0 -1 WITHSCORES", key);
        dump_pairs(r, key, lines);
    } else {
        r = fixture_command(f, "GET %s", key);
        buf_printf(lines, "%s = %s\n", key, r->str);
    }
    freeReplyObject(r);
}

/* An index points at stream ids, which are times: only its names are facts. */
static void dump_pairs(const redisReply *pairs, const char *key, struct buf *lines)
{
    bool names_only = strstr(key, ":index:") != NULL;

    for (size_t i = 0; i + 1 < pairs->elements; i += 2)
        buf_printf(lines, "%s %s = %s\n", key, pairs->element[i]->str,
                   names_only ? "" : pairs->element[i + 1]->str);
}

static void dump_stream(const redisReply *entries, const char *key, struct buf *lines)
{
    for (size_t i = 0; i < entries->elements; i++)
        buf_printf(lines, "%s + %s\n", key, entries->element[i]->element[1]->element[1]->str);
}

static void dump_set(const redisReply *members, const char *key, struct buf *lines)
{
    for (size_t i = 0; i < members->elements; i++)
        buf_printf(lines, "%s has %s\n", key, members->element[i]->str);
}

static char *sorted(const struct buf *lines)
{
    AUTO_STRING text = xstrndup(lines->data ? lines->data : "", lines->len);
    AUTO_CLEAR(buf) out;
    char **line = NULL, *rest = NULL;
    size_t n = 0;

    for (char *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
        line = xrealloc_array(line, n + 1, sizeof *line);
        line[n++] = at;
    }
    if (n)
        qsort(line, n, sizeof *line, by_text);
    buf_init(&out, DUMP_MAX);
    buf_add(&out, "", 0);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s\n", line[i]);
    free(line);
    return xstrndup(out.data ? out.data : "", out.len);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct snapshot *fixture_snapshot(struct fixture *f)
{
    struct snapshot *s = xcalloc(1, sizeof *s);
    redisReply *keys = fixture_command(f, "KEYS tg:*");

    s->count = keys->elements;
    s->keys = xcalloc(s->count + 1, sizeof *s->keys);
    for (size_t i = 0; i < s->count; i++) {
        redisReply *bytes = fixture_command(f, "DUMP %s", keys->element[i]->str);
        s->keys[i] = (struct kept){xstrdup(keys->element[i]->str), xcalloc(bytes->len, 1),
                                   keys->element[i]->len, bytes->len};
        memcpy(s->keys[i].bytes, bytes->str, bytes->len);
        freeReplyObject(bytes);
    }
    freeReplyObject(keys);
    return s;
}

void fixture_restore(struct fixture *f, const struct snapshot *s)
{
    freeReplyObject(fixture_command(f, "FLUSHALL"));
    for (size_t i = 0; i < s->count; i++)
        freeReplyObject(fixture_command(f, "RESTORE %b 0 %b", s->keys[i].name, s->keys[i].name_len,
                                        s->keys[i].bytes, s->keys[i].len));
}

void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->keys[i].name);
        free(s->keys[i].bytes);
    }
    free(s->keys);
    free(s);
}
