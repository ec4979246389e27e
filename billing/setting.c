/* setting.c - the members that accounts and keys have, each a row: what is added here is applied, kept and shown to
 * admit under its name. Budgets of an account for one model stand under "budget_day:<model>". */
#include "billing/setting.h"

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/base/zone.h"

/* How a member is spelled in a record, and what becomes of it. */
enum shape { WORD, ID, AMOUNT, COUNT, TIME, JSON, PLACE };

struct row {
    const char *name;
    enum path path;
    enum shape shape;
    const char *words[3]; /* of a WORD */
};

static const struct row account_rows[] = {
    {"currency", P_CURRENCY, ID, {NULL}},
    {"mode", P_MODE, WORD, {"prepaid", "postpaid", NULL}},
    {"credit_limit", P_CREDIT_LIMIT, AMOUNT, {NULL}},
    {"concurrency", P_CONCURRENCY, COUNT, {NULL}},
    {"rpm", P_RPM, COUNT, {NULL}},
    {"tpm", P_TPM, COUNT, {NULL}},
    {"budget_day", P_BUDGET_DAY, AMOUNT, {NULL}},
    {"budget_month", P_BUDGET_MONTH, AMOUNT, {NULL}},
    {"zone", P_ZONE, PLACE, {NULL}},
};
/* Of a record that names a model: nothing but these. */
static const struct row model_rows[] = {
    {"budget_day", P_BUDGET_DAY, AMOUNT, {NULL}},
    {"budget_month", P_BUDGET_MONTH, AMOUNT, {NULL}},
};
static const struct row key_rows[] = {
    {"owner_kind", P_OWNER_KIND, WORD, {"account", "creator", NULL}},
    {"owner", P_OWNER, ID, {NULL}},
    {"hash", P_HASH, ID, {NULL}},
    {"pepper", P_PEPPER, ID, {NULL}},
    {"state", P_STATE, WORD, {"revoked", NULL}},
    {"expires_at", P_EXPIRES_AT, TIME, {NULL}},
    {"rpm", P_RPM, COUNT, {NULL}},
    {"tpm", P_TPM, COUNT, {NULL}},
    {"budget_day", P_BUDGET_DAY, AMOUNT, {NULL}},
    {"budget_month", P_BUDGET_MONTH, AMOUNT, {NULL}},
    {"scopes", P_SCOPES, JSON, {NULL}},
    {"models", P_MODELS, JSON, {NULL}},
    {"ips", P_IPS, JSON, {NULL}},
    {"first_key", P_FIRST_KEY, ID, {NULL}},
    {"replaces", P_REPLACES, ID, {NULL}},
    {"grace", P_GRACE, COUNT, {NULL}},
};
static const struct row replaced_rows[] = {
    {"expires_at", P_REPLACED_UNTIL, TIME, {NULL}},
    {"replaced_by", P_KEY, ID, {NULL}},
};

/* Which rows a record may have; behind their names stands the model, if there is one. */
struct table {
    const struct row *rows;
    size_t count;
    const char *model;
};

static enum setting_form form_of(struct members *m, enum record_kind kind);
static bool is_whole(struct members *m, enum record_kind kind, enum setting_form form);
static bool read_model(struct members *m, struct table *out);
static bool read_rows(struct members *m, const struct table *table, struct setting *out);
static bool add_values(struct members *m, const struct table *table, struct buf *out);
static bool add_value(struct members *m, const struct row *row, struct buf *out);

const char *setting_form_name(enum setting_form form)
{
    static const char *const names[SETTING_FORMS] = {"create", "limit", "revoke", "rotate", "hash"};

    return names[form];
}

bool setting_read(struct members *m, enum record_kind kind, struct setting *out)
{
    struct table table = {key_rows, ARRAY_LEN(key_rows), NULL};

    if (kind == RECORD_ACCOUNT)
        table = (struct table){account_rows, ARRAY_LEN(account_rows), NULL};
    out->form = form_of(m, kind);
    return is_whole(m, kind, out->form) && (kind != RECORD_ACCOUNT || read_model(m, &table)) &&
           read_rows(m, &table, out);
}

