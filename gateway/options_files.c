/* options_files.c - a file is read as a whole only once it is known to be there and to be private, so that each mistake has
 * the sentence that helps, at the line of its own option. */
#include "gateway/options_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/options_backend.h"
#include "gateway/privileges.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/net/tls.h"

static void check_certificate(struct options_mistakes *m, const struct options *o);
static void check_as_user(struct options_mistakes *m, const struct options *o);
static void check_redis(struct options_mistakes *m, const struct options *o);
static void check_redis_identity(struct options_mistakes *m, const struct options *o);
static void check_directory(struct options_mistakes *m, const char *option, const char *path);
static void check_access_log(struct options_mistakes *m, const char *path);
static void check_backend(struct options_mistakes *m, const struct options *o,
                          const struct backend_options *b);
static void check_authorities(struct options_mistakes *m, const char *section, const char *option,
                              const char *path);
static void check_file(struct options_mistakes *m, const char *option, const char *path);
static void check_private_file(struct options_mistakes *m, const char *option, const char *path);
static bool is_directory(const char *path);
static bool may(const char *path, int what);

void options_files_check(struct options_mistakes *m)
{
    check_certificate(m, m->options);
    if (!privileges_enter(m->options->user,
                          NULL)) /* options_check.c says that there is no such user */
        return;
    check_as_user(m, m->options);
    privileges_leave();
}

/* That they belong together is only asked of files that could be read. */
static void check_certificate(struct options_mistakes *m, const struct options *o)
{
    size_t before = m->count;
    AUTO(tls_context) tls = NULL;
    struct err err;

    check_file(m, "certificate", o->certificate);
    check_private_file(m, "certificate_key", o->certificate_key);
    if (m->count > before)
        return;
    tls = tls_server_new(o->certificate, o->certificate_key, &err);
    if (!tls && strstr(err.text, "key values mismatch"))
        options_mistake(m, NULL, "certificate_key",
                        "certificate_key = \"%s\" is not the key of the certificate \"%s\"",
                        o->certificate_key, o->certificate);
    else if (!tls)
        options_mistake(m, NULL, "certificate", "certificate: %s", err.text);
}

static void check_as_user(struct options_mistakes *m, const struct options *o)
{
    check_directory(m, "state", o->state);
    check_directory(m, "journal", o->journal);
    check_directory(m, "archive", o->archive);
    check_redis(m, o);
    check_authorities(m, NULL, "webhook_ca_file", o->webhook_ca_file);
    check_access_log(m, o->access_log);
    for (size_t i = 0; i < o->backend_count; i++)
        check_backend(m, o, &o->backends[i]);
}

static void check_redis(struct options_mistakes *m, const struct options *o)
{
    AUTO_CLEAR(secret) password = {.len = 0};
    struct err err;

    if (o->redis_password_file && !secret_read_file(&password, o->redis_password_file, &err))
        options_mistake(m, NULL, "redis_password_file", "redis_password_file: %s", err.text);
    check_authorities(m, NULL, "redis_ca", o->redis_ca);
    if (o->redis_certificate && o->redis_certificate_key)
        check_redis_identity(m, o);
}

static void check_redis_identity(struct options_mistakes *m, const struct options *o)
{
    size_t before = m->count;
    AUTO(tls_context) tls = NULL;
    struct err err;

    check_file(m, "redis_certificate", o->redis_certificate);
    check_private_file(m, "redis_certificate_key", o->redis_certificate_key);
    if (m->count > before)
        return;
    tls = tls_client_new(NULL, &err);
    if (!tls || !tls_client_identify(tls, o->redis_certificate, o->redis_certificate_key, &err))
        options_mistake(m, NULL, "redis_certificate", "redis_certificate: %s", err.text);
}

/* One that is there must be the server's own. A disk that is read-only for now is no mistake of the
 * config: the server starts, and refuses calls until it can be written. */
static void check_directory(struct options_mistakes *m, const char *option, const char *path)
{
    if (is_directory(path) && !may(path, R_OK | W_OK | X_OK) && errno != EROFS)
        options_mistake(m, NULL, option, "%s = \"%s\": %s", option, path, strerror(errno));
}

static void check_access_log(struct options_mistakes *m, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    AUTO_STRING dir = slash && slash > path ? xstrndup(path, (size_t)(slash - path)) : xstrdup("/");

    if (!slash ||
        (is_directory(dir) && !is_directory(path) && may(file_exists(path) ? path : dir, W_OK)))
        return;
    options_mistake(m, NULL, "access_log", "access_log = \"%s\" cannot be written: %s", path,
                    is_directory(path) ? "it is a directory" : strerror(errno));
}

/* That its kind is known is options_check.c's. */
static void check_backend(struct options_mistakes *m, const struct options *o,
                          const struct backend_options *b)
{
    AUTO_CLEAR(options_backend) settings = {.config = {.kind = NULL}};
    const char *option = "key_file";
    struct err err;

    if (!b->kind || !backend_kind_is_known(b->kind))
        return;
    if (!options_backend_read(&settings, o, b, &err) ||
        !backend_check(&settings.config, &option, &err))
        options_mistake(m, b->title, option, "backend \"%s\": %s", b->title, err.text);
}

static void check_authorities(struct options_mistakes *m, const char *section, const char *option,
                              const char *path)
{
    AUTO(tls_context) tls = NULL;
    struct err err;

    if (path && !(tls = tls_client_new(path, &err)))
        options_mistake(m, section, option, "%s: %s", option, err.text);
}

static void check_file(struct options_mistakes *m, const char *option, const char *path)
{
    struct stat st;

    if (!path)
        return;
    if (stat(path, &st) != 0)
        options_mistake(m, NULL, option, "%s = \"%s\": %s", option, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        options_mistake(m, NULL, option, "%s = \"%s\" is not a file", option, path);
    else if (!may(path, R_OK))
        options_mistake(m, NULL, option, "%s = \"%s\" may not be read: %s", option, path,
                        strerror(errno));
}

static void check_private_file(struct options_mistakes *m, const char *option, const char *path)
{
    struct err err;
    int fd;

    if (!path)
        return;
    fd = file_open_private(path, &err);
    if (fd < 0)
        options_mistake(m, NULL, option, "%s: %s", option, err.text);
    else
        close(fd);
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Who this process acts as, not who started it. */
static bool may(const char *path, int what)
{
    return faccessat(AT_FDCWD, path, what, AT_EACCESS) == 0;
}
