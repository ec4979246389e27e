/* scan.c - SCAN from cursor to cursor, on one server after another; a name may come twice. Whether all partitions are as the
 * journals have them is asked before and after: what was emptied in between has lost its names. */
#include "gateway/scan.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition_server.h"
#include "lib/base/mem.h"

#define CURSOR_TEXT  32
#define PATTERN_TEXT 32

struct asked {
    struct scan *scan;
    struct partition partition;
};

struct scan {
    struct redis *redis;
    char pattern[PATTERN_TEXT];
    struct asked asked[PARTITIONS];
    unsigned waiting;  /* for as many of them */
    struct err failed; /* why it can't be said that all are whole */
    bool is_scanned;
    size_t server;
    char cursor[CURSOR_TEXT];
    char **names;
    size_t count;
    scan_on_names *on_names;
    void *arg;
};

static void ask_whether_whole(struct scan *s);
static void on_state(void *arg, const struct redis_reply *reply, const struct err *err);
static void scan_on(struct scan *s);
static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err);
static void take(struct scan *s, struct span key);
static void scan_end(struct scan *s, const struct err *err);

void scan_names(struct redis *redis, const char *what, scan_on_names *on_names, void *arg)
{
    struct scan *s = xcalloc(1, sizeof *s);

    s->redis = redis;
    snprintf(s->pattern, sizeof s->pattern, "tg:{a*}:%s:*", what);
    memcpy(s->cursor, "0", sizeof "0");
    s->on_names = on_names;
    s->arg = arg;
    ask_whether_whole(s);
}

static void ask_whether_whole(struct scan *s)
{
    s->waiting = PARTITIONS;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct asked *a = &s->asked[i];
        char key[PARTITION_KEY];

        *a = (struct asked){s, {SIDE_ACCOUNT, i}};
        const struct span words[] = {SPAN("HGET"), partition_key(a->partition, "state", NULL, key),
                                     SPAN("run_id")};
        redis_command(s->redis, words, ARRAY_LEN(words), on_state, a);
    }
}

static void on_state(void *arg, const struct redis_reply *reply, const struct err *err)
{
    const struct asked *a = arg;
    struct scan *s = a->scan;
    struct err room;

    if ((err = redis_failure(reply, err, &room)))
        s->failed = *err;
    else if (!span_equal(redis_reply_text(reply),
                         span_of(partition_run_id(s->redis, a->partition))))
        err_set(&s->failed, ERR_UNAVAILABLE, "Redis is being brought up to the journals");
    if (--s->waiting > 0)
        return;
    if (s->failed.code) {
        scan_end(s, &s->failed);
    } else if (s->is_scanned) {
        scan_end(s, NULL);
    } else {
        scan_on(s);
    }
}

static void scan_on(struct scan *s)
{
    struct span argv[] = {SPAN("SCAN"),        span_of(s->cursor), SPAN("MATCH"),
                          span_of(s->pattern), SPAN("COUNT"),      SPAN("1000")};

    redis_command_to(s->redis, s->server, &(struct redis_words)REDIS_WORDS(argv), on_reply, s);
}

static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct scan *s = arg;
    const struct redis_reply *keys;
    struct err refused;

    if (!err &&
        (redis_reply_type(reply) != REDIS_ARRAY || redis_reply_count(reply) != 2 ||
         !span_copy(redis_reply_text(redis_reply_at(reply, 0)), s->cursor, sizeof s->cursor))) {
        err_set(&refused, ERR_UNAVAILABLE, "Redis refused SCAN: %.*s",
                SPAN_FMT(redis_reply_text(reply)));
        err = &refused;
    }
    if (err) {
        scan_end(s, err);
        return;
    }
    keys = redis_reply_at(reply, 1);
    for (size_t i = 0; i < redis_reply_count(keys) && s->count < SCAN_NAMES_MAX; i++)
        take(s, redis_reply_text(redis_reply_at(keys, i)));
    if (strcmp(s->cursor, "0") == 0)
        s->server++;
    s->is_scanned = s->server >= redis_servers(s->redis) || s->count >= SCAN_NAMES_MAX;
    if (s->is_scanned)
        ask_whether_whole(s);
    else
        scan_on(s);
}

static void take(struct scan *s, struct span key)
{
    const char *colon = memrchr(key.data, ':', key.len);
    const char *name = colon ? colon + 1 : key.data;

    s->names = xrealloc_array(s->names, s->count + 1, sizeof *s->names);
    s->names[s->count++] = xstrndup(name, key.len - (size_t)(name - key.data));
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void scan_end(struct scan *s, const struct err *err)
{
    size_t unique = 0;

    if (s->count)
        qsort(s->names, s->count, sizeof *s->names, compare);
    for (size_t i = 0; i < s->count; i++) {
        if (unique && strcmp(s->names[unique - 1], s->names[i]) == 0)
            free(s->names[i]);
        else
            s->names[unique++] = s->names[i];
    }
    s->on_names(s->arg, s->names, unique, err);
    for (size_t i = 0; i < unique; i++)
        free(s->names[i]);
    free(s->names);
    free(s);
}
