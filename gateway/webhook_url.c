/* webhook_url.c - what is wrong with a URL is said when the webhook is made; what its name means may change any time after. */
#include "gateway/webhook_url.h"

#include <stdio.h>

#include "lib/base/text.h"
#include "lib/net/addr_public.h"

#define HOST_MAX 261

static bool is_plain(const char *text, struct err *err);
static bool judge_host(const char *authority, bool is_tls, bool private_too, struct err *err);
static bool has_port(const char *authority);
static bool host_is_well_formed(const char *authority, struct err *err);

bool webhook_url_parse(const char *text, bool private_too, struct webhook_url *out, struct err *err)
{
    bool is_tls = strncmp(text, "https://", 8) == 0, is_http = strncmp(text, "http://", 7) == 0;
    size_t scheme = is_tls ? 8 : 7, host;
    char authority[HOST_MAX];

    if (!is_plain(text, err))
        return false;
    if (!is_tls && !is_http)
        return err_set(err, ERR_INPUT, "a webhook's URL begins with https://");
    host = strcspn(text + scheme, "/?");
    if (!span_copy((struct span){text + scheme, host}, authority, sizeof authority) || !host)
        return err_set(err, ERR_INPUT, "a webhook's URL names a host: https://example.com/hooks");
    if (!judge_host(authority, is_tls, private_too, err))
        return false;
    snprintf(out->origin, sizeof out->origin, "%.*s", (int)(scheme + host), text);
    snprintf(out->target, sizeof out->target, "%s%s", text[scheme + host] == '/' ? "" : "/",
             text + scheme + host);
    return true;
}

static bool is_plain(const char *text, struct err *err)
{
    if (strlen(text) > WEBHOOK_URL_MAX)
        return err_set(err, ERR_INPUT, "a webhook's URL has %d characters at most",
                       WEBHOOK_URL_MAX);
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}", *p))
            return err_set(err, ERR_INPUT,
                           "a webhook's URL holds no blanks and nothing that must be "
                           "percent-encoded");
    return !strchr(text, '#') ||
           err_set(err, ERR_INPUT, "a webhook's URL has no fragment ('#'): it is never sent");
}

static bool judge_host(const char *authority, bool is_tls, bool private_too, struct err *err)
{
    char place[HOST_MAX + 8];
    struct addr addr;
    bool is_number;

    if (!host_is_well_formed(authority, err))
        return false;
    snprintf(place, sizeof place, "%s%s", authority, has_port(authority) ? "" : ":443");
    is_number = addr_parse(place, &addr, NULL);
    if (authority[0] == '[' && !is_number)
        return err_set(err, ERR_INPUT, "'%.80s' is no address", authority);
    if (is_number && !webhook_may_connect(&addr, private_too))
        return err_set(err, ERR_INPUT,
                       "%s is no public address; webhook_private in the config permits private "
                       "ones",
                       authority);
    return is_tls || (private_too && is_number && addr_is_loopback(&addr)) ||
           err_set(err, ERR_INPUT, "a webhook's URL begins with https://");
}

static bool host_is_well_formed(const char *authority, struct err *err)
{
    const char *port = has_port(authority) ? strrchr(authority, ':') : NULL;
    size_t host = port ? (size_t)(port - authority) : strlen(authority);
    uint64_t number = 0;

    if (strchr(authority, '@'))
        return err_set(err, ERR_INPUT,
                       "a webhook's URL has no user and no password; its messages are signed");
    if (port && (!digits_parse(span_of(port + 1), UINT16_MAX, &number) || number == 0))
        return err_set(err, ERR_INPUT, "'%.80s' has no valid port", authority);
    if (authority[0] != '[' &&
        strspn(authority, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") <
            host)
        return err_set(err, ERR_INPUT, "'%.80s' is no host", authority);
    return host > 0 || err_set(err, ERR_INPUT, "a webhook's URL names a host");
}

/* The colons of "[::1]" belong to the address. */
static bool has_port(const char *authority)
{
    const char *colon = strrchr(authority, ':'), *bracket = strrchr(authority, ']');

    return colon && (!bracket || colon > bracket);
}

bool webhook_may_connect(const struct addr *to, bool private_too)
{
    return private_too ? !addr_is_nowhere(to) && to->u.any.sa_family != AF_UNIX
                       : addr_is_public(to);
}
