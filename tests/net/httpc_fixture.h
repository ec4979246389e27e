/* httpc_fixture.h - for tests of the client: a server that says, byte for byte, what a test wants (the stub), and a
 * call with what became of it. */
#ifndef TOLLGATE_TESTS_NET_HTTPC_FIXTURE_H
#define TOLLGATE_TESTS_NET_HTTPC_FIXTURE_H

#include "lib/base/err.h"
#include "lib/net/httpc.h"
#include "tests/net/peer.h"

extern struct loop *loop;
extern const struct httpc_limits usual; /* which wait for whatever comes */

/* A fixture: a loop with the stub on it, and afterwards as many open descriptors as before. */
void set_up(void);
void tear_down(void);

/* --- the stub: a listening socket whose connections are peers --- */

#define STUB_PEERS 8

struct stub {
    int fd;
    struct addr addr;
    char origin[64];
    struct watch *watch;
    struct peer *peers[STUB_PEERS];
    size_t count;
};
extern struct stub stub;

void stub_open(void);
void stub_close(void);
/* Waits until as many have connected, and no more. */
void stub_await(size_t count);
struct peer *stub_peer(size_t i); /* once it has connected as the last */
void stub_drop(size_t i, void (*drop)(struct peer *));

/* --- a call and what became of it --- */

struct outcome {
    struct httpc *client;
    struct httpc_call *call;
    unsigned heads, ends, status;
    struct buf body;
    bool is_over, is_ok, was_accepted;
    struct err err;
    enum {
        NOTHING,
        CANCEL_AT_HEAD,
        CANCEL_AT_BYTES,
        PAUSE_AT_HEAD,
        PAUSE_AT_BYTES,
        FREE_AT_END
    } act;
};

#define OK  "HTTP/1.1 200 OK\r\n"
#define OK2 OK "Content-Length: 2\r\n\r\nok"

struct httpc *client_to(const char *origin); /* with the usual limits */
struct httpc *client_with(const char *origin, const struct httpc_limits *limits);
/* Forgets what became of an earlier call; `act` stays. */
void begin_with(struct outcome *o, struct httpc *c, const char *method, struct span body);
void begin(struct outcome *o, struct httpc *c); /* a GET */
void await_over(struct outcome *o);             /* and clears the body */
void await_body(struct outcome *o, const char *text);
/* Reads the request, says OK2 and waits until the call has ended well. */
void answer(struct peer *p, struct outcome *o);

#endif
