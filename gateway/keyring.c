/* keyring.c - checks presented keys. Only good answers are cached, and only for as long as a lost change may go unnoticed;
 * admission checks a key's state again in the account's own partition, so a revoked key fails at its next call anyway. */
#include "gateway/keyring.h"

#include <assert.h>
#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define CACHE_MS      30000
#define POLL_MS       100
#define PUBLIC_ID_LEN (KEY_ID_PUBLIC - 1)
#define SECRET_LEN    (KEY_SECRET_TEXT - 1)
#define BUCKETS       4096

struct entry {
    struct entry *next;       /* of its bucket */
    struct key_holder holder; /* holds its access */
    int64_t expires_at;       /* the key's own, 0: never */
    int64_t read_ms;          /* monotonic */
};

struct keyring {
    struct loop *loop;
    struct redis *redis;
    struct keyring_config config;
    size_t entries;
    struct entry *bucket[BUCKETS];
    struct key_check *waiting; /* until their partitions have recovered */
    struct timer *poll;
};

struct key_check {
    struct keyring *keyring;
    struct key_check *next; /* of those that wait */
    int64_t asked_ms;       /* monotonic */
    struct key_holder holder;
    bool fresh;
    key_on_verdict *on_verdict; /* null once cancelled */
    void *arg;
};

static bool key_from_authorization(struct span value, struct span *key);
static struct entry **find(struct keyring *k, const char *public_id);
static void drop(struct keyring *k, struct entry **link);
static void hash_all(const struct keyring *k, const struct api_key *key, struct key_holder *asked);
static const struct key_holder *find_cached(struct keyring *k, const struct key_holder *asked,
                                            int64_t age_ms);
static struct key_check *read_key(struct keyring *k, const struct key_holder *asked, bool fresh,
                                  key_on_verdict *on_verdict, void *arg);
static void on_state(void *arg, bool found, const struct key_state *state, const struct err *err);
static bool may_wait(const struct key_check *c);
static void wait_for_recovery(struct key_check *c);
static void on_poll(void *arg);
static void answer(struct key_check *c, enum key_verdict verdict, const struct key_holder *holder);
static bool take_access(struct key_check *c, const struct key_state *state);
static bool is_away(enum key_verdict verdict, const struct err *err);
static enum key_verdict judge(const struct key_check *c, bool found, const struct key_state *state,
                              const struct err *err);
static bool is_recovering(const struct key_check *c, const struct err *err);
static bool has_secret(const struct key_check *c, const struct key_state *state);
static void note_outdated(const struct key_check *c, const struct key_state *state);
static void remember(struct keyring *k, struct key_check *c, const struct key_state *state);

/* Who has a key of another service in the environment has SDKs that send it in x-api-key, beside ours as the bearer. */
bool credential_is_one(const struct http_head *head, struct err *err)
{
    static const char *const names[] = {"authorization", "x-api-key"};
    struct span authorization = http_header_get(head, names[0]);
    struct span key = http_header_get(head, names[1]), bearer;
    AUTO_CLEAR(api_key) other = {0};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (http_header_count(head, names[i]) > 1)
            return err_set(err, ERR_INPUT, "'%s' is given %zu times; send it once", names[i],
                           http_header_count(head, names[i]));
    if (!authorization.data || !key.data || !key_from_authorization(authorization, &bearer))
        return true;
    return span_equal(bearer, key) || !api_key_parse(key, &other) ||
           err_set(err, ERR_INPUT,
                   "'authorization' and 'x-api-key' have different keys; send one of them");
}

bool api_key_from_head(const struct http_head *head, struct api_key *out, bool *present)
{
    struct span authorization = http_header_get(head, "authorization");
    struct span key = http_header_get(head, "x-api-key");

    *present = authorization.data || key.data;
    if (authorization.data && !key_from_authorization(authorization, &key))
        return false;
    return *present && api_key_parse(key, out);
}

static bool key_from_authorization(struct span value, struct span *key)
{
    const size_t scheme = strlen("Bearer ");

    if (value.len < scheme ||
        !span_equal_nocase((struct span){value.data, scheme}, SPAN("Bearer ")))
        return false;
    *key = (struct span){value.data + scheme, value.len - scheme};
    return true;
}

