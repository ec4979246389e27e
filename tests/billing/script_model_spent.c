/* script_model_spent.c - a table of names and sums; which names a call counts under is said here once more. */
#include "tests/billing/script_model_spent.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define NAMES_OF_A_CALL 7
#define NAME_TEXT       128

struct sum {
    char name[NAME_TEXT];
    int64_t n;
};

struct sums {
    struct sum *sum;
    size_t count;
};

PRINTF_LIKE(3, 4)
static void add(struct sums *s, int64_t n, const char *format, ...)
{
    char name[NAME_TEXT];
    size_t i = 0;
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    while (i < s->count && strcmp(s->sum[i].name, name) != 0)
        i++;
    if (i == s->count)
        memcpy(s->sum[s->count++].name, name, sizeof name);
    s->sum[i].n += n;
}

static void add_call(struct sums *s, const struct model *m, const struct fact *f)
{
    char partition[PARTITION_NAME], hash[NAME_TEXT / 2], month[PERIOD_TEXT], day[DAY_TEXT];
    const char *const windows[] = {day, month};

    zone_day(f->zone, f->started_ms, day);
    snprintf(month, sizeof month, "%.7s", day);
    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        snprintf(hash, sizeof hash, "tg:{%s}:spent:" ACCOUNT_FMT ":%s:%s",
                 partition_name(m->partition, partition), f->subject, windows[i],
                 currency_texts[f->currency]);
        add(s, f->amount, "%s account", hash);
        add(s, f->amount, "%s key:" KEY_FMT, hash, first_key_of(f->key));
        add(s, f->amount, "%s model:" MODEL_FMT, hash, f->model);
        if (windows[i] == day)
            add(s, 1, "%s calls:" MODEL_FMT, hash, f->model);
    }
}

void model_render_spent(const struct model *m, struct buf *out)
{
    struct sums s = {xcalloc(RECORDS_MAX * NAMES_OF_A_CALL, sizeof *s.sum), 0};

    for (size_t i = 0; i < m->booked_count; i++)
        if (m->booked[i].fact->kind == RECORD_CALL && !m->booked[i].reason)
            add_call(&s, m, m->booked[i].fact);
    for (size_t i = 0; i < s.count; i++)
        buf_printf(out, "%s = %" PRId64 "\n", s.sum[i].name, s.sum[i].n);
    free(s.sum);
}

/* ---- budgets ---- */

static bool is_in_window(const char *day, const char *other, bool is_of_month)
{
    return strncmp(day, other, is_of_month ? strlen("2026-11") : strlen("2026-11-22")) == 0;
}

enum budget_of { ACCOUNTS_OWN, KEYS_OWN, OF_THE_MODEL };

static bool is_of(enum budget_of of, const struct admit_ask *ask, unsigned key, unsigned model)
{
    return of == ACCOUNTS_OWN || (of == KEYS_OWN && first_key_of(key) == first_key_of(ask->key)) ||
           (of == OF_THE_MODEL && model == model_of(ask->request));
}

/* Booked and held by then, of the account, with the key alone or of the model alone. */
static int128 used_in(const struct model *m, const struct admit_ask *ask, enum budget_of of,
                      bool is_of_month)
{
    int128 used = 0;

    for (size_t i = 0; i < m->booked_count; i++) {
        const struct fact *f = m->booked[i].fact;
        char day[DAY_TEXT];
        if (f->kind == RECORD_CALL && !m->booked[i].reason && f->subject == ask->account &&
            f->currency == ask->currency && is_of(of, ask, f->key, f->model) &&
            is_in_window(zone_day(f->zone, f->started_ms, day), ask->day, is_of_month))
            used += f->amount;
    }
    for (unsigned r = ask->account; r < REQUESTS; r += ACCOUNTS) {
        const struct model_hold *h = &m->holds[r];
        if (h->is_there && is_of(of, ask, h->key, model_of(r)) &&
            is_in_window(h->day, ask->day, is_of_month))
            used += h->amount;
    }
    return used;
}

bool budget_over(const struct model *m, const struct admit_ask *ask, struct buf *out)
{
    static const char *const names[] = {"account", "key", "model"};
    unsigned model = model_of(ask->request);
    struct fact account, key;

    if (!model_account(m, ask->account, &account) || !model_key(m, ask->key, &key))
        return false;
    const struct {
        int64_t limit;
        enum budget_of of;
        bool is_of_month;
    } budgets[] = {{account.budget_month, ACCOUNTS_OWN, true},
                   {key.budget_month, KEYS_OWN, true},
                   {account.model_budgets[model].month, OF_THE_MODEL, true},
                   {account.budget_day, ACCOUNTS_OWN, false},
                   {key.budget_day, KEYS_OWN, false},
                   {account.model_budgets[model].day, OF_THE_MODEL, false}};
    for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
        int128 used = used_in(m, ask, budgets[i].of, budgets[i].is_of_month);
        if (!budgets[i].limit || used + ask->amount <= budgets[i].limit)
            continue;
        if (out)
            buf_printf(out, " %s %s %" PRId64 " %" PRId64, names[budgets[i].of],
                       budgets[i].is_of_month ? "month" : "day", budgets[i].limit,
                       used < budgets[i].limit ? (int64_t)(budgets[i].limit - used) : 0);
        return true;
    }
    return false;
}
