/* admin_client.c - HTTP over the admin socket. A socket file is never removed here: addr_listen()
 * replaces one that nobody answers, and removing it could take away that of a server that has just
 * started. */
#include "gateway/admin_client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/admin_socket.h"
#include "gateway/console.h"
#include "gateway/fetch.h"
#include "gateway/privileges.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/addr.h"

#define REPLY_BYTES_MAX (256 << 20)
#define OPEN_TRIES      300  /* a console that just ends may still have its lock */
#define READY_MS        5000 /* for a console to recover, */
#define REDIS_MS        3000 /* and of it for Redis */
#define NOTICE_MS       500
#define STOP_TRIES      300
#define PAUSE_MS        100

struct admin_client {
    struct fetch *fetch;
    pid_t console; /* started here; 0: none */
};

static bool is_answered(const char *state);
static void wait_until_ready(struct admin_client *c);
static void tell_of_waiting(bool has_redis);
static bool is_ready(const json_t *status);
static bool start_console(const struct options *options, struct admin_client *c, struct err *err);
static bool fork_with_lock(const struct options *options, struct admin_client *c, struct err *err);
static bool fork_console(const struct options *options, const struct installation *installation,
                         struct admin_client *c, struct err *err);
static NORETURN void become_console(const struct console_start *start, pid_t parent);
static void stop_console(pid_t console);
static bool read_reply(const struct fetch_answer *answer, struct admin_reply *reply,
                       struct err *err);
static bool read_refusal(const struct fetch_answer *answer, struct err *err);
static enum err_code code_of(unsigned status);
static void pause_a_little(void);

struct admin_client *admin_client_open(const struct options *options, struct err *err)
{
    AUTO(admin_client) c = NULL;
    struct err why = {.code = ERR_EXISTS};
    pid_t console = 0;

    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        struct admin_client started = {0};

        if (is_answered(options->state))
            break;
        if (start_console(options, &started, &why)) {
            console = started.console;
            break;
        }
        if (why.code != ERR_EXISTS) {
            err_set(err, why.code, "no console runs and none can be started: %s", why.text);
            return NULL;
        }
        pause_a_little();
    }
    c = admin_client_connect(options->state, err);
    if (c)
        c->console = console;
    else if (console)
        stop_console(console);
    if (c)
        wait_until_ready(c);
    return KEEP(c);
}

/* A console that has just started may not have reached Redis yet. One that cannot will say so
 * itself. */
static void wait_until_ready(struct admin_client *c)
{
    const struct admin_request request = {
        .method = "GET", .target = "/admin/v1/status", .timeout_ms = READY_MS};
    int64_t began = clock_monotonic_ms(), waited;
    bool is_told = false;

    while ((waited = clock_monotonic_ms() - began) < READY_MS) {
        AUTO_CLEAR(admin_reply) reply = {.json = NULL};
        bool has_redis;

        if (!admin_client_call(c, &request, &reply, NULL) || is_ready(reply.json))
            return;
        has_redis = json_is_true(json_object_get(reply.json, "redis"));
        if (!has_redis && waited >= REDIS_MS)
            return;
        if (!is_told && waited >= NOTICE_MS)
            tell_of_waiting(has_redis);
        is_told = is_told || waited >= NOTICE_MS;
        pause_a_little();
    }
}

/* What is asked then waits in the console too: a change for its turn, `journal ship` twice as long. */
static void tell_of_waiting(bool has_redis)
{
    if (has_redis)
        fprintf(stderr, "the console is still recovering; waiting for it, at most %d s\n",
                READY_MS / 1000);
    else
        fprintf(stderr,
                "Redis does not answer; waiting for it %d s, and then for the console's answer, "
                "which may take 20 s more\n",
                REDIS_MS / 1000);
}

static bool is_ready(const json_t *status)
{
    return json_is_true(json_object_get(status, "redis")) &&
           json_is_true(json_object_get(status, "recovered")) &&
           json_is_true(json_object_get(status, "catalogue"));
}

static bool is_answered(const char *state)
{
    AUTO_STRING origin = admin_socket_origin(state);
    struct addr addr;
    bool answered;
    int fd;

    if (!addr_parse(origin, &addr, NULL))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    answered = fd >= 0 && connect(fd, &addr.u.any, addr.len) == 0;
    if (fd >= 0)
        close(fd);
    return answered;
}

/* ERR_EXISTS: another console has the lock or the socket; soon it will answer or be gone. */
static bool start_console(const struct options *options, struct admin_client *c, struct err *err)
{
    bool started = privileges_enter(options->user, err) && fork_with_lock(options, c, err);

    privileges_leave();
    return started;
}

