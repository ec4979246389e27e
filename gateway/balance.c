/* balance.c - the account, then the key, the budgets for single models, and then what was spent of each budget. */
#include "gateway/balance.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "billing/model_budgets.h"
#include "billing/spending_read.h"
#include "gateway/grants_view.h"
#include "gateway/service.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define JSON_MAX (1024 * 1024)

/* While it is being read; `request` is null once the client is gone. */
struct balance {
    const struct ledger *ledger;
    struct http_request *request;
    struct key_holder holder; /* its access is not held, nor used */
    struct account_state account;
    struct key_state key;
    int64_t at;              /* in whose day and month budgets are looked at … */
    const struct zone *zone; /* … of the account; null: of the platform */
    struct spender *spenders;
    int64_t (*limits)[WINDOWS]; /* of each spender; 0: none */
    size_t spender_count;
};

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err);
static void on_models(void *arg, const struct model_budget *list, size_t count,
                      const struct err *err);
static void take_budgets(struct balance *b, const struct model_budget *list, size_t count);
static void add_spender(struct balance *b, enum spender_kind kind, const char *name, int64_t day,
                        int64_t month);
static void on_spending(void *arg, const struct spending *spending, const struct err *err);
static void write_balance(const struct balance *b, const struct spending *spending, struct jw *w);
static void write_account(const struct balance *b, struct jw *w);
static void write_key(const struct balance *b, struct jw *w);
static void write_count(struct jw *w, const char *name, int64_t limit);
static void write_budgets(const struct balance *b, const struct spending *spending, struct jw *w);
static void write_budget(const struct balance *b, size_t spender, enum window window,
                         const struct spending_sum *sum, struct jw *w);
static void write_amount(struct jw *w, const char *name, int128 nanos);
static void balance_end(struct balance *b, const struct err *err);

void balance_answer(const struct ledger *ledger, struct http_request *r)
{
    struct balance *b = xcalloc(1, sizeof *b);

    b->ledger = ledger;
    b->holder = request_caller(r)->holder;
    b->at = clock_now();
    request_keep(r, &b->request);
    account_read(ledger->redis, b->holder.owner, on_account, b);
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct balance *b = arg;
    struct err wrong;

    if (!err && !found) {
        err_set(&wrong, ERR_NOT_FOUND, "This key's account is not open");
        err = &wrong;
    }
    if (!err && !zones_find(b->ledger->zones, state->zone, &b->zone, &wrong))
        err = &wrong;
    if (err || !b->request) {
        balance_end(b, err);
        return;
    }
    b->account = *state;
    key_read(b->ledger->redis, b->holder.public_id, on_key, b);
}

static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct balance *b = arg;
    struct err absent;

    if (!err && !found) {
        err_set(&absent, ERR_NOT_FOUND, "This key is gone");
        err = &absent;
    }
    if (err || !b->request) {
        balance_end(b, err);
        return;
    }
    b->key = *state;
    b->key.access = SPAN(""); /* the text ends with this call */
    model_budgets_read(b->ledger->redis, b->holder.owner, on_models, b);
}

static void on_models(void *arg, const struct model_budget *list, size_t count,
                      const struct err *err)
{
    struct balance *b = arg;
    char day[DAY_TEXT];

    if (err || !b->request) {
        balance_end(b, err);
        return;
    }
    take_budgets(b, list, count);
    spending_read(b->ledger->redis,
                  &(struct spending_ask){b->holder.owner, b->account.currency,
                                         day_in(b->zone, b->at, day), b->spenders,
                                         b->spender_count},
                  on_spending, b);
}

static void take_budgets(struct balance *b, const struct model_budget *list, size_t count)
{
    b->spenders = xcalloc(2 + count, sizeof *b->spenders);
    b->limits = xcalloc(2 + count, sizeof *b->limits);
    add_spender(b, SPENDER_ACCOUNT, "", b->account.budget_day, b->account.budget_month);
    add_spender(b, SPENDER_KEY, b->key.first_key, b->key.budget_day, b->key.budget_month);
    for (size_t i = 0; i < count; i++)
        add_spender(b, SPENDER_MODEL, list[i].model, list[i].day, list[i].month);
}

