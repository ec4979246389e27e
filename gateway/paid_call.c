/* paid_call.c - the life of one paid call. Whatever happens — an answer, a hang-up, a lost backend, a deadline — the call
 * ends once, by one of the ways in paid_call_end.h. */
#include "gateway/paid_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/key_gate.h"
#include "gateway/paid_call_backend.h"
#include "gateway/paid_call_end.h"
#include "gateway/repetition.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define NOTE_MS          1000
#define CUT_POLL_MS      20
#define KEY_READINGS_MAX 3 /* a key that changes faster than it is read */

static bool read_body(struct paid_call *c, enum surface surface);
static bool read_idempotency_key(struct paid_call *c, const struct caller *caller);
static bool choose_model(struct paid_call *c, const struct caller *caller);
static bool serves(struct paid_call *c);
static bool reserve(struct paid_call *c);
static void admit(struct paid_call *c);
static void on_admitted(void *arg, const struct admission_answer *answer, const struct err *err);
static void read_key_again(struct paid_call *c);
static void on_key_again(void *arg, enum key_verdict verdict, const struct key_holder *holder);
static void on_client_gone(void *arg);
static void refuse(struct paid_call *c, enum problem p, const char *param, const char *text);

struct paid_calls *paid_calls_new(struct server *server)
{
    struct paid_calls *all = xcalloc(1, sizeof *all);

    all->server = server;
    all->scanner = call_request_scanner();
    return all;
}

void paid_calls_free(struct paid_calls *all)
{
    if (!all)
        return;
    assert(!all->first);
    jscan_free(all->scanner);
    free(all);
}

size_t paid_calls_open(const struct paid_calls *all)
{
    return all->open;
}

void paid_call_start(struct paid_calls *all, struct http_request *r, const struct caller *caller,
                     enum surface surface)
{
    struct paid_call *c = paid_call_new(all, r, caller);
    struct gate_refusal why;

    if (!read_body(c, surface) || !read_idempotency_key(c, caller) || !choose_model(c, caller) ||
        !reserve(c)) {
        paid_call_free(c);
        return;
    }
    http_request_set_data(c->request, c);
    http_request_watch(c->request, on_client_gone, NULL);
    c->state = CALL_ADMITTING;
    if (gate_lets_call(&c->holder, c->model->id, &why))
        admit(c);
    else
        read_key_again(c);
}

static bool read_body(struct paid_call *c, enum surface surface)
{
    struct err err;
    const char *param;

    if (call_request_read(c->all->scanner, surface, buf_span(&c->body), &c->wants, &param, &err))
        return true;
    refuse(c, param ? CALLER_BAD_REQUEST : CALLER_BAD_JSON, param, err.text);
    return false;
}

static bool read_idempotency_key(struct paid_call *c, const struct caller *caller)
{
    struct span key;
    struct err err;

    if (!idempotency_key_read(http_request_head(c->request), &key, &err)) {
        refuse(c, CALLER_BAD_REQUEST, NULL, err.text);
        return false;
    }
    if (key.data) {
        struct asked asked = {http_request_path(c->request), buf_span(&c->body)};

        c->idempotent = xcalloc(1, sizeof *c->idempotent);
        idempotents_derive(&c->all->server->installation->peppers, caller->holder.owner, key,
                           &asked, c->idempotent);
    }
    return true;
}

static bool choose_model(struct paid_call *c, const struct caller *caller)
{
    struct server *server = c->all->server;
    struct meter_subject subject = {caller->request_id, caller->holder.owner,
                                    caller->holder.public_id, NULL};
    char text[ERR_TEXT_MAX];
    struct err err;

    c->catalogue = catalogue_hold(server->ledger.catalogue);
    subject.model = c->model = catalogue_model(c->catalogue, c->wants.model);
    if (!c->model) {
        snprintf(text, sizeof text,
                 "The model '%s' does not exist; GET /v1/models lists what this key may call",
                 c->wants.model);
        refuse(c, CALLER_UNKNOWN_MODEL, "model", text);
        return false;
    }
    if (!serves(c))
        return false;
    if (!meter_begin(c->catalogue, &subject, journal_now(server->ledger.journal), &c->event,
                     &c->price, &err)) {
        refuse(c, CALLER_UNKNOWN_MODEL, "model", err.text);
        return false;
    }
    if (c->idempotent)
        c->event.idempotency = c->idempotent->by[0].digests;
    if (strcmp(c->holder.first_key, c->holder.public_id) != 0)
        memcpy(c->event.first_key, c->holder.first_key, sizeof c->event.first_key);
    return true;
}

