/* backend_url.c - a URL that is good here can be connected to, once its name is known. */
#include "backends/backend_url.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/httpc.h"

static const char *mistake_of(const char *text, const char *host, size_t host_len);
static const char *port_mistake(const char *host, size_t host_len);

bool backend_url_parse(const char *text, struct backend_url *out, struct err *err)
{
    bool is_tls = strncmp(text, "https://", 8) == 0;
    const char *host = text + (is_tls ? 8 : 7), *mistake;
    AUTO_STRING origin = NULL;
    size_t host_len;

    if (!is_tls && strncmp(text, "http://", 7) != 0)
        return err_set(err, ERR_INPUT, "its url must begin with http:// or https://");
    host_len = strcspn(host, "/?#");
    if ((mistake = mistake_of(text, host, host_len)))
        return err_set(err, ERR_INPUT, "its url %s", mistake);
    origin = xstrndup(text, (size_t)(host + host_len - text));
    if (!httpc_url_check(origin, err))
        return err_context(err, "its url");
    *out = (struct backend_url){KEEP(origin), host + host_len, is_tls};
    return true;
}

static const char *mistake_of(const char *text, const char *host, size_t host_len)
{
    if (memchr(host, '@', host_len))
        return "may hold no user or password; a key belongs in key_file";
    if (strpbrk(host + host_len, "?#"))
        return "may have no query or fragment";
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 127)
            return "has a blank or a character outside of ASCII";
    return port_mistake(host, host_len);
}

static const char *port_mistake(const char *host, size_t host_len)
{
    const char *colon = memrchr(host, ':', host_len);
    bool has_port = colon && host[host_len - 1] != ']';
    size_t name_len = has_port ? (size_t)(colon - host) : host_len;
    uint64_t port;

    if (name_len == 0)
        return "has no host";
    if (has_port &&
        (!digits_parse((struct span){colon + 1, host_len - name_len - 1}, UINT16_MAX, &port) ||
         port == 0))
        return "has a port that is not a number from 1 to 65535";
    return NULL;
}
