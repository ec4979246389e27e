/* account_admin.c - what a person may do to an account, checked in full before the record is written. */
#include "gateway/account_admin.h"

#include <stdlib.h>

#include "billing/model_budgets.h"
#include "gateway/account_terms.h"
#include "gateway/grants_view.h"
#include "gateway/operation.h"
#include "gateway/scan.h"
#include "gateway/turn.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (8 * 1024 * 1024)
#define RECORD_MAX 4096

/* An account that is being opened or given other limits, while it is looked what it is. */
struct change {
    struct turn *turn;
    json_t *body;               /* holds the texts of `terms` */
    struct account_terms terms; /* of one that is opened all; else the limits that the body names */
    char id[ID_TEXT];
    bool is_opening;
    bool is_repeated;
    struct buf record;
};

static bool read_model(const struct console *c, const json_t *body, struct account_terms *t,
                       struct err *err);
static void change_start(struct console *c, struct http_request *r, struct change *change);
static void on_turn(void *arg);
static void on_operation(void *arg, enum operation_seen seen, const struct err *err);
static void on_present(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static bool decide(struct change *c, const struct account_state *state, struct account_terms *out,
                   struct err *err);
static bool decide_opening(const struct change *c, const struct account_state *state,
                           struct err *err);
static void change_free(void *arg);
static bool read_terms(const json_t *body, struct account_terms *t, struct err *err);
static void write_account(struct jw *w, const char *id, const struct account_state *state);

void account_post(void *server, struct http_request *r, const struct route_match *match)
{
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct change change = {.terms = {.mode = "prepaid", .zone = ""}, .is_opening = true};
    struct err err;

    (void)match;
    if (!body)
        return;
    if (!read_terms(body, &change.terms, &err)) {
        reply_err(r, &err);
        return;
    }
    change.body = KEEP(body);
    change_start(server, r, &change);
}

void account_limit_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {
        "credit_limit", "concurrency", "rpm",   "tpm", "budget_day",
        "budget_month", "zone",        "model", "op",  NULL};
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct change change = {.terms = {.id = match->value[0], .mode = "postpaid", .zone = ""}};
    struct err err;

    if (!body)
        return;
    if (!json_only_members(body, members, "the limits", &err) ||
        !(json_object_size(body) > 1 ||
          err_set(&err, ERR_INPUT, "no limit was given to be changed")) ||
        !(id_is_valid(span_of(change.terms.id)) ||
          err_set(&err, ERR_NOT_FOUND, "there is no account '%.80s'", change.terms.id)) ||
        !read_model(server, body, &change.terms, &err) ||
        !account_limits_read(body, &change.terms, &err)) {
        reply_err(r, &err);
        return;
    }
    change.body = KEEP(body);
    change_start(server, r, &change);
}

/* Of one model there are budgets only. */
static bool read_model(const struct console *c, const json_t *body, struct account_terms *t,
                       struct err *err)
{
    static const char *const members[] = {"model", "budget_day", "budget_month", "op", NULL};
    const struct catalogue *catalogue = c->ledger.catalogue;

    if (!json_object_get(body, "model"))
        return true;
    if (!json_get_string(body, "model", &t->model, "the limits", err))
        return false;
    if (!json_only_members(body, members, "the limits for one model", err))
        return false;
    if (json_object_size(body) < 3)
        return err_set(err, ERR_INPUT,
                       "'model' goes with 'budget_day' or 'budget_month'; neither was given");
    return !catalogue || catalogue_model(catalogue, t->model) ||
           err_set(err, ERR_NOT_FOUND,
                   "there is no model '%.200s'; `tollgate model list` shows them", t->model);
}

/* Takes the body. */
static void change_start(struct console *c, struct http_request *r, struct change *change)
{
    static const struct turn_handlers handlers = {on_turn, change_free};
    const char *op = json_string_value(json_object_get(change->body, "op"));
    struct change *kept = xcalloc(1, sizeof *kept);

    *kept = *change;
    memcpy(kept->id, change->terms.id, strlen(change->terms.id) + 1); /* a valid one fits */
    kept->terms.id = kept->id;
    buf_init(&kept->record, RECORD_MAX);
    turn_new(c, r, &(struct turn_ask){"account", kept->id, op}, &handlers, kept, &kept->turn);
}

static void on_turn(void *arg)
{
    struct change *c = arg;
    struct console *console = turn_console(c->turn);
    struct account_stamp stamp = {console_revision(console), journal_now(console->ledger.journal),
                                  turn_op(c->turn)};

    if (c->is_opening)
        account_terms_write(&c->terms, &stamp, &c->record);
    else
        account_change_write(&c->terms, c->body, &stamp, &c->record);
    operation_look(console->ledger.redis,
                   &(struct operation_ask){RECORD_ACCOUNT, c->id,
                                           partition_of(SIDE_ACCOUNT, span_of(c->id)),
                                           buf_span(&c->record), false},
                   on_operation, c);
}