/* A model that is called in a way that it does not serve. */
static bool serves(struct paid_call *c)
{
    char text[ERR_TEXT_MAX];

    if (model_serves(c->model, c->wants.surface))
        return true;
    snprintf(text, sizeof text,
             "The model '%s' is not served at %s; GET /v1/models lists the surfaces of each",
             c->wants.model, surface_row(c->wants.surface)->path);
    refuse(c, CALLER_WRONG_SURFACE, "model", text);
    return false;
}

static bool reserve(struct paid_call *c)
{
    struct err err;

    if (journal_reserve(c->all->server->ledger.journal, &err))
        return true;
    log_warn("journal_full", "a call was refused: %s", err.text);
    refuse(c, GATEWAY_JOURNAL_FULL, NULL, problem_row(GATEWAY_JOURNAL_FULL)->message);
    return false;
}

static void admit(struct paid_call *c)
{
    struct admission_request request = {.request_id = c->event.request_id,
                                        .account = c->event.account,
                                        .key = c->event.key,
                                        .first_key = c->holder.first_key,
                                        .key_access = key_access_json(c->holder.access),
                                        .started_at = c->event.started_at,
                                        .zone = c->holder.zone,
                                        .currency = c->event.amount.currency,
                                        .model = c->event.model,
                                        .tokens =
                                            (int64_t)c->body.len + c->wants.n * call_output_cap(c)};
    struct claim claim;
    struct err err;

    if (c->idempotent) {
        claim_of(&c->event, &claim);
        request.claim = &claim;
        idempotents_other_names(c->idempotent, &request.also);
    }
    if (!meter_worst_case(c->price, (int64_t)c->body.len, call_output_cap(c), c->wants.n,
                          &request.amount_nanos, &err)) {
        journal_unreserve(c->all->server->ledger.journal);
        refuse(c, CALLER_BAD_REQUEST, NULL, err.text);
        paid_call_free(c);
        return;
    }
    c->hold = admission_admit(c->all->server->admission, &request, on_admitted, c);
}

/* Before BEGIN: the request is answered and nothing is recorded. */
static void refuse(struct paid_call *c, enum problem p, const char *param, const char *text)
{
    struct problem_details details = {.request_id = c->event.request_id, .param = param};

    http_request_watch(c->request, NULL, NULL);
    problem_reply(c->request, p, &details, "%s", text);
}

static void on_deadline(void *arg);

static void turn_away(struct paid_call *c, const struct admission_answer *answer);
static void on_begun(void *arg);
static void note_day(struct paid_call *c);

/* When Redis is away every call fails alike: one line a second says it, with how many it stands for. */
static void note_unadmitted(struct paid_calls *all, const struct err *err)
{
    int64_t now = clock_monotonic_ms();

    all->unnoted++;
    if (now - all->noted_ms < NOTE_MS)
        return;
    log_warn("admit_failed", "%s (%" PRIu64 " calls refused since the last such line)", err->text,
             all->unnoted);
    all->noted_ms = now;
    all->unnoted = 0;
}

static void on_admitted(void *arg, const struct admission_answer *answer, const struct err *err)
{
    struct paid_call *c = arg;

    note_day(c);
    if (answer->verdict == VERDICT_KEY_CHANGED && c->key_readings < KEY_READINGS_MAX) {
        read_key_again(c);
        return;
    }
    c->log->admitted = clock_monotonic();
    if (answer->verdict != VERDICT_ADMITTED) {
        if (err && err->code)
            note_unadmitted(c->all, err);
        turn_away(c, answer);
        return;
    }
    memcpy(c->rates, answer->rates, sizeof c->rates);
    c->state = CALL_BEGINNING;
    journal_begin(c->all->server->ledger.journal, &c->event, on_begun, c);
}

/* BEGIN is written: should this process die from here on, whoever takes up its journal ends the call. Before, no backend hears of it. */
static void on_begun(void *arg)
{
    struct paid_call *c = arg;
    const struct server *server = c->all->server;
    struct backend_result none = {.outcome = BACKEND_BROKEN};

    c->state = CALL_WAITING;
    c->deadline = timer_new(server->loop, on_deadline, c);
    if (!c->request) {
        call_cut_now(c, &(struct usage){0}, OUTCOME_CLIENT_CLOSED);
        return;
    }
    timer_start(c->deadline, server->options->total_timeout);
    if (!call_send(c, &none))
        call_fail(c, &none);
}

/* The record has the day that the hold counts on, whatever the account's zone is later. */
static void note_day(struct paid_call *c)
{
    const char *zone = hold_zone(c->hold), *day = hold_began_on(c->hold);

    if (strcmp(zone, c->holder.zone) != 0)
        keyring_note_zone(c->all->server->ledger.keyring, c->holder.public_id, zone);
    memcpy(c->holder.zone, zone, strlen(zone) + 1);
    memcpy(c->event.began_on, day, strlen(day) + 1);
}

