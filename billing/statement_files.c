/* statement_files.c - one table of columns makes both the CSV and the JSON, so they cannot
 * differ. */
#include "billing/statement_files.h"

#include "billing/csv.h"

static const struct {
    const char *name;
    size_t offset;
} amounts[] = {
    {"opening", offsetof(struct statement, opening)},
    {"gross", offsetof(struct statement, gross)},
    {"refunds", offsetof(struct statement, refunds)},
    {"earned", offsetof(struct statement, earned)},
    {"adjustments", offsetof(struct statement, adjustments)},
    {"tax", offsetof(struct statement, tax)},
    {"payout", offsetof(struct statement, payout)},
    {"closing", offsetof(struct statement, closing)},
};
#define AMOUNTS ARRAY_LEN(amounts)

enum line_column {
    L_STATEMENT,
    L_CREATOR,
    L_PERIOD,
    L_CURRENCY,
    L_ORIG_PERIOD,
    L_MODEL,
    L_CONTRACT,
    L_SHARE_BP,
    L_OWNERS,
    L_WEIGHT,
    L_MODEL_CALLS,
    L_MODEL_GROSS,
    L_MODEL_REFUNDS,
    L_MODEL_NET,
    L_GROSS,
    L_REFUNDED,
    L_EARNED,
    L_REFUNDS,
    L_PLATFORM,
    LINE_COLUMNS
};
static const char *const line_columns[LINE_COLUMNS] = {[L_STATEMENT] = "statement",
                                                       [L_CREATOR] = "creator",
                                                       [L_PERIOD] = "period",
                                                       [L_CURRENCY] = "currency",
                                                       [L_ORIG_PERIOD] = "orig_period",
                                                       [L_MODEL] = "model",
                                                       [L_CONTRACT] = "contract",
                                                       [L_SHARE_BP] = "share_bp",
                                                       [L_OWNERS] = "owners",
                                                       [L_WEIGHT] = "weight",
                                                       [L_MODEL_CALLS] = "model_calls",
                                                       [L_MODEL_GROSS] = "model_gross",
                                                       [L_MODEL_REFUNDS] = "model_refunds",
                                                       [L_MODEL_NET] = "model_net",
                                                       [L_GROSS] = "gross",
                                                       [L_REFUNDED] = "refunded",
                                                       [L_EARNED] = "earned",
                                                       [L_REFUNDS] = "refunds",
                                                       [L_PLATFORM] = "platform"};

static int64_t amount_of(const struct statement *s, size_t i);
static void write_statement(const struct statements *s, const struct statement *row, struct jw *w);
static void write_trailer(const struct statements *s, struct jw *w);
static void write_totals(const struct statements *s, const struct sum *currency, struct jw *w);
static void write_books(const struct statements *s, const char *currency, struct jw *w);
static void amount_member(struct jw *w, const char *name, int128 nanos);
static void line_row(const struct statements *s, const struct statement_line *l, struct csv *c);
static bool take_net(const struct csv_row *row, struct sum_table *nets);

void statements_csv(const struct statements *s, struct buf *out)
{
    struct csv c;

    csv_init(&c, out);
    csv_text(&c, SPAN("statement"));
    csv_text(&c, SPAN("creator"));
    csv_text(&c, SPAN("period"));
    csv_text(&c, SPAN("currency"));
    for (size_t i = 0; i < AMOUNTS; i++)
        csv_text(&c, span_of(amounts[i].name));
    csv_row_end(&c);
    for (size_t row = 0; row < s->count; row++) {
        csv_text(&c, span_of(s->rows[row].number));
        csv_text(&c, span_of(s->rows[row].creator));
        csv_text(&c, span_of(s->period.text));
        csv_text(&c, span_of(s->rows[row].currency));
        for (size_t i = 0; i < AMOUNTS; i++)
            csv_amount(&c, amount_of(&s->rows[row], i));
        csv_row_end(&c);
    }
}

static int64_t amount_of(const struct statement *s, size_t i)
{
    int64_t nanos;

    memcpy(&nanos, (const char *)s + amounts[i].offset, sizeof nanos);
    return nanos;
}

void statements_jsonl(const struct statements *s, struct buf *out)
{
    struct jw w;

    for (size_t i = 0; i < s->count; i++) {
        jw_init(&w, out);
        write_statement(s, &s->rows[i], &w);
        buf_add_char(out, '\n');
    }
    jw_init(&w, out);
    write_trailer(s, &w);
    buf_add_char(out, '\n');
}

static void write_statement(const struct statements *s, const struct statement *row, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "statement", row->number);
    jw_string_member(w, "creator", row->creator);
    jw_string_member(w, "period", s->period.text);
    jw_string_member(w, "currency", row->currency);
    for (size_t i = 0; i < AMOUNTS; i++)
        amount_member(w, amounts[i].name, amount_of(row, i));
    jw_object_end(w);
}

static void amount_member(struct jw *w, const char *name, int128 nanos)
{
    char decimal[DECIMAL_TEXT];

    jw_string_member(w, name, decimal_format(nanos, decimal));
}

