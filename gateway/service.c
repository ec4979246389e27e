/* service.c - nobody reaches a handler but through its row's access, and no body is read before that is settled. */
#include "gateway/service.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/key_gate.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

/* One request on its way to its handler and while the handler works. */
struct exchange {
    struct service *service;
    struct http_request *request;
    struct caller caller;
    struct route_match match;
    struct key_check *check;    /* null unless the key is being looked up */
    bool key_is_fresh;          /* not what was read some seconds ago */
    struct http_request **slot; /* a handler's own pointer to the request, or null */
};

static void on_head(void *arg, struct http_request *r);
static void on_body(void *arg, struct http_request *r);
static void on_refused(void *arg, struct http_request *r, unsigned status, const struct err *err);
static void on_over(void *arg, struct http_request *r);

const struct httpd_handler service_handler = {on_head, on_body, on_refused, on_over};

static struct exchange *exchange_new(struct service *service, struct http_request *r);
static struct request_log *begin_log(const struct exchange *x);
static void span_cut(struct span s, char *out, size_t size);
static bool find_route(struct exchange *x);
static void authorize(struct exchange *x);
static bool has_one_credential(struct exchange *x);
static void check_key(struct exchange *x, char kind);
static void check_token(struct exchange *x, const struct secret *token);
static void on_verdict(void *arg, enum key_verdict verdict, const struct key_holder *holder);
static void pass_gate(struct exchange *x);
static void read_key_again(struct exchange *x);
static void log_holder(const struct exchange *x);
static void enter(struct exchange *x);
static void on_gone(void *data);
static void on_done(void *data);
static enum problem problem_of_err(enum err_code code);

struct httpd_limits service_limits(const struct options *o)
{
    return (struct httpd_limits){
        .head = {.head_bytes_max = (size_t)o->head_bytes,
                 .target_bytes_max = (size_t)o->target_bytes},
        .body_bytes_max = (size_t)o->body_bytes,
        .handshake_ms = o->handshake_timeout,
        .head_ms = o->head_timeout,
        .idle_ms = o->idle_timeout,
        .body_rate_min = o->body_rate,
        .connections_max = (size_t)o->connections,
    };
}

static void on_head(void *arg, struct http_request *r)
{
    struct exchange *x = exchange_new(arg, r);

    if (find_route(x))
        authorize(x);
}

static struct exchange *exchange_new(struct service *service, struct http_request *r)
{
    struct exchange *x = xcalloc(1, sizeof *x);

    x->service = service;
    x->request = r;
    request_id_make(x->caller.request_id);
    http_request_set_data(r, x);
    http_request_watch(r, on_gone, on_done);
    if (service->reporter)
        http_request_set_note(r, begin_log(x));
    return x;
}

static struct request_log *begin_log(const struct exchange *x)
{
    struct request_log *l = request_log_new(x->service->reporter, x->caller.request_id);
    struct span path = http_request_path(x->request);

    span_cut(http_request_head(x->request)->method, l->method, sizeof l->method);
    span_cut(path, l->path, sizeof l->path);
    if (!http_request_peer(x->request, &l->client))
        l->client.len = 0;
    return l;
}

static void span_cut(struct span s, char *out, size_t size)
{
    size_t n = s.len < size ? s.len : size - 1;

    if (n > 0) /* a span of nothing may point nowhere */
        memcpy(out, s.data, n);
    out[n] = '\0';
}

struct request_log *request_log_of(const struct http_request *r)
{
    return http_request_note(r);
}

static void on_over(void *arg UNUSED, struct http_request *r)
{
    struct request_log *l = http_request_note(r);

    if (!l)
        return;
    l->status = http_reply_status(r);
    l->problem = http_request_mark(r) - PROBLEM_MARK(0);
    l->request_bytes = http_request_body_bytes(r);
    l->reply_bytes = http_reply_offered(r);
    l->is_broken = !http_reply_is_whole(r);
    request_log_release(l);
}

/* From here on the request may not be answered. */
static void on_gone(void *data)
{
    struct exchange *x = data;

    if (x->check)
        key_check_cancel(x->check);
    x->check = NULL;
    if (x->slot)
        *x->slot = NULL;
    x->slot = NULL;
}

/* Whoever kept the request has answered it, and may be gone by now. */
static void on_done(void *data)
{
    struct exchange *x = data;

    if (x->check)
        key_check_cancel(x->check);
    key_access_free(x->caller.holder.access);
    free(x);
}

/* A path that a message may repeat. */
#define PATH_SHOWN 200

