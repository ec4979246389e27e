/* options_check.c - mistakes that a value alone does not show. All are told at once, each with its
 * line. */
#include "gateway/options_check.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/backend.h"
#include "billing/money.h"
#include "gateway/options_files.h"
#include "gateway/options_mistakes.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/redis_address.h"

/* What a running server cannot change: its sockets are open, root is given up, and the directories
 * are in use. */
static const char *const fixed[] = {"listen", "console", "state",   "journal",      "archive",
                                    "zone",   "user",    "workers", "clock_offset", "testing"};

static const char *set_one(const struct options_mistakes *m, const char *a, const char *b);
static void check_fixed(struct options_mistakes *m, const struct options *before);
static bool is_same(const struct conf_option *option, const struct options *a,
                    const struct options *b);
static void check_listeners(struct options_mistakes *m);
static bool check_address(struct options_mistakes *m, const char *option, const char *text);
static void check_directories(struct options_mistakes *m);
static void check_directory(struct options_mistakes *m, const char *option, const char *path);
static bool is_directory(const char *path);
static void check_redis(struct options_mistakes *m);
static void check_process(struct options_mistakes *m);
static void check_limits(struct options_mistakes *m);
static void check_allowance(struct options_mistakes *m);
static void check_backend(struct options_mistakes *m, const struct backend_options *b);
static void check_backend_options(struct options_mistakes *m, const struct backend_options *b);

bool options_check(const struct options *o, const struct options *before, const char *path,
                   const struct conf_places *places, struct buf *problems)
{
    struct options_mistakes m = {
        .options = o, .path = path, .places = places, .problems = problems};

    if (before)
        check_fixed(&m, before);
    check_listeners(&m);
    check_directories(&m);
    check_redis(&m);
    check_process(&m);
    check_limits(&m);
    for (size_t i = 0; i < o->backend_count; i++)
        check_backend(&m, &o->backends[i]);
    options_files_check(&m);
    return m.count == 0;
}

/* Of two options that contradict each other, one that stands in the file. */
static const char *set_one(const struct options_mistakes *m, const char *a, const char *b)
{
    return conf_places_line(m->places, NULL, a) ? a : b;
}

