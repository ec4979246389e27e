/* script_world.h - the scripts themselves, in a real Redis, asked what the model is asked.
 *
 * They see a clock that the test moves: a few lines put before each program answer TIME from it and end keys by it, so
 * that a story told twice is the same to the millisecond. Nothing else of a program is touched. */
#ifndef TOLLGATE_TESTS_SCRIPT_WORLD_H
#define TOLLGATE_TESTS_SCRIPT_WORLD_H

#include "billing/projection_effects.h"
#include "lib/base/crypto.h"
#include "tests/billing/redis_fixture.h"
#include "tests/billing/script_model.h"

/* A mistake planted in one part of the programs: `find` stands there exactly once. */
struct mistake {
    const char *name, *part, *find, *put;
    uint64_t story; /* the seed of one in which it is noticed */
};

struct world {
    struct fixture redis;
    struct effects *effects;
    char programs[SCRIPT_COUNT][SHA1_HEX];
    char tools[4][SHA1_HEX];
};

void world_start(struct world *w);
void world_stop(struct world *w);
/* The programs as they are, or with a mistake. */
void world_load(struct world *w, const struct mistake *mistake);
void world_empty(struct world *w); /* and the clock with it */
void world_set_clock(struct world *w, int64_t now_us);

/* The answers as texts, which the caller frees. */
char *world_apply(struct world *w, struct partition p, const struct apply_ask *ask);
char *world_admit(struct world *w, struct partition p, const struct admit_ask *ask);
char *world_hold(struct world *w, struct partition p, const struct hold_ask *ask);
char *world_recovered(struct world *w, struct partition p, const struct recovered_ask *ask);
char *world_retired(struct world *w, struct partition p, const struct retired_ask *ask);
char *world_answer(struct world *w, struct partition p, const struct answer_ask *ask,
                   int64_t now_us);
char *world_rebuild(struct world *w, struct partition p, const struct rebuild_ask *ask);
char *world_grants(struct world *w, struct partition p, const struct grants_ask *ask);
char *world_sweep(struct world *w, struct partition p, const struct sweep_ask *ask);

/* As a script that died in the middle of `record` ("writer n") leaves the partition. */
void world_die_midway(struct world *w, struct partition p, const char *record);
/* Everything Redis holds of the partition, as model_render() writes it. */
void world_lines(struct world *w, struct partition p, struct buf *out);
/* Keeps the partition as it is now; puts it back as it was kept last (empty when it never was). */
void world_keep(struct world *w, struct partition p);
void world_bring_back(struct world *w, struct partition p);
void world_drop(struct world *w, struct partition p);

#endif
