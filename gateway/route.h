/* route.h - routes as a table: method, pattern, who may enter, handler. A row without access stated refuses to start.
 * Patterns have ":name" for one segment and ":name+" (last) for the rest of the path, so that a model id may hold '/' as itself or as %2F. */
#ifndef TOLLGATE_GATEWAY_ROUTE_H
#define TOLLGATE_GATEWAY_ROUTE_H

#include "lib/net/httpd.h"

enum access {
    ACCESS_UNSTATED,
    ANYONE,
    CALLER,       /* any key of an account */
    CALLER_CALLS, /* one that may call models */
    CALLER_READS, /* one that may read usage, receipts and balance */
    CREATOR,
    FINANCE,
    OPERATOR,
    OPERATOR_OR_HERE, /* without a token where only this machine can connect */
    LOCAL             /* admin.sock: whoever may open it */
};

#define ROUTE_PARAMS     3
#define ROUTE_PARAM_TEXT 200
struct route_match {
    const struct route *route;
    size_t count;
    char value[ROUTE_PARAMS][ROUTE_PARAM_TEXT]; /* percent-decoded */
};

struct route {
    const char *method, *pattern;
    enum access access;
    size_t body_max_kib; /* 0: takes no body */
    bool
        key_may_be_cached; /* admission looks at the key again; elsewhere a revoked key must fail at once by itself */
    /* `server` is the process's own struct (worker, console). Called when access was granted and the body is in. */
    void (*handle)(void *server, struct http_request *r, const struct route_match *match);
};

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_WRONG_METHOD, ROUTE_BAD_PATH };
enum route_result route_find(const struct route *table, size_t count, struct span method,
                             struct span path, struct route_match *out) MUST_USE;
/* "GET, POST": what a path takes, as an Allow header says it. Returns `out`. */
#define ROUTE_METHODS_TEXT 64
const char *route_methods(const struct route *table, size_t count, struct span path,
                          char out[ROUTE_METHODS_TEXT]);
/* False (and says which) if a row has no access or no handler. */
bool route_table_is_complete(const struct route *table, size_t count, struct err *err) MUST_USE;
/* One query parameter, percent-decoded. BAD: it is there, but malformed or too long. */
enum query_result { QUERY_ABSENT, QUERY_FOUND, QUERY_BAD };
enum query_result query_get(struct span query, const char *name, char *out,
                            size_t out_size) MUST_USE;

#endif
