/* open_calls.c - a hash table whose entries are also a list by age: a call's begin and end cost the same however many
 * are open. */
#include "billing/open_calls.h"

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"

#define FIRST_BUCKETS 64

struct open_call {
    struct open_call *next_in_bucket, *older, *younger;
    uint64_t position;
    char *line;
    size_t line_len;
    char request_id[];
};

struct open_calls {
    struct open_call **buckets;
    size_t bucket_count, count;
    struct open_call *oldest, *youngest;
};

static struct open_call **find(const struct open_calls *o, const char *request_id);
static struct open_call **bucket_of(const struct open_calls *o, const char *request_id);
static void set_line(struct open_call *c, struct span line);
static void append(struct open_calls *o, struct open_call *c);
static void unlink_call(struct open_calls *o, struct open_call *c);
static void grow(struct open_calls *o);

struct open_calls *open_calls_new(void)
{
    struct open_calls *o = xcalloc(1, sizeof *o);

    o->bucket_count = FIRST_BUCKETS;
    o->buckets = xcalloc(o->bucket_count, sizeof(struct open_call *));
    return o;
}

void open_calls_free(struct open_calls *o)
{
    struct open_call *next;

    if (!o)
        return;
    for (struct open_call *c = o->oldest; c; c = next) {
        next = c->younger;
        free(c->line);
        free(c);
    }
    free(o->buckets);
    free(o);
}

void open_calls_begin(struct open_calls *o, const char *request_id, uint64_t position,
                      struct span line)
{
    size_t id_size = strlen(request_id) + 1;
    struct open_call *c, **bucket;

    open_calls_end(o, request_id);
    if (o->count == o->bucket_count)
        grow(o);
    c = xcalloc(1, sizeof *c + id_size);
    memcpy(c->request_id, request_id, id_size);
    c->position = position;
    set_line(c, line);
    bucket = bucket_of(o, request_id);
    c->next_in_bucket = *bucket;
    *bucket = c;
    append(o, c);
}

void open_calls_progress(struct open_calls *o, const char *request_id, struct span line)
{
    struct open_call *c = *find(o, request_id);

    if (c)
        set_line(c, line);
}

void open_calls_end(struct open_calls *o, const char *request_id)
{
    struct open_call **at = find(o, request_id), *c = *at;

    if (!c)
        return;
    *at = c->next_in_bucket;
    unlink_call(o, c);
    free(c->line);
    free(c);
}

/* The pointer that leads to the call, or to the null where it would be. */
static struct open_call **find(const struct open_calls *o, const char *request_id)
{
    struct open_call **at = bucket_of(o, request_id);

    while (*at && strcmp((*at)->request_id, request_id) != 0)
        at = &(*at)->next_in_bucket;
    return at;
}

static struct open_call **bucket_of(const struct open_calls *o, const char *request_id)
{
    return &o->buckets[crc32c(0, request_id, strlen(request_id)) & (o->bucket_count - 1)];
}

static void set_line(struct open_call *c, struct span line)
{
    free(c->line);
    c->line = line.len ? xstrndup(line.data, line.len) : NULL;
    c->line_len = line.len;
}

static void append(struct open_calls *o, struct open_call *c)
{
    c->older = o->youngest;
    if (o->youngest)
        o->youngest->younger = c;
    else
        o->oldest = c;
    o->youngest = c;
    o->count++;
}

static void unlink_call(struct open_calls *o, struct open_call *c)
{
    if (c->older)
        c->older->younger = c->younger;
    else
        o->oldest = c->younger;
    if (c->younger)
        c->younger->older = c->older;
    else
        o->youngest = c->older;
    o->count--;
}

static void grow(struct open_calls *o)
{
    free(o->buckets);
    o->bucket_count *= 2;
    o->buckets = xcalloc(o->bucket_count, sizeof(struct open_call *));
    for (struct open_call *c = o->oldest; c; c = c->younger) {
        struct open_call **bucket = bucket_of(o, c->request_id);

        c->next_in_bucket = *bucket;
        *bucket = c;
    }
}

uint64_t open_calls_oldest(const struct open_calls *o, uint64_t position)
{
    return o->oldest ? o->oldest->position : position;
}

bool open_calls_each(const struct open_calls *o, bool (*on_call)(void *arg, struct span line),
                     void *arg)
{
    for (const struct open_call *c = o->oldest; c; c = c->younger)
        if (!on_call(arg, (struct span){c->line ? c->line : "", c->line_len}))
            return false;
    return true;
}
