/* dev.c - prepares a state directory and becomes the master of its processes, with two more: a
 * private Redis, and the task that fills the machine and prints the ready line. */
#include "gateway/dev.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/backend_url.h"
#include "billing/period.h"
#include "gateway/dev_clock.h"
#include "gateway/dev_config.h"
#include "gateway/dev_machine.h"
#include "gateway/dev_setup.h"
#include "gateway/master.h"
#include "gateway/redis_child.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/net/addr.h"
#include "lib/net/pki.h"

#define ZONE              "Asia/Shanghai"
#define REDIS_STOP_MS     20000
#define SETUP_STOP_MS     5000
#define PROBLEM_BYTES_MAX 65536
#define SOCKET_PATH_MAX   ((int)sizeof((struct sockaddr_un){0}).sun_path - 1)

static bool read_worker_count(struct cli *c, size_t *workers);
static bool is_address(const struct cli *c, const char *option);
static bool is_upstream(const struct cli *c);
static bool find_paths(struct dev_machine *m, const char *dir, struct err *err);
static bool bring_up(struct cli *c, struct dev_machine *m, size_t workers, struct err *err);
static bool open_listeners(const struct cli *c, struct dev_machine *m, size_t workers,
                           struct err *err);
static bool set_clock(struct cli *c, struct dev_machine *m, struct err *err);
static bool set_upstream(struct cli *c, struct dev_machine *m, struct err *err);
static bool write_upstream_key(const struct dev_machine *m, struct err *err);
static bool read_config(struct cli *c, const struct dev_machine *m, struct err *err);
static int run(struct cli *c, struct dev_machine *m);
static void dev_machine_clear(struct dev_machine *m);
static const char *value_or(const struct cli *c, const char *option, const char *otherwise);

int dev(struct cli *c)
{
    struct dev_machine m = {.listeners = {.console = -1}};
    AUTO(file_lock) lock = NULL;
    int exit_code = CLI_FAILED;
    size_t workers;
    struct err err;

    if (!read_worker_count(c, &workers) || !is_address(c, "--listen") ||
        !is_address(c, "--console") || !is_upstream(c))
        return CLI_USAGE;
    if (find_paths(&m, value_or(c, "--state", "tollgate-dev"), &err) &&
        (lock = master_lock(m.dir, &err)) && bring_up(c, &m, workers, &err))
        exit_code = run(c, &m);
    else
        cli_fail(c, "%s", err.text);
    dev_machine_clear(&m);
    return exit_code;
}

static bool read_worker_count(struct cli *c, size_t *workers)
{
    const char *text = value_or(c, "--workers", "2");
    uint64_t n;

    if (!digits_parse(span_of(text), WORKERS_MAX, &n) || n == 0) {
        cli_misused(c, "--workers must be from 1 to %d, not \"%s\"", WORKERS_MAX, text);
        return false;
    }
    *workers = (size_t)n;
    return true;
}

static bool is_address(const struct cli *c, const char *option)
{
    const char *text = cli_value(c, option);
    struct addr addr;

    if (!text || (addr_parse(text, &addr, NULL) && addr.u.any.sa_family != AF_UNIX))
        return true;
    cli_misused(c, "%s must be ADDRESS:PORT, such as 127.0.0.1:8443, not \"%.80s\"", option, text);
    return false;
}

static bool is_upstream(const struct cli *c)
{
    const char *text = cli_value(c, "--upstream");
    struct backend_url url = {.origin = NULL};
    struct err err;

    if (!text || backend_url_parse(text, &url, &err)) {
        free(url.origin);
        return true;
    }
    cli_misused(c, "--upstream: %s", err.text);
    return false;
}

static const char *value_or(const struct cli *c, const char *option, const char *otherwise)
{
    const char *value = cli_value(c, option);

    return value ? value : otherwise;
}

static bool find_paths(struct dev_machine *m, const char *dir, struct err *err)
{
    if (!dir_ensure(dir, 0700, err))
        return false;
    m->dir = realpath(dir, NULL);
    if (!m->dir)
        return err_sys(err, "cannot find %s", dir);
    m->config = path_join(m->dir, "tollgate.conf");
    m->ca = path_join(m->dir, "ca.pem");
    m->redis_dir = path_join(m->dir, "redis");
    m->redis_socket = path_join(m->dir, "redis.sock");
    m->upstream_key = path_join(m->dir, "upstream.key");
    return strlen(m->redis_socket) <= SOCKET_PATH_MAX ||
           err_set(err, ERR_INPUT,
                   "--state: the path %.200s is too long: a socket in it must have at most %d "
                   "characters, so it at most %d",
                   m->dir, SOCKET_PATH_MAX, SOCKET_PATH_MAX - (int)strlen("/redis.sock"));
}

