/* offline.c - a table of accounts as Redis last described them, and what each has taken since it went away. */
#include "billing/offline.h"

#include <inttypes.h>
#include <stdlib.h>

#include "billing/event.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define BUCKETS      4096
#define ACCOUNTS_MAX 100000

struct entry {
    struct entry *next; /* of its bucket */
    char account[ID_TEXT];
    bool is_postpaid;
    struct money room;
    char zone[ZONE_TEXT];
    int64_t read_ms; /* monotonic */
    uint64_t outage; /* in which `spent` was taken */
    int64_t spent;
};

struct offline {
    struct offline_config config;
    size_t accounts;
    uint64_t outage, taken;
    int64_t since_ms; /* when something was first taken in this outage */
    struct entry *bucket[BUCKETS];
};

static struct entry **find(struct offline *o, const char *account);
static struct entry *add(struct offline *o, const char *account);
static void forget_all(struct offline *o);
static int64_t allowance(const struct offline *o, const struct entry *e, const char *currency);

struct offline *offline_new(const struct offline_config *config)
{
    struct offline *o = xcalloc(1, sizeof *o);

    o->config = *config;
    o->outage = 1;
    return o;
}

void offline_free(struct offline *o)
{
    if (!o)
        return;
    forget_all(o);
    free(o);
}

void offline_learn(struct offline *o, const char *account, bool is_postpaid,
                   const struct money *room)
{
    struct entry *e;

    if (!o->config.allowance_nanos)
        return;
    e = *find(o, account);
    if (!e && !(e = add(o, account)))
        return;
    e->is_postpaid = is_postpaid;
    e->room = *room;
    e->read_ms = clock_monotonic_ms();
}

void offline_learn_zone(struct offline *o, const char *account, const char *zone)
{
    struct entry *e = *find(o, account);

    if (e && !span_copy(span_of(zone), e->zone, sizeof e->zone))
        e->zone[0] = '\0';
}

const char *offline_zone(struct offline *o, const char *account)
{
    const struct entry *e = *find(o, account);

    return e ? e->zone : "";
}

/* A full table is emptied, but never in an outage, whose sums stand in it: then an account that was not known stays so. */
static struct entry *add(struct offline *o, const char *account)
{
    struct entry **link, *e;

    if (o->accounts >= ACCOUNTS_MAX && o->taken)
        return NULL;
    if (o->accounts >= ACCOUNTS_MAX)
        forget_all(o);
    link = find(o, account);
    e = *link = xcalloc(1, sizeof *e);
    memcpy(e->account, account, strnlen(account, sizeof e->account - 1));
    o->accounts++;
    return e;
}

/* The link that points to the entry, or the null one at its bucket's end. */
static struct entry **find(struct offline *o, const char *account)
{
    struct entry **link = &o->bucket[crc32c(0, account, strlen(account)) % BUCKETS];

    while (*link && strcmp((*link)->account, account) != 0)
        link = &(*link)->next;
    return link;
}

static void forget_all(struct offline *o)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (o->bucket[i]) {
            struct entry *e = o->bucket[i];
            o->bucket[i] = e->next;
            free(e);
        }
    }
    o->accounts = 0;
}

uint64_t offline_take(struct offline *o, const char *account, const struct money *most)
{
    struct entry *e = *find(o, account);
    int64_t spent = e && e->outage == o->outage ? e->spent : 0;

    if (!e || most->nanos > allowance(o, e, most->currency) - spent)
        return 0;
    if (!o->taken++) {
        o->since_ms = clock_monotonic_ms();
        log_warn("offline_began", "Redis is away: postpaid accounts go on within their allowance");
    }
    e->outage = o->outage;
    e->spent = spent + most->nanos;
    return o->outage;
}

/* Of the whole outage; -1 for an account that may not go on. */
static int64_t allowance(const struct offline *o, const struct entry *e, const char *currency)
{
    if (!e->is_postpaid || strcmp(e->room.currency, currency) != 0 ||
        clock_monotonic_ms() - e->read_ms > o->config.age_ms)
        return -1;
    return e->room.nanos < o->config.allowance_nanos ? e->room.nanos : o->config.allowance_nanos;
}

void offline_settle(struct offline *o, uint64_t outage, const char *account, int64_t most,
                    int64_t charged)
{
    struct entry *e = outage == o->outage ? *find(o, account) : NULL;

    if (e && e->outage == outage)
        e->spent += charged - most;
}

uint64_t offline_taken(const struct offline *o)
{
    return o->taken;
}

void offline_end(struct offline *o)
{
    if (!o->taken)
        return;
    log_info("offline_ended",
             "Redis has again all that was spent without it: %" PRIu64 " calls in %" PRId64 " s",
             o->taken, (clock_monotonic_ms() - o->since_ms) / 1000);
    o->taken = 0;
    o->outage++;
}