static bool is_key_text(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!(text.data[i] >= '0' && text.data[i] <= '9') &&
            !(text.data[i] >= 'a' && text.data[i] <= 'z'))
            return false;
    return true;
}

bool api_key_parse(struct span text, struct api_key *out)
{
    const size_t head = strlen("sk-tg-");
    struct span public_id, secret;
    uint64_t partition;

    if (text.len != head + PUBLIC_ID_LEN + 1 + SECRET_LEN || text.data[head + PUBLIC_ID_LEN] != '-')
        return false;
    if (!span_starts(text, SPAN("sk-tg-")) && !span_starts(text, SPAN("ck-tg-")))
        return false;
    public_id = (struct span){text.data + head, PUBLIC_ID_LEN};
    secret = (struct span){text.data + head + PUBLIC_ID_LEN + 1, SECRET_LEN};
    if (!is_key_text(public_id) || !is_key_text(secret) ||
        !digits_parse((struct span){public_id.data, 2}, PARTITIONS - 1, &partition))
        return false;
    out->kind = text.data[0] == 's' ? 'a' : 'c';
    return span_copy(public_id, out->public_id, sizeof out->public_id) &&
           secret_set(&out->secret, secret, NULL);
}

/* n characters of [0-9a-z] out of digest bytes; the slight bias (256 is no multiple of 36) costs less than a bit of 165. */
static void spell(const unsigned char *digest, char *out, size_t n)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";

    for (size_t i = 0; i < n; i++)
        out[i] = letters[digest[i] % 36];
    out[n] = '\0';
}

static void write_origin(const char *what, const struct key_origin *from, struct buf *out)
{
    buf_printf(out, "%s\n%c\n%s\n%s", what, from->kind, from->owner, from->op);
    assert(!out->failed);
}

void api_key_derive(const struct key_origin *from, const struct secret *pepper, struct api_key *out)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(from->owner));
    AUTO_CLEAR(buf) id_text = {.max = 512};
    AUTO_CLEAR(buf) secret_text = {.max = 512};
    unsigned char digest[SHA256_LEN];
    char secret[KEY_SECRET_TEXT];
    bool fits;

    out->kind = from->kind;
    out->public_id[0] = (char)('0' + p.index / 10);
    out->public_id[1] = (char)('0' + p.index % 10);
    buf_printf(&id_text, "%s\n", from->installation);
    write_origin("public id", from, &id_text);
    sha256(id_text.data, id_text.len, digest);
    spell(digest, out->public_id + 2, PUBLIC_ID_LEN - 2);
    write_origin("secret", from, &secret_text);
    hmac_sha256(pepper, buf_span(&secret_text), digest);
    spell(digest, secret, SECRET_LEN);
    fits = secret_set(&out->secret, (struct span){secret, SECRET_LEN}, NULL);
    assert(fits);
    explicit_bzero(digest, sizeof digest);
    explicit_bzero(secret, sizeof secret);
}

void api_key_text(const struct api_key *k, struct buf *out)
{
    buf_printf(out, "%s-tg-%s-", k->kind == 'a' ? "sk" : "ck", k->public_id);
    buf_add_span(out, secret_reveal(&k->secret));
}

void api_key_hash(const struct api_key *k, const struct secret *pepper, unsigned char out[32])
{
    hmac_sha256(pepper, secret_reveal(&k->secret), out);
}

struct keyring *keyring_new(struct loop *loop, struct redis *redis,
                            const struct keyring_config *config)
{
    struct keyring *k = xcalloc(1, sizeof *k);

    k->loop = loop;
    k->redis = redis;
    k->config = *config;
    k->poll = timer_new(loop, on_poll, k);
    return k;
}

void keyring_free(struct keyring *k)
{
    if (!k)
        return;
    while (k->waiting) {
        struct key_check *c = k->waiting;

        k->waiting = c->next;
        answer(c, KEY_RECOVERING, &c->holder);
    }
    timer_free(k->poll);
    keyring_forget_all(k);
    free(k);
}

