/* redis_child.c - what Tollgate asks of a Redis, written down as its config: every write in the
 * AOF, on disk within a second, nothing evicted. */
#include "gateway/redis_child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CONF_BYTES_MAX 16384
#define LOG_BYTES_MAX  (64 * 1024 * 1024)
#define STARTING       "Redis is starting"
#define READY          "server is now ready to accept connections" /* at its socket */

static bool is_installed(void);
static void set_aside_unreadable(const char *dir);
static bool last_start_failed(const char *log);
static void add_quoted(struct buf *out, const char *name, const char *value);

bool redis_child_prepare(const char *dir, const char *socket_path, struct err *err)
{
    AUTO_STRING path = path_join(dir, "redis.conf");
    AUTO_CLEAR(buf) text = {.max = CONF_BYTES_MAX};

    if (!is_installed())
        return err_set(err, ERR_NOT_FOUND,
                       "redis-server is not installed; `sh conf/install-deps` installs what is "
                       "missing");
    buf_add_string(&text, "# Written by `tollgate dev` at each start.\n"
                          "port 0\n"
                          "unixsocketperm 600\n"
                          "appendonly yes\n"
                          "appendfsync everysec\n"
                          "save \"\"\n"
                          "maxmemory-policy noeviction\n"
                          "daemonize no\n"
                          "logfile redis.log\n");
    add_quoted(&text, "unixsocket", socket_path);
    add_quoted(&text, "dir", dir);
    return buf_ok(&text, path, err) && dir_ensure(dir, 0700, err) &&
           file_write_atomic(path, 0600, buf_span(&text), err);
}

/* As execlp() will look for it. */
static bool is_installed(void)
{
    const char *at = getenv("PATH");

    while (at && *at) {
        size_t n = strcspn(at, ":");
        AUTO_STRING dir = xstrndup(at, n);
        AUTO_STRING path = path_join(*dir ? dir : ".", "redis-server");

        if (access(path, X_OK) == 0)
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

static void add_quoted(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s \"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, *value);
    }
    buf_add_string(out, "\"\n");
}

/* A Redis that was killed at the wrong moments can leave a file that it never loads again. It is a projection: it starts
 * empty, and the console fills it from the journals. */
static void set_aside_unreadable(const char *dir)
{
    AUTO_STRING files = path_join(dir, "appendonlydir");
    AUTO_STRING log = path_join(dir, "redis.log");
    AUTO_STRING aside = NULL;
    char now[CLOCK_TEXT];

    if (!file_exists(files) || !last_start_failed(log))
        return;
    aside = xasprintf("%s.unreadable-%s", files, clock_format(clock_now(), now));
    if (rename(files, aside) == 0)
        log_warn("redis_file_set_aside",
                 "Redis can't load what it had kept: that is %s now, and Redis is rebuilt from the "
                 "journals; %s says why",
                 aside, log);
    else
        log_error("redis_failed", "%s can't be set aside as %s", files, aside);
}

/* Of what Redis logged since it last started: it never became ready, and complained about its append-only file. Should that
 * be wrong for once, no more is lost than the time to fill it again. */
static bool last_start_failed(const char *log)
{
    AUTO_CLEAR(buf) text = {.max = LOG_BYTES_MAX};
    const char *start, *next;

    if (!file_read(log, &text, NULL) || !buf_add_char(&text, '\0'))
        return false;
    start = text.data;
    while ((next = strstr(start + 1, STARTING)))
        start = next;
    return !strstr(start, READY) &&
           (strstr(start, "append only file") || strstr(start, "truncated file is not the last") ||
            strstr(start, "AOF manifest") || strstr(start, "AOF file"));
}

int redis_child_run(void *dir)
{
    AUTO_STRING conf = path_join(dir, "redis.conf");

    set_aside_unreadable(dir);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execlp("redis-server", "redis-server", conf, (char *)NULL);
    log_error("redis_failed", "redis-server cannot be started");
    return 1;
}
