/* journal_admin.c - the console is asked to ship, seal or rebuild, and answers when that is done. */
#include "gateway/journal_admin.h"

#include <stdlib.h>

#include "gateway/journal_wait.h"
#include "gateway/rebuild.h"
#include "gateway/service.h"
#include "lib/base/mem.h"

#define WAIT_MS    20000
#define ANSWER_MAX (1024 * 1024)

struct asked {
    struct http_request *request; /* null once the client is gone */
};

static void wait_for(struct console *c, struct http_request *r, bool seal);
static void on_end(void *arg, const struct journal_report *report, const char *missing);
static void answer(struct http_request *r, const struct journal_report *report);
static void on_rebuilt(void *arg, const struct rebuild_result *result, const struct err *err);

void journal_ship_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    wait_for(server, r, false);
}

void journal_seal_post(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    wait_for(server, r, true);
}

static void wait_for(struct console *c, struct http_request *r, bool seal)
{
    struct asked *a = xcalloc(1, sizeof *a);

    request_keep(r, &a->request);
    journal_wait(c, seal, WAIT_MS, on_end, a);
}

static void on_end(void *arg, const struct journal_report *report, const char *missing)
{
    struct asked *a = arg;

    if (a->request && report)
        answer(a->request, report);
    else if (a->request)
        reply_problem(a->request, GATEWAY_UNAVAILABLE, "after %d s it is not done: %s",
                      WAIT_MS / 1000, missing);
    free(a);
}

static void answer(struct http_request *r, const struct journal_report *report)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; i < report->count; i++) {
        jw_object(&w);
        jw_string_member(&w, "writer", report->entries[i].writer);
        journal_entry_write(&report->entries[i], &w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    reply_built(r, &json);
}

void journal_rebuild_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct asked *a = xcalloc(1, sizeof *a);
    char from_zero[2];

    (void)match;
    request_keep(r, &a->request);
    rebuild_start(c->rebuild,
                  query_get(http_request_query(r), "from_zero", from_zero, sizeof from_zero) ==
                      QUERY_FOUND,
                  on_rebuilt, a);
}

static void on_rebuilt(void *arg, const struct rebuild_result *result, const struct err *err)
{
    struct asked *a = arg;
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_int_member(&w, "emptied", result->emptied);
    jw_int_member(&w, "archived_writers", (int64_t)result->archived);
    jw_object_end(&w);
    reply_found(a->request, &json, err);
    free(a);
}