struct key_check *keyring_check(struct keyring *k, const struct api_key *key, bool fresh,
                                key_on_verdict *on_verdict, void *arg)
{
    struct key_holder asked = {.kind = key->kind};
    const struct key_holder *holder;

    memcpy(asked.public_id, key->public_id, sizeof asked.public_id);
    hmac_key_mac(k->config.peppers->of[PEPPER_IN_USE].keyed, secret_reveal(&key->secret),
                 asked.hash[PEPPER_IN_USE]);
    if (!fresh && (holder = find_cached(k, &asked, CACHE_MS))) {
        on_verdict(arg, KEY_GOOD, holder);
        return NULL;
    }
    hash_all(k, key, &asked);
    return read_key(k, &asked, fresh, on_verdict, arg);
}

/* Which of them Redis has is not known yet. */
static void hash_all(const struct keyring *k, const struct api_key *key, struct key_holder *asked)
{
    enum pepper_role role = PEPPER_IN_USE;

    while (peppers_next(k->config.peppers, &role))
        hmac_key_mac(k->config.peppers->of[role].keyed, secret_reveal(&key->secret),
                     asked->hash[role]);
}

struct key_check *keyring_check_again(struct keyring *k, const struct key_holder *holder,
                                      key_on_verdict *on_verdict, void *arg)
{
    struct key_holder asked = {.kind = holder->kind};

    memcpy(asked.public_id, holder->public_id, sizeof asked.public_id);
    memcpy(asked.hash, holder->hash, sizeof asked.hash);
    return read_key(k, &asked, true, on_verdict, arg);
}

static struct key_check *read_key(struct keyring *k, const struct key_holder *asked, bool fresh,
                                  key_on_verdict *on_verdict, void *arg)
{
    struct key_check *c = xcalloc(1, sizeof *c);

    c->keyring = k;
    c->holder = *asked;
    c->fresh = fresh;
    c->asked_ms = clock_monotonic_ms();
    c->on_verdict = on_verdict;
    c->arg = arg;
    key_read(k->redis, asked->public_id, on_state, c);
    return c;
}

void key_check_cancel(struct key_check *c)
{
    c->on_verdict = NULL;
}

/* An entry that is older than 30 s stays until it is read anew, for when that fails. */
static const struct key_holder *find_cached(struct keyring *k, const struct key_holder *asked,
                                            int64_t age_ms)
{
    const struct entry *e = *find(k, asked->public_id);

    if (!e || clock_monotonic_ms() - e->read_ms >= age_ms ||
        (e->expires_at && clock_now() >= e->expires_at) || e->holder.kind != asked->kind ||
        !crypto_equal(e->holder.hash[PEPPER_IN_USE], asked->hash[PEPPER_IN_USE], SHA256_LEN))
        return NULL;
    return &e->holder;
}

static void on_state(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct key_check *c = arg;
    const struct key_holder *holder = &c->holder, *cached;
    enum key_verdict verdict = judge(c, found, state, err);

    if (verdict == KEY_GOOD && !take_access(c, state)) {
        verdict = KEY_UNREADABLE;
    } else if (verdict == KEY_GOOD) {
        memcpy(c->holder.owner, state->owner, sizeof c->holder.owner);
        memcpy(c->holder.first_key, state->first_key, sizeof c->holder.first_key);
        remember(c->keyring, c, state);
        note_outdated(c, state);
    } else if (is_away(verdict, err) && !c->fresh &&
               (cached = find_cached(c->keyring, &c->holder, c->keyring->config.stale_ms))) {
        verdict = KEY_GOOD;
        holder = cached;
    } else if (verdict == KEY_RECOVERING && may_wait(c)) {
        wait_for_recovery(c);
        return;
    }
    answer(c, verdict, holder);
}

static bool may_wait(const struct key_check *c)
{
    return c->on_verdict &&
           clock_monotonic_ms() - c->asked_ms < c->keyring->config.recovering_wait_ms;
}

static void wait_for_recovery(struct key_check *c)
{
    struct keyring *k = c->keyring;

    if (!k->waiting)
        timer_start(k->poll, POLL_MS);
    c->next = k->waiting;
    k->waiting = c;
}

/* Nobody is answered before this returns, so none waits anew meanwhile. */
static void on_poll(void *arg)
{
    struct keyring *k = arg;
    struct key_check *c = k->waiting, *next;

    k->waiting = NULL;
    for (; c; c = next) {
        next = c->next;
        key_read(k->redis, c->holder.public_id, on_state, c);
    }
}

