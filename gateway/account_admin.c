/* account_admin.c - what a person may do to an account, checked in full before the record is written. */
#include "gateway/account_admin.h"

#include <stdlib.h>

#include "gateway/account_terms.h"
#include "gateway/desk.h"
#include "gateway/scan.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (8 * 1024 * 1024)
#define RECORD_MAX 4096

/* An account that is being opened or given other limits, while it is looked what it is. */
struct change {
    struct console *console;
    struct http_request *request;
    json_t *body;               /* holds the texts of `terms`, and `op` */
    struct account_terms terms; /* of one that is being opened */
    char id[ID_TEXT];           /* of one that is given other limits */
    const char *op;
};

static void on_present_account(void *arg, bool found, const struct account_state *state,
                               const struct err *err);
static void post_terms(struct change *c, const struct account_terms *t);
static void change_free(struct change *c);
static bool read_terms(const json_t *body, struct account_terms *t, struct err *err);
static void write_account(struct jw *w, const char *id, const struct account_state *state);

void account_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct account_terms t = {.mode = "prepaid"};
    struct change *o;
    struct err err;

    (void)match;
    if (!body)
        return;
    if (!read_terms(body, &t, &err)) {
        reply_err(r, &err);
        return;
    }
    o = xcalloc(1, sizeof *o);
    *o = (struct change){.console = c, .body = KEEP(body), .terms = t, .op = op};
    request_keep(r, &o->request);
    account_read(c->ledger.redis, t.id, on_present_account, o);
}

/* Opening an account again with the terms it has is a repetition; with others it would change them behind somebody's back. */
static void on_present_account(void *arg, bool found, const struct account_state *state,
                               const struct err *err)
{
    struct change *o = arg;
    bool is_open = found && state->opened;
    struct account_terms present = {0};

    if (is_open)
        present = account_terms_of(o->terms.id, state);
    if (o->request && err) {
        reply_err(o->request, err);
    } else if (o->request && is_open && !account_terms_equal(&present, &o->terms)) {
        reply_problem(o->request, CALLER_CONFLICT,
                      "Account '%s' is open already, with other terms; 'tollgate account show %s' "
                      "prints them",
                      o->terms.id, o->terms.id);
    } else if (o->request) {
        post_terms(o, &o->terms);
    }
    change_free(o);
}

static void post_terms(struct change *c, const struct account_terms *t)
{
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};

    account_terms_write(t, console_revision(c->console), journal_now(c->console->ledger.journal),
                        c->op, &record);
    desk_post(c->console, c->request,
              &(struct journal_change){RECORD_ACCOUNT, buf_span(&record),
                                       partition_of(SIDE_ACCOUNT, span_of(t->id))},
              buf_span(&record));
}

static void change_free(struct change *c)
{
    json_decref(c->body);
    free(c);
}

static bool read_terms(const json_t *body, struct account_terms *t, struct err *err)
{
    static const char *const members[] = {
        "id", "currency", "mode", "credit_limit", "concurrency", "rpm", "tpm", "op", NULL};

    if (!json_only_members(body, members, "the account", err) ||
        !json_get_string(body, "id", &t->id, "the account", err) ||
        !json_get_string(body, "currency", &t->currency, "the account", err) ||
        !json_get_string_or(body, "mode", &t->mode, "the account", err))
        return false;
    if (!id_is_valid(span_of(t->id)))
        return err_set(err, ERR_INPUT, "'%.80s' is no account id: 1 to 64 of A-Z a-z 0-9 . _ -",
                       t->id);
    if (!currency_is_known(span_of(t->currency)))
        return err_set(err, ERR_INPUT, "'%.20s' is no currency that is settled here, such as CNY",
                       t->currency);
    if (strcmp(t->mode, "prepaid") != 0 && strcmp(t->mode, "postpaid") != 0)
        return err_set(err, ERR_INPUT, "'mode' must be prepaid or postpaid");
    return account_limits_read(body, t, err);
}

/* ------------------------------------------------------------------ other limits */

static void on_limited_account(void *arg, bool found, const struct account_state *state,
                               const struct err *err);

void account_limit_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"credit_limit", "concurrency", "rpm", "tpm", "op", NULL};
    struct console *c = server;
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct change *change;
    struct err err;

    if (!body)
        return;
    if (!json_only_members(body, members, "the limits", &err) ||
        (json_object_size(body) < 2 &&
         !err_set(&err, ERR_INPUT, "no limit was given to be changed"))) {
        reply_err(r, &err);
        return;
    }
    change = xcalloc(1, sizeof *change);
    *change = (struct change){.console = c, .body = KEEP(body), .op = op};
    if (!span_copy(span_of(match->value[0]), change->id, sizeof change->id))
        change->id[0] = '\0';
    request_keep(r, &change->request);
    account_read(c->ledger.redis, change->id, on_limited_account, change);
}

