/* console_routes.c - who may see and do what, row by row. */
#include "gateway/console_routes.h"

#include "gateway/account_admin.h"
#include "gateway/adopt_admin.h"
#include "gateway/call_admin.h"
#include "gateway/catalogue_admin.h"
#include "gateway/client_routes.h"
#include "gateway/client_usage.h"
#include "gateway/console_state.h"
#include "gateway/creator_calls.h"
#include "gateway/creator_routes.h"
#include "gateway/funds_admin.h"
#include "gateway/finance_routes.h"
#include "gateway/journal_admin.h"
#include "gateway/journal_show.h"
#include "gateway/key_admin.h"
#include "gateway/key_list.h"
#include "gateway/key_rotate.h"
#include "gateway/metrics_text.h"
#include "gateway/pages.h"
#include "gateway/past_admin.h"
#include "gateway/refund_admin.h"
#include "gateway/retire_admin.h"
#include "gateway/service.h"
#include "gateway/suspense_admin.h"
#include "gateway/usage_admin.h"
#include "gateway/webhook_admin.h"

#define SMALL_KIB     64
#define CATALOGUE_KIB 4096

#define METRICS_BYTES_MAX (64 << 20)

static void health_get(void *server, struct http_request *r, const struct route_match *match);
static void status_get(void *server, struct http_request *r, const struct route_match *match);
static void metrics_get(void *server, struct http_request *r, const struct route_match *match);

const struct route console_routes[] = {
    {"GET", "/", ANYONE, 0, false, page_index_get},
    {"GET", "/pages/:name", ANYONE, 0, false, page_get},
    {"GET", "/api/v1/client/balance", CALLER, 0, false, client_balance_get},
    {"GET", "/api/v1/client/usage", CALLER, 0, false, client_usage_get},
    {"GET", "/api/v1/client/calls", CALLER, 0, false, client_calls_get},
    {"GET", "/api/v1/creator/events", CREATOR, 0, false, creator_events_get},
    {"GET", "/api/v1/creator/earnings", CREATOR, 0, false, creator_earnings_get},
    {"GET", "/api/v1/finance/periods", FINANCE, 0, false, finance_periods_get},
    {"GET", "/api/v1/finance/periods/:period/statements", FINANCE, 0, false,
     finance_statements_get},
    {"GET", "/api/v1/finance/periods/:period/files/:name", FINANCE, 0, false, finance_file_get},
    {"GET", "/healthz", ANYONE, 0, false, health_get},
    {"GET", "/metrics", OPERATOR_OR_HERE, 0, false, metrics_get},
};
const size_t console_route_count = ARRAY_LEN(console_routes);

