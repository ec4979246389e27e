/* redis_cluster.c - a table of 16384 slots, each naming one of a few members. What the servers say
 * in CLUSTER SLOTS replaces it as a whole; what one says in MOVED, for one slot, until then. */
#include "lib/net/redis_cluster.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/net/redis_scout.h"
#include "lib/net/redis_slots.h"

#define MEMBERS_MAX 512
#define IDLE_MAX    10 /* answers in which a member had no slot; then it is forgotten */

struct member {
    struct redis_node *node; /* null: this place is free */
    struct redis_place place;
    size_t slots;
    unsigned idle;
};

struct redis_cluster {
    struct redis_setup *setup;
    struct redis_node_handlers handlers;
    void *arg;
    struct redis_scout *scout;
    struct member members[MEMBERS_MAX];
    size_t count;                /* places in use, free ones among them included */
    uint16_t owner[REDIS_SLOTS]; /* member + 1; 0: nobody */
    struct turn_end news;
};

static bool take_slots(void *arg, const struct redis_reply *reply, const struct redis_place *from,
                       struct err *err);
static bool read_table(struct redis_cluster *c, const struct redis_reply *reply,
                       const struct redis_place *from, uint16_t owner[REDIS_SLOTS],
                       struct err *err);
static void use_table(struct redis_cluster *c, const uint16_t owner[REDIS_SLOTS]);
static void forget_idle(struct redis_cluster *c);
static void teach_scout(struct redis_cluster *c);
static unsigned member_at(struct redis_cluster *c, const struct redis_place *place);
static void tell_news(void *arg);
static void node_ready(void *arg);
static void node_lost(void *arg, const struct err *err);
static void scout_failed(void *arg, const struct err *err);

struct redis_cluster *redis_cluster_new(struct redis_setup *setup,
                                        const struct redis_address *address,
                                        const struct redis_node_handlers *handlers, void *arg,
                                        struct err *err)
{
    static const struct redis_scout_handlers scout_handlers = {take_slots, scout_failed};
    const struct span question[] = {SPAN("CLUSTER"), SPAN("SLOTS")};
    const struct redis_scout_task task = {address->places, address->count, REDIS_WORDS(question)};
    struct redis_cluster *c = xcalloc(1, sizeof *c);

    c->setup = setup;
    c->handlers = *handlers;
    c->arg = arg;
    c->news = (struct turn_end){.run = tell_news, .arg = c};
    c->scout = redis_scout_new(setup, &task, &scout_handlers, c, err);
    if (c->scout)
        return c;
    free(c);
    return NULL;
}

void redis_cluster_free(struct redis_cluster *c, const struct err *why)
{
    if (!c)
        return;
    turn_end_cancel(&c->news);
    redis_scout_free(c->scout);
    memset(c->owner, 0, sizeof c->owner);
    for (size_t i = 0; i < c->count; i++)
        redis_node_free(KEEP(c->members[i].node), why);
    free(c);
}

struct redis_node *redis_cluster_node(const struct redis_cluster *c, unsigned slot)
{
    return c->owner[slot] ? c->members[c->owner[slot] - 1].node : NULL;
}

struct redis_node *redis_cluster_nth(const struct redis_cluster *c, size_t i)
{
    for (const struct member *m = c->members; m < c->members + c->count; m++)
        if (m->node && m->slots && i-- == 0)
            return m->node;
    return NULL;
}

bool redis_cluster_is_ready(const struct redis_cluster *c)
{
    size_t slots = 0;

    for (const struct member *m = c->members; m < c->members + c->count; m++)
        slots += redis_node_is_ready(m->node) ? m->slots : 0;
    return slots == REDIS_SLOTS;
}

static bool take_slots(void *arg, const struct redis_reply *reply, const struct redis_place *from,
                       struct err *err)
{
    struct redis_cluster *c = arg;
    uint16_t owner[REDIS_SLOTS] = {0};

    if (!read_table(c, reply, from, owner, err))
        return false;
    if (memcmp(owner, c->owner, sizeof owner) != 0)
        use_table(c, owner);
    forget_idle(c);
    teach_scout(c);
    return true;
}

