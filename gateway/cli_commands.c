/* cli_commands.c - the commands, their options and handlers: the single source of `tollgate
 * --help`. */
#include "gateway/cli_commands.h"

#include "gateway/cli_account.h"
#include "gateway/cli_catalogue.h"
#include "gateway/cli_check.h"
#include "gateway/cli_doctor.h"
#include "gateway/cli_funds.h"
#include "gateway/cli_journal.h"
#include "gateway/cli_key.h"
#include "gateway/cli_price.h"
#include "gateway/cli_receipt.h"
#include "gateway/cli_serve.h"
#include "gateway/cli_settle.h"
#include "gateway/cli_suspense.h"
#include "gateway/cli_usage.h"
#include "gateway/cli_webhook.h"
#include "gateway/dev.h"

#define OP                                                                              \
    {                                                                                   \
        "--op", "ID", "the operation's id, when the same change is asked for once more" \
    }

static const struct cli_option dev_options[] = {
    {"--state", "DIR", "where everything is kept; not given: ./tollgate-dev"},
    {"--listen", "ADDR", "where the API listens; not given: 127.0.0.1:8443; port 0: a free one"},
    {"--console", "ADDR", "where the console listens; not given: 127.0.0.1:8444"},
    {"--workers", "N", "how many worker processes; not given: 2"},
    {"--upstream", "URL",
     "a server with OpenAI's API (http://HOST:PORT/v1): its model becomes "
     "demo/upstream; its key in $TOLLGATE_UPSTREAM_KEY"},
    {"--upstream-model", "NAME", "which of its models; not given: the first that it lists"},
    {"--clock", "TIME", "what time it is from now on (RFC 3339), for all processes on this state"},
};
static const struct cli_option check_options[] = {
    {"--print-defaults", NULL, "print a config file with every option at its default instead"},
};
static const struct cli_option apply_options[] = {
    {"--dry-run", NULL, "only say what would change"},
    OP,
};
static const struct cli_option account_create_options[] = {
    {"--currency", "CODE", "required: what it pays in, such as CNY"},
    {"--prepaid", NULL, "this or --postpaid is required: credit must cover every call"},
    {"--postpaid", NULL, "this or --prepaid is required: it may owe up to the credit limit"},
    {"--credit-limit", "AMOUNT", "how much a postpaid account may owe"},
    {"--concurrency", "N", "how many calls may run at once; 0, or not given: any number"},
    {"--rpm", "N", "how many calls a minute; 0, or not given: any number"},
    {"--tpm", "N", "how many tokens a minute; 0, or not given: any number"},
    {"--budget-day", "AMOUNT", "how much it may spend a day; 0, or not given: any amount"},
    {"--budget-month", "AMOUNT", "how much it may spend a month; 0, or not given: any amount"},
    {"--zone", "ZONE",
     "whose days and months these are, such as Europe/Berlin; not given: the platform's"},
    OP,
};
static const struct cli_option account_limit_options[] = {
    {"--rpm", "N", "how many calls a minute; 0: any number"},
    {"--tpm", "N", "how many tokens a minute; 0: any number"},
    {"--budget-day", "AMOUNT", "how much it may spend a day; 0: any amount"},
    {"--budget-month", "AMOUNT", "how much it may spend a month; 0: any amount"},
    {"--zone", "ZONE",
     "whose days and months these are, such as Europe/Berlin; none: the platform's"},
    {"--model", "MODEL", "the budgets given are what it may spend on this model alone"},
    {"--concurrency", "N", "how many calls may run at once; 0: any number"},
    {"--credit-limit", "AMOUNT", "how much a postpaid account may owe"},
    OP,
};
static const struct cli_option account_credit_options[] = {
    {"--reason", "TEXT", "what the booking is for"},
    OP,
};
static const struct cli_option account_grant_options[] = {
    {"--expires", "TIME", "required: when it ends, RFC 3339; what is unspent then is taken back"},
    {"--reason", "TEXT", "what it is given for"},
    OP,
};
static const struct cli_option account_adjust_options[] = {
    {"--reason", "TEXT", "required: why the balance is put right"},
    OP,
};
static const struct cli_option key_create_options[] = {
    {"--expires", "TIME", "when it ends, RFC 3339"},
    {"--creator", NULL, "a key of the creator with this id, to see earnings with"},
    {"--rpm", "N", "how many calls a minute with this key; 0, or not given: any number"},
    {"--tpm", "N", "how many tokens a minute with this key; 0, or not given: any number"},
    {"--budget-day", "AMOUNT",
     "how much may be spent a day with this key; 0, or not given: any amount"},
    {"--budget-month", "AMOUNT",
     "how much may be spent a month with this key; 0, or not given: any amount"},
    {"--scopes", "LIST", "what it is for: call, usage; not given: both"},
    {"--models", "LIST", "the models it may call, such as demo/*,acme/small; not given: all"},
    {"--ips", "LIST", "the addresses it may be used from, such as 10.0.0.0/8; not given: all"},
    OP,
};
static const struct cli_option key_rotate_options[] = {
    {"--grace", "DURATION",
     "how long the old key goes on, such as 30min; 0: not at all; not given: 24h"},
    {"--expires", "TIME",
     "when the new key ends, RFC 3339, or never; not given: when the old one was to"},
    OP,
};
static const struct cli_option key_update_options[] = {
    {"--scopes", "LIST", "what it is for: call, usage; all: both"},
    {"--models", "LIST", "the models it may call, such as demo/*,acme/small; all: all"},
    {"--ips", "LIST", "the addresses it may be used from, such as 10.0.0.0/8; all: all"},
    {"--expires", "TIME", "when it ends, RFC 3339, or never"},
    OP,
};
static const struct cli_option key_limit_options[] = {
    {"--rpm", "N", "how many calls a minute with this key; 0: any number"},
    {"--tpm", "N", "how many tokens a minute with this key; 0: any number"},
    {"--budget-day", "AMOUNT", "how much may be spent a day with this key; 0: any amount"},
    {"--budget-month", "AMOUNT", "how much may be spent a month with this key; 0: any amount"},
    OP,
};
static const struct cli_option op_options[] = {OP};
static const struct cli_option creator_show_options[] = {
    {"--period", "YYYY-MM", "the settlement month; not given: the running one"},
};
static const struct cli_option usage_list_options[] = {
    {"--account", "ID", "only calls of this account"},
    {"--limit", "N", "how many at most, the newest first: 1 to 10000; not given: 100"},
};
static const struct cli_option usage_refund_options[] = {
    {"--reason", "TEXT", "required: what it is given back for"},
    OP,
};
static const struct cli_option journal_retire_options[] = {
    {"--reason", "TEXT", "required: why it will never come back"},
    {"--by", "NAME", "required: who asks; a second person confirms within a day"},
};
static const struct cli_option suspense_resolve_options[] = {
    {"--as", "dropped|booked", "required: it counts nowhere, or its cause was removed"},
    {"--reason", "TEXT", "required: why"},
    {"--by", "NAME", "required: who says so"},
    OP,
};
static const struct cli_option journal_rebuild_options[] = {
    {"--from-zero", NULL, "empty all partitions first, whatever they say of themselves"},
};
static const struct cli_option receipt_verify_options[] = {
    {"--archive", "DIR", "also compare it with the call's record in this archive"},
    {"--key", "FILE", "the signer's public keys (JWKS, JWK, PEM); not given: this installation's"},
};
static const struct cli_option settle_options[] = {
    {"--out", "DIR", "write the bundle there"},
};
static const struct cli_option settle_export_options[] = {
    {"--out", "DIR", "required: write the bundle there"},
};
static const struct cli_option settle_verify_options[] = {
    {"--archive", "DIR", "also prove that no event is missing"},
    {"--key", "FILE", "the key it must be signed with; not given: the one it names"},
    {"--previous", "DIR", "the bundle before, whose closing balances must be the opening ones"},
};

