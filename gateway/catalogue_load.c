/* catalogue_load.c - one HGETALL, then every object through the same reader as a catalogue file. */
#include "gateway/catalogue_load.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct load {
    catalogue_on_loaded *on_loaded;
    void *arg;
};

static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err);
static void add_object(struct catalogue *c, struct span field, struct span value);
static bool parse_object(struct catalogue *c, struct span field, struct span value,
                         struct err *err);

void catalogue_load(struct redis *redis, catalogue_on_loaded *on_loaded, void *arg)
{
    struct load *load = xcalloc(1, sizeof *load);
    char key[PARTITION_KEY];
    struct span argv[] = {SPAN("HGETALL"),
                          partition_key(partition_catalogue(), "catalogue", NULL, key)};

    load->on_loaded = on_loaded;
    load->arg = arg;
    redis_command(redis, argv, ARRAY_LEN(argv), on_reply, load);
}

static void on_reply(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct load *load = arg;
    struct catalogue *catalogue = NULL;
    struct err refused;

    if (reply && redis_reply_type(reply) == REDIS_ARRAY) {
        catalogue = catalogue_new();
        for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
            add_object(catalogue, redis_reply_text(redis_reply_at(reply, i)),
                       redis_reply_text(redis_reply_at(reply, i + 1)));
    } else if (reply) {
        err_set(&refused, ERR_UNAVAILABLE, "Redis refused the catalogue: %.*s",
                SPAN_FMT(redis_reply_text(reply)));
        err = &refused;
    }
    load->on_loaded(load->arg, catalogue, err);
    free(load);
}

static void add_object(struct catalogue *c, struct span field, struct span value)
{
    struct err err;

    if (memchr(field.data, '/', field.len) && !parse_object(c, field, value, &err))
        log_error("catalogue_object_unreadable", "%.*s is left out: %s", SPAN_FMT(field), err.text);
}

/* "kind/id" and "revision body". */
static bool parse_object(struct catalogue *c, struct span field, struct span value, struct err *err)
{
    const char *slash = memchr(field.data, '/', field.len),
               *blank = memchr(value.data, ' ', value.len);
    char kind[32], id[MODEL_TEXT];
    int64_t revision;

    if (!blank ||
        !int64_parse((struct span){value.data, (size_t)(blank - value.data)}, &revision) ||
        !span_copy((struct span){field.data, (size_t)(slash - field.data)}, kind, sizeof kind) ||
        !span_copy((struct span){slash + 1, field.len - (size_t)(slash + 1 - field.data)}, id,
                   sizeof id))
        return err_set(err, ERR_CORRUPT, "it is not 'revision body'");
    AUTO_JSON body =
        json_parse((struct span){blank + 1, value.len - (size_t)(blank + 1 - value.data)}, err);
    return body && catalogue_add(c, kind, id, revision, body, err);
}
