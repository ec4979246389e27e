/* redis_client.h - for tests of the client: one, the redis-server that the test starts for itself, and what its handlers and
 * callbacks saw. */
#ifndef TOLLGATE_TESTS_NET_REDIS_CLIENT_H
#define TOLLGATE_TESTS_NET_REDIS_CLIENT_H

#include "lib/net/loop.h"
#include "lib/net/redis.h"
#include "tests/net/redis_server.h"

#define MANY 10000

extern char dir[], address[128]; /* of the server */
extern struct loop *loop;
extern pid_t server;                   /* ended with the test; 0: none */
extern const char *const no_options[]; /* that the server is started with */

/* The client, and what its handlers saw. */
extern struct redis *redis;
extern unsigned ready_count, lost_count;
extern struct err lost;

void setup(void);
void teardown(void);

struct redis_config config_of(int64_t command_ms);
struct redis *client(const struct redis_config *config); /* becomes `redis` */
/* Starts the server and a client, which is ready then. */
void connect_to(const char *const *options, int64_t command_ms);

void await(const bool *flag);
void await_ready(void);
void await_lost(void);
void run_ms(int64_t ms);

/* What a command's callback saw. */
struct answer {
    bool done;
    unsigned calls;
    bool has_reply;
    enum redis_type type;
    int64_t number;
    char text[4096];
    struct err err;
};

void on_answer(void *arg, const struct redis_reply *reply, const struct err *err);
/* Splits the words at blanks. */
void command(const char *words, struct answer *a);
/* Waits for the reply, which stands until the next. */
const struct answer *ask(const char *words);
/* A number after `name` in INFO's text, or in a line of commandstats. */
int64_t info_number(const char *section, const char *name);

#endif