/* The child has its share of the lock: it is free when the child has ended. */
static bool fork_with_lock(const struct options *options, struct admin_client *c, struct err *err)
{
    AUTO_STRING lock_path = path_join(options->state, "console.lock");
    AUTO_CLEAR(installation) installation = {.signing_key = NULL};
    AUTO(file_lock) lock = NULL;

    if (!installation_open(options->state, options->archive, options->zone, &installation, err))
        return false;
    lock = file_lock_take(lock_path, err);
    return lock && fork_console(options, &installation, c, err);
}

static bool fork_console(const struct options *options, const struct installation *installation,
                         struct admin_client *c, struct err *err)
{
    struct console_start start = {
        .options = options, .installation = installation, .listen_fd = -1, .for_one_command = true};
    AUTO_STRING origin = admin_socket_origin(options->state);
    pid_t parent = getpid();
    struct addr addr;

    if (!addr_parse(origin, &addr, err))
        return false;
    start.admin_fd = addr_listen(&addr, NULL, err);
    if (start.admin_fd < 0)
        return false;
    fflush(NULL);
    c->console = fork();
    if (c->console == 0)
        become_console(&start, parent);
    if (c->console < 0)
        err_sys(err, "cannot fork");
    close(start.admin_fd);
    return c->console > 0;
}

static void become_console(const struct console_start *start, pid_t parent)
{
    struct err err;

    privileges_leave();
    if (!privileges_drop(start->options->user, &err)) {
        log_error("start_failed", "%s", err.text);
        exit(1);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    prctl(PR_SET_NAME, "tg-console");
    log_set_process("console");
    log_set_level(LOG_ERROR);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    exit(console_run(start));
}

struct admin_client *admin_client_connect(const char *state, struct err *err)
{
    AUTO(admin_client) c = xcalloc(1, sizeof *c);
    AUTO_STRING origin = admin_socket_origin(state);

    c->fetch = fetch_new(origin, NULL, err);
    return c->fetch ? KEEP(c) : NULL;
}

void admin_client_free(struct admin_client *c)
{
    if (!c)
        return;
    fetch_free(c->fetch);
    if (c->console > 0)
        stop_console(c->console);
    free(c);
}

static void stop_console(pid_t console)
{
    kill(console, SIGTERM);
    for (int tries = 0; tries < STOP_TRIES; tries++) {
        if (waitpid(console, NULL, WNOHANG) != 0)
            return;
        pause_a_little();
    }
    kill(console, SIGKILL);
    waitpid(console, NULL, 0);
}

bool admin_client_call(struct admin_client *c, const struct admin_request *request,
                       struct admin_reply *reply, struct err *err)
{
    AUTO_CLEAR(fetch_answer) answer = {.body = {.max = REPLY_BYTES_MAX}};
    AUTO_CLEAR(buf) body = {.max = REPLY_BYTES_MAX};
    struct fetch_request http = {
        .method = request->method,
        .target = request->target,
        .head_lines = request->body ? "content-type: application/json\r\n" : NULL,
        .timeout_ms = request->timeout_ms,
    };

    if (request->body && !json_dump(request->body, &body))
        return buf_ok(&body, "the request", err);
    http.body = buf_span(&body);
    if (!fetch_call(c->fetch, &http, &answer, err))
        return err_context(err, "the console");
    return read_reply(&answer, reply, err);
}

static bool read_reply(const struct fetch_answer *answer, struct admin_reply *reply,
                       struct err *err)
{
    struct err why;

    reply->is_answered = true;
    if (answer->status < 200 || answer->status > 299)
        return read_refusal(answer, err);
    reply->json = json_parse(buf_span(&answer->body), &why);
    reply->is_pending = answer->status == 202;
    return reply->json || err_set(err, ERR_PROTOCOL, "the console's answer: %s", why.text);
}

void admin_reply_clear(struct admin_reply *r)
{
    json_decref(r->json);
    r->json = NULL;
}

static bool read_refusal(const struct fetch_answer *answer, struct err *err)
{
    AUTO_JSON json = json_parse(buf_span(&answer->body), NULL);
    const json_t *message = json_object_get(json_object_get(json, "error"), "message");

    if (json_is_string(message))
        return err_set(err, code_of(answer->status), "%s", json_string_value(message));
    return err_set(err, code_of(answer->status), "the console answered %u", answer->status);
}

static enum err_code code_of(unsigned status)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_EXISTS;
    default:
        return status < 500 ? ERR_INPUT : ERR_UNAVAILABLE;
    }
}

bool admin_client_is_refusal(enum err_code code)
{
    return code == ERR_INPUT || code == ERR_NOT_FOUND || code == ERR_EXISTS || code == ERR_DENIED;
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * NANOS_PER_MS}, NULL);
}
