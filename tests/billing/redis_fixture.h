/* redis_fixture.h - a real redis-server in a folder of its own, and a blocking client for what tests look at. */
#ifndef TOLLGATE_TESTS_REDIS_FIXTURE_H
#define TOLLGATE_TESTS_REDIS_FIXTURE_H

#include <hiredis/hiredis.h>
#include <sys/types.h>

#include "billing/projection_batch.h"
#include "billing/scripts.h"

struct fixture {
    char dir[64];
    char socket[96];
    pid_t pid;
    redisContext *client;
};

/* With an append-only file when `keeps`; ends the test when it does not come up. */
void fixture_start(struct fixture *f, bool keeps);
void fixture_kill(struct fixture *f);    /* SIGKILL */
void fixture_restart(struct fixture *f); /* on the same folder */
void fixture_stop(struct fixture *f);

/* The caller frees. Fails the test on an error reply. */
redisReply *fixture_command(struct fixture *f, const char *format, ...);
/* The answer as text: a text, a number, "(nil)", or elements joined by blanks. Caller frees. */
char *fixture_ask(struct fixture *f, const char *format, ...);
/* Runs a script; the answer as fixture_ask() gives it, "error: …" included. */
char *fixture_eval(struct fixture *f, enum script s, const struct span *keys, size_t key_count,
                   const struct span *args, size_t arg_count);
/* The same of a program that was loaded. */
char *fixture_evalsha(struct fixture *f, const char *sha1, const struct span *keys,
                      size_t key_count, const struct span *args, size_t arg_count);
char *fixture_apply(struct fixture *f, const struct batch *b);

/* Everything that Redis holds under tg:*, sorted, one line a fact; stream ids and times are left out. */
char *fixture_dump(struct fixture *f);
/* All keys as DUMP gives them, to put them back later: a Redis that lost what came after. */
struct snapshot;
struct snapshot *fixture_snapshot(struct fixture *f);
void fixture_restore(struct fixture *f, const struct snapshot *s);
void snapshot_free(struct snapshot *s);

#endif
