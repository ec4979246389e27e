/* redis_scout.h - asks one of several servers the same question, once a second: where the master
 * is, which server has which slots. One that does not answer, or says what is of no use, is left for
 * the next. */
#ifndef TOLLGATE_NET_REDIS_SCOUT_H
#define TOLLGATE_NET_REDIS_SCOUT_H

#include "lib/net/redis_node.h"

struct redis_scout;

/* Either may free the scout. */
struct redis_scout_handlers {
    /* False: the answer is of no use, `err` says why. `from` is who gave it. */
    bool (*on_answer)(void *arg, const struct redis_reply *reply, const struct redis_place *from,
                      struct err *err);
    void (*on_failed)(void *arg, const struct err *err); /* none of them was of use */
};

struct redis_scout_task {
    char *const *places; /* whom to ask */
    size_t count;
    struct redis_words question;
};
/* Resolves names, blocking. Copies all but `setup`. ERR_… when no place has an address. */
struct redis_scout *redis_scout_new(struct redis_setup *setup, const struct redis_scout_task *task,
                                    const struct redis_scout_handlers *handlers, void *arg,
                                    struct err *err) MUST_USE;
void redis_scout_free(struct redis_scout *s);
DEFINE_AUTO(redis_scout)
/* Something has changed: ask soon. */
void redis_scout_hurry(struct redis_scout *s);
/* Where else it may ask from now on, beside the places that it was made with. */
void redis_scout_learn(struct redis_scout *s, const struct redis_place *places, size_t count);

#endif
