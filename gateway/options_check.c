/* options_check.c - mistakes that a value alone does not show. All are told at once, each with its
 * line. */
#include "gateway/options_check.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "billing/money.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/net/redis_address.h"
#include "lib/net/tls.h"

/* What a running server cannot change: its sockets are open, root is given up, and the directories
 * are in use. */
static const char *const fixed[] = {"listen", "console", "state",   "journal",      "archive",
                                    "zone",   "user",    "workers", "clock_offset", "testing"};

struct check {
    const struct options *options;
    const char *path;
    const struct conf_places *places;
    struct buf *problems;
    size_t count;
};

static void problem(struct check *c, const char *section, const char *option, const char *format,
                    ...) PRINTF_LIKE(4, 5);
static const char *set_one(const struct check *c, const char *a, const char *b);
static void check_fixed(struct check *c, const struct options *before);
static bool is_same(const struct conf_option *option, const struct options *a,
                    const struct options *b);
static void check_listeners(struct check *c);
static bool check_address(struct check *c, const char *option, const char *text);
static void check_certificate(struct check *c);
static void check_file(struct check *c, const char *section, const char *option, const char *path);
static void check_secret_file(struct check *c, const char *section, const char *option,
                              const char *path);
static void check_directories(struct check *c);
static void check_directory(struct check *c, const char *option, const char *path);
static bool is_directory(const char *path);
static void check_redis(struct check *c);
static void check_process(struct check *c);
static void check_access_log(struct check *c);
static void check_limits(struct check *c);
static void check_allowance(struct check *c);
static void check_backend(struct check *c, const struct backend_options *b);
static void check_backend_place(struct check *c, const struct backend_options *b);
static bool is_http(const char *url);
static const char *url_mistake(const char *url);

bool options_check(const struct options *o, const struct options *before, const char *path,
                   const struct conf_places *places, struct buf *problems)
{
    struct check c = {.options = o, .path = path, .places = places, .problems = problems};

    if (before)
        check_fixed(&c, before);
    check_listeners(&c);
    check_certificate(&c);
    check_directories(&c);
    check_redis(&c);
    check_process(&c);
    check_access_log(&c);
    check_limits(&c);
    for (size_t i = 0; i < o->backend_count; i++)
        check_backend(&c, &o->backends[i]);
    return c.count == 0;
}

static void problem(struct check *c, const char *section, const char *option, const char *format,
                    ...)
{
    int line = conf_places_line(c->places, section, option);
    char text[512];
    va_list args;

    if (line == 0 && section)
        line = conf_places_line(c->places, section, NULL);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (line > 0)
        buf_printf(c->problems, "%s:%d: %s\n", c->path, line, text);
    else
        buf_printf(c->problems, "%s: %s\n", c->path, text);
    c->count++;
}

/* Of two options that contradict each other, one that stands in the file. */
static const char *set_one(const struct check *c, const char *a, const char *b)
{
    return conf_places_line(c->places, NULL, a) ? a : b;
}

static void check_fixed(struct check *c, const struct options *before)
{
    for (size_t i = 0; i < options_table.option_count; i++) {
        const struct conf_option *option = &options_table.options[i];

        for (size_t k = 0; k < ARRAY_LEN(fixed); k++)
            if (strcmp(fixed[k], option->name) == 0 && !is_same(option, before, c->options))
                problem(c, NULL, option->name,
                        "%s differs from what the server runs with; only a restart changes it",
                        option->name);
    }
}

static bool is_same(const struct conf_option *option, const struct options *a,
                    const struct options *b)
{
    const char *x = (const char *)a + option->offset, *y = (const char *)b + option->offset;
    const char *s = *(char *const *)x, *t = *(char *const *)y;

    if (option->type == CONF_STRING)
        return s == t || (s && t && strcmp(s, t) == 0);
    if (option->type == CONF_BOOL)
        return *(const bool *)x == *(const bool *)y;
    return *(const int64_t *)x == *(const int64_t *)y;
}

static void check_listeners(struct check *c)
{
    const struct options *o = c->options;
    bool are_good = check_address(c, "listen", o->listen);

    are_good = check_address(c, "console", o->console_listen) && are_good;
    if (are_good && strcmp(o->listen, o->console_listen) == 0 &&
        strcmp(strrchr(o->listen, ':'), ":0") != 0)
        problem(c, NULL, set_one(c, "console", "listen"),
                "console and listen are both %s; each needs its own", o->listen);
}

static bool check_address(struct check *c, const char *option, const char *text)
{
    struct addr addr;
    struct err err;

    if (!addr_parse(text, &addr, &err)) {
        problem(c, NULL, option, "%s: %s", option, err.text);
        return false;
    }
    if (addr.u.any.sa_family == AF_UNIX) {
        problem(c, NULL, option, "%s = \"%s\" must be ADDRESS:PORT, not a unix socket", option,
                text);
        return false;
    }
    return true;
}

