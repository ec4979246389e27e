/* request_log.c - the one place where a finished request is counted and written down. */
#include "gateway/request_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"

#define LINE_BYTES_MAX 8192

static void tell(const struct request_log *l);
static void count_request(const struct request_log *l);
static void count_call(const struct request_log *l);
static void write_line(const struct request_log *l);
static void write_request(const struct request_log *l, struct jw *w);
static void write_client(const struct addr *client, struct jw *w);
static void write_call(const struct request_log *l, struct jw *w);
static int64_t since_began_ms(const struct request_log *l, int64_t at);

struct request_log *request_log_new(struct reporter *reporter, const char *request_id)
{
    struct request_log *l = xcalloc(1, sizeof *l);

    l->reporter = reporter;
    l->holders = 1;
    l->problem = -1;
    l->began = clock_monotonic();
    l->began_at = clock_now();
    memcpy(l->request_id, request_id, strnlen(request_id, sizeof l->request_id - 1));
    return l;
}

void request_log_hold(struct request_log *l)
{
    l->holders++;
}

void request_log_release(struct request_log *l)
{
    assert(l->holders > 0);
    if (--l->holders > 0)
        return;
    l->ended = clock_monotonic();
    tell(l);
    free(l);
}

void request_log_event(struct request_log *l, const struct event *e)
{
    l->is_call = true;
    memcpy(l->model, e->model, sizeof l->model);
    memcpy(l->backend, e->backend, sizeof l->backend);
    l->used = e->used;
    l->amount = e->amount;
    l->outcome = e->outcome;
}

static void tell(const struct request_log *l)
{
    count_request(l);
    if (l->is_call)
        count_call(l);
    if (l->reporter->access)
        write_line(l);
}

static void count_request(const struct request_log *l)
{
    struct seat *seat = l->reporter->seat;

    if (l->status >= 100 && l->status < 100 + BOARD_STATUSES)
        metric_add(&seat->responses[l->status - 100], 1);
    if (l->problem >= 0 && l->problem < PROBLEM_COUNT)
        metric_add(&seat->refusals[l->problem], 1);
    if (l->admitted)
        histogram_add(&seat->admits, l->admitted - l->began);
}

static void count_call(const struct request_log *l)
{
    struct board_model *m = board_model(l->reporter->seat, l->model, l->amount.currency);

    metric_add(&m->calls[l->outcome], 1);
    metric_add(&m->amount_nanos, (uint64_t)l->amount.nanos);
    for (size_t i = 0; i < l->used.count; i++)
        for (size_t k = 0; k < BOARD_UNITS && unit_at(k); k++)
            if (l->used.item[i].unit == unit_at(k))
                metric_add(&m->units[k], (uint64_t)l->used.item[i].n);
    histogram_add(&m->whole, l->ended - l->began);
    if (l->first_byte)
        histogram_add(&m->first_byte, l->first_byte - l->began);
}

/* ------------------------------------------------------------------ the access log */

/* Names as OpenTelemetry has them; what it has no name for begins with tollgate. */
static void write_line(const struct request_log *l)
{
    AUTO_CLEAR(buf) line = {.max = LINE_BYTES_MAX};
    struct jw w;

    jw_init(&w, &line);
    jw_object(&w);
    write_request(l, &w);
    if (l->is_call)
        write_call(l, &w);
    jw_object_end(&w);
    buf_add_char(&line, '\n');
    if (line.failed || !access_log_add(l->reporter->access, buf_span(&line)))
        metric_add(&l->reporter->seat->unlogged, 1);
}

static void write_request(const struct request_log *l, struct jw *w)
{
    jw_time_member(w, "time", l->began_at);
    jw_string_member(w, "tollgate.request_id", l->request_id);
    jw_string_member(w, "http.request.method", l->method);
    jw_string_member(w, "url.path", l->path);
    if (l->client.len)
        write_client(&l->client, w);
    if (l->route)
        jw_string_member(w, "http.route", l->route);
    jw_int_member(w, "http.response.status_code", l->status);
    if (l->problem >= 0)
        jw_string_member(w, "error.type", problem_row((enum problem)l->problem)->name);
    jw_int_member(w, "http.request.body.size", (int64_t)l->request_bytes);
    jw_int_member(w, "http.response.body.size", (int64_t)l->reply_bytes);
    jw_bool_member(w, "tollgate.complete", !l->is_broken);
    jw_int_member(w, "tollgate.duration_ms", since_began_ms(l, l->ended));
    if (l->account[0])
        jw_string_member(w, "tollgate.account", l->account);
    if (l->key[0])
        jw_string_member(w, "tollgate.key", l->key);
}

/* Without its port. */
static void write_client(const struct addr *client, struct jw *w)
{
    char text[ADDR_TEXT], *port;

    port = strrchr(addr_format(client, text), ':');
    jw_span_member(w, "client.address",
                   (struct span){text, port ? (size_t)(port - text) : strlen(text)});
}

static void write_call(const struct request_log *l, struct jw *w)
{
    char amount[DECIMAL_TEXT];

    jw_string_member(w, "gen_ai.request.model", l->model);
    jw_string_member(w, "tollgate.backend", l->backend);
    jw_bool_member(w, "gen_ai.request.stream", l->is_stream);
    jw_string_member(w, "tollgate.outcome", outcome_name(l->outcome));
    if (l->admitted)
        jw_int_member(w, "tollgate.admitted_ms", since_began_ms(l, l->admitted));
    if (l->first_byte)
        jw_int_member(w, "tollgate.first_byte_ms", since_began_ms(l, l->first_byte));
    jw_key(w, "tollgate.units");
    jw_object(w);
    for (size_t i = 0; i < l->used.count; i++)
        jw_int_member(w, l->used.item[i].unit->name, l->used.item[i].n);
    jw_object_end(w);
    jw_string_member(w, "tollgate.amount", decimal_format(l->amount.nanos, amount));
    jw_string_member(w, "tollgate.currency", l->amount.currency);
}

static int64_t since_began_ms(const struct request_log *l, int64_t at)
{
    return (at - l->began) / NANOS_PER_MS;
}