static bool read_table(struct redis_cluster *c, const struct redis_reply *reply,
                       const struct redis_place *from, uint16_t owner[REDIS_SLOTS], struct err *err)
{
    if (redis_reply_count(reply) == 0)
        return err_set(err, ERR_UNAVAILABLE, "it knows of no slots: the cluster is not made yet");
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        struct redis_slot_range range;
        unsigned member;

        if (!redis_slot_range_read(redis_reply_at(reply, i), from, &range, err))
            return false;
        member = member_at(c, &range.place);
        for (unsigned slot = range.first; slot <= range.last; slot++)
            owner[slot] = (uint16_t)member;
    }
    return true;
}

static void use_table(struct redis_cluster *c, const uint16_t owner[REDIS_SLOTS])
{
    memcpy(c->owner, owner, sizeof c->owner);
    for (struct member *m = c->members; m < c->members + c->count; m++)
        m->slots = 0;
    for (size_t i = 0; i < REDIS_SLOTS; i++)
        if (owner[i])
            c->members[owner[i] - 1].slots++;
    turn_end_schedule(c->setup->loop, &c->news);
}

/* A server that has lost all its slots may get one again, and what it was asked is waited for. */
static void forget_idle(struct redis_cluster *c)
{
    struct err why;

    err_set(&why, ERR_CLOSED, "it has left the cluster");
    for (size_t i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];

        m->idle = m->slots ? 0 : m->idle + 1;
        if (m->node && m->idle > IDLE_MAX && !redis_node_pending(m->node))
            redis_node_free(KEEP(m->node), &why);
    }
}

static void teach_scout(struct redis_cluster *c)
{
    struct redis_place places[REDIS_PLACES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < c->count && count < REDIS_PLACES_MAX; i++)
        if (c->members[i].slots)
            places[count++] = c->members[i].place;
    redis_scout_learn(c->scout, places, count);
}

/* Its number + 1, or 0 when there are too many. */
static unsigned member_at(struct redis_cluster *c, const struct redis_place *place)
{
    static const struct redis_node_handlers handlers = {node_ready, node_lost};
    size_t free_place = c->count;

    for (size_t i = 0; i < c->count; i++) {
        if (!c->members[i].node)
            free_place = i;
        else if (addr_equal(&c->members[i].place.addr, &place->addr))
            return (unsigned)i + 1;
    }
    if (free_place == MEMBERS_MAX)
        return 0;
    if (free_place == c->count)
        c->count++;
    c->members[free_place] = (struct member){.place = *place};
    c->members[free_place].node = redis_node_new(c->setup, place, &handlers, c);
    return (unsigned)free_place + 1;
}

struct redis_node *redis_cluster_moved(struct redis_cluster *c, unsigned slot, const char *where)
{
    struct redis_place place;
    unsigned member;

    redis_cluster_hurry(c);
    if (!redis_place_parse(where, &place, NULL))
        return NULL;
    member = member_at(c, &place);
    if (!member || c->owner[slot] == member)
        return redis_cluster_node(c, slot);
    if (c->owner[slot])
        c->members[c->owner[slot] - 1].slots--;
    c->members[member - 1].slots++;
    c->owner[slot] = (uint16_t)member;
    turn_end_schedule(c->setup->loop, &c->news);
    return c->members[member - 1].node;
}

struct redis_node *redis_cluster_at(struct redis_cluster *c, const char *where)
{
    struct redis_place place;
    unsigned member;

    if (!redis_place_parse(where, &place, NULL))
        return NULL;
    member = member_at(c, &place);
    return member ? c->members[member - 1].node : NULL;
}

void redis_cluster_hurry(struct redis_cluster *c)
{
    redis_scout_hurry(c->scout);
}

/* Handlers may free the cluster, so they are told at the end of a turn, or last. */
static void tell_news(void *arg)
{
    struct redis_cluster *c = arg;

    c->handlers.on_ready(c->arg);
}

static void node_ready(void *arg)
{
    struct redis_cluster *c = arg;

    c->handlers.on_ready(c->arg);
}

static void node_lost(void *arg, const struct err *err)
{
    struct redis_cluster *c = arg;

    redis_cluster_hurry(c);
    c->handlers.on_lost(c->arg, err);
}

static void scout_failed(void *arg, const struct err *err)
{
    struct redis_cluster *c = arg;

    c->handlers.on_lost(c->arg, err);
}
