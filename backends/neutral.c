/* neutral.c - a request's lists grow with the text that they are read from, up to a bound of their own: an element takes
 * more bytes here than the shortest one does in the text. */
#include "backends/neutral.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define ID_RANDOM 24

static void *with_room(void *list, size_t count, size_t *room, size_t size);

void neutral_request_clear(struct neutral_request *r)
{
    free(r->messages);
    free(r->parts);
    free(r->tools);
    *r = (struct neutral_request){.message_count = 0};
}

bool neutral_add_message(struct neutral_request *r, enum neutral_role role, struct err *err)
{
    void *list;

    if (r->message_count && r->messages[r->message_count - 1].role == role)
        return true;
    list = with_room(r->messages, r->message_count, &r->message_room, sizeof *r->messages);
    if (!list)
        return err_set(err, ERR_INPUT, "'messages' has more than %d turns", NEUTRAL_MAX);
    r->messages = list;
    r->messages[r->message_count++] =
        (struct neutral_message){.role = role, .first = r->part_count};
    return true;
}

struct neutral_part *neutral_add_part(struct neutral_request *r, enum neutral_part_kind kind,
                                      struct err *err)
{
    void *list = with_room(r->parts, r->part_count, &r->part_room, sizeof *r->parts);

    assert(r->message_count);
    if (!list) {
        err_set(err, ERR_INPUT, "'messages' has more than %d parts", NEUTRAL_MAX);
        return NULL;
    }
    r->parts = list;
    r->messages[r->message_count - 1].count++;
    r->parts[r->part_count] = (struct neutral_part){.kind = kind};
    return &r->parts[r->part_count++];
}

struct neutral_tool *neutral_add_tool(struct neutral_request *r, struct err *err)
{
    void *list = with_room(r->tools, r->tool_count, &r->tool_room, sizeof *r->tools);

    if (!list) {
        err_set(err, ERR_INPUT, "'tools' lists more than %d", NEUTRAL_MAX);
        return NULL;
    }
    r->tools = list;
    r->tools[r->tool_count] = (struct neutral_tool){.name = {NULL, 0}};
    return &r->tools[r->tool_count++];
}

/* Null when no more may be added; then `list` is as it was. */
static void *with_room(void *list, size_t count, size_t *room, size_t size)
{
    if (count == NEUTRAL_MAX)
        return NULL;
    if (count < *room)
        return list;
    *room = *room ? 2 * *room : 8;
    return xrealloc_array(list, *room, size);
}

void neutral_writer_init(struct neutral_writer *w, const char *id_prefix, struct buf *out)
{
    size_t n = strlen(id_prefix);

    assert(n + ID_RANDOM < sizeof w->id);
    *w = (struct neutral_writer){.out = out, .created = clock_now() / NANOS_PER_SECOND};
    memcpy(w->id, id_prefix, n);
    rand_text(w->id + n, ID_RANDOM);
    buf_init(&w->model, out->max);
    buf_init(&w->text, out->max);
    buf_init(&w->reasoning, out->max);
    buf_init(&w->calls, out->max);
}

void neutral_writer_clear(struct neutral_writer *w)
{
    buf_clear(&w->model);
    buf_clear(&w->text);
    buf_clear(&w->reasoning);
    buf_clear(&w->calls);
}

static int64_t total(const struct usage *u, const enum usage_bucket *buckets, size_t count)
{
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(sum, u->bucket[buckets[i]].n, &sum))
            return INT64_MAX;
    return sum;
}

int64_t neutral_input_tokens(const struct usage *u)
{
    static const enum usage_bucket in[] = {USAGE_INPUT, USAGE_CACHED_INPUT, USAGE_CACHE_WRITE,
                                           USAGE_AUDIO_INPUT};

    return total(u, in, ARRAY_LEN(in));
}

int64_t neutral_output_tokens(const struct usage *u)
{
    static const enum usage_bucket out[] = {USAGE_OUTPUT, USAGE_REASONING, USAGE_AUDIO_OUTPUT};

    return total(u, out, ARRAY_LEN(out));
}
