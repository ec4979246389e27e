/* redis_sentinel.c - SENTINEL MASTER tells with the address in which epoch of configuration it is
 * so. A sentinel that was cut off from the others names an old master in an old epoch. That the
 * server is a master by its own account is seen when it is prepared. */
#include "lib/net/redis_sentinel.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/redis_scout.h"

struct redis_sentinel {
    struct redis_sentinel_handlers handlers;
    void *arg;
    struct redis_scout *scout;
    struct redis_place master;
    bool has_master;
    uint64_t epoch;
};

static bool take_master(void *arg, const struct redis_reply *reply, const struct redis_place *from,
                        struct err *err);
static bool read_master(const struct redis_reply *reply, struct redis_place *out, uint64_t *epoch,
                        struct err *err);
static struct span field(const struct redis_reply *reply, struct span name);
static void scout_failed(void *arg, const struct err *err);

struct redis_sentinel *redis_sentinel_new(struct redis_setup *setup,
                                          const struct redis_address *address,
                                          const struct redis_sentinel_handlers *handlers, void *arg,
                                          struct err *err)
{
    static const struct redis_scout_handlers scout_handlers = {take_master, scout_failed};
    const struct span question[] = {SPAN("SENTINEL"), SPAN("MASTER"), span_of(address->master)};
    const struct redis_scout_task task = {address->places, address->count, REDIS_WORDS(question)};
    struct redis_sentinel *s = xcalloc(1, sizeof *s);

    s->handlers = *handlers;
    s->arg = arg;
    s->scout = redis_scout_new(setup, &task, &scout_handlers, s, err);
    if (s->scout)
        return s;
    free(s);
    return NULL;
}

void redis_sentinel_free(struct redis_sentinel *s)
{
    if (!s)
        return;
    redis_scout_free(s->scout);
    free(s);
}

void redis_sentinel_hurry(struct redis_sentinel *s)
{
    redis_scout_hurry(s->scout);
}

static bool take_master(void *arg, const struct redis_reply *reply,
                        const struct redis_place *from UNUSED, struct err *err)
{
    struct redis_sentinel *s = arg;
    struct redis_place place;
    uint64_t epoch;

    if (!read_master(reply, &place, &epoch, err))
        return false;
    if (s->has_master && epoch < s->epoch)
        return err_set(err, ERR_UNAVAILABLE, "this sentinel is behind the others");
    s->epoch = epoch;
    if (s->has_master && addr_equal(&place.addr, &s->master.addr))
        return true;
    s->has_master = true;
    s->master = place;
    s->handlers.on_master(s->arg, &place);
    return true;
}

static bool read_master(const struct redis_reply *reply, struct redis_place *out, uint64_t *epoch,
                        struct err *err)
{
    struct span host = field(reply, SPAN("ip")), port = field(reply, SPAN("port"));
    bool is_v6 = host.len && memchr(host.data, ':', host.len);
    char where[REDIS_HOST + 16];

    if (!digits_parse(field(reply, SPAN("config-epoch")), INT64_MAX, epoch) || host.len == 0 ||
        host.len >= REDIS_HOST || port.len > 5)
        return err_set(err, ERR_PROTOCOL, "the answer to SENTINEL MASTER is malformed");
    snprintf(where, sizeof where, "%s%.*s%s:%.*s", is_v6 ? "[" : "", SPAN_FMT(host),
             is_v6 ? "]" : "", SPAN_FMT(port));
    return redis_place_parse(where, out, err) || err_context(err, "the master");
}

static struct span field(const struct redis_reply *reply, struct span name)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        if (span_equal(redis_reply_text(redis_reply_at(reply, i)), name))
            return redis_reply_text(redis_reply_at(reply, i + 1));
    return SPAN("");
}

static void scout_failed(void *arg, const struct err *err)
{
    struct redis_sentinel *s = arg;

    s->handlers.on_failed(s->arg, err);
}