#define NO_OPTIONS NULL, 0
#define OPTIONS(o) o, ARRAY_LEN(o)

const struct command cli_commands[] = {
    {"serve", "", "Runs the server in the foreground.", NO_OPTIONS, CLI_CONFIG, serve},
    {"dev", "",
     "Runs everything on one machine, with a demo model; prints a line of JSON when ready.",
     OPTIONS(dev_options), 0, dev},
    {"check", "", "Reads the config and says every mistake in it, with its line.",
     OPTIONS(check_options), CLI_COMMON, check},
    {"doctor", "", "Looks at the machine and at Redis; names what is unsafe, and the remedy.",
     NO_OPTIONS, CLI_COMMON, doctor},
    {"apply", "CATALOGUE.json", "Makes creators, contracts, models and prices what the file says.",
     OPTIONS(apply_options), CLI_COMMON, apply},
    {"account create", "ID", "Opens an account that pays.", OPTIONS(account_create_options),
     CLI_COMMON, account_create},
    {"account credit", "ID AMOUNT", "Books credit to an account.", OPTIONS(account_credit_options),
     CLI_COMMON, account_credit},
    {"account grant", "ID AMOUNT",
     "Gives credit that is spent before what was paid in, and ends at a time.",
     OPTIONS(account_grant_options), CLI_COMMON, account_grant},
    {"account adjust", "ID AMOUNT", "Puts a balance right, with a reason; -AMOUNT takes from it.",
     OPTIONS(account_adjust_options), CLI_COMMON, account_adjust},
    {"account limit", "ID", "Changes an account's limits; what is not named stays.",
     OPTIONS(account_limit_options), CLI_COMMON, account_limit},
    {"account show", "ID", "Shows an account, its balance and what is held.", NO_OPTIONS,
     CLI_COMMON, account_show},
    {"account list", "", "Lists all accounts.", NO_OPTIONS, CLI_COMMON, account_list},
    {"key create", "OWNER", "Makes a key of an account, or a creator; prints the secret this once.",
     OPTIONS(key_create_options), CLI_COMMON, key_create},
    {"key rotate", "PUBLIC_ID",
     "Makes a key that replaces another, which ends after a grace; prints the secret this once.",
     OPTIONS(key_rotate_options), CLI_COMMON, key_rotate},
    {"key update", "PUBLIC_ID",
     "Changes what a key opens, or when it ends; what is not named stays.",
     OPTIONS(key_update_options), CLI_COMMON, key_update},
    {"key limit", "PUBLIC_ID", "Changes a key's limits; what is not named stays.",
     OPTIONS(key_limit_options), CLI_COMMON, key_limit},
    {"key revoke", "PUBLIC_ID", "Revokes a key for ever; its next call fails.", OPTIONS(op_options),
     CLI_COMMON, key_revoke},
    {"key list", "", "Lists all keys, without their secrets.", NO_OPTIONS, CLI_COMMON, key_list},
    {"webhook create", "ACCOUNT URL",
     "Has an account's threshold notices sent to URL; prints the secret this once.",
     OPTIONS(op_options), CLI_COMMON, webhook_create},
    {"webhook list", "[ACCOUNT]", "Lists webhooks, and what their receivers did last.", NO_OPTIONS,
     CLI_COMMON, webhook_list},
    {"webhook delete", "ID", "Ends a webhook for ever.", OPTIONS(op_options), CLI_COMMON,
     webhook_delete},
    {"webhook test", "ID", "Sends a webhook.test and says what its receiver answered.", NO_OPTIONS,
     CLI_COMMON, webhook_test},
    {"creator list", "", "Lists creators and their contracts.", NO_OPTIONS, CLI_COMMON,
     creator_list},
    {"creator show", "ID", "Shows what a creator earned, by model and by day.",
     OPTIONS(creator_show_options), CLI_COMMON, creator_show},
    {"model list", "", "Lists models and their prices.", NO_OPTIONS, CLI_COMMON, model_list},
    {"model show", "ID", "Shows a model.", NO_OPTIONS, CLI_COMMON, model_show},
    {"price rerate", "PERIOD",
     "Rates a month's archived events again, by the price versions that they name.", NO_OPTIONS,
     CLI_COMMON, price_rerate},
    {"usage list", "", "Lists calls, the newest first.", OPTIONS(usage_list_options), CLI_COMMON,
     usage_list},
    {"usage show", "REQUEST_ID",
     "Shows a call, what it used, what it cost and what was given back.", NO_OPTIONS, CLI_COMMON,
     usage_show},
    {"usage refund", "REQUEST_ID [AMOUNT]",
     "Gives back what a call cost, or AMOUNT of it; never more than is left.",
     OPTIONS(usage_refund_options), CLI_COMMON, usage_refund},
    {"journal show", "", "Shows what each writer has in its journal.", NO_OPTIONS, CLI_COMMON,
     journal_show},
    {"journal ship", "", "Waits until Redis has all that was written.", NO_OPTIONS, CLI_COMMON,
     journal_ship},
    {"journal retire", "WRITER", "Ends a writer whose directory is lost; it takes two people.",
     OPTIONS(journal_retire_options), CLI_COMMON, journal_retire},
    {"journal adopt", "DIR", "Books what a found directory of a retired writer still has.",
     NO_OPTIONS, CLI_COMMON, journal_adopt},
    {"journal rebuild", "", "Replays into Redis whatever it lacks; fills parked partitions anew.",
     OPTIONS(journal_rebuild_options), CLI_COMMON, journal_rebuild},
    {"suspense list", "", "Lists what could not be booked, with the records.", NO_OPTIONS,
     CLI_COMMON, suspense_list},
    {"suspense resolve", "ID",
     "Drops an entry of suspense, or books it after its cause was removed.",
     OPTIONS(suspense_resolve_options), CLI_COMMON, suspense_resolve},
    {"receipt verify", "FILE", "Proves offline that a receipt is genuine.",
     OPTIONS(receipt_verify_options), CLI_COMMON, receipt_verify_command},
    {"settle preview", "PERIOD", "Computes a running month's statements, without closing it.",
     OPTIONS(settle_options), CLI_COMMON, settle_preview},
    {"settle close", "PERIOD", "Closes a month that is over, for ever; again: the kept bytes.",
     OPTIONS(settle_options), CLI_COMMON, settle_close},
    {"settle status", "[PERIOD]", "Shows periods, writers and why a month can't be closed yet.",
     NO_OPTIONS, CLI_COMMON, settle_status},
    {"settle export", "PERIOD", "Writes a closed month's bundle once more.",
     OPTIONS(settle_export_options), CLI_COMMON, settle_export},
    {"settle verify", "DIR", "Recomputes a bundle and proves every byte of it.",
     OPTIONS(settle_verify_options), CLI_JSON, settle_verify},
};
const size_t cli_command_count = ARRAY_LEN(cli_commands);
