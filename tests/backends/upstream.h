/* upstream.h - a scripted model server for tests: a thread that does to each connection what its script says. */
#ifndef TOLLGATE_TESTS_BACKENDS_UPSTREAM_H
#define TOLLGATE_TESTS_BACKENDS_UPSTREAM_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

enum upstream_act {
    UPSTREAM_READ,   /* one whole request */
    UPSTREAM_SEND,   /* `text` */
    UPSTREAM_REPEAT, /* `text`, `n` times */
    UPSTREAM_WAIT,   /* n ms */
    UPSTREAM_EOF,    /* until the client closes; notes whether it closed in both directions */
    UPSTREAM_RESET,  /* closes with a reset */
    UPSTREAM_CLOSE,  /* ends the script */
};
struct upstream_step {
    enum upstream_act act;
    const char *text;
    int n;
};

struct upstream;
/* One script a connection, in the order they come; the last ends with UPSTREAM_CLOSE like all. Borrows the scripts. */
struct upstream *upstream_new(const struct upstream_step *const *scripts, size_t count) MUST_USE;
const char *upstream_url(const struct upstream *u); /* "http://127.0.0.1:port/v1" */
/* Waits until the scripts are over, then tells what was seen. */
void upstream_join(struct upstream *u);
struct span upstream_requests(const struct upstream *u); /* all that was read */
size_t upstream_connections(const struct upstream *u);
bool upstream_saw_full_close(const struct upstream *u);
void upstream_free(struct upstream *u); /* joins */
DEFINE_AUTO(upstream)

#endif
