/* redis_address.c - addresses as an operator writes them. */
#include "lib/net/redis_address.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

static bool parse_scheme(const char *text, struct redis_address *a, const char **rest,
                         struct err *err);
static bool parse_user(struct redis_address *a, const char **rest, struct err *err);
static bool parse_master(struct redis_address *a, struct span *places, struct err *err);
static bool parse_places(struct redis_address *a, struct span places, struct err *err);
static bool add_place(struct redis_address *a, struct span text, struct err *err);
static bool name_host(const char *text, struct redis_place *p, struct err *err);
static bool is_host(struct span host, bool may_have_colons);

bool redis_address_parse(const char *text, struct redis_address *out, struct err *err)
{
    AUTO_CLEAR(redis_address) a = {.kind = REDIS_ALONE};
    struct span places;
    const char *rest = text;

    if (strncmp(text, "unix:", 5) == 0) {
        if (!add_place(&a, span_of(text), err))
            return false;
    } else {
        if (!parse_scheme(text, &a, &rest, err) || !parse_user(&a, &rest, err))
            return false;
        places = span_of(rest);
        if (!parse_master(&a, &places, err) || !parse_places(&a, places, err))
            return false;
    }
    *out = a;
    a = (struct redis_address){.kind = REDIS_ALONE};
    return true;
}

void redis_address_clear(struct redis_address *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->places[i]);
    free(a->places);
    free(a->master);
    free(a->user);
    *a = (struct redis_address){.kind = REDIS_ALONE};
}

static bool parse_scheme(const char *text, struct redis_address *a, const char **rest,
                         struct err *err)
{
    static const struct {
        const char *scheme;
        enum redis_kind kind;
        bool is_tls;
    } table[] = {
        {"redis://", REDIS_ALONE, false},
        {"rediss://", REDIS_ALONE, true},
        {"redis-sentinel://", REDIS_BY_SENTINEL, false},
        {"rediss-sentinel://", REDIS_BY_SENTINEL, true},
        {"redis-cluster://", REDIS_IN_CLUSTER, false},
        {"rediss-cluster://", REDIS_IN_CLUSTER, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t n = strlen(table[i].scheme);

        if (strncmp(text, table[i].scheme, n) != 0)
            continue;
        a->kind = table[i].kind;
        a->is_tls = table[i].is_tls;
        *rest = text + n;
        return true;
    }
    return err_set(err, ERR_INPUT,
                   "it begins with unix:, redis://, redis-sentinel:// or redis-cluster://, or with "
                   "rediss for TLS");
}

static bool parse_user(struct redis_address *a, const char **rest, struct err *err)
{
    const char *at = strrchr(*rest, '@');
    struct span user = {*rest, at ? (size_t)(at - *rest) : 0};

    if (!at)
        return true;
    if (memchr(user.data, ':', user.len))
        return err_set(err, ERR_INPUT,
                       "a password does not belong into an address, but into a file");
    if (user.len == 0)
        return err_set(err, ERR_INPUT, "there is no user before the @");
    a->user = xstrndup(user.data, user.len);
    *rest = at + 1;
    return true;
}

static bool parse_master(struct redis_address *a, struct span *places, struct err *err)
{
    const char *slash = memchr(places->data, '/', places->len);
    struct span name = {slash ? slash + 1 : "", 0};

    if (slash) {
        name.len = places->len - (size_t)(name.data - places->data);
        places->len = (size_t)(slash - places->data);
    }
    if (a->kind == REDIS_BY_SENTINEL) {
        if (name.len == 0 || memchr(name.data, '/', name.len))
            return err_set(err, ERR_INPUT,
                           "behind the sentinels stands /NAME, the master's name as they know it");
        a->master = xstrndup(name.data, name.len);
    } else if (slash) {
        return err_set(err, ERR_INPUT, "nothing stands behind the port; data are in database 0");
    }
    return true;
}

static bool parse_places(struct redis_address *a, struct span places, struct err *err)
{
    while (true) {
        const char *comma = memchr(places.data, ',', places.len);
        struct span one = {places.data, comma ? (size_t)(comma - places.data) : places.len};

        if (!add_place(a, one, err))
            return false;
        if (!comma)
            break;
        places = (struct span){comma + 1, places.len - one.len - 1};
    }
    if (a->kind == REDIS_ALONE && a->count > 1)
        return err_set(err, ERR_INPUT,
                       "several servers are redis-sentinel:// or redis-cluster://, not redis://");
    return true;
}

static bool add_place(struct redis_address *a, struct span text, struct err *err)
{
    AUTO_STRING one = xstrndup(text.data, text.len);
    struct redis_place place;
    struct addr addr;

    if (a->count == REDIS_PLACES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d servers", REDIS_PLACES_MAX);
    if (strncmp(one, "unix:", 5) == 0 ? !addr_parse(one, &addr, err) : !name_host(one, &place, err))
        return false;
    a->places = xrealloc_array(a->places, a->count + 1, sizeof *a->places);
    a->places[a->count++] = KEEP(one);
    return true;
}

/* Also checks the form. */
static bool name_host(const char *text, struct redis_place *p, struct err *err)
{
    const char *colon = strrchr(text, ':');
    struct span host = {text, colon ? (size_t)(colon - text) : 0};
    bool has_brackets = host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    uint64_t port;

    if (has_brackets)
        host = (struct span){host.data + 1, host.len - 2};
    if (!colon || !digits_parse(span_of(colon + 1), UINT16_MAX, &port) || port == 0 ||
        !is_host(host, has_brackets) || !span_copy(host, p->host, REDIS_HOST))
        return err_set(err, ERR_INPUT, "\"%.200s\" is not HOST:PORT", text);
    return true;
}

static bool is_host(struct span host, bool may_have_colons)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];

        if (c <= ' ' || c >= 127 || strchr("[]/?#", c) || (c == ':' && !may_have_colons))
            return false;
    }
    return host.len > 0;
}

bool redis_place_resolve(const char *text, struct redis_place *out, struct err *err)
{
    struct redis_place p = {.host = ""};

    if (strncmp(text, "unix:", 5) != 0 && !name_host(text, &p, err))
        return false;
    if (!addr_resolve(text, &p.addr, err))
        return false;
    *out = p;
    return true;
}

bool redis_place_parse(const char *text, struct redis_place *out, struct err *err)
{
    struct redis_place p = {.host = ""};

    if (!name_host(text, &p, err) || !addr_parse(text, &p.addr, err))
        return false;
    *out = p;
    return true;
}