static void answer(struct key_check *c, enum key_verdict verdict, const struct key_holder *holder)
{
    if (c->on_verdict)
        c->on_verdict(c->arg, verdict, holder);
    key_access_free(c->holder.access);
    free(c);
}

/* What cannot be read opens nothing. */
static bool take_access(struct key_check *c, const struct key_state *state)
{
    struct err err;

    if (key_access_parse(state->access, &c->holder.access, &err))
        return true;
    log_warn("key_unreadable", "what key %s opens can't be read: %s", c->holder.public_id,
             err.text);
    return false;
}

static bool is_away(enum key_verdict verdict, const struct err *err)
{
    return verdict == KEY_RECOVERING ||
           (verdict == KEY_UNREADABLE &&
            (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT));
}

/* Who does not have the secret learns nothing of the key's state. */
static enum key_verdict judge(const struct key_check *c, bool found, const struct key_state *state,
                              const struct err *err)
{
    if (err)
        return is_recovering(c, err) ? KEY_RECOVERING : KEY_UNREADABLE;
    if (!found || state->owner_kind != c->holder.kind || !has_secret(c, state))
        return KEY_UNKNOWN;
    if (state->revoked)
        return KEY_REVOKED;
    return state->expires_at && clock_now() >= state->expires_at ? KEY_EXPIRED : KEY_GOOD;
}

static bool is_recovering(const struct key_check *c, const struct err *err)
{
    return err->code == ERR_UNAVAILABLE &&
           key_server_is_ready(c->keyring->redis, c->holder.public_id);
}

/* A key whose pepper is gone is good for nothing. */
static bool has_secret(const struct key_check *c, const struct key_state *state)
{
    enum pepper_role role;

    return peppers_find(c->keyring->config.peppers, state->pepper, &role) &&
           crypto_equal(state->hash, c->holder.hash[role], SHA256_LEN);
}

static void note_outdated(const struct key_check *c, const struct key_state *state)
{
    const struct keyring_config *config = &c->keyring->config;
    enum pepper_role role;

    if (config->on_outdated && peppers_find(config->peppers, state->pepper, &role) &&
        role == PEPPER_PREVIOUS)
        config->on_outdated(config->arg, c->holder.public_id, c->holder.hash[PEPPER_IN_USE]);
}

/* A full cache is emptied: refilling it costs one look-up a key, and happens only under floods of keys. What is known of
 * its account goes over to the new entry. */
static void remember(struct keyring *k, struct key_check *c, const struct key_state *state)
{
    struct entry **link, *e;

    if (k->entries >= k->config.entries_max)
        keyring_forget_all(k);
    link = find(k, c->holder.public_id);
    if (!*link) {
        *link = xcalloc(1, sizeof **link);
        k->entries++;
    }
    e = *link;
    key_access_free(e->holder.access);
    memcpy(c->holder.zone, e->holder.zone, sizeof c->holder.zone);
    e->holder = c->holder;
    key_access_hold(e->holder.access);
    e->expires_at = state->expires_at;
    e->read_ms = clock_monotonic_ms();
}

/* The link that points to the entry, or the null one at its bucket's end. */
static struct entry **find(struct keyring *k, const char *public_id)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    struct entry **link;

    for (const char *p = public_id; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    link = &k->bucket[h % BUCKETS];
    while (*link && strcmp((*link)->holder.public_id, public_id) != 0)
        link = &(*link)->next;
    return link;
}

static void drop(struct keyring *k, struct entry **link)
{
    struct entry *e = *link;

    *link = e->next;
    k->entries--;
    key_access_free(e->holder.access);
    free(e);
}

void keyring_note_zone(struct keyring *k, const char *public_id, const char *zone)
{
    struct entry *e = *find(k, public_id);

    if (e && !span_copy(span_of(zone), e->holder.zone, sizeof e->holder.zone))
        e->holder.zone[0] = '\0';
}

void keyring_forget(struct keyring *k, const char *public_id)
{
    struct entry **link = find(k, public_id);

    if (*link)
        drop(k, link);
}

void keyring_forget_all(struct keyring *k)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (k->bucket[i])
            drop(k, &k->bucket[i]);
}
