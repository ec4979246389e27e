/* options.c - every option of the config file: its default, its bounds, and the words that document
 * it. What the values mean together, and to this machine, is checked in options_check.c. */
#include "gateway/options.h"

#include <limits.h>
#include <stdlib.h>

#include "gateway/options_check.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define KIB        INT64_C(1024)
#define MIB        (1024 * KIB)
#define GIB        (1024 * MIB)
#define SECONDS    INT64_C(1000)
#define MINUTES    (60 * SECONDS)
#define HOURS      (60 * MINUTES)
#define CENTURY_MS (INT64_C(36525) * 24 * HOURS)

#define FIELD(f)         offsetof(struct options, f)
#define BACKEND_FIELD(f) offsetof(struct backend_options, f)

/* A line of problems. */
struct found {
    const char *text;
    long line;     /* of the config; LONG_MAX: it is about none */
    size_t number; /* in which order it was found */
    bool is_second;
};

static void sort_problems(const char *path, struct buf *problems, size_t read_len);
static long line_of(const char *path, const char *problem);
static bool has_line(const struct found *list, size_t count, long line);
static int compare_found(const void *a, const void *b);
static void find_paths(const char *config, struct options *o);
static void make_absolute(char **path, const char *dir);
static void default_path(char **path, const char *state, const char *name);

