/* service.h - from a request's head to its handler: route, who is calling, body. The same for the API, the console and admin.sock. */
#ifndef TOLLGATE_GATEWAY_SERVICE_H
#define TOLLGATE_GATEWAY_SERVICE_H

#include "gateway/installation.h"
#include "gateway/keyring.h"
#include "gateway/options.h"
#include "gateway/problem.h"
#include "gateway/request_log.h"
#include "gateway/route.h"

struct service {
    const struct route *routes;
    size_t route_count;
    void *server;                            /* given to the handlers */
    struct keyring *keyring;                 /* null: no route asks for a key */
    const struct installation *installation; /* tokens of OPERATOR and FINANCE */
    bool is_here;                            /* its socket is a loopback's */
    size_t body_bytes_max;                   /* over every route's own */
    struct reporter *reporter;               /* null: its requests are neither counted nor logged */
};
/* For httpd_new(), with the service as its argument. */
extern const struct httpd_handler service_handler;

/* The limits of a server's connections, from the options. */
struct httpd_limits service_limits(const struct options *o);

/* Who sent the request that a handler was given; made when its head came in, gone when it is over. */
struct caller {
    char request_id[REQUEST_ID_TEXT];
    enum access role;
    struct key_holder holder; /* of callers and creators */
};
const struct caller *request_caller(const struct http_request *r);

/* A handler that takes the request's data pointer and watches for itself lets go of what the service kept there; afterwards
 * request_caller() may not be asked. */
void request_release(struct http_request *r);

/* What is told of the request when it is over; null where nothing is. */
struct request_log *request_log_of(const struct http_request *r);

/* For handlers that answer later: `*slot` is set to null when the request is over before they do. One slot a request. */
void request_keep(struct http_request *r, struct http_request **slot);

/* Answers with content-type and x-request-id. */
void reply_json(struct http_request *r, unsigned status, struct span json);
/* The same for JSON that was just built: 500 if the buffer failed. */
void reply_built(struct http_request *r, const struct buf *json);
/* The end of what was looked up: that, or why not (`err`); nothing once the client is gone (`r` is null). */
void reply_found(struct http_request *r, const struct buf *json, const struct err *err);
void reply_problem(struct http_request *r, enum problem p, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* 400, with the query's or the body's member that is wrong. */
void reply_bad_field(struct http_request *r, const char *param, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* An err as a problem: its code chooses the status (INPUT, LIMIT 400; NOT_FOUND 404; EXISTS, DENIED 409; what is away, full or refused by the
 * operating system 503; else 500). From 500 on its text is for the operator: others get the problem's own message, and 500 is logged. */
void reply_err(struct http_request *r, const struct err *err);

#endif
