/* stream_pair.h - for tests of streams: two ends on one loop, plain or TLS, and a raw socket where
 * a peer must misbehave. Every end notes what its handlers saw and can be told to free or finish
 * its stream inside any of them. */
#ifndef TOLLGATE_TESTS_NET_STREAM_PAIR_H
#define TOLLGATE_TESTS_NET_STREAM_PAIR_H

#include "lib/base/buf.h"
#include "lib/net/loop.h"
#include "lib/net/stream.h"

#define PATIENCE_MS 60000

enum handler { NO_HANDLER, OPEN, BYTES, END, DRAINED, FAILED, HANDLERS };

struct end {
    struct stream *stream;
    struct buf got;
    unsigned opened, ends, drained, failed;
    struct err err;
    enum handler leaves_in; /* frees, or finishes, its stream there */
    bool finishes;
    bool is_gone; /* it did; nothing may be called any more */
    void (*on_bytes)(struct end *e, const char *bytes,
                     size_t n); /* instead of keeping them in `got` */
    void (*on_open)(struct end *e);
    void (*on_drained)(struct end *e);
};

extern struct loop *pair_loop;
extern struct tls_context *pair_server_tls, *pair_client_tls;
extern struct stream_limits pair_limits;
extern const struct stream_handlers pair_handlers;
extern bool pair_is_inside; /* a stream_* call of the test is running: no handler may */

/* Makes certificates once, before tests fork, and removes them. */
void pair_make_certificates(void);
void pair_remove_certificates(void);
void pair_setup(void);
void pair_teardown(void);

void pair_open(struct end *client, struct end *server, bool with_tls); /* both through on_open */
/* A raw socket to `server`, blocking; its on_open may still be to come. */
int pair_raw(struct end *server, bool with_tls);
/* The other way round: `client` connects, the test has the accepted socket. */
int pair_raw_server(struct end *client, bool with_tls);
void pair_free(struct end *e);

void pair_write(struct end *e, const void *bytes, size_t n);
void pair_await(bool (*is_there)(void)); /* runs turns until it says so; fails after PATIENCE_MS */
void pair_await_over(const struct end *e); /* ended or failed; or fails likewise */
void pair_run_ms(int64_t ms); /* with some time, turns enough for what follows from what comes */

#endif
