/* script_story.h - random operations as a list, told to the model and to the scripts at once. A list is data, so that one
 * that fails can be told again with operations left out until only those remain that matter. */
#ifndef TOLLGATE_TESTS_SCRIPT_STORY_H
#define TOLLGATE_TESTS_SCRIPT_STORY_H

#include "tests/billing/script_world.h"

#define STORY_STEPS    400
#define STORY_START_US (INT64_C(1792000000) * 1000000) /* in October 2026 */

enum op_kind {
    OP_WRITE, /* a writer writes a record into its journal */
    OP_APPLY, /* a writer ships `count` records, beginning `shift` after the one that is due */
    OP_FORGE, /* a writer ships the record of its cursor with other bytes */
    OP_ADMIT,
    OP_HOLD,
    OP_RECOVERED, /* a writer says, coming or back, that it must be known up to its head + shift */
    OP_ANSWER,
    OP_SWEEP,
    OP_GRANTS,   /* a look at an account's grants; or one is taken back, and the writer writes so */
    OP_TICK,     /* time goes by */
    OP_KEEP,     /* the partition as it is now is kept … */
    OP_LOSE,     /* … and is what a new Redis begins with */
    OP_LOSE_ALL, /* a new Redis is empty */
    OP_DIE,      /* a script dies in the middle of a record */
    OP_TAKE_UP,  /* the writer's directory is taken up, by another process */
    OP_REBUILD,  /* a step of rebuilding the partition */
    OP_RETIRE,   /* the last writer is fenced off; or over, with records up to its cursor + shift */
    OP_BACK,     /* all writers replay what the partition lacks, and say so */
    OP_KINDS
};

struct op {
    enum op_kind kind;
    unsigned place, writer, key, request, currency; /* the account is the request's */
    enum verb verb;
    enum answer_verb answer;
    enum rebuild_verb rebuild;
    int64_t began_ms_ago;
    unsigned zone; /* by how many whoever admits is off; of a hold: on whose day it is put */
    bool is_outdated; /* whoever admits has read the key before it was changed */
    bool has_idem, has_other_name, is_stored;
    unsigned idem, body;
    int64_t age_ms; /* how long ago the call began */
    size_t count;
    int shift;
    int64_t amount, tokens, ms, now_nanos;
    bool is_stranger, is_under_old_run, is_old; /* old: the writer recorded something before */
    bool is_archived, is_over, is_look;
    bool is_coming, is_again, is_stale; /* stale: it says what it came under the time before */
    struct fact fact;                   /* what is written; numbers and line are given when it is */
};

struct story {
    struct op *ops;
    size_t count;
    bool is_careful; /* each operation is looked at, not only one of a few */
    bool commutes;   /* no call is charged by two writers, so every order gives the same */
};

/* The same for the same seed. */
void story_draw(struct story *s, uint64_t seed, size_t steps);
void story_clear(struct story *s);
DEFINE_AUTO_CLEAR(story)

/* Tells it from an empty Redis. Null when every answer and every comparison was as the model has it; else what was not, and
 * `*told` is how many operations were told by then. Caller frees. */
char *story_tell(struct world *w, const struct story *s, size_t *told);
/* Leaves out whatever can be left out so that it still fails. */
void story_shrink(struct world *w, struct story *s);
/* One line an operation. */
void story_print(const struct story *s, struct buf *out);

#endif