/* A change may be of the account's budgets for one model. */
static bool read_model(struct members *m, struct table *out)
{
    const char *model;

    if (!member_is_named(m, P_MODEL))
        return true;
    if (!member_text(m, P_MODEL, &model) || !model[0] || strpbrk(model, " ="))
        return false;
    *out = (struct table){model_rows, ARRAY_LEN(model_rows), model};
    return true;
}

bool setting_read_replaced(struct members *m, struct setting *out)
{
    out->form = SETTING_ROTATE;
    return member_is_named(m, P_REPLACED_UNTIL) &&
           read_rows(m, &(struct table){replaced_rows, ARRAY_LEN(replaced_rows), NULL}, out);
}

static bool read_rows(struct members *m, const struct table *table, struct setting *out)
{
    struct buf values = {
        .data = out->values, .cap = sizeof out->values, .max = sizeof out->values - 1};

    return member_id(m, P_OP, &out->op) && member_count(m, P_REVISION, &out->revision) &&
           member_time(m, P_AT, &out->at) && add_values(m, table, &values);
}

static enum setting_form form_of(struct members *m, enum record_kind kind)
{
    if (member_is_named(m, kind == RECORD_ACCOUNT ? P_CURRENCY : P_OWNER))
        return SETTING_CREATE;
    if (kind == RECORD_KEY && member_is_named(m, P_STATE))
        return SETTING_REVOKE;
    return kind == RECORD_KEY && member_is_named(m, P_HASH) ? SETTING_HASH : SETTING_LIMIT;
}

/* Without these there is no object, and nothing but a revocation names the state. */
static bool is_whole(struct members *m, enum record_kind kind, enum setting_form form)
{
    bool has_hash = member_is_named(m, P_HASH) && member_is_named(m, P_PEPPER);

    if (form == SETTING_HASH)
        return has_hash;
    if (form != SETTING_CREATE)
        return true;
    if (kind == RECORD_ACCOUNT)
        return member_is_named(m, P_MODE);
    return member_is_named(m, P_OWNER_KIND) && has_hash && !member_is_named(m, P_STATE);
}

static bool add_values(struct members *m, const struct table *table, struct buf *out)
{
    for (const struct row *row = table->rows; row < table->rows + table->count; row++) {
        if (!member_is_named(m, row->path))
            continue;
        if (out->len)
            buf_add_char(out, ' ');
        buf_add_string(out, row->name);
        if (table->model)
            buf_printf(out, ":%s", table->model);
        buf_add_char(out, '=');
        if (!add_value(m, row, out))
            return false;
    }
    return out->len > 0 && !out->failed;
}

/* A time that is null is "0": never. JSON or a zone that is null is empty; else it stands as it is, which is without
 * blanks. */
static bool add_value(struct members *m, const struct row *row, struct buf *out)
{
    char digits[INT64_TEXT];
    struct span text = SPAN("");
    const char *word;
    int64_t number = 0;
    bool good = false;

    switch (row->shape) {
    case WORD:
        good = member_word(m, row->path, row->words, &word);
        text = span_of(good ? word : "");
        break;
    case ID:
        good = member_id(m, row->path, &word);
        text = span_of(good ? word : "");
        break;
    case AMOUNT:
        good = member_amount(m, row->path, &number) && number >= 0;
        break;
    case COUNT:
        good = member_count(m, row->path, &number);
        break;
    case TIME:
        good = member_time_or_zero(m, row->path, &number);
        break;
    case JSON:
        good = member_is_absent(m, row->path) ||
               (member_value(m, row->path, &text) && !memchr(text.data, ' ', text.len));
        break;
    case PLACE:
        good = member_is_absent(m, row->path) ||
               (member_text(m, row->path, &word) && !strchr(word, '=') && strlen(word) < ZONE_TEXT);
        text = span_of(good && !member_is_absent(m, row->path) ? word : "");
        break;
    }
    if (row->shape == WORD || row->shape == ID || row->shape == JSON || row->shape == PLACE)
        buf_add_span(out, text);
    else
        buf_add_span(out, int64_text(number, digits));
    return good;
}
