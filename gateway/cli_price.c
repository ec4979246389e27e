/* cli_price.c - what was charged, looked at once more. */
#include "gateway/cli_price.h"

#include <stdio.h>

#include "billing/rerate.h"
#include "gateway/cli_print.h"
#include "gateway/installation.h"
#include "lib/base/mem.h"

#define ROW_MAX 1024

static int report(struct cli *c, struct period period, const struct rerate *r);
static void print_rows(struct cli *c, const struct rerate *r);

int price_rerate(struct cli *c)
{
    AUTO_CLEAR(rerate) result = {.booked = NULL};
    AUTO_CLEAR(installation) installation = {.id = ""};
    struct period period;
    struct err err;

    if (!period_parse(span_of(c->arguments[0]), &period, &err))
        return cli_misused(c, "%s", err.text);
    if (!cli_read_config(c))
        return CLI_FAILED;
    if (!installation_open(c->options.state, c->options.archive, c->options.zone, &installation,
                           &err) ||
        !rerate_period(c->options.archive, installation.id, period, &result, &err))
        return cli_fail(c, "%s", err.text);
    return report(c, period, &result);
}

static int report(struct cli *c, struct period period, const struct rerate *r)
{
    print_rows(c, r);
    if (!sum_table_count(r->booked))
        return CLI_DONE;
    if (!r->differences.count) {
        fprintf(stderr,
                "rated again by the versions that they name, the archived events of %s "
                "cost what was charged\n",
                period.text);
        return CLI_DONE;
    }
    cli_fail(c, "%zu of the archived events of %s come out differently", r->differences.count,
             period.text);
    for (size_t i = 0; i < r->differences.kept; i++)
        fprintf(stderr, "  - %s\n", r->differences.sentence[i]);
    return CLI_FAILED;
}

static void print_rows(struct cli *c, const struct rerate *r)
{
    static const struct cli_column columns[] = {
        {"model", "model", false},        {"currency", "currency", false},
        {"events", "events", true},       {"as booked", "amount", true},
        {"rated again", "rerated", true}, {"difference", "difference", true},
        {"different", "different", true},
    };
    AUTO_JSON rows = json_array();

    for (size_t i = 0; i < sum_table_count(r->booked); i++) {
        AUTO_CLEAR(buf) text = {.max = ROW_MAX};
        struct jw w;

        jw_init(&w, &text);
        rerate_write(r, i, &w);
        json_array_append_new(rows, json_parse(buf_span(&text), NULL));
    }
    cli_print_list(c, rows, columns, ARRAY_LEN(columns), "the archive has no event of that month");
}