const struct route admin_routes[] = {
    {"GET", "/admin/v1/status", LOCAL, 0, false, status_get},
    {"POST", "/admin/v1/catalogue", LOCAL, CATALOGUE_KIB, false, catalogue_post},
    {"GET", "/admin/v1/creators", LOCAL, 0, false, creators_get},
    {"GET", "/admin/v1/creators/:id", LOCAL, 0, false, creator_show_get},
    {"GET", "/admin/v1/models", LOCAL, 0, false, models_list_get},
    {"GET", "/admin/v1/models/:id+", LOCAL, 0, false, model_show_get},
    {"POST", "/admin/v1/accounts", LOCAL, SMALL_KIB, false, account_post},
    {"GET", "/admin/v1/accounts", LOCAL, 0, false, accounts_get},
    {"GET", "/admin/v1/accounts/:id", LOCAL, 0, false, account_get},
    {"POST", "/admin/v1/accounts/:id/limit", LOCAL, SMALL_KIB, false, account_limit_post},
    {"POST", "/admin/v1/accounts/:id/credit", LOCAL, SMALL_KIB, false, credit_post},
    {"POST", "/admin/v1/accounts/:id/grant", LOCAL, SMALL_KIB, false, grant_post},
    {"POST", "/admin/v1/accounts/:id/adjust", LOCAL, SMALL_KIB, false, adjust_post},
    {"POST", "/admin/v1/keys", LOCAL, SMALL_KIB, false, key_post},
    {"GET", "/admin/v1/keys", LOCAL, 0, false, keys_get},
    {"POST", "/admin/v1/keys/:id/limit", LOCAL, SMALL_KIB, false, key_limit_post},
    {"POST", "/admin/v1/keys/:id/update", LOCAL, SMALL_KIB, false, key_update_post},
    {"POST", "/admin/v1/keys/:id/rotate", LOCAL, SMALL_KIB, false, key_rotate_post},
    {"POST", "/admin/v1/keys/:id/hash", LOCAL, SMALL_KIB, false, key_hash_post},
    {"POST", "/admin/v1/keys/:id/revoke", LOCAL, SMALL_KIB, false, key_revoke_post},
    {"POST", "/admin/v1/webhooks", LOCAL, SMALL_KIB, false, webhook_post},
    {"GET", "/admin/v1/webhooks", LOCAL, 0, false, webhooks_get},
    {"POST", "/admin/v1/webhooks/:id/delete", LOCAL, SMALL_KIB, false, webhook_delete_post},
    {"POST", "/admin/v1/webhooks/:id/test", LOCAL, SMALL_KIB, false, webhook_test_post},
    {"GET", "/admin/v1/usage", LOCAL, 0, false, usage_admin_list_get},
    {"GET", "/admin/v1/usage/:id", LOCAL, 0, false, call_admin_get},
    {"GET", "/admin/v1/usage/:id/receipt", LOCAL, 0, false, call_receipt_admin_get},
    {"POST", "/admin/v1/usage/:id/refund", LOCAL, SMALL_KIB, false, refund_post},
    {"GET", "/admin/v1/usage/:id/refunds/:op/receipt", LOCAL, 0, false, refund_receipt_admin_get},
    {"GET", "/admin/v1/archive/calls", LOCAL, 0, false, past_list_get},
    {"GET", "/admin/v1/archive/calls/:id", LOCAL, 0, false, past_find_get},
    {"GET", "/admin/v1/journal", LOCAL, 0, false, journal_get},
    {"POST", "/admin/v1/journal/ship", LOCAL, SMALL_KIB, false, journal_ship_post},
    {"POST", "/admin/v1/journal/seal", LOCAL, SMALL_KIB, false, journal_seal_post},
    {"POST", "/admin/v1/journal/adopt", LOCAL, SMALL_KIB, false, adopt_post},
    {"GET", "/admin/v1/suspense", LOCAL, 0, false, suspense_get},
    {"POST", "/admin/v1/suspense/resolve", LOCAL, SMALL_KIB, false, suspense_resolve_post},
    {"POST", "/admin/v1/journal/retire", LOCAL, SMALL_KIB, false, retire_post},
    {"POST", "/admin/v1/journal/rebuild", LOCAL, SMALL_KIB, false, journal_rebuild_post},
};
const size_t admin_route_count = ARRAY_LEN(admin_routes);

static void health_get(void *server, struct http_request *r, const struct route_match *match)
{
    (void)server;
    (void)match;
    reply_json(r, 200, SPAN("{\"status\":\"ok\"}"));
}

static void status_get(void *server, struct http_request *r, const struct route_match *match)
{
    const struct console *c = server;
    AUTO_CLEAR(buf) json = {.max = 4096};
    struct jw w;

    (void)match;
    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "installation", c->installation->id);
    jw_bool_member(&w, "redis", redis_is_ready(c->ledger.redis));
    jw_bool_member(&w, "journal", c->ledger.journal != NULL);
    jw_bool_member(&w, "recovered",
                   c->ledger.projection && projection_is_recovered(c->ledger.projection));
    jw_bool_member(&w, "catalogue", c->ledger.catalogue != NULL);
    jw_object_end(&w);
    reply_built(r, &json);
}

static void metrics_get(void *server, struct http_request *r, const struct route_match *match)
{
    static const struct http_field type = {"content-type", METRICS_TYPE};
    const struct console *c = server;
    AUTO_CLEAR(buf) text = {.max = METRICS_BYTES_MAX};
    const struct console_numbers numbers = {
        .has_redis = redis_is_ready(c->ledger.redis),
        .partitions_parked = c->ledger.projection ? projection_parked(c->ledger.projection) : 0,
        .archived_at = c->archived_at,
        .archive_fails = c->archive_fails,
        .unarchived_since = c->unarchived_since,
    };
    struct err err;

    (void)match;
    metrics_write(c->board, &numbers, &text);
    if (buf_ok(&text, "the metrics", &err))
        http_reply(r, 200, &type, 1, buf_span(&text));
    else
        reply_problem(r, GATEWAY_INTERNAL, "%s", err.text);
}