static void add_spender(struct balance *b, enum spender_kind kind, const char *name, int64_t day,
                        int64_t month)
{
    size_t i = b->spender_count++;

    b->spenders[i].kind = kind;
    snprintf(b->spenders[i].name, sizeof b->spenders[i].name, "%s", name);
    b->limits[i][WINDOW_DAY] = day;
    b->limits[i][WINDOW_MONTH] = month;
}

static void on_spending(void *arg, const struct spending *spending, const struct err *err)
{
    struct balance *b = arg;
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};
    struct jw w;

    if (!err && b->request) {
        jw_init(&w, &json);
        write_balance(b, spending, &w);
        reply_built(b->request, &json);
    }
    balance_end(b, err);
}

static void write_balance(const struct balance *b, const struct spending *spending, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "object", "balance");
    write_account(b, w);
    write_key(b, w);
    write_budgets(b, spending, w);
    jw_object_end(w);
}

static void write_account(const struct balance *b, struct jw *w)
{
    const struct account_state *a = &b->account;

    jw_string_member(w, "account", b->holder.owner);
    jw_string_member(w, "currency", a->currency);
    jw_string_member(w, "mode", a->prepaid ? "prepaid" : "postpaid");
    write_amount(w, "balance", a->balance);
    grants_write_next(w, a);
    write_amount(w, "held", (int128)a->balance + a->credit_limit - a->room);
    write_amount(w, "available", a->room);
    write_amount(w, "credit_limit", a->credit_limit);
    jw_int_member(w, "open_calls", a->open);
    jw_string_member(w, "zone", a->zone[0] ? a->zone : b->ledger->options->zone);
    jw_key(w, "limits");
    jw_object(w);
    write_count(w, "concurrency", a->concurrency);
    write_count(w, "rpm", a->rpm);
    write_count(w, "tpm", a->tpm);
    jw_object_end(w);
}

static void write_key(const struct balance *b, struct jw *w)
{
    char ends[CLOCK_TEXT];

    jw_key(w, "key");
    jw_object(w);
    jw_string_member(w, "public_id", b->holder.public_id);
    write_count(w, "rpm", b->key.rpm);
    write_count(w, "tpm", b->key.tpm);
    jw_key(w, "expires_at");
    b->key.expires_at ? jw_string(w, clock_format(b->key.expires_at, ends)) : jw_null(w);
    jw_key(w, "replaced_by");
    b->key.replaced_by[0] ? jw_string(w, b->key.replaced_by) : jw_null(w);
    jw_object_end(w);
}

static void write_count(struct jw *w, const char *name, int64_t limit)
{
    jw_key(w, name);
    limit ? jw_int(w, limit) : jw_null(w);
}

static void write_budgets(const struct balance *b, const struct spending *spending, struct jw *w)
{
    jw_key(w, "budgets");
    jw_array(w);
    for (size_t i = 0; i < b->spender_count; i++)
        for (int window = 0; window < WINDOWS; window++)
            if (b->limits[i][window])
                write_budget(b, i, (enum window)window, &spending[i].of[window], w);
    jw_array_end(w);
}

static void write_budget(const struct balance *b, size_t spender, enum window window,
                         const struct spending_sum *sum, struct jw *w)
{
    static const char *const of[] = {
        [SPENDER_ACCOUNT] = "account", [SPENDER_KEY] = "key", [SPENDER_MODEL] = "model"};
    const struct spender *whose = &b->spenders[spender];
    int64_t limit = b->limits[spender][window];
    int128 left = (int128)limit - sum->spent - sum->held;

    jw_object(w);
    jw_string_member(w, "of", of[whose->kind]);
    if (whose->kind == SPENDER_MODEL)
        jw_string_member(w, "model", whose->name);
    jw_string_member(w, "window", window == WINDOW_DAY ? "day" : "month");
    write_amount(w, "limit", limit);
    write_amount(w, "spent", sum->spent);
    write_amount(w, "held", sum->held);
    write_amount(w, "left", left > 0 ? left : 0);
    jw_time_member(w, "ends_at", window_end(b->zone, b->at, window));
    jw_object_end(w);
}

static void write_amount(struct jw *w, const char *name, int128 nanos)
{
    char text[DECIMAL_TEXT];

    jw_string_member(w, name, decimal_format(nanos, text));
}

static void balance_end(struct balance *b, const struct err *err)
{
    if (b->request && err)
        reply_err(b->request, err);
    free(b->spenders);
    free(b->limits);
    free(b);
}