static bool find_route(struct exchange *x)
{
    const struct service *service = x->service;
    struct span method = http_request_head(x->request)->method;
    struct span path = http_request_path(x->request);
    struct problem_details details = {.request_id = x->caller.request_id};
    struct request_log *log = request_log_of(x->request);
    char allowed[ROUTE_METHODS_TEXT];
    int shown = (int)(path.len < PATH_SHOWN ? path.len : PATH_SHOWN);

    if (span_equal(method, SPAN("HEAD")))
        method = SPAN("GET");
    switch (route_find(service->routes, service->route_count, method, path, &x->match)) {
    case ROUTE_FOUND:
        if (log)
            log->route = x->match.route->pattern;
        return true;
    case ROUTE_WRONG_METHOD:
        details.allow = route_methods(service->routes, service->route_count, path, allowed);
        problem_reply(x->request, CALLER_WRONG_METHOD, &details, "%.*s takes %s", shown, path.data,
                      allowed);
        return false;
    case ROUTE_BAD_PATH:
        reply_problem(x->request, CALLER_BAD_REQUEST,
                      "The path has a malformed or too long part; write '/' inside an id as %%2F");
        return false;
    default:
        reply_problem(x->request, CALLER_NO_ROUTE,
                      "There is nothing at %.*s; the manual lists the routes", shown, path.data);
        return false;
    }
}

static void authorize(struct exchange *x)
{
    switch (x->match.route->access) {
    case CALLER:
    case CALLER_CALLS:
    case CALLER_READS:
        check_key(x, 'a');
        return;
    case CREATOR:
        check_key(x, 'c');
        return;
    case OPERATOR_OR_HERE:
        if (x->service->is_here) {
            enter(x);
            return;
        } /* fall through */
    case OPERATOR:
        check_token(x, &x->service->installation->operator_token);
        return;
    case FINANCE:
        check_token(x, &x->service->installation->finance_token);
        return;
    default:
        enter(x);
    }
}

/* Who checks keys before us might have read the other one. */
static bool has_one_credential(struct exchange *x)
{
    struct err err;

    if (credential_is_one(http_request_head(x->request), &err))
        return true;
    reply_problem(x->request, CALLER_BAD_REQUEST, "%s", err.text);
    return false;
}

static void check_key(struct exchange *x, char kind)
{
    AUTO_CLEAR(api_key) key = {0};
    struct key_check *check;
    bool present;

    if (!has_one_credential(x))
        return;
    if (!api_key_from_head(http_request_head(x->request), &key, &present)) {
        reply_problem(
            x->request, present ? CALLER_BAD_KEY : CALLER_NO_KEY,
            present ? "This is no key of a %s: send it whole, as 'Authorization: Bearer %ck-tg-…'"
                    : "A %s's key is needed; send it as 'Authorization: Bearer %ck-tg-…' or as "
                      "'x-api-key'",
            kind == 'a' ? "client" : "creator", kind == 'a' ? 's' : 'c');
        return;
    }
    if (key.kind != kind) {
        reply_problem(x->request, CALLER_WRONG_ROLE, "%s", problem_row(CALLER_WRONG_ROLE)->message);
        return;
    }
    x->key_is_fresh = !x->match.route->key_may_be_cached;
    check = keyring_check(x->service->keyring, &key, x->key_is_fresh, on_verdict, x);
    if (check)
        x->check = check;
}

static void check_token(struct exchange *x, const struct secret *token)
{
    struct span value = http_header_get(http_request_head(x->request), "authorization");
    AUTO_CLEAR(secret) given = {0};

    if (!has_one_credential(x))
        return;
    if (!span_starts(value, SPAN("Bearer ")) ||
        !secret_set(&given,
                    (struct span){value.data + strlen("Bearer "), value.len - strlen("Bearer ")},
                    NULL)) {
        reply_problem(x->request, CALLER_NO_KEY,
                      "No token was given; send it as 'Authorization: Bearer …'");
        return;
    }
    if (!secret_equal(&given, token)) {
        reply_problem(x->request, CALLER_WRONG_ROLE, "This token does not open this path");
        return;
    }
    enter(x);
}

static void on_verdict(void *arg, enum key_verdict verdict, const struct key_holder *holder)
{
    enum problem problem = gate_problem_of_verdict(verdict);
    struct exchange *x = arg;

    x->check = NULL;
    if (verdict == KEY_GOOD) {
        key_access_free(x->caller.holder.access);
        x->caller.holder = *holder;
        key_access_hold(holder->access);
        log_holder(x);
        pass_gate(x);
        return;
    }
    reply_problem(x->request, problem, "%s", problem_row(problem)->message);
}

/* The key is good; whether it is for this, and from here. Nobody is refused by what is not so any more. */
static void pass_gate(struct exchange *x)
{
    static const enum scope scopes[] = {[CALLER_CALLS] = SCOPE_CALL, [CALLER_READS] = SCOPE_USAGE};
    enum access access = x->match.route->access;
    struct gate_refusal why;

    if (gate_lets_in(&x->caller.holder,
                     (size_t)access < ARRAY_LEN(scopes) ? scopes[access] : SCOPE_NONE, x->request,
                     &why))
        enter(x);
    else if (!x->key_is_fresh)
        read_key_again(x);
    else
        reply_problem(x->request, why.problem, "%s", why.text);
}