static const struct conf_option main_options[] = {
    {"listen", CONF_STRING, "127.0.0.1:8443", 0, 0, FIELD(listen),
     "Where clients call the API, over HTTPS: ADDRESS:PORT, an IPv6 address in brackets. "
     "\"0.0.0.0:443\" is every IPv4 address of this machine."},
    {"console", CONF_STRING, "127.0.0.1:8444", 0, 0, FIELD(console_listen),
     "Where the console answers, over HTTPS."},
    {"certificate", CONF_STRING, "/etc/tollgate/server.pem", 0, 0, FIELD(certificate),
     "The server's certificate with its chain, PEM. Paths that do not begin with '/' are taken "
     "from this file's folder."},
    {"certificate_key", CONF_STRING, "/etc/tollgate/server.key", 0, 0, FIELD(certificate_key),
     "The certificate's private key, PEM, mode 0600."},
    {"state", CONF_STRING, "/var/lib/tollgate", 0, 0, FIELD(state),
     "The directory of what this installation must keep: its identity and secrets, the command "
     "line's socket and, unless they are set, journal and archive. It is made with mode 0700."},
    {"journal", CONF_STRING, NULL, 0, 0, FIELD(journal),
     "Where calls and changes are written first, on a local disk. Not set: journal/ in `state`."},
    {"archive", CONF_STRING, NULL, 0, 0, FIELD(archive),
     "Where all records are kept for ever; several hosts share one. Not set: archive/ in `state`."},
    {"redis", CONF_STRING, "redis://127.0.0.1:6379", 0, 0, FIELD(redis),
     "The Redis: \"redis://HOST:PORT\", \"unix:/PATH\", \"redis-sentinel://HOST:PORT,…/MASTER\" "
     "(the "
     "sentinels and the master's name) or \"redis-cluster://HOST:PORT,…\" (some of its servers). "
     "With rediss for redis it is spoken over TLS."},
    {"redis_user", CONF_STRING, NULL, 0, 0, FIELD(redis_user),
     "The user to log in to Redis as. Not set: its default user."},
    {"redis_password_file", CONF_STRING, NULL, 0, 0, FIELD(redis_password_file),
     "A file of mode 0600 with Redis's password. Not set: none is sent."},
    {"redis_ca", CONF_STRING, NULL, 0, 0, FIELD(redis_ca),
     "With TLS: the authorities that Redis's certificates must be of, PEM. Not set: those of the "
     "system."},
    {"redis_tls_name", CONF_STRING, NULL, 0, 0, FIELD(redis_tls_name),
     "With TLS: the name that the certificates must hold. Not set: for each server the host by "
     "which it is reached."},
    {"redis_certificate", CONF_STRING, NULL, 0, 0, FIELD(redis_certificate),
     "With TLS: the certificate to show to a Redis that wants one, PEM. Not set: none."},
    {"redis_certificate_key", CONF_STRING, NULL, 0, 0, FIELD(redis_certificate_key),
     "Its private key, PEM, mode 0600."},
    {"redis_timeout", CONF_DURATION, "2 s", 50, MINUTES, FIELD(redis_timeout),
     "How long Redis may take to connect or to answer."},
    {"recovering_wait", CONF_DURATION, "5 s", 0, MINUTES, FIELD(recovering_wait),
     "How long a call waits while records are replayed into a Redis that has restarted; then it "
     "is refused."},
    {"offline_allowance", CONF_STRING, "10.00", 0, 0, FIELD(offline_allowance),
     "While Redis is away: what each postpaid account may spend through each worker, in its own "
     "currency, until Redis is back. \"0\": nothing. Prepaid accounts wait."},
    {"offline_age", CONF_DURATION, "15 min", 0, 24 * HOURS, FIELD(offline_age),
     "How old what a worker last read of a key and its account may be to count while Redis is "
     "away."},
    {"zone", CONF_STRING, "Asia/Shanghai", 0, 0, FIELD(zone),
     "The time zone in which settlement months begin and end. It is fixed when the installation "
     "is made."},
    {"user", CONF_STRING, NULL, 0, 0, FIELD(user),
     "When started as root: the user to become once the sockets are open and the certificate is "
     "read."},
    {"log_level", CONF_STRING, "info", 0, 0, FIELD(log_level),
     "What is logged to standard error, as lines of JSON: debug, info, warn or error and what is "
     "worse. How a reload ends is always told."},
    {"access_log", CONF_STRING, NULL, 0, 0, FIELD(access_log),
     "A file to which a line of JSON is written for each request, named as OpenTelemetry does, or "
     "\"stderr\". It holds no prompt, no answer, no secret. Not set: none. After renaming it, "
     "reload."},
    {"workers", CONF_INT, "0", 0, 256, FIELD(workers),
     "How many worker processes serve the API; 0 is one for each processor."},
    {"connections", CONF_INT, "10000", 1, 1000000, FIELD(connections),
     "How many connections a worker holds; further ones wait in the kernel's queue."},
    {"head_bytes", CONF_BYTES, "16 KiB", KIB, MIB, FIELD(head_bytes),
     "The largest head of a request; a larger one gets 431."},
    {"target_bytes", CONF_BYTES, "8 KiB", 256, MIB, FIELD(target_bytes),
     "The longest path with its query; a longer one gets 414."},
    {"body_bytes", CONF_BYTES, "32 MiB", KIB, GIB, FIELD(body_bytes),
     "The largest body of a request; a larger one gets 413."},
    {"reply_bytes", CONF_BYTES, "32 MiB", KIB, GIB, FIELD(reply_bytes),
     "The largest answer that is taken whole from a backend. A stream has no such limit."},
    {"stored_answer", CONF_BYTES, "1 MiB", 0, MIB, FIELD(stored_answer),
     "The largest plain answer that is kept, encrypted, for 24 hours in Redis, and only of calls "
     "that carry an Idempotency-Key, for their repetition. 0: no answer is ever kept."},
    {"stored_answers", CONF_BYTES, "64 MiB", 4 * MIB, 64 * GIB, FIELD(stored_answers),
     "How much of such answers one account may have kept in any 24 hours: half of it at once, the "
     "other half as the day passes. A repetition of what is beyond gets the receipt."},
    {"event_bytes", CONF_BYTES, "64 KiB", KIB, 64 * MIB, FIELD(event_bytes),
     "A stream's event up to this size is looked at whole; a longer one passes in parts."},
    {"handshake_timeout", CONF_DURATION, "5 s", 100, MINUTES, FIELD(handshake_timeout),
     "How long a TLS handshake may take."},
    {"head_timeout", CONF_DURATION, "10 s", 100, 10 * MINUTES, FIELD(head_timeout),
     "How long the head of a request may take to arrive."},
    {"body_rate", CONF_BYTES, "1 KiB", 1, GIB, FIELD(body_rate),
     "Bytes a second that a request's body must arrive with on average, after 10 seconds."},
    {"idle_timeout", CONF_DURATION, "75 s", SECONDS, HOURS, FIELD(idle_timeout),
     "How long a connection stays open between two requests."},
    {"total_timeout", CONF_DURATION, "600 s", SECONDS, 24 * HOURS, FIELD(total_timeout),
     "How long a call may take from its head to the end of its answer."},
    {"drain_timeout", CONF_DURATION, "60 s", 0, 24 * HOURS, FIELD(drain_timeout),
     "When stopping: how long running calls may take to finish."},
    {"journal_segment", CONF_BYTES, "16 MiB", 256 * KIB, GIB, FIELD(journal_segment),
     "A segment of the journal is sealed, and then archived, at this size, or after an hour."},
    {"changes_age", CONF_DURATION, "60 s", SECONDS, HOURS, FIELD(changes_age),
     "The console's journal, which has accounts, keys, credits and all else that is no call, is "
     "sealed and archived when a change in it is this old."},
    {"recent_time", CONF_DURATION, "600 s", SECONDS, 24 * HOURS, FIELD(recent_time),
     "How long a call stays in Redis at least; later it may be in the archive alone. Redis's "
     "memory "
     "grows with this."},
    {"recent_calls", CONF_INT, "100", 1, 1000000, FIELD(recent_calls),
     "How many of an account's newest calls stay in Redis, however old they are; what was "
     "rebuilt begins anew."},
    {"webhook_look", CONF_DURATION, "5 s", 100, 10 * SECONDS, FIELD(webhook_look),
     "How often the console looks whether an account with a webhook has crossed a threshold of a "
     "budget."},
    {"webhook_timeout", CONF_DURATION, "15 s", 100, 5 * MINUTES, FIELD(webhook_timeout),
     "How long a webhook's receiver may take to answer."},
    {"webhook_retry", CONF_DURATION, "5 s", 10, HOURS, FIELD(webhook_retry),
     "When a notice that was not taken is sent again; each time after that it takes five times as "
     "long."},
    {"webhook_retry_longest", CONF_DURATION, "3 h", 100, 24 * HOURS, FIELD(webhook_retry_longest),
     "The longest that it takes until a notice is sent again, unless its receiver asks for more."},
    {"webhook_give_up", CONF_DURATION, "24 h", SECONDS, 24 * HOURS, FIELD(webhook_give_up),
     "How old a notice may be when it is sent for the last time."},
    {"webhook_private", CONF_BOOL, "false", 0, 0, FIELD(webhook_private),
     "Permits webhooks to go to addresses that are not public: this machine, by http too, and "
     "private networks."},
    {"webhook_ca_file", CONF_STRING, NULL, 0, 0, FIELD(webhook_ca_file),
     "The authorities that receivers' certificates must be of, PEM. Not set: those of the "
     "system."},
    {"testing", CONF_BOOL, "false", 0, 0, FIELD(testing),
     "Permits `clock_offset`. What is archived and settled states it."},
    {"clock_offset", CONF_INT, "0", -CENTURY_MS, CENTURY_MS, FIELD(clock_offset),
     "Milliseconds added to the machine's time, to reach next month in a test. TLS keeps real "
     "time."},
};

