/* projection_rig.h - for tests of the projection: writers with a journal, an archive and a projection each, and one real Redis.
 * Timers of all but the test run many times as fast; link with -Wl,--wrap of timer_start and clock_monotonic_ms. */
#ifndef TOLLGATE_TESTS_PROJECTION_RIG_H
#define TOLLGATE_TESTS_PROJECTION_RIG_H

#include "billing/projection.h"
#include "tests/billing/redis_fixture.h"

#define INSTALLATION "inst-1"
#define WAIT_MS      60000

/* One writer with all that belongs to it. */
struct rig {
    char dir[64], journal_root[96], archive[96];
    struct loop *loop;
    struct redis *redis;
    struct journal *journal;
    struct projection *projection;
    bool is_guest; /* in another rig's loop */
    bool is_recovered, is_stopped, is_done, keeps_holds;
    unsigned holds_wanted, calls;
    struct err stopped;
    int64_t recent_ms;
};

extern struct fixture fixture;
extern int64_t slept_ms; /* the process stood still for so long */
extern bool
    is_held; /* a rest of some milliseconds lasts until let_go(), and no other timer matters */

/* A fixture: Redis, and months as they are in Shanghai. */
void start_redis(void);
void stop_redis(void);

void let_go(struct rig *r);

void rig_init(struct rig *r);
void rig_init_in(struct rig *r, struct loop *loop); /* beside another */
void rig_connect(struct rig *r, const char *installation, size_t batch_records);
/* Of a writer that only the archive has. */
void rig_connect_archived(struct rig *r, const char *writer);
void rig_disconnect(struct rig *r);
void rig_free(struct rig *r);

void change(struct rig *r, enum record_kind kind, const char *id, const char *body);
void open_account(struct rig *r, const char *id, const char *credit);
void call(struct rig *r, const char *account, int64_t nanos);
void some_traffic(struct rig *r, unsigned calls); /* of accounts acct-a to acct-d */

void make_durable(struct rig *r);
void ship(struct rig *r);    /* until Redis has everything */
void recover(struct rig *r); /* waits until partitions admit */
void expect_stopped(struct rig *r, const char *because);

char *partition_text(enum partition_side side, const char *id); /* caller frees */
void expect_account(const char *account, const char *field, const char *expected);
/* All that Redis holds, but for what depends on time or on who is alive. Caller frees. */
char *facts(void);

#endif