static void read_key_again(struct exchange *x)
{
    x->key_is_fresh = true;
    x->check = keyring_check_again(x->service->keyring, &x->caller.holder, on_verdict, x);
}

static void log_holder(const struct exchange *x)
{
    struct request_log *l = request_log_of(x->request);

    if (!l)
        return;
    span_cut(span_of(x->caller.holder.owner), l->account, sizeof l->account);
    span_cut(span_of(x->caller.holder.public_id), l->key, sizeof l->key);
}

static void enter(struct exchange *x)
{
    size_t max = x->match.route->body_max_kib * 1024;

    x->caller.role = x->match.route->access;
    http_request_accept_body(x->request,
                             max < x->service->body_bytes_max ? max : x->service->body_bytes_max);
}

static void on_body(void *arg, struct http_request *r)
{
    struct service *service = arg;
    struct exchange *x = http_request_data(r);
    struct route_match match = x->match;

    match.route->handle(service->server, r, &match);
}

/* Heads that could not be parsed have no exchange; bodies that came wrong do, and on_done() ends it. */
static void on_refused(void *arg, struct http_request *r, unsigned status, const struct err *err)
{
    struct exchange *x = http_request_data(r);

    if (!x)
        x = exchange_new(arg, r);
    problem_reply(r, problem_of_status(status),
                  &(struct problem_details){.request_id = x->caller.request_id}, "%s", err->text);
}

const struct caller *request_caller(const struct http_request *r)
{
    const struct exchange *x = http_request_data(r);

    return &x->caller;
}

void request_release(struct http_request *r)
{
    struct exchange *x = http_request_data(r);

    http_request_watch(r, NULL, NULL);
    http_request_set_data(r, NULL);
    on_done(x);
}

void request_keep(struct http_request *r, struct http_request **slot)
{
    struct exchange *x = http_request_data(r);

    *slot = r;
    x->slot = slot;
}

void reply_json(struct http_request *r, unsigned status, struct span json)
{
    const struct http_field fields[] = {
        {"content-type", "application/json"},
        {"x-request-id", request_caller(r)->request_id},
    };

    http_reply(r, status, fields, ARRAY_LEN(fields), json);
}

void reply_built(struct http_request *r, const struct buf *json)
{
    struct err err;

    if (buf_ok(json, "the answer", &err))
        reply_json(r, 200, buf_span(json));
    else
        reply_problem(r, GATEWAY_INTERNAL, "%s", err.text);
}

void reply_found(struct http_request *r, const struct buf *json, const struct err *err)
{
    if (r && err)
        reply_err(r, err);
    else if (r)
        reply_built(r, json);
}

void reply_problem(struct http_request *r, enum problem p, const char *format, ...)
{
    char text[ERR_TEXT_MAX * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    problem_reply(r, p, &(struct problem_details){.request_id = request_caller(r)->request_id},
                  "%s", text);
}

void reply_bad_field(struct http_request *r, const char *param, const char *format, ...)
{
    char text[ERR_TEXT_MAX * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    problem_reply(
        r, CALLER_BAD_REQUEST,
        &(struct problem_details){.request_id = request_caller(r)->request_id, .param = param},
        "%s", text);
}

/* What failed inside is an operator's to know: who is outside is told what it means for them. */
void reply_err(struct http_request *r, const struct err *err)
{
    enum problem p = problem_of_err(err->code);
    const struct problem_row *row = problem_row(p);
    const struct caller *caller = request_caller(r);
    bool may_be_told = row->status < 500 || caller->role == LOCAL;
    bool is_fault = row->status == 500 || err->code == ERR_IO || err->code == ERR_FULL;

    if (is_fault || !may_be_told)
        log_write(is_fault ? LOG_ERROR : LOG_DEBUG, "request_failed", "%s: %s", caller->request_id,
                  err->text);
    reply_problem(r, p, "%s", may_be_told ? err->text : row->message);
}

static enum problem problem_of_err(enum err_code code)
{
    switch (code) {
    case ERR_INPUT:
    case ERR_LIMIT:
        return CALLER_BAD_REQUEST;
    case ERR_NOT_FOUND:
        return CALLER_NOT_FOUND;
    case ERR_EXISTS:
    case ERR_DENIED:
        return CALLER_CONFLICT;
    case ERR_FULL:
        return GATEWAY_JOURNAL_FULL;
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
    case ERR_CLOSED:
    case ERR_CANCELLED:
    case ERR_IO:
        return GATEWAY_UNAVAILABLE;
    default:
        return GATEWAY_INTERNAL;
    }
}
