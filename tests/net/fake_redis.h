/* fake_redis.h - a Redis of a test's own on a port of 127.0.0.1, in the test's loop: what it answers
 * stands in a function of the test. */
#ifndef TOLLGATE_TESTS_NET_FAKE_REDIS_H
#define TOLLGATE_TESTS_NET_FAKE_REDIS_H

#include "lib/base/buf.h"
#include "lib/net/addr.h"
#include "lib/net/loop.h"

struct fake_redis;
/* `words` is the command, its words with a blank between them. What is to be answered is appended to
 * `reply` as it goes over the wire; nothing: no answer. */
typedef void fake_answer(struct fake_redis *f, const char *words, struct buf *reply);

struct fake_redis {
    struct loop *loop;
    fake_answer *answer;
    char where[ADDR_TEXT];
    char run_id[82];  /* as redis_run_id() has it: all of one letter, '-', and all of it again */
    const char *role; /* "master" unless said otherwise */
    bool in_cluster;
    unsigned asked;       /* commands but for INFO */
    unsigned connections; /* so far */
    char last[4096];      /* the command before, but for INFO */
    int fd;
    struct watch *watch;
    struct fake_client *clients;
};

void fake_redis_start(struct fake_redis *f, struct loop *loop, char letter, bool in_cluster,
                      fake_answer *answer);
void fake_redis_stop(struct fake_redis *f);

#endif
