/* scan.c - SCAN from cursor to cursor, on one server after another; a name may come twice. */
#include "gateway/scan.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/wholeness.h"
#include "lib/base/mem.h"

#define CURSOR_TEXT  32
#define PATTERN_TEXT 32

struct scan {
    struct redis *redis;
    char pattern[PATTERN_TEXT];
    struct wholeness *wholeness;
    size_t server;
    char cursor[CURSOR_TEXT];
    char **names;
    size_t count;
    scan_on_names *on_names;
    void *arg;
};

static void on_whole(void *arg, const struct err *err);
static void scan_on(struct scan *s);
static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err);
static void take(struct scan *s, struct span key);
static void on_still_whole(void *arg, const struct err *err);
static void scan_end(struct scan *s, const struct err *err);

void scan_names(struct redis *redis, const char *what, scan_on_names *on_names, void *arg)
{
    struct scan *s = xcalloc(1, sizeof *s);

    s->redis = redis;
    snprintf(s->pattern, sizeof s->pattern, "tg:{a*}:%s:*", what);
    memcpy(s->cursor, "0", sizeof "0");
    s->on_names = on_names;
    s->arg = arg;
    s->wholeness = wholeness_new_first(redis, PARTITIONS);
    wholeness_ask(s->wholeness, on_whole, s);
}

static void on_whole(void *arg, const struct err *err)
{
    struct scan *s = arg;

    if (err)
        scan_end(s, err);
    else
        scan_on(s);
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
    if (s->server < redis_servers(s->redis) && s->count < SCAN_NAMES_MAX)
        scan_on(s);
    else
        wholeness_ask(s->wholeness, on_still_whole, s);
}

static void take(struct scan *s, struct span key)
{
    const char *colon = memrchr(key.data, ':', key.len);
    const char *name = colon ? colon + 1 : key.data;

    s->names = xrealloc_array(s->names, s->count + 1, sizeof *s->names);
    s->names[s->count++] = xstrndup(name, key.len - (size_t)(name - key.data));
}

static void on_still_whole(void *arg, const struct err *err)
{
    scan_end(arg, err);
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
    wholeness_free(s->wholeness);
    free(s);
}
