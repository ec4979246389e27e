/* key_list.c - keys are read one after the other: a person waits, not a call. */
#include "gateway/key_list.h"

#include <stdlib.h>

#include "gateway/console_state.h"
#include "gateway/key_terms.h"
#include "gateway/scan.h"
#include "gateway/service.h"
#include "lib/base/mem.h"

#define ANSWER_MAX (8 * 1024 * 1024)

struct listing {
    struct console *console;
    struct http_request *request;
    char **ids;
    size_t count, next;
    struct buf json;
    struct jw w;
};

static void on_ids(void *arg, char *const *ids, size_t count, const struct err *err);
static void list_next(struct listing *l);
static void on_listed(void *arg, bool found, const struct key_state *state, const struct err *err);
static void write_key(struct listing *l, const struct key_state *state);
static const char *pepper_word(const struct console *c, const struct key_state *state);
static void list_end(struct listing *l, const struct err *err);

void keys_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct listing *l = xcalloc(1, sizeof *l);

    (void)match;
    l->console = c;
    request_keep(r, &l->request);
    buf_init(&l->json, ANSWER_MAX);
    jw_init(&l->w, &l->json);
    scan_names(c->ledger.redis, "key", on_ids, l);
}

static void on_ids(void *arg, char *const *ids, size_t count, const struct err *err)
{
    struct listing *l = arg;

    if (err) {
        list_end(l, err);
        return;
    }
    l->ids = xcalloc(count + 1, sizeof *l->ids);
    for (l->count = 0; l->count < count; l->count++)
        l->ids[l->count] = xstrdup(ids[l->count]);
    jw_object(&l->w);
    jw_key(&l->w, "data");
    jw_array(&l->w);
    list_next(l);
}

static void list_next(struct listing *l)
{
    if (l->next < l->count && l->request) {
        key_read(l->console->ledger.redis, l->ids[l->next], on_listed, l);
        return;
    }
    jw_array_end(&l->w);
    jw_object_end(&l->w);
    list_end(l, NULL);
}

static void on_listed(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct listing *l = arg;

    if (err) {
        list_end(l, err);
        return;
    }
    if (found)
        write_key(l, state);
    l->next++;
    list_next(l);
}

static void write_key(struct listing *l, const struct key_state *state)
{
    AUTO_JSON opens = state->access.len ? json_parse(state->access, NULL) : NULL;

    jw_object(&l->w);
    jw_string_member(&l->w, "public_id", l->ids[l->next]);
    jw_string_member(&l->w, state->owner_kind == 'a' ? "account" : "creator", state->owner);
    key_state_write(&l->w, state, opens);
    jw_string_member(&l->w, "pepper", pepper_word(l->console, state));
    jw_object_end(&l->w);
}

/* "gone": the key is good for nothing. */
static const char *pepper_word(const struct console *c, const struct key_state *state)
{
    static const char *const words[PEPPERS] = {"in use", "previous", "next"};
    enum pepper_role role;

    return peppers_find(&c->installation->peppers, state->pepper, &role) ? words[role] : "gone";
}

static void list_end(struct listing *l, const struct err *err)
{
    struct err too_long;

    if (!err && !buf_ok(&l->json, "the list of keys", &too_long))
        err = &too_long;
    if (l->request && err)
        reply_err(l->request, err);
    else if (l->request)
        reply_json(l->request, 200, buf_span(&l->json));
    for (size_t i = 0; i < l->count; i++)
        free(l->ids[i]);
    free(l->ids);
    buf_clear(&l->json);
    free(l);
}