/* What the key opens may have changed since it was read: it was admitted no more, or is about to be refused. All that is
 * asked anew. */
static void read_key_again(struct paid_call *c)
{
    if (c->hold)
        hold_abandon(c->hold);
    c->hold = NULL;
    c->key_readings++;
    c->check = keyring_check_again(c->all->server->ledger.keyring, &c->holder, on_key_again, c);
}

static void on_key_again(void *arg, enum key_verdict verdict, const struct key_holder *holder)
{
    struct paid_call *c = arg;
    struct gate_refusal why = {.problem = GATEWAY_UNAVAILABLE};

    c->check = NULL;
    if (verdict == KEY_GOOD) {
        key_access_free(c->holder.access);
        c->holder = *holder;
        key_access_hold(c->holder.access);
        if (gate_lets_in(&c->holder, SCOPE_CALL, c->request, &why) &&
            gate_lets_call(&c->holder, c->model->id, &why)) {
            admit(c);
            return;
        }
    } else {
        why.problem = gate_problem_of_verdict(verdict);
        snprintf(why.text, sizeof why.text, "%s", problem_row(why.problem)->message);
    }
    journal_unreserve(c->all->server->ledger.journal);
    refuse(c, why.problem, why.problem == POLICY_KEY_MODEL ? "model" : NULL, why.text);
    paid_call_free(c);
}

/* Nothing was begun: the request is told why, or, when its idempotency key was answered before, what came of that. */
static void turn_away(struct paid_call *c, const struct admission_answer *answer)
{
    struct refused_call refused = {.most = {.nanos = hold_amount(c->hold)},
                                   .surface = c->wants.surface,
                                   .request_id = c->event.request_id};

    memcpy(refused.most.currency, c->event.amount.currency, sizeof refused.most.currency);
    if (!meter_worst_case(c->price, (int64_t)c->body.len, call_output_cap(c) ? 1 : 0, c->wants.n,
                          &refused.least_nanos, NULL))
        refused.least_nanos = refused.most.nanos;
    hold_abandon(c->hold);
    journal_unreserve(c->all->server->ledger.journal);
    http_request_watch(c->request, NULL, NULL);
    if (answer->verdict == VERDICT_ANSWERED && c->idempotent &&
        answer->earlier_name < c->idempotent->count)
        repetition_answer(c->all->server, c->request,
                          &(struct repeated){.account = c->event.account,
                                             .request_id = answer->earlier,
                                             .stream = c->wants.stream,
                                             .by = &c->idempotent->by[answer->earlier_name]});
    else
        refusal_reply(c->request, answer, &refused);
    paid_call_free(c);
}

static void on_deadline(void *arg)
{
    struct paid_call *c = arg;

    if (c->backend)
        call_stop_backend(c, STOP_TIMEOUT);
    else if (c->is_confirming)
        call_confirm(c);
    else if (call_is_still_taking(c))
        timer_start(c->deadline, CUT_POLL_MS);
    else
        call_cut_now(c, &c->usage, c->cut_outcome);
}

/* A stream's client that hung up gets what its socket took counted now, since the request is dead afterwards. */
static void on_client_gone(void *arg)
{
    struct paid_call *c = arg;

    if (c->state == CALL_ANSWERING && c->wants.stream)
        meter_handed(&c->marks, http_reply_taken(c->request));
    c->request = NULL;
    if (c->state == CALL_ADMITTING) {
        if (c->check)
            key_check_cancel(c->check);
        if (c->hold)
            hold_abandon(c->hold);
        journal_unreserve(c->all->server->ledger.journal);
        paid_call_free(c);
    } else if (c->backend && !c->model->drain_on_disconnect) {
        call_stop_backend(c, STOP_CLIENT_GONE);
    } else if (c->backend) {
        backend_resume(c->backend);
    }
}

void paid_calls_cut(struct paid_calls *all)
{
    for (struct paid_call *c = all->first; c; c = c->next)
        if (c->backend)
            call_stop_backend(c, STOP_DRAIN);
}

void paid_calls_progress(struct paid_calls *all)
{
    for (struct paid_call *c = all->first; c; c = c->next) {
        int64_t before = c->event.amount.nanos;

        if (c->state != CALL_ANSWERING || !c->wants.stream || !c->request || !c->backend)
            continue;
        if (meter_cut(&c->event, c->price, backend_usage(c->backend), (int64_t)c->body.len,
                      call_handed(c), NULL) &&
            c->event.amount.nanos != before)
            journal_progress(all->server->ledger.journal, &c->event);
    }
}