static void on_operation(void *arg, enum operation_seen seen, const struct err *err)
{
    struct change *c = arg;

    if (err) {
        turn_refuse(c->turn, err);
        return;
    }
    if (turn_request(c->turn) && seen == OPERATION_OTHER)
        operation_reply_other(turn_request(c->turn), turn_op(c->turn));
    if (!turn_request(c->turn) || seen == OPERATION_OTHER) {
        turn_end(c->turn);
        return;
    }
    c->is_repeated = seen == OPERATION_SAME;
    account_read(turn_console(c->turn)->ledger.redis, c->id, on_present, c);
}

static void on_present(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct change *c = arg;
    AUTO_CLEAR(buf) answer = {.max = RECORD_MAX};
    struct account_terms terms;
    struct err wrong;

    if (!err && !decide(c, found && state->opened ? state : NULL, &terms, &wrong))
        err = &wrong;
    if (err) {
        turn_refuse(c->turn, err);
        return;
    }
    if (c->terms.model)
        account_model_answer(&c->terms, c->body, turn_op(c->turn), c->is_repeated, &answer);
    else
        account_terms_answer(&terms, turn_op(c->turn), c->is_repeated, &answer);
    if (c->is_repeated || !turn_request(c->turn))
        turn_reply(c->turn, &answer);
    else
        turn_post(c->turn,
                  &(struct journal_change){RECORD_ACCOUNT, buf_span(&c->record),
                                           partition_of(SIDE_ACCOUNT, span_of(c->id))},
                  buf_span(&answer));
}

/* Gives the terms that the account has then; `state` is null when it is not open. What is not named stays as it is. */
static bool decide(struct change *c, const struct account_state *state, struct account_terms *out,
                   struct err *err)
{
    if (!state && !c->is_opening)
        return err_set(err, ERR_NOT_FOUND, "there is no account '%s'", c->id);
    if (!c->is_repeated && c->is_opening && state) {
        if (!decide_opening(c, state, err))
            return false;
        c->is_repeated = true;
    }
    *out = state ? account_terms_of(c->id, state) : c->terms;
    return c->is_repeated || account_limits_read(c->body, out, err);
}

/* Opening an account again with the terms it has is a repetition; with others it would change them behind somebody's back. */
static bool decide_opening(const struct change *c, const struct account_state *state,
                           struct err *err)
{
    struct account_terms present = account_terms_of(c->id, state);

    return account_terms_equal(&present, &c->terms) ||
           err_set(err, ERR_EXISTS,
                   "account '%s' is open already, with other terms; 'tollgate account show %s' "
                   "prints them",
                   c->id, c->id);
}

static void change_free(void *arg)
{
    struct change *c = arg;

    json_decref(c->body);
    buf_clear(&c->record);
    free(c);
}

static bool read_terms(const json_t *body, struct account_terms *t, struct err *err)
{
    static const char *const members[] = {"id",           "currency", "mode", "credit_limit",
                                          "concurrency",  "rpm",      "tpm",  "budget_day",
                                          "budget_month", "zone",     "op",   NULL};

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
static void on_model_budgets(void *arg, const struct model_budget *list, size_t count,
                             const struct err *err);
static void show_end(struct show *s, const struct err *err);

void accounts_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;

    (void)match;
    scan_names(c->ledger.redis, "account", on_names, show_new(c, r, false));
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
    if (!found) {
        s->next++;
        show_next(s);
        return;
    }
    jw_object(&s->w);
    write_account(&s->w, s->names[s->next], state);
    model_budgets_read(s->console->ledger.redis, s->names[s->next], on_model_budgets, s);
}

static void on_model_budgets(void *arg, const struct model_budget *list, size_t count,
                             const struct err *err)
{
    struct show *s = arg;

    if (err) {
        show_end(s, err);
        return;
    }
    jw_key(&s->w, "models");
    jw_array(&s->w);
    for (size_t i = 0; i < count; i++) {
        jw_object(&s->w);
        jw_string_member(&s->w, "model", list[i].model);
        budgets_write(&s->w, list[i].day, list[i].month, NULL);
        jw_object_end(&s->w);
    }
    jw_array_end(&s->w);
    jw_object_end(&s->w);
    s->next++;
    show_next(s);
}

static void write_account(struct jw *w, const char *id, const struct account_state *state)
{
    char text[DECIMAL_TEXT];

    jw_string_member(w, "account", id);
    jw_bool_member(w, "opened", state->opened);
    jw_string_member(w, "currency", state->currency);
    jw_string_member(w, "mode", state->prepaid ? "prepaid" : "postpaid");
    jw_string_member(w, "balance", decimal_format(state->balance, text));
    grants_write(w, state);
    jw_string_member(
        w, "held",
        decimal_format((int128)state->balance + state->credit_limit - state->room, text));
    jw_string_member(w, "available", decimal_format(state->room, text));
    jw_string_member(w, "credit_limit", decimal_format(state->credit_limit, text));
    jw_int_member(w, "concurrency", state->concurrency);
    jw_int_member(w, "rpm", state->rpm);
    jw_int_member(w, "tpm", state->tpm);
    budgets_write(w, state->budget_day, state->budget_month, NULL);
    zone_write(w, state->zone);
    jw_int_member(w, "open_calls", state->open);
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