/* What is not named stays as it is. */
static void on_limited_account(void *arg, bool found, const struct account_state *state,
                               const struct err *err)
{
    struct change *c = arg;
    struct account_terms terms;
    struct err wrong;

    if (!err && !(found && state->opened)) {
        err_set(&wrong, ERR_NOT_FOUND, "there is no account '%s'", c->id);
        err = &wrong;
    }
    if (!err) {
        terms = account_terms_of(c->id, state);
        if (!account_limits_read(c->body, &terms, &wrong))
            err = &wrong;
    }
    if (c->request && err)
        reply_err(c->request, err);
    else if (c->request)
        post_terms(c, &terms);
    change_free(c);
}

/* ------------------------------------------------------------------ showing */

struct show {
    struct console *console;
    struct http_request *request;
    bool one;
    char **names;
    size_t count, next;
    struct buf json;
    struct jw w;
};

static struct show *show_new(struct console *c, struct http_request *r, bool one);
static void on_names(void *arg, char *const *names, size_t count, const struct err *err);
static void show_next(struct show *s);
static void on_shown(void *arg, bool found, const struct account_state *state,
                     const struct err *err);
static void show_end(struct show *s, const struct err *err);

void accounts_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;

    (void)match;
    scan_names(c->ledger.redis, "tg:{a*}:account:*", on_names, show_new(c, r, false));
}

void account_get(void *server, struct http_request *r, const struct route_match *match)
{
    const char *const names[] = {match->value[0]};

    on_names(show_new(server, r, true), (char *const *)names, 1, NULL);
}

static struct show *show_new(struct console *c, struct http_request *r, bool one)
{
    struct show *s = xcalloc(1, sizeof *s);

    s->console = c;
    s->one = one;
    request_keep(r, &s->request);
    buf_init(&s->json, ANSWER_MAX);
    jw_init(&s->w, &s->json);
    return s;
}

static void on_names(void *arg, char *const *names, size_t count, const struct err *err)
{
    struct show *s = arg;

    if (err) {
        show_end(s, err);
        return;
    }
    s->names = xcalloc(count + 1, sizeof *s->names);
    for (s->count = 0; s->count < count; s->count++)
        s->names[s->count] = xstrdup(names[s->count]);
    if (!s->one) {
        jw_object(&s->w);
        jw_key(&s->w, "data");
        jw_array(&s->w);
    }
    show_next(s);
}

static void show_next(struct show *s)
{
    if (s->next < s->count && s->request) {
        account_read(s->console->ledger.redis, s->names[s->next], on_shown, s);
        return;
    }
    if (!s->one) {
        jw_array_end(&s->w);
        jw_object_end(&s->w);
    }
    show_end(s, NULL);
}

static void on_shown(void *arg, bool found, const struct account_state *state,
                     const struct err *err)
{
    struct show *s = arg;
    struct err absent;

    if (!err && !found && s->one) {
        err_set(&absent, ERR_NOT_FOUND, "there is no account '%s'", s->names[s->next]);
        err = &absent;
    }
    if (err) {
        show_end(s, err);
        return;
    }
    if (found)
        write_account(&s->w, s->names[s->next], state);
    s->next++;
    show_next(s);
}

static void write_account(struct jw *w, const char *id, const struct account_state *state)
{
    char text[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "account", id);
    jw_bool_member(w, "opened", state->opened);
    jw_string_member(w, "currency", state->currency);
    jw_string_member(w, "mode", state->prepaid ? "prepaid" : "postpaid");
    jw_string_member(w, "balance", decimal_format(state->balance, text));
    jw_string_member(
        w, "held",
        decimal_format((int128)state->balance + state->credit_limit - state->room, text));
    jw_string_member(w, "available", decimal_format(state->room, text));
    jw_string_member(w, "credit_limit", decimal_format(state->credit_limit, text));
    jw_int_member(w, "concurrency", state->concurrency);
    jw_int_member(w, "rpm", state->rpm);
    jw_int_member(w, "tpm", state->tpm);
    jw_int_member(w, "open_calls", state->open);
    jw_object_end(w);
}

static void show_end(struct show *s, const struct err *err)
{
    struct err too_long;

    if (!err && !buf_ok(&s->json, "the list of accounts", &too_long))
        err = &too_long;
    if (s->request && err)
        reply_err(s->request, err);
    else if (s->request)
        reply_json(s->request, 200, buf_span(&s->json));
    for (size_t i = 0; i < s->count; i++)
        free(s->names[i]);
    free(s->names);
    buf_clear(&s->json);
    free(s);
}
