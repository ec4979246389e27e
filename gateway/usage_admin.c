/* usage_admin.c - a list: walks the accounts' streams one after the other; a person waits, not a call. */
#include "gateway/usage_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/console_state.h"
#include "gateway/scan.h"
#include "gateway/service.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LIMIT      100
#define LIMIT_MAX  10000
#define PAGE       1000
#define ANSWER_MAX (64 * 1024 * 1024)

struct walk {
    struct console *console;
    struct http_request *request;
    char **accounts;
    size_t count, next;
    size_t limit, taken;          /* of the present account */
    char before[REQUEST_ID_TEXT]; /* where its next page begins, or "" */
    struct event *events;
    size_t event_count;
};

static struct walk *walk_new(struct console *c, struct http_request *r, scan_on_names *on_accounts);
static void keep_accounts(struct walk *w, char *const *names, size_t count);
static void walk_end(struct walk *w, const struct err *err);
static void walk_free(struct walk *w);

static void on_accounts(void *arg, char *const *names, size_t count, const struct err *err);
static void read_page(struct walk *w);
static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err);
static bool take_line(struct walk *w, struct span line, struct err *err);

void usage_admin_list_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct span query = http_request_query(r);
    struct console *c = server;
    char account[ID_TEXT], text[16] = "", *one = account;
    uint64_t limit = LIMIT;
    enum query_result found;
    struct walk *w;

    (void)match;
    if (query_get(query, "limit", text, sizeof text) != QUERY_ABSENT &&
        (!digits_parse(span_of(text), LIMIT_MAX, &limit) || limit < 1)) {
        reply_bad_field(r, "limit", "'limit' must be from 1 to %d", LIMIT_MAX);
        return;
    }
    found = query_get(query, "account", account, sizeof account);
    if (found == QUERY_BAD) {
        reply_bad_field(r, "account", "'account' is no account id");
        return;
    }
    if (found == QUERY_FOUND) {
        w = walk_new(c, r, NULL);
        w->limit = (size_t)limit;
        on_accounts(w, &one, 1, NULL);
    } else {
        walk_new(c, r, on_accounts)->limit = (size_t)limit;
    }
}

static struct walk *walk_new(struct console *c, struct http_request *r, scan_on_names *on_names)
{
    struct walk *w = xcalloc(1, sizeof *w);

    w->console = c;
    request_keep(r, &w->request);
    if (on_names)
        scan_names(c->ledger.redis, "account", on_names, w);
    return w;
}

static void on_accounts(void *arg, char *const *names, size_t count, const struct err *err)
{
    struct walk *w = arg;

    if (err) {
        walk_end(w, err);
        return;
    }
    keep_accounts(w, names, count);
    read_page(w);
}

static void keep_accounts(struct walk *w, char *const *names, size_t count)
{
    w->accounts = xcalloc(count + 1, sizeof *w->accounts);
    for (w->count = 0; w->count < count; w->count++)
        w->accounts[w->count] = xstrdup(names[w->count]);
}

static void read_page(struct walk *w)
{
    size_t left = w->limit - w->taken;

    if (w->next == w->count || !w->request)
        walk_end(w, NULL);
    else
        history_list(&w->console->history, w->accounts[w->next], w->before[0] ? w->before : NULL,
                     left < PAGE ? left : PAGE, on_page, w);
}

static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err)
{
    struct walk *w = arg;
    struct err bad;

    for (size_t i = 0; !err && i < count; i++)
        if (!take_line(w, lines[i], &bad))
            err = &bad;
    if (err) {
        walk_end(w, err);
        return;
    }
    w->taken += count;
    if (!has_more || w->taken >= w->limit || !count) {
        w->next++;
        w->taken = 0;
        w->before[0] = '\0';
    } else {
        snprintf(w->before, sizeof w->before, "%s", w->events[w->event_count - 1].request_id);
    }
    read_page(w);
}

static bool take_line(struct walk *w, struct span line, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);

    w->events = xrealloc_array(w->events, w->event_count + 1, sizeof *w->events);
    return record && event_parse(record, &w->events[w->event_count], err) && ++w->event_count;
}

static int newest_first(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->ended_at != y->ended_at)
        return x->ended_at < y->ended_at ? 1 : -1;
    return strcmp(y->request_id, x->request_id);
}

static void walk_end(struct walk *w, const struct err *err)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw jw;

    if (w->request && err) {
        reply_err(w->request, err);
    } else if (w->request) {
        if (w->event_count)
            qsort(w->events, w->event_count, sizeof *w->events, newest_first);
        jw_init(&jw, &json);
        jw_object(&jw);
        jw_key(&jw, "data");
        jw_array(&jw);
        for (size_t i = 0; i < w->event_count && i < w->limit; i++)
            event_write(&w->events[i], &jw);
        jw_array_end(&jw);
        jw_object_end(&jw);
        reply_built(w->request, &json);
    }
    walk_free(w);
}

static void walk_free(struct walk *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->accounts[i]);
    free(w->accounts);
    free(w->events);
    free(w);
}