/* That they belong together is only asked of files that could be read. */
static void check_certificate(struct check *c)
{
    const struct options *o = c->options;
    size_t before = c->count;
    AUTO(tls_context) tls = NULL;
    struct err err;

    check_file(c, NULL, "certificate", o->certificate);
    check_secret_file(c, NULL, "certificate_key", o->certificate_key);
    if (c->count > before)
        return;
    tls = tls_server_new(o->certificate, o->certificate_key, &err);
    if (!tls && strstr(err.text, "key values mismatch"))
        problem(c, NULL, "certificate_key",
                "certificate_key = \"%s\" is not the key of the certificate \"%s\"",
                o->certificate_key, o->certificate);
    else if (!tls)
        problem(c, NULL, "certificate", "certificate: %s", err.text);
}

static void check_file(struct check *c, const char *section, const char *option, const char *path)
{
    struct stat st;

    if (!path)
        return;
    if (stat(path, &st) != 0)
        problem(c, section, option, "%s = \"%s\": %s", option, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        problem(c, section, option, "%s = \"%s\" is not a file", option, path);
    else if (access(path, R_OK) != 0)
        problem(c, section, option, "%s = \"%s\" may not be read: %s", option, path,
                strerror(errno));
}

static void check_secret_file(struct check *c, const char *section, const char *option,
                              const char *path)
{
    struct err err;
    int fd;

    if (!path)
        return;
    fd = file_open_private(path, &err);
    if (fd < 0)
        problem(c, section, option, "%s: %s", option, err.text);
    else
        close(fd);
}

/* Each is made when it is missing, but not the directory that it is to stand in: a disk that is not
 * mounted must not become a folder. Those inside `state` come with it. */
static void check_directories(struct check *c)
{
    const struct options *o = c->options;

    check_directory(c, "state", o->state);
    if (conf_places_line(c->places, NULL, "journal"))
        check_directory(c, "journal", o->journal);
    if (conf_places_line(c->places, NULL, "archive"))
        check_directory(c, "archive", o->archive);
    if (strcmp(o->journal, o->archive) == 0)
        problem(c, NULL, set_one(c, "archive", "journal"),
                "archive and journal are both \"%s\"; each needs its own", o->archive);
}

static void check_directory(struct check *c, const char *option, const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_STRING parent = !slash          ? xstrdup(".")
                         : slash == path ? xstrdup("/")
                                         : xstrndup(path, (size_t)(slash - path));

    if (is_directory(path)) {
        if (access(path, R_OK | W_OK | X_OK) != 0)
            problem(c, NULL, option, "%s = \"%s\": %s", option, path, strerror(errno));
    } else if (file_exists(path)) {
        problem(c, NULL, option, "%s = \"%s\" is not a directory", option, path);
    } else if (!is_directory(parent) && strcmp(parent, c->options->state) != 0) {
        problem(c, NULL, option, "%s = \"%s\" cannot be made: there is no directory \"%s\"", option,
                path, parent);
    }
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void check_redis(struct check *c)
{
    const struct options *o = c->options;
    AUTO_CLEAR(redis_address) address = {.count = 0};
    struct err err;

    check_secret_file(c, NULL, "redis_password_file", o->redis_password_file);
    check_file(c, NULL, "redis_ca", o->redis_ca);
    check_file(c, NULL, "redis_certificate", o->redis_certificate);
    check_secret_file(c, NULL, "redis_certificate_key", o->redis_certificate_key);
    if (!o->redis_certificate != !o->redis_certificate_key)
        problem(c, NULL, set_one(c, "redis_certificate", "redis_certificate_key"),
                "redis_certificate and redis_certificate_key need each other");
    if (strchr(o->redis, '@'))
        problem(c, NULL, "redis",
                "redis: the user and password stand in redis_user and redis_password_file, not in "
                "the address");
    else if (!redis_address_parse(o->redis, &address, &err))
        problem(c, NULL, "redis", "redis = \"%s\": %s", o->redis, err.text);
    else if (o->redis_ca && !address.is_tls)
        problem(c, NULL, "redis_ca", "redis_ca is only for TLS, whose address begins with rediss");
}

static void check_process(struct check *c)
{
    const struct options *o = c->options;
    enum log_level level;
    struct err err;

    check_file(c, NULL, "webhook_ca_file", o->webhook_ca_file);
    if (!clock_set_zone(o->zone, &err))
        problem(c, NULL, "zone", "zone: %s", err.text);
    if (!log_level_parse(o->log_level, &level))
        problem(c, NULL, "log_level", "log_level = \"%s\" must be debug, info, warn or error",
                o->log_level);
    if (o->user && !getpwnam(o->user))
        problem(c, NULL, "user", "user = \"%s\": this machine has no such user", o->user);
    if (o->clock_offset != 0 && !o->testing)
        problem(c, NULL, "clock_offset",
                "clock_offset is for tests only: it needs `testing = true`");
}

static void check_access_log(struct check *c)
{
    const char *path = c->options->access_log;
    const char *slash = path ? strrchr(path, '/') : NULL;
    AUTO_STRING dir = slash && slash > path ? xstrndup(path, (size_t)(slash - path)) : xstrdup("/");

    if (!slash || (is_directory(dir) && !is_directory(path) &&
                   access(file_exists(path) ? path : dir, W_OK) == 0))
        return;
    problem(c, NULL, "access_log", "access_log = \"%s\" cannot be written: %s", path,
            is_directory(path) ? "it is a directory" : strerror(errno));
}

static void check_limits(struct check *c)
{
    const struct options *o = c->options;

    if (o->target_bytes > o->head_bytes)
        problem(c, NULL, set_one(c, "target_bytes", "head_bytes"),
                "target_bytes is more than head_bytes, of which the target is a part");
    if (o->head_timeout > o->total_timeout)
        problem(c, NULL, set_one(c, "head_timeout", "total_timeout"),
                "head_timeout is more than total_timeout, of which it is a part");
    check_allowance(c);
}

static void check_allowance(struct check *c)
{
    const char *text = c->options->offline_allowance;
    struct err err;
    int64_t nanos;

    if (!decimal_parse(span_of(text), &nanos, &err))
        problem(c, NULL, "offline_allowance", "offline_allowance: %s", err.text);
    else if (nanos < 0 || nanos > AMOUNT_NANOS_MAX)
        problem(c, NULL, "offline_allowance",
                "offline_allowance must be from 0 to 9000000, not %.40s", text);
}

static void check_backend(struct check *c, const struct backend_options *b)
{
    if (!id_is_valid(span_of(b->title)))
        problem(c, b->title, NULL,
                "backend \"%.80s\": a name has 1 to 64 letters, digits, '.', '_' or '-'", b->title);
    if (!b->kind)
        problem(c, b->title, "kind", "backend \"%s\" has no kind: say openai, anthropic or echo", b->title);
    else if (!backend_kind_is_known(b->kind))
        problem(c, b->title, "kind",
                "backend \"%s\": there is no kind \"%.80s\"; there are openai, anthropic and echo", b->title,
                b->kind);
    else
        check_backend_place(c, b);
    check_secret_file(c, b->title, "key_file", b->key_file);
    check_file(c, b->title, "ca_file", b->ca_file);
}

static void check_backend_place(struct check *c, const struct backend_options *b)
{
    bool is_built_in = strcmp(b->kind, "echo") == 0;
    const char *mistake = NULL;

    if (b->url && !is_built_in)
        mistake = is_http(b->url) ? url_mistake(b->url) : "must begin with http:// or https://";
    if (is_built_in && b->url)
        problem(c, b->title, "url", "backend \"%s\": echo is built in and has no url", b->title);
    if (!is_built_in && !b->url)
        problem(c, b->title, "url", "backend \"%s\" has no url", b->title);
    if (mistake) /* what stands before '@' may be a secret */
        problem(c, b->title, "url", "backend \"%s\": url = \"%.200s\" %s", b->title,
                strchr(b->url, '@') ? "…" : b->url, mistake);
    if (b->ca_file && b->url && strncmp(b->url, "https://", 8) != 0)
        problem(c, b->title, "ca_file", "backend \"%s\": ca_file is only for an https url",
                b->title);
    if (!is_built_in && conf_places_line(c->places, b->title, "delay"))
        problem(c, b->title, "delay", "backend \"%s\": delay is only for echo", b->title);
}

static bool is_http(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

/* Of scheme://host[:port][/path]: what is wrong, or null. */
static const char *url_mistake(const char *url)
{
    const char *host = strstr(url, "://");
    size_t host_len, name_len;
    const char *port;

    if (!host)
        return "is no URL";
    host += 3;
    host_len = strcspn(host, "/?#");
    if (memchr(host, '@', host_len))
        return "may hold no user or password; a key belongs in key_file";
    if (strpbrk(host + host_len, "?#"))
        return "may have no query or fragment";
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 127)
            return "has a blank or a character outside of ASCII";
    port = memrchr(host, ':', host_len);
    name_len = port && host[host_len - 1] != ']' ? (size_t)(port - host) : host_len;
    if (name_len == 0)
        return "has no host";
    if (name_len < host_len) {
        uint64_t n;

        if (!digits_parse((struct span){port + 1, host_len - name_len - 1}, UINT16_MAX, &n) ||
            n == 0)
            return "has a port that is not a number from 1 to 65535";
    }
    return NULL;
}