static void check_fixed(struct options_mistakes *m, const struct options *before)
{
    for (size_t i = 0; i < options_table.option_count; i++) {
        const struct conf_option *option = &options_table.options[i];

        for (size_t k = 0; k < ARRAY_LEN(fixed); k++)
            if (strcmp(fixed[k], option->name) == 0 && !is_same(option, before, m->options))
                options_mistake(
                    m, NULL, option->name,
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

static void check_listeners(struct options_mistakes *m)
{
    const struct options *o = m->options;
    bool are_good = check_address(m, "listen", o->listen);

    are_good = check_address(m, "console", o->console_listen) && are_good;
    if (are_good && strcmp(o->listen, o->console_listen) == 0 &&
        strcmp(strrchr(o->listen, ':'), ":0") != 0)
        options_mistake(m, NULL, set_one(m, "console", "listen"),
                        "console and listen are both %s; each needs its own", o->listen);
}

static bool check_address(struct options_mistakes *m, const char *option, const char *text)
{
    struct addr addr;
    struct err err;

    if (!addr_parse(text, &addr, &err)) {
        options_mistake(m, NULL, option, "%s: %s", option, err.text);
        return false;
    }
    if (addr.u.any.sa_family == AF_UNIX) {
        options_mistake(m, NULL, option, "%s = \"%s\" must be ADDRESS:PORT, not a unix socket",
                        option, text);
        return false;
    }
    return true;
}

/* Each is made when it is missing, but not the directory that it is to stand in: a disk that is not
 * mounted must not become a folder. Those inside `state` come with it. */
static void check_directories(struct options_mistakes *m)
{
    const struct options *o = m->options;

    check_directory(m, "state", o->state);
    if (conf_places_line(m->places, NULL, "journal"))
        check_directory(m, "journal", o->journal);
    if (conf_places_line(m->places, NULL, "archive"))
        check_directory(m, "archive", o->archive);
    if (strcmp(o->journal, o->archive) == 0)
        options_mistake(m, NULL, set_one(m, "archive", "journal"),
                        "archive and journal are both \"%s\"; each needs its own", o->archive);
}

static void check_directory(struct options_mistakes *m, const char *option, const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_STRING parent = !slash          ? xstrdup(".")
                         : slash == path ? xstrdup("/")
                                         : xstrndup(path, (size_t)(slash - path));

    if (is_directory(path))
        return;
    if (file_exists(path))
        options_mistake(m, NULL, option, "%s = \"%s\" is not a directory", option, path);
    else if (!is_directory(parent) && strcmp(parent, m->options->state) != 0)
        options_mistake(m, NULL, option, "%s = \"%s\" cannot be made: there is no directory \"%s\"",
                        option, path, parent);
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void check_redis(struct options_mistakes *m)
{
    const struct options *o = m->options;
    AUTO_CLEAR(redis_address) address = {.count = 0};
    struct err err;

    if (!o->redis_certificate != !o->redis_certificate_key)
        options_mistake(m, NULL, set_one(m, "redis_certificate", "redis_certificate_key"),
                        "redis_certificate and redis_certificate_key need each other");
    if (strchr(o->redis, '@'))
        options_mistake(
            m, NULL, "redis",
            "redis: the user and password stand in redis_user and redis_password_file, not in "
            "the address");
    else if (!redis_address_parse(o->redis, &address, &err))
        options_mistake(m, NULL, "redis", "redis = \"%s\": %s", o->redis, err.text);
    else if (o->redis_ca && !address.is_tls)
        options_mistake(m, NULL, "redis_ca",
                        "redis_ca is only for TLS, whose address begins with rediss");
}

static void check_process(struct options_mistakes *m)
{
    const struct options *o = m->options;
    enum log_level level;
    struct err err;

    if (!clock_set_zone(o->zone, &err))
        options_mistake(m, NULL, "zone", "zone: %s", err.text);
    if (!log_level_parse(o->log_level, &level))
        options_mistake(m, NULL, "log_level",
                        "log_level = \"%s\" must be debug, info, warn or error", o->log_level);
    if (o->user && !getpwnam(o->user))
        options_mistake(m, NULL, "user", "user = \"%s\": this machine has no such user", o->user);
    if (o->clock_offset != 0 && !o->testing)
        options_mistake(m, NULL, "clock_offset",
                        "clock_offset is for tests only: it needs `testing = true`");
}

static void check_limits(struct options_mistakes *m)
{
    const struct options *o = m->options;

    if (o->target_bytes > o->head_bytes)
        options_mistake(m, NULL, set_one(m, "target_bytes", "head_bytes"),
                        "target_bytes is more than head_bytes, of which the target is a part");
    if (o->head_timeout > o->total_timeout)
        options_mistake(m, NULL, set_one(m, "head_timeout", "total_timeout"),
                        "head_timeout is more than total_timeout, of which it is a part");
    check_allowance(m);
}

static void check_allowance(struct options_mistakes *m)
{
    const char *text = m->options->offline_allowance;
    struct err err;
    int64_t nanos;

    if (!decimal_parse(span_of(text), &nanos, &err))
        options_mistake(m, NULL, "offline_allowance", "offline_allowance: %s", err.text);
    else if (nanos < 0 || nanos > AMOUNT_NANOS_MAX)
        options_mistake(m, NULL, "offline_allowance",
                        "offline_allowance must be from 0 to 9000000, not %.40s", text);
}

static void check_backend(struct options_mistakes *m, const struct backend_options *b)
{
    if (!id_is_valid(span_of(b->title)))
        options_mistake(m, b->title, NULL,
                        "backend \"%.80s\": a name has 1 to 64 letters, digits, '.', '_' or '-'",
                        b->title);
    if (!b->kind)
        options_mistake(m, b->title, "kind",
                        "backend \"%s\" has no kind: say openai, anthropic or echo", b->title);
    else if (!backend_kind_is_known(b->kind))
        options_mistake(
            m, b->title, "kind",
            "backend \"%s\": there is no kind \"%.80s\"; there are openai, anthropic and echo",
            b->title, b->kind);
    else
        check_backend_options(m, b);
}

/* Those that don't go together, however good each is. */
static void check_backend_options(struct options_mistakes *m, const struct backend_options *b)
{
    if (b->ca_file && b->url && strncmp(b->url, "https://", 8) != 0)
        options_mistake(m, b->title, "ca_file", "backend \"%s\": ca_file is only for an https url",
                        b->title);
    if (strcmp(b->kind, "echo") != 0 && conf_places_line(m->places, b->title, "delay"))
        options_mistake(m, b->title, "delay", "backend \"%s\": delay is only for echo", b->title);
}
