/* key_terms.c - terms are checked in full before a record is written. */
#include "gateway/key_terms.h"

#include "gateway/account_terms.h"
#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/text.h"

static const char *const lists[] = {"scopes", "models", "ips"};

static void write_time_or_null(struct jw *w, const char *name, int64_t when);
static void write_opens(struct jw *w, const json_t *opens);
static const char *state_word(const struct key_state *k);

bool key_limits_read(const json_t *body, struct key_state *k, struct err *err)
{
    if (!rate_limits_read(body, &k->rpm, &k->tpm, err) ||
        !budgets_read(body, &k->budget_day, &k->budget_month, err))
        return false;
    return k->owner_kind == 'a' || (!k->rpm && !k->tpm && !k->budget_day && !k->budget_month) ||
           err_set(err, ERR_INPUT, "a creator's key makes no calls, so it has no limits");
}

bool key_expiry_read(const json_t *body, struct key_state *k, struct err *err)
{
    const char *expires = NULL;

    if (json_is_null(json_object_get(body, "expires_at"))) {
        k->expires_at = 0;
        return true;
    }
    if (!json_get_string_or(body, "expires_at", &expires, "the key", err))
        return false;
    if (expires && !clock_parse(span_of(expires), &k->expires_at, err))
        return err_context(err, "'expires_at'");
    return true;
}

bool key_expiry_is_ahead(const struct key_state *k, struct err *err)
{
    return !k->expires_at || k->expires_at > clock_now() ||
           err_set(err, ERR_INPUT, "'expires_at' is not in the future");
}

bool key_opens_read(const json_t *body, char owner_kind, struct key_access **out, struct err *err)
{
    if (owner_kind != 'a' && (json_object_get(body, "scopes") || json_object_get(body, "models")))
        return err_set(err, ERR_INPUT,
                       "a creator's key makes no calls, so it has no scopes and no models; 'ips' "
                       "may be given");
    return key_access_read(body, out, err);
}

void key_owner_write(struct jw *w, const struct key_state *k)
{
    jw_string_member(w, "owner_kind", k->owner_kind == 'a' ? "account" : "creator");
    jw_string_member(w, "owner", k->owner);
    key_hash_write(w, k);
}

void key_hash_under(const struct api_key *key, const struct pepper *pepper, struct key_state *out)
{
    api_key_hash(key, &pepper->secret, out->hash);
    memcpy(out->pepper, pepper->id, sizeof out->pepper);
}

void key_hash_write(struct jw *w, const struct key_state *k)
{
    char hex[SHA256_HEX];

    hex_encode(k->hash, SHA256_LEN, hex);
    jw_string_member(w, "hash", hex);
    jw_string_member(w, "pepper", k->pepper);
}

void key_changes_write(struct jw *w, const struct key_state *k, const struct key_access *access,
                       const json_t *names)
{
    if (!names || json_object_get(names, "expires_at"))
        write_time_or_null(w, "expires_at", k->expires_at);
    if (!names || json_object_get(names, "rpm"))
        jw_int_member(w, "rpm", k->rpm);
    if (!names || json_object_get(names, "tpm"))
        jw_int_member(w, "tpm", k->tpm);
    budgets_write(w, k->budget_day, k->budget_month, names);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (names && !json_object_get(names, lists[i]))
            continue;
        jw_key(w, lists[i]);
        jw_raw(w, key_access_list(access, lists[i]));
    }
}

static void write_time_or_null(struct jw *w, const char *name, int64_t when)
{
    if (when) {
        jw_time_member(w, name, when);
        return;
    }
    jw_key(w, name);
    jw_null(w);
}

void key_state_write(struct jw *w, const struct key_state *k, const json_t *opens)
{
    jw_string_member(w, "state", state_word(k));
    if (k->expires_at)
        jw_time_member(w, "expires_at", k->expires_at);
    if (k->replaced_by[0])
        jw_string_member(w, "replaced_by", k->replaced_by);
    if (k->owner_kind == 'a') {
        jw_int_member(w, "rpm", k->rpm);
        jw_int_member(w, "tpm", k->tpm);
        budgets_write(w, k->budget_day, k->budget_month, NULL);
    }
    write_opens(w, opens);
}

static const char *state_word(const struct key_state *k)
{
    if (k->revoked)
        return "revoked";
    return k->expires_at && clock_now() >= k->expires_at ? "expired" : "active";
}

static void write_opens(struct jw *w, const json_t *opens)
{
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const json_t *list = json_object_get(opens, lists[i]);
        AUTO_CLEAR(buf) json = {.max = ACCESS_BYTES_MAX};

        if (!json_array_size(list))
            continue;
        jw_key(w, lists[i]);
        if (json_dump(list, &json))
            jw_raw(w, buf_span(&json));
        else
            jw_null(w);
    }
}

void key_secret_write(struct jw *w, const struct key_state *k, const struct api_key *key)
{
    AUTO_CLEAR(buf) text = {.max = 2 * KEY_TEXT};

    api_key_text(key, &text);
    jw_object(w);
    jw_string_member(w, "public_id", key->public_id);
    jw_string_member(w, k->owner_kind == 'a' ? "account" : "creator", k->owner);
    jw_span_member(w, "secret", buf_span(&text));
    explicit_bzero(text.data, text.len);
}