/* Everything that can be refused comes before the first process. */
static bool bring_up(struct cli *c, struct dev_machine *m, size_t workers, struct err *err)
{
    return clock_set_zone(ZONE, err) && dev_state_load(m->dir, &m->state, err) &&
           set_clock(c, m, err) && set_upstream(c, m, err) &&
           redis_child_prepare(m->redis_dir, m->redis_socket, err) && pki_ensure_dev(m->dir, err) &&
           open_listeners(c, m, workers, err) && dev_config_write(m, err) &&
           read_config(c, m, err) &&
           installation_open(m->dir, c->options.archive, ZONE, &m->installation, err) &&
           dev_state_save(&m->state, err);
}

static bool open_listeners(const struct cli *c, struct dev_machine *m, size_t workers,
                           struct err *err)
{
    const char *api = value_or(c, "--listen", "127.0.0.1:8443");
    const char *console = value_or(c, "--console", "127.0.0.1:8444");
    struct err why;

    if (listeners_open(api, console, workers, &m->listeners, &why))
        return true;
    return err_set(err, why.code, "%s; --listen and --console ADDRESS:PORT choose others",
                   why.text);
}

static bool set_clock(struct cli *c, struct dev_machine *m, struct err *err)
{
    AUTO_STRING journal = path_join(m->dir, "journal");
    char since[CLOCK_TEXT];

    if (!dev_clock_set(cli_value(c, "--clock"), journal, &m->state.clock_offset_ms, err))
        return false;
    if (!m->state.since)
        dev_state_set(&m->state.since, clock_format(period_start(period_of(clock_now())), since));
    return true;
}

/* What is not given stays as it was kept. */
static bool set_upstream(struct cli *c, struct dev_machine *m, struct err *err)
{
    const char *url = cli_value(c, "--upstream"), *model = cli_value(c, "--upstream-model");
    size_t n = url ? strlen(url) : 0;
    AUTO_STRING trimmed = NULL;

    if (model && !url && !m->state.upstream)
        return err_set(err, ERR_INPUT, "--upstream-model needs --upstream");
    if (url) {
        while (n > 0 && url[n - 1] == '/')
            n--;
        trimmed = xstrndup(url, n);
        dev_state_set(&m->state.upstream, trimmed);
        dev_state_set(&m->state.upstream_model, NULL);
    }
    if (model)
        dev_state_set(&m->state.upstream_model, model);
    return !url || write_upstream_key(m, err);
}

static bool write_upstream_key(const struct dev_machine *m, struct err *err)
{
    const char *key = getenv("TOLLGATE_UPSTREAM_KEY");

    if (key && *key)
        return file_write_atomic(m->upstream_key, 0600, span_of(key), err);
    return !file_exists(m->upstream_key) || unlink(m->upstream_key) == 0 ||
           err_sys(err, "cannot remove %s", m->upstream_key);
}

static bool read_config(struct cli *c, const struct dev_machine *m, struct err *err)
{
    AUTO_CLEAR(buf) problems = {.max = PROBLEM_BYTES_MAX};

    if (options_load(m->config, &c->options, &problems))
        return options_take_effect(&c->options, err);
    if (problems.len)
        problems.data[problems.len - 1] = '\0';
    return err_set(err, ERR_INPUT, "%s", problems.len ? problems.data : "the config is refused");
}

static int run(struct cli *c, struct dev_machine *m)
{
    const struct child_plan others[] = {
        {.name = "redis",
         .run = redis_child_run,
         .arg = m->redis_dir,
         .rank = RANK_STORES,
         .stop_ms = REDIS_STOP_MS},
        {.name = "setup",
         .run = dev_setup_run,
         .arg = m,
         .rank = RANK_TASKS,
         .stop_ms = SETUP_STOP_MS,
         .once = true},
    };
    AUTO(tls_context)
    tls = tls_server_new(c->options.certificate, c->options.certificate_key, NULL);

    if (!tls)
        return cli_fail(c, "the development certificate in %s cannot be used", m->dir);
    return master_run(&(struct master_start){.options = &c->options,
                                             .installation = &m->installation,
                                             .listeners = &m->listeners,
                                             .tls = tls,
                                             .others = others,
                                             .other_count = ARRAY_LEN(others)});
}

static void dev_machine_clear(struct dev_machine *m)
{
    char *owned[] = {m->dir, m->config, m->ca, m->redis_dir, m->redis_socket, m->upstream_key};

    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        free(owned[i]);
    listeners_clear(&m->listeners);
    dev_state_clear(&m->state);
    installation_clear(&m->installation);
}
