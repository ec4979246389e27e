/* script_model_render_account.c - accounts and keys as the model has them, line by line. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/billing/script_model_page.h"
#include "tests/billing/script_model_terms.h"

static void account_text(const struct page *p, unsigned account, const char *field,
                         const char *value)
{
    char id[16];

    snprintf(id, sizeof id, ACCOUNT_FMT, account);
    page_key(p, "account", id);
    buf_printf(p->out, "%s = %s\n", field, value);
}

static void account_number(const struct page *p, unsigned account, const char *field, int128 n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, (int64_t)n);
    account_text(p, account, field, text);
}

static void terms_of(const struct page *p, enum record_kind kind, const char *what,
                     unsigned subject)
{
    char id[16], key[PARTITION_KEY + 1];
    struct span text;

    snprintf(id, sizeof id, kind == RECORD_KEY ? KEY_FMT : ACCOUNT_FMT, subject);
    text = partition_key(p->m->partition, what, id, key);
    key[text.len] = ' ';
    key[text.len + 1] = '\0';
    terms_lines(p->m, kind, subject, key, p->out);
}

/* `room` of an account that is not opened is there when something is held, and else it may be there as 0. */
void account_lines(const struct page *p, unsigned account)
{
    int128 room = model_room(p->m, account);
    struct fact is;
    bool is_open = model_account(p->m, account, &is);

    terms_of(p, RECORD_ACCOUNT, "terms:account", account);
    if (is_open || room)
        account_number(p, account, "room", room);
    if (!is_open)
        return;
    account_text(p, account, "opened", "1");
    account_text(p, account, "currency", currency_texts[is.currency]);
    account_text(p, account, "mode", is.is_postpaid ? "postpaid" : "prepaid");
    account_number(p, account, "credit_limit", is.limit);
    account_number(p, account, "concurrency", is.concurrency);
    account_number(p, account, "rpm", is.rpm);
    account_number(p, account, "budget_day", is.budget_day);
    account_number(p, account, "budget_month", is.budget_month);
    account_number(p, account, "tpm", is.tpm);
    account_text(p, account, "zone", zone_texts[is.zone]);
    for (unsigned i = 0; i < MODELS; i++) {
        char day[64], month[64];
        if (!is.model_budgets[i].is_there)
            continue;
        snprintf(day, sizeof day, "budget_day:" MODEL_FMT, i);
        snprintf(month, sizeof month, "budget_month:" MODEL_FMT, i);
        account_number(p, account, day, is.model_budgets[i].day);
        account_number(p, account, month, is.model_budgets[i].month);
    }
    account_number(p, account, "balance", model_balance(p->m, account, is.currency));
}

/* Currencies that are not the account's, or that came before it was opened. */
void foreign_lines(const struct page *p, unsigned account)
{
    struct fact is;
    bool is_open = model_account(p->m, account, &is);
    char field[24];

    for (unsigned c = 0; c < CURRENCIES; c++) {
        int128 sum = model_balance(p->m, account, c);
        if (!sum || (is_open && is.currency == c))
            continue;
        snprintf(field, sizeof field, "foreign:%s", currency_texts[c]);
        account_number(p, account, field, sum);
        if (!is_open)
            continue;
        page_key(p, "suspense", NULL);
        buf_printf(p->out,
                   "currency " ACCOUNT_FMT " %s = account-has-another-currency %" PRId64 "\n",
                   account, currency_texts[c], (int64_t)sum);
    }
}

void debit_lines(const struct page *p, unsigned account)
{
    for (unsigned cell = 0; cell < PERIODS * CURRENCIES; cell++) {
        unsigned period = cell / CURRENCIES, currency = cell % CURRENCIES, calls = 0;
        int64_t sum = 0;
        for (size_t i = 0; i < p->m->booked_count; i++) {
            const struct fact *f = p->m->booked[i].fact;
            if (f->kind != RECORD_CALL || p->m->booked[i].reason || f->subject != account ||
                f->period != period || f->currency != currency)
                continue;
            sum += f->amount;
            calls++;
        }
        if (!calls)
            continue;
        page_key(p, "debits", period_texts[period]);
        buf_printf(p->out, ACCOUNT_FMT " %s = %" PRId64 "\n", account, currency_texts[currency],
                   sum);
        page_key(p, "debits", period_texts[period]);
        buf_printf(p->out, ACCOUNT_FMT " %s calls = %u\n", account, currency_texts[currency],
                   calls);
    }
}

static void key_text(const struct page *p, unsigned key, const char *field, const char *value)
{
    char id[16];

    snprintf(id, sizeof id, KEY_FMT, key);
    page_key(p, "key", id);
    buf_printf(p->out, "%s = %s\n", field, value);
}

static void key_number(const struct page *p, unsigned key, const char *field, int64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, n);
    key_text(p, key, field, text);
}

static void rotation_lines(const struct page *p, unsigned key, const struct fact *is)
{
    char text[16];

    if (is->sets & SETS_ROTATION) {
        snprintf(text, sizeof text, KEY_FMT, first_key_of(key));
        key_text(p, key, "first_key", text);
        key_text(p, key, "replaces", text);
        key_number(p, key, "grace", is->grace);
    }
    if (is->sets & SETS_REPLACED) {
        snprintf(text, sizeof text, KEY_FMT, is->replaced_by);
        key_text(p, key, "replaced_by", text);
    }
}

void key_lines(const struct page *p, unsigned key)
{
    struct fact is;
    char text[64];

    snprintf(text, sizeof text, KEY_FMT, key);
    if (key < FIRST_KEYS)
        rate_lines(p, "rate:key", text, &p->m->rates[OF_KEY][key]);
    terms_of(p, RECORD_KEY, "terms:key", key);
    if (!model_key(p->m, key, &is))
        return;
    key_number(p, key, "rpm", is.rpm);
    key_number(p, key, "budget_day", is.budget_day);
    key_number(p, key, "budget_month", is.budget_month);
    key_number(p, key, "tpm", is.tpm);
    key_number(p, key, "expires_at", is.expires_at);
    key_text(p, key, "owner_kind", is.is_of_creator ? "creator" : "account");
    snprintf(text, sizeof text, ACCOUNT_FMT, is.owner);
    key_text(p, key, "owner", text);
    snprintf(text, sizeof text, "hash-%u-%" PRIu64, is.hash_writer, is.hash_n);
    key_text(p, key, "hash", text);
    snprintf(text, sizeof text, "pepper%u", is.hash_writer);
    key_text(p, key, "pepper", text);
    key_text(p, key, "access", access_text(is.has_scopes, is.has_models));
    rotation_lines(p, key, &is);
    key_text(p, key, "state", is.is_revoked ? "revoked" : "active");
}