static void write_trailer(const struct statements *s, struct jw *w)
{
    AUTO(sum_table) currencies = sum_table_new();

    for (size_t i = 0; i < s->count; i++)
        sum_table_row(currencies, span_of(s->rows[i].currency))->calls++;
    sum_table_sort(currencies);
    jw_object(w);
    jw_string_member(w, "period", s->period.text);
    jw_int_member(w, "statements", (int64_t)s->count);
    jw_key(w, "totals");
    jw_array(w);
    for (size_t i = 0; i < sum_table_count(currencies); i++)
        write_totals(s, sum_table_at(currencies, i), w);
    jw_array_end(w);
    jw_object_end(w);
}

static void write_totals(const struct statements *s, const struct sum *currency, struct jw *w)
{
    int128 totals[AMOUNTS] = {0};

    for (size_t row = 0; row < s->count; row++)
        for (size_t i = 0; i < AMOUNTS && strcmp(s->rows[row].currency, currency->name) == 0; i++)
            totals[i] += amount_of(&s->rows[row], i);
    jw_object(w);
    jw_string_member(w, "currency", currency->name);
    jw_int_member(w, "statements", currency->calls);
    for (size_t i = 0; i < AMOUNTS; i++)
        amount_member(w, amounts[i].name, totals[i]);
    amount_member(w, "platform", books_balance(s->books, "platform:revenue", currency->name));
    write_books(s, currency->name, w);
    jw_object_end(w);
}

static void write_books(const struct statements *s, const char *currency, struct jw *w)
{
    int128 payable = 0, payouts = 0;

    for (size_t row = 0; row < s->count; row++) {
        if (strcmp(s->rows[row].currency, currency) != 0)
            continue;
        payable += s->rows[row].closing;
        payouts += s->rows[row].payout;
    }
    jw_key(w, "books");
    jw_object(w);
    amount_member(w, "clients", books_total(s->books, "client:", currency));
    amount_member(w, "platform", books_balance(s->books, "platform:revenue", currency));
    amount_member(w, "payable", payable);
    amount_member(w, "payouts", payouts);
    amount_member(w, "brought_forward", books_balance(s->books, "brought-forward", currency));
    jw_object_end(w);
}

void lines_csv(const struct statements *s, struct buf *out)
{
    struct csv c;

    csv_init(&c, out);
    csv_row(&c, line_columns, ARRAY_LEN(line_columns));
    for (size_t i = 0; i < s->line_count; i++)
        line_row(s, &s->lines[i], &c);
}

static void line_row(const struct statements *s, const struct statement_line *l, struct csv *c)
{
    const struct statement *row = &s->rows[l->statement];
    const struct party *p = l->party;

    csv_text(c, span_of(row->number));
    csv_text(c, span_of(row->creator));
    csv_text(c, span_of(s->period.text));
    csv_text(c, span_of(row->currency));
    csv_text(c, span_of(p->orig_period.text));
    csv_text(c, span_of(p->model));
    csv_text(c, span_of(p->contract));
    csv_int(c, p->share_bp);
    csv_text(c, span_of(strrchr(p->name, ' ') + 1));
    csv_int(c, l->owner->weight);
    csv_int(c, p->calls);
    csv_amount(c, p->gross);
    csv_amount(c, p->refunds);
    csv_amount(c, l->net);
    csv_amount(c, l->gross);
    csv_amount(c, l->refunded);
    csv_amount(c, l->earned);
    csv_amount(c, l->refunds);
    csv_amount(c, (int128)l->gross - l->refunded - ((int128)l->earned - l->refunds));
    csv_row_end(c);
}

bool lines_csv_nets(struct span csv, struct sum_table *nets, struct err *err)
{
    AUTO_CLEAR(csv_row) row = {.count = 0};
    bool ok = csv_read_row(&csv, &row, err) && row.count == LINE_COLUMNS;

    for (size_t i = 0; ok && i < LINE_COLUMNS; i++)
        ok = span_equal(csv_cell(&row, i), span_of(line_columns[i]));
    while (ok && csv.len > 0)
        ok = csv_read_row(&csv, &row, err) && row.count == LINE_COLUMNS && take_net(&row, nets);
    return ok || err_set(err, ERR_CORRUPT, "the lines are not spelled as this program writes them");
}

/* Every owner's row says the same of the party. */
static bool take_net(const struct csv_row *row, struct sum_table *nets)
{
    static const enum line_column name_columns[] = {L_ORIG_PERIOD, L_MODEL,    L_CURRENCY,
                                                    L_CONTRACT,    L_SHARE_BP, L_OWNERS};
    AUTO_CLEAR(buf) name = {.max = PARTIES_TEXT};
    int64_t net;

    for (size_t i = 0; i < ARRAY_LEN(name_columns); i++) {
        buf_add_string(&name, i ? " " : "");
        buf_add_span(&name, csv_cell(row, name_columns[i]));
    }
    if (name.failed || !decimal_parse(csv_cell(row, L_MODEL_NET), &net, NULL))
        return false;
    sum_table_row(nets, buf_span(&name))->nanos = net;
    return true;
}
