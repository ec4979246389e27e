/* public_keys.c - the four spellings of 32 bytes. Nothing here signs; what verifies is
 * lib/base/crypto.h's. */
#include "billing/public_keys.h"

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define KEPT      "keys"
#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"
#define PEM_END   "-----END PUBLIC KEY-----"

static bool parse_pem(struct span text, struct public_keys *out, struct err *err);
static bool strip_pem(struct span text, struct buf *base64url);
static bool parse_json(struct span text, struct public_keys *out, struct err *err);
static bool parse_jwk(const json_t *jwk, struct public_keys *out, struct err *err);
static bool add_raw(struct public_keys *k, struct span raw, struct err *err);
static bool add_kept(const char *path, struct public_keys *out, struct err *err);

/* What stands before the key in its SubjectPublicKeyInfo (RFC 8410 section 4). */
static const unsigned char spki_prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                            0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

void public_keys_clear(struct public_keys *k)
{
    for (size_t i = 0; i < k->count; i++)
        signing_key_free(k->at[i].key);
    *k = (struct public_keys){0};
}

bool public_keys_read(const char *path, struct public_keys *out, struct err *err)
{
    AUTO_CLEAR(buf) bytes = {.max = PUBLIC_KEYS_BYTES_MAX};

    if (!file_read(path, &bytes, err))
        return false;
    return public_keys_parse(buf_span(&bytes), out, err) || err_context(err, "%s", path);
}

bool public_keys_parse(struct span bytes, struct public_keys *out, struct err *err)
{
    struct span text = bytes;

    *out = (struct public_keys){0};
    if (bytes.len == ED25519_PUBLIC_LEN)
        return add_raw(out, bytes, err);
    while (text.len > 0 && strchr(" \t\r\n", text.data[0]))
        text = (struct span){text.data + 1, text.len - 1};
    if (span_starts(text, SPAN(PEM_BEGIN)))
        return parse_pem(text, out, err);
    if (span_starts(text, SPAN("{")))
        return parse_json(text, out, err);
    return err_set(err, ERR_INPUT,
                   "this is no Ed25519 public key: 32 bytes, PEM, a JWK or a JWKS are");
}

static bool parse_pem(struct span text, struct public_keys *out, struct err *err)
{
    AUTO_CLEAR(buf) base64url = {.max = 256};
    AUTO_CLEAR(buf) der = {.max = 256};
    size_t prefix = sizeof spki_prefix;

    if (!strip_pem(text, &base64url) || !base64url_decode(&der, buf_span(&base64url)) ||
        der.len != prefix + ED25519_PUBLIC_LEN || memcmp(der.data, spki_prefix, prefix) != 0)
        return err_set(err, ERR_INPUT, "the PEM does not hold an Ed25519 public key");
    return add_raw(out, (struct span){der.data + prefix, ED25519_PUBLIC_LEN}, err);
}

/* Standard base64 with padding and line breaks becomes base64url. */
static bool strip_pem(struct span text, struct buf *base64url)
{
    static const struct span end = {PEM_END, sizeof PEM_END - 1};

    for (size_t i = sizeof PEM_BEGIN - 1; i < text.len; i++) {
        char c = text.data[i];

        if (span_starts((struct span){text.data + i, text.len - i}, end))
            return !base64url->failed;
        if (strchr("=\r\n ", c))
            continue;
        buf_add_char(base64url, c == '+' ? '-' : c == '/' ? '_' : c);
    }
    return false;
}

static bool parse_json(struct span text, struct public_keys *out, struct err *err)
{
    AUTO_JSON object = json_parse(text, err);
    json_t *list = NULL;

    if (!object || !json_get_array_or(object, "keys", &list, "JWKS", err))
        return false;
    if (!list)
        return parse_jwk(object, out, err);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!parse_jwk(json_array_get(list, i), out, err))
            return false;
    return true;
}

