/* cli_receipt.c - is this receipt ours, and does the archive say the same? */
#include "gateway/cli_receipt.h"

#include <stdio.h>

#include "billing/receipt.h"
#include "gateway/cli_print.h"
#include "gateway/installation.h"
#include "lib/base/file.h"

#define JSON_BYTES_MAX 65536

static bool find_keys(struct cli *c, struct public_keys *out, struct err *err);
static bool own_keys(const struct options *o, struct public_keys *out, struct err *err);
static void print_receipt(const struct cli *c, const struct receipt *receipt);

int receipt_verify_command(struct cli *c)
{
    AUTO_CLEAR(buf) text = {.max = RECEIPT_BYTES_MAX};
    AUTO_CLEAR(public_keys) keys = {.count = 0};
    struct receipt receipt;
    struct err err;

    if (!cli_value(c, "--key") && !cli_read_config(c)) {
        fprintf(stderr, "no config is needed with --key FILE, the platform's published keys: "
                        "/.well-known/tollgate-jwks.json of its API\n");
        return CLI_FAILED;
    }
    if (!file_read(c->arguments[0], &text, &err) || !find_keys(c, &keys, &err))
        return cli_fail(c, "%s", err.text);
    if (!receipt_verify(buf_span(&text), &keys, cli_value(c, "--archive"), &receipt, &err))
        return cli_fail(c, "%s: %s", c->arguments[0], err.text);
    print_receipt(c, &receipt);
    return CLI_DONE;
}

/* With --key no config is needed: whoever has a receipt and the published keys can check it. */
static bool find_keys(struct cli *c, struct public_keys *out, struct err *err)
{
    const char *file = cli_value(c, "--key");

    return file ? public_keys_read(file, out, err) : own_keys(&c->options, out, err);
}

static bool own_keys(const struct options *o, struct public_keys *out, struct err *err)
{
    AUTO_CLEAR(installation) installation = {.signing_key = NULL};
    AUTO_CLEAR(buf) text = {.max = PUBLIC_KEYS_BYTES_MAX};
    struct jw w;

    if (!installation_open(o->state, o->archive, o->zone, &installation, err))
        return false;
    jw_init(&w, &text);
    jwks_write(&installation.public_keys, &w);
    return public_keys_parse(buf_span(&text), out, err);
}

static void print_receipt(const struct cli *c, const struct receipt *receipt)
{
    static const struct cli_column columns[] = {
        {"request", "request_id", false}, {"account", "account", false},
        {"model", "model", false},        {"used", "units", false},
        {"amount", "amount", false},      {"currency", "currency", false},
        {"price", "price", false},        {"outcome", "outcome", false},
        {"started", "started_at", false}, {"ended", "ended_at", false},
        {"written by", "writer", false},  {"as its number", "n", false},
        {"signed by", "key_id", false},
    };
    static const struct cli_column refund_columns[] = {
        {"refund of", "request_id", false}, {"account", "account", false},
        {"model", "model", false},          {"given back", "amount", false},
        {"of", "charged", false},           {"currency", "currency", false},
        {"reason", "reason", false},        {"call's period", "orig_period", false},
        {"booked in", "period", false},     {"at", "at", false},
        {"operation", "op", false},         {"written by", "writer", false},
        {"as its number", "n", false},      {"signed by", "key_id", false},
    };
    AUTO_CLEAR(buf) text = {.max = JSON_BYTES_MAX};
    AUTO_JSON json = NULL;
    struct jw w;

    jw_init(&w, &text);
    receipt_write(receipt, &w);
    json = json_parse(buf_span(&text), NULL);
    if (!c->json)
        printf("the receipt is genuine%s\n", receipt->is_archived
                                                 ? ", and the archive holds the same record"
                                                 : "; it was not compared with an archive");
    if (receipt->is_refund)
        cli_print_object(c, json, refund_columns, ARRAY_LEN(refund_columns));
    else
        cli_print_object(c, json, columns, ARRAY_LEN(columns));
}