static const struct conf_option backend_options[] = {
    {"kind", CONF_STRING, NULL, 0, 0, BACKEND_FIELD(kind),
     "What it speaks: openai (any server with OpenAI's API over HTTP), anthropic (with Anthropic's "
     "messages) or echo (built in: it "
     "answers the last user message)."},
    {"url", CONF_STRING, NULL, 0, 0, BACKEND_FIELD(url),
     "Where it is: \"http://HOST:PORT/v1\" or https. Not for echo."},
    {"key_file", CONF_STRING, NULL, 0, 0, BACKEND_FIELD(key_file),
     "A file of mode 0600 with the key that the backend wants. Not set: none is sent."},
    {"ca_file", CONF_STRING, NULL, 0, 0, BACKEND_FIELD(ca_file),
     "The authorities, PEM, that an https backend's certificate must come from. Not set: those "
     "of the system."},
    {"connect_timeout", CONF_DURATION, "5 s", 10, 10 * MINUTES, BACKEND_FIELD(connect_timeout),
     "How long connecting may take."},
    {"first_byte_timeout", CONF_DURATION, "300 s", 10, 24 * HOURS,
     BACKEND_FIELD(first_byte_timeout), "How long the backend may think before it answers."},
    {"idle_timeout", CONF_DURATION, "60 s", 10, 24 * HOURS, BACKEND_FIELD(idle_timeout),
     "How long it may be silent in the middle of an answer."},
    {"total_timeout", CONF_DURATION, "600 s", 10, 24 * HOURS, BACKEND_FIELD(total_timeout),
     "How long it may take for one call, from connecting to the end of its answer. The call's own "
     "total_timeout, over all backends that it tries, holds besides."},
    {"breaker_failures", CONF_INT, "5", 0, 1000, BACKEND_FIELD(breaker_failures),
     "After how many failures in a row (not reached, broken, late, or status 429, 401, 402, 500 "
     "and "
     "above) a worker leaves it alone: for 1 s, doubled with each trial that fails. One refusal "
     "with a Retry-After is enough. 0: it is always asked."},
    {"breaker_time", CONF_DURATION, "30 s", 10, HOURS, BACKEND_FIELD(breaker_time),
     "The longest that it is left alone before it is tried again, unless its Retry-After asks for "
     "more (10 minutes are believed)."},
    {"keepalive_connections", CONF_INT, "64", 0, 100000, BACKEND_FIELD(keepalive_connections),
     "How many unused connections a worker keeps open."},
    {"keepalive_idle", CONF_DURATION, "4 s", 0, HOURS, BACKEND_FIELD(keepalive_idle),
     "How long it keeps one: less than the backend does."},
    {"delay", CONF_DURATION, "0 ms", 0, MINUTES, BACKEND_FIELD(delay),
     "Only for echo: the time before each word."},
};