static bool parse_jwk(const json_t *jwk, struct public_keys *out, struct err *err)
{
    AUTO_CLEAR(buf) raw = {.max = 64};
    const char *kty, *crv, *x, *kid = NULL;

    if (!json_get_string(jwk, "kty", &kty, "JWK", err) ||
        !json_get_string(jwk, "crv", &crv, "JWK", err) ||
        !json_get_string(jwk, "x", &x, "JWK", err) ||
        !json_get_string_or(jwk, "kid", &kid, "JWK", err))
        return false;
    if (strcmp(kty, "OKP") != 0 || strcmp(crv, "Ed25519") != 0 || json_object_get(jwk, "d"))
        return err_set(err, ERR_INPUT, "the JWK is no Ed25519 public key");
    if (!base64url_decode(&raw, span_of(x)) || raw.len != ED25519_PUBLIC_LEN)
        return err_set(err, ERR_INPUT, "the JWK's \"x\" is not 32 bytes in base64url");
    if (!add_raw(out, buf_span(&raw), err))
        return false;
    return !kid || strcmp(kid, out->at[out->count - 1].id) == 0 ||
           err_set(err, ERR_INPUT, "the JWK calls itself %.40s, but its key is %s", kid,
                   out->at[out->count - 1].id);
}

static bool add_raw(struct public_keys *k, struct span raw, struct err *err)
{
    struct signing_key *key;

    if (k->count == PUBLIC_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d keys", PUBLIC_KEYS_MAX);
    key = signing_key_public((const unsigned char *)raw.data, err);
    if (!key)
        return false;
    signing_key_id(key, k->at[k->count].id);
    k->at[k->count++].key = key;
    return true;
}

const struct signing_key *public_keys_find(const struct public_keys *k, const char *id)
{
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->at[i].id, id) == 0)
            return k->at[i].key;
    return NULL;
}

void jwk_write(const struct signing_key *key, struct jw *w)
{
    unsigned char raw[ED25519_PUBLIC_LEN];
    AUTO_CLEAR(buf) x = {.max = 64};
    char id[KEY_ID_TEXT];

    signing_key_public_raw(key, raw);
    signing_key_id(key, id);
    base64url_encode(&x, raw, sizeof raw);
    jw_object(w);
    jw_string_member(w, "kty", "OKP");
    jw_string_member(w, "crv", "Ed25519");
    jw_string_member(w, "kid", id);
    jw_string_member(w, "use", "sig");
    jw_string_member(w, "alg", "EdDSA");
    jw_span_member(w, "x", buf_span(&x));
    jw_object_end(w);
}

void jwks_write(const struct public_keys *keys, struct jw *w)
{
    jw_object(w);
    jw_key(w, "keys");
    jw_array(w);
    for (size_t i = 0; i < keys->count; i++)
        jwk_write(keys->at[i].key, w);
    jw_array_end(w);
    jw_object_end(w);
}

bool public_keys_keep(const char *archive, const struct signing_key *key, struct err *err)
{
    AUTO_STRING dir = path_join(archive, KEPT);
    AUTO_CLEAR(buf) text = {.max = PUBLIC_KEYS_BYTES_MAX};
    AUTO_STRING path = NULL;
    char id[KEY_ID_TEXT];
    struct err why;
    struct jw w;

    signing_key_id(key, id);
    path = xasprintf("%s/%s.json", dir, id);
    if (file_exists(path))
        return true;
    jw_init(&w, &text);
    jwk_write(key, &w);
    if (!dir_ensure(dir, 0755, err))
        return false;
    if (file_write_new(path, 0644, buf_span(&text), &why) || why.code == ERR_EXISTS)
        return true;
    return err_set(err, why.code, "%s", why.text);
}

bool public_keys_kept(const char *archive, struct public_keys *out, struct err *err)
{
    AUTO_STRING dir = path_join(archive, KEPT);
    char **names = NULL;
    size_t count = 0;
    bool ok;

    *out = (struct public_keys){0};
    if (!dir_list(dir, &names, &count, err))
        return false;
    ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        AUTO_STRING path = path_join(dir, names[i]);

        ok = add_kept(path, out, err) || err_context(err, "%s", path);
    }
    dir_names_free(names, count);
    return ok;
}

static bool add_kept(const char *path, struct public_keys *out, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = PUBLIC_KEYS_BYTES_MAX};

    return file_read(path, &text, err) && parse_json(buf_span(&text), out, err);
}
