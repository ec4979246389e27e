/* call_search.c - asks the accounts' indexes one after the other, then the archive, whoever's call it
 * is; a person waits, not a call. */
#include "gateway/call_search.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/scan.h"
#include "lib/base/mem.h"

struct search {
    struct history history;
    char wanted[REQUEST_ID_TEXT];
    char **accounts;
    size_t count, next;
    recent_on_record *on_record;
    void *arg;
};

static void on_accounts(void *arg, char *const *names, size_t count, const struct err *err);
static void look_next(struct search *s);
static void on_looked(void *arg, const struct span *line, const struct err *err);
static void on_archived(void *arg, const struct span *line, const struct err *err);
static void search_end(struct search *s, const struct span *line, const struct err *err);

void call_search(const struct history *h, const char *request_id, recent_on_record *on_record,
                 void *arg)
{
    struct search *s = xcalloc(1, sizeof *s);

    s->history = *h;
    s->on_record = on_record;
    s->arg = arg;
    snprintf(s->wanted, sizeof s->wanted, "%s", request_id);
    scan_names(h->redis, "account", on_accounts, s);
}

static void on_accounts(void *arg, char *const *names, size_t count, const struct err *err)
{
    struct search *s = arg;

    if (err) {
        search_end(s, NULL, err);
        return;
    }
    s->accounts = xcalloc(count + 1, sizeof *s->accounts);
    for (s->count = 0; s->count < count; s->count++)
        s->accounts[s->count] = xstrdup(names[s->count]);
    look_next(s);
}

static void look_next(struct search *s)
{
    const struct history *h = &s->history;

    if (s->next == s->count)
        h->past.find(h->past.arg, "", s->wanted, on_archived, s);
    else
        recent_look(h->loop, h->redis, s->accounts[s->next++], s->wanted, on_looked, s);
}

static void on_looked(void *arg, const struct span *line, const struct err *err)
{
    if (line || err)
        search_end(arg, line, err);
    else
        look_next(arg);
}

static void on_archived(void *arg, const struct span *line, const struct err *err)
{
    search_end(arg, line, err);
}

static void search_end(struct search *s, const struct span *line, const struct err *err)
{
    s->on_record(s->arg, line, err);
    for (size_t i = 0; i < s->count; i++)
        free(s->accounts[i]);
    free(s->accounts);
    free(s);
}