static const struct conf_section sections[] = {
    {"backend", backend_options, ARRAY_LEN(backend_options), sizeof(struct backend_options),
     FIELD(backends), FIELD(backend_count),
     "A server of models, once for each. Its name is what models of the catalogue refer to."},
};

const struct conf_table options_table = {main_options, ARRAY_LEN(main_options), sections,
                                         ARRAY_LEN(sections)};

bool options_load(const char *path, struct options *out, struct buf *problems)
{
    return options_reload(path, NULL, out, problems);
}

bool options_reload(const char *path, const struct options *before, struct options *out,
                    struct buf *problems)
{
    AUTO_CLEAR(conf_places) places = {0};
    struct options o = {0};
    size_t read_len;
    bool ok;

    *out = o;
    ok = conf_read(&options_table, path, &o, &places, problems);
    read_len = problems->len;
    if (o.state) {
        find_paths(path, &o);
        ok = options_check(&o, before, path, &places, problems) && ok;
        sort_problems(path, problems, read_len);
    }
    if (ok)
        *out = o;
    else
        options_clear(&o);
    return ok;
}

/* By line, those without one last. What was found in a second look, behind `read_len`, says nothing
 * of a line on which the first found something: a default stood in for it. */
static void sort_problems(const char *path, struct buf *problems, size_t read_len)
{
    AUTO_STRING text = xstrndup(problems->data ? problems->data : "", problems->len);
    struct found *list = NULL;
    size_t count = 0;

    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        bool is_second = (size_t)(at - text) >= read_len;
        long line = line_of(path, at);

        *end = '\0';
        if (is_second && has_line(list, count, line))
            continue;
        list = xrealloc_array(list, count + 1, sizeof *list);
        list[count] = (struct found){at, line, count, is_second};
        count++;
    }
    if (count > 0)
        qsort(list, count, sizeof *list, compare_found);
    buf_truncate(problems, 0);
    for (size_t i = 0; i < count; i++)
        buf_printf(problems, "%s\n", list[i].text);
    free(list);
}

static long line_of(const char *path, const char *problem)
{
    size_t n = strlen(path);
    long line =
        strncmp(problem, path, n) == 0 && problem[n] == ':' ? strtol(problem + n + 1, NULL, 10) : 0;

    return line > 0 ? line : LONG_MAX;
}

static bool has_line(const struct found *list, size_t count, long line)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].line == line && line != LONG_MAX && !list[i].is_second)
            return true;
    return false;
}

static int compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static void find_paths(const char *config, struct options *o)
{
    const char *slash = strrchr(config, '/');
    AUTO_STRING dir = slash ? xstrndup(config, (size_t)(slash - config)) : xstrdup(".");
    char **paths[] = {&o->certificate,    &o->certificate_key,   &o->state,
                      &o->journal,        &o->archive,           &o->redis_password_file,
                      &o->redis_ca,       &o->redis_certificate, &o->redis_certificate_key,
                      &o->webhook_ca_file};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        make_absolute(paths[i], dir);
    for (size_t i = 0; i < o->backend_count; i++) {
        make_absolute(&o->backends[i].key_file, dir);
        make_absolute(&o->backends[i].ca_file, dir);
    }
    default_path(&o->journal, o->state, "journal");
    default_path(&o->archive, o->state, "archive");
}

static void make_absolute(char **path, const char *dir)
{
    char *joined;

    if (!*path || **path == '/' || **path == '\0')
        return;
    joined = path_join(dir, *path);
    free(*path);
    *path = joined;
}

static void default_path(char **path, const char *state, const char *name)
{
    if (!*path)
        *path = path_join(state, name);
}

void options_clear(struct options *o)
{
    conf_clear(&options_table, o);
}

bool options_take_effect(const struct options *o, struct err *err)
{
    enum log_level level = LOG_INFO;

    if (log_level_parse(o->log_level, &level))
        log_set_level(level);
    clock_set_offset(o->clock_offset * NANOS_PER_MS);
    return clock_set_zone(o->zone, err);
}
