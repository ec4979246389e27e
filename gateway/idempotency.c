/* idempotency.c - three values from one header, by HMAC with the installation's pepper under three labels: what the claim is
 * called, what was asked, and the key that seals the answer. */
#include "gateway/idempotency.h"

#include "lib/base/rand.h"
#include "lib/base/text.h"

#define HEADER      "idempotency-key"
#define MESSAGE_MAX 4096

static bool is_visible(struct span key);
static void derive(const struct hmac_key *pepper, const char *label, const char *account,
                   struct span what, unsigned char out[SHA256_LEN]);
static void digest(const struct hmac_key *pepper, const char *label, const char *account,
                   struct span what, char out[DIGEST_TEXT]);
static void add_binding(const struct stored_call *call, struct buf *out);
static bool take_line(struct span *rest, char *out, size_t size);

bool idempotency_key_read(const struct http_head *head, struct span *key, struct err *err)
{
    size_t count = http_header_count(head, HEADER);

    *key = http_header_get(head, HEADER);
    if (count == 0)
        return true;
    if (count > 1)
        return err_set(err, ERR_INPUT, "Idempotency-Key is given %zu times; send it once", count);
    return is_visible(*key) ||
           err_set(err, ERR_INPUT,
                   "Idempotency-Key must be 1 to %d visible ASCII characters, such as a UUID",
                   IDEMPOTENCY_KEY_MAX);
}

static bool is_visible(struct span key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return false;
    return key.len > 0 && key.len <= IDEMPOTENCY_KEY_MAX;
}

void idempotency_derive(const struct hmac_key *pepper, const char *account, struct span key,
                        const struct asked *asked, struct idempotent *out)
{
    AUTO_CLEAR(buf) text = {.max = SHA256_HEX + asked->path.len + 1};
    char hash[SHA256_HEX];

    sha256_hex(asked->body.data, asked->body.len, hash);
    buf_printf(&text, "%s ", hash);
    buf_add_span(&text, asked->path);
    sha256_hex(text.data, text.len, hash);
    digest(pepper, "idempotency key", account, key, out->digests.key);
    digest(pepper, "idempotent request", account, span_of(hash), out->digests.body);
    derive(pepper, "stored answer", account, key, out->sealing_key);
}

void idempotents_derive(const struct peppers *peppers, const char *account, struct span key,
                        const struct asked *asked, struct idempotents *out)
{
    out->count = 0;
    for (int role = 0; role < PEPPERS; role++)
        if (peppers->of[role].id[0])
            idempotency_derive(peppers->of[role].keyed, account, key, asked,
                               &out->by[out->count++]);
}

void idempotents_other_names(const struct idempotents *all, struct claim_names *out)
{
    out->count = 0;
    for (size_t i = 1; i < all->count; i++)
        out->digests[out->count++] = all->by[i].digests;
}

/* Neither a label nor an account has a line feed. */
static void derive(const struct hmac_key *pepper, const char *label, const char *account,
                   struct span what, unsigned char out[SHA256_LEN])
{
    AUTO_CLEAR(buf) message = {.max = MESSAGE_MAX};

    buf_printf(&message, "tollgate %s\n%s\n", label, account);
    buf_add_span(&message, what);
    assert(!message.failed);
    hmac_key_mac(pepper, buf_span(&message), out);
    explicit_bzero(message.data, message.len);
}

static void digest(const struct hmac_key *pepper, const char *label, const char *account,
                   struct span what, char out[DIGEST_TEXT])
{
    unsigned char mac[SHA256_LEN];

    derive(pepper, label, account, what, mac);
    hex_encode(mac, (DIGEST_TEXT - 1) / 2, out);
}

bool stored_answer_seal(const struct stored_answer *answer, const struct stored_call *call,
                        struct buf *out)
{
    AUTO_CLEAR(buf) binding = {.max = MESSAGE_MAX};
    AUTO_CLEAR(buf) plain = {.max = STORED_HEAD_MAX + answer->body.len};
    unsigned char nonce[GCM_NONCE_LEN];

    add_binding(call, &binding);
    buf_printf(&plain, "%s\n%s\n", answer->content_type, answer->cost);
    buf_add_span(&plain, answer->body);
    rand_bytes(nonce, sizeof nonce);
    return !plain.failed &&
           gcm_seal(call->by->sealing_key, nonce, buf_span(&binding), buf_span(&plain), out);
}

static void add_binding(const struct stored_call *call, struct buf *out)
{
    buf_printf(out, "tollgate stored answer 1\n%s\n%s\n%s", call->account, call->request_id,
               call->by->digests.body);
}

bool stored_answer_open(struct span sealed, const struct stored_call *call, struct buf *plain,
                        struct stored_answer *out, struct err *err)
{
    AUTO_CLEAR(buf) binding = {.max = MESSAGE_MAX};
    struct span rest;

    add_binding(call, &binding);
    if (!gcm_open(call->by->sealing_key, buf_span(&binding), sealed, plain, err))
        return false;
    rest = buf_span(plain);
    if (!take_line(&rest, out->content_type, sizeof out->content_type) ||
        !take_line(&rest, out->cost, sizeof out->cost))
        return err_set(err, ERR_DENIED, "a stored answer is malformed");
    out->body = rest;
    return true;
}

static bool take_line(struct span *rest, char *out, size_t size)
{
    const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t n = end ? (size_t)(end - rest->data) : 0;

    if (!end || !span_copy((struct span){rest->data, n}, out, size))
        return false;
    *rest = (struct span){rest->data + n + 1, rest->len - n - 1};
    return true;
}
