/* redis.h - a Redis client over streams, with hiredis as codec: pipelined commands, scripts by
 * digest, deadlines, reconnection, and whatever stands behind one address: a server, the master
 * that Sentinel names, or a Cluster.
 *
 * One `struct redis` is one logical Redis. It keeps one connection to each server that holds keys,
 * and each reconnects by itself (50 ms doubling to 2 s). On every new connection, before anything
 * else, it authenticates, reads INFO (run_id, replication id, role, AOF state) and, when the server has AOF on and
 * has not finished a rewrite since its start, asks for BGREWRITEAOF and waits for its end: a Redis
 * that restarted may hold an AOF cut inside a script, after which later writes load wrongly. Only
 * then are commands sent to it.
 *
 * A command goes to the server of its key. If that is not ready, it fails with ERR_UNAVAILABLE at
 * once. What a server refused without doing it, because the key is (being) moved or it is busy for
 * now (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, MASTERDOWN, LOADING, BUSY, READONLY), is sent again,
 * elsewhere if need be, until its time is up: then it fails with ERR_UNAVAILABLE. What was sent and
 * not answered when a connection breaks ends with ERR_TIMEOUT: unknown. Every other error that a
 * server answers is a reply. */
#ifndef TOLLGATE_NET_REDIS_H
#define TOLLGATE_NET_REDIS_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"
#include "lib/net/loop.h"

/* The address, of one of the forms in redis_address.h; the password from a file. */
struct redis_config {
    const char *address;
    const struct secret *password; /* null: none; sentinels may want it too */
    const char *user;              /* null: as in the address, else the default user */
    /* For TLS: whom to trust (null: the system's authorities), what certificates must hold (null:
     * each server's own host), and the client's own certificate and key, or null. */
    const char *tls_ca, *tls_name, *tls_certificate, *tls_key;
    int64_t connect_ms, command_ms;
    size_t pending_max; /* commands in flight; one more fails with ERR_LIMIT */
};

/* A reply, valid inside its callback (it is hiredis's tree, shown read-only). */
enum redis_type { REDIS_NIL, REDIS_INT, REDIS_TEXT, REDIS_STATUS, REDIS_ARRAY, REDIS_ERROR };
struct
    redis_reply; /* null reads as NIL: redis_reply_at() gives it for an element that is not there */
enum redis_type redis_reply_type(const struct redis_reply *r);
int64_t redis_reply_int(const struct redis_reply *r);
/* TEXT, STATUS, ERROR; empty for others. */
struct span redis_reply_text(const struct redis_reply *r);
size_t redis_reply_count(const struct redis_reply *r); /* elements of an ARRAY */
/* Of what a callback got: null when the server did what was asked, else `err`, or `room` with what
 * the server refused (ERR_UNAVAILABLE). */
const struct err *redis_failure(const struct redis_reply *r, const struct err *err,
                                struct err *room) MUST_USE;
const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i);

/* Resolves a name in the address, blocking: with one, only before the loop runs. Copies the
 * config. */
struct redis;
struct redis_handlers {
    /* A server became ready, or keys moved from one to another: redis_term() of some keys is
     * another than before. */
    void (*on_ready)(void *arg);
    /* The connection to a server broke, and at each failed attempt. */
    void (*on_lost)(void *arg, const struct err *err);
};
struct redis *redis_new(struct loop *loop, const struct redis_config *config,
                        const struct redis_handlers *handlers, void *arg, struct err *err) MUST_USE;
/* Pending callbacks run with ERR_CANCELLED first. */
void redis_free(struct redis *r);
DEFINE_AUTO(redis)

/* Every key can be reached; some can. */
bool redis_is_ready(const struct redis *r);
bool redis_is_partly_ready(const struct redis *r);
/* Of the connection to the server that holds `key`: 0 while it is not ready, else a number that no
 * other connection of this process had. What was read under one term need not hold under another:
 * the server may have restarted, or another may have taken its place. */
uint64_t redis_term(const struct redis *r, struct span key);
/* Which run of which server holds `key` (REDIS_RUN_ID, redis_info.h): another after a restart, and
 * after it was replaced and took over again; "" when it is not ready. A connection under which it
 * changes is noticed within a second, and ends. */
const char *redis_run_id(const struct redis *r, struct span key);
size_t redis_pending(const struct redis *r);

/* Exactly one call of on_reply per command, never inside redis_command(). `reply` is null on
 * failure, then err says why. Arguments are copied. Commands to one server are done and answered in
 * order, but for one that is sent again.
 *
 * The key is argv[1]; a command of one word goes to any server. */
typedef void redis_on_reply(void *arg, const struct redis_reply *reply, const struct err *err);
void redis_command(struct redis *r, const struct span *argv, size_t argc, redis_on_reply *on_reply,
                   void *arg);

struct redis_words {
    const struct span *words;
    size_t count;
};
#define REDIS_WORDS(array)        \
    {                             \
        (array), ARRAY_LEN(array) \
    }

/* One whose key stands elsewhere (XREAD), and that may block: it may take `wait_ms` longer than
 * command_ms. */
struct redis_waiting {
    struct redis_words words;
    struct span key; /* empty: any server */
    int64_t wait_ms;
};
void redis_command_wait(struct redis *r, const struct redis_waiting *command,
                        redis_on_reply *on_reply, void *arg);
/* To the i-th of the servers that hold keys (SCAN): a list that is read while keys move between
 * them may lack some, or have them twice. */
size_t redis_servers(const struct redis *r);
void redis_command_to(struct redis *r, size_t i, const struct redis_words *command,
                      redis_on_reply *on_reply, void *arg);

/* A script known by its SHA-1; a NOSCRIPT answer loads it and sends the command once more, which
 * then runs after whatever was sent meanwhile. The struct is const data of the caller. */
struct redis_script {
    const char *name;
    const char *text;
    char sha1[41]; /* filled by redis_script_init() */
};
void redis_script_init(struct redis_script *s);
/* Stands for the run_id of the server that the script is sent to, each time it is sent: so one that
 * is sent again after a failover does not carry the run_id of the server before. Once in `args`. */
extern const struct span redis_arg_run_id;
/* A script to run, borrowed for the call. All keys are in one slot. */
struct redis_eval {
    const struct redis_script *script;
    struct redis_words keys, args;
};
void redis_eval(struct redis *r, const struct redis_eval *eval, redis_on_reply *on_reply,
                void *arg);

#endif
