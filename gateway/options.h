/* options.h - the config file: one struct, one table (options.c), from which `check`,
 * conf/tollgate.conf and the manual are made. */
#ifndef TOLLGATE_GATEWAY_OPTIONS_H
#define TOLLGATE_GATEWAY_OPTIONS_H

#include "lib/base/conf.h"

struct backend_options {
    char *title; /* the name models refer to */
    char *kind;  /* echo, openai */
    char *url;
    char *key_file;
    char *ca_file;
    int64_t connect_timeout, first_byte_timeout, idle_timeout, total_timeout; /* ms */
    int64_t breaker_failures, breaker_time;                                   /* count, ms */
    int64_t keepalive_connections, keepalive_idle;                            /* count, ms */
    int64_t delay;                                                            /* ms, echo */
};

struct options {
    char *listen, *console_listen; /* "127.0.0.1:8443", "127.0.0.1:8444" */
    char *certificate, *certificate_key;
    char *state;             /* directory: installation, secrets, admin.sock, journal/ unless set */
    char *journal, *archive; /* default: state/journal, state/archive */
    char *redis, *redis_user, *redis_password_file;
    char *redis_ca, *redis_tls_name, *redis_certificate, *redis_certificate_key;
    char *zone; /* Asia/Shanghai */
    char *user; /* root is dropped to this after binding; may be absent */
    char *log_level;
    char *access_log; /* a path, or "stderr"; null: none */
    int64_t workers;  /* 0: one per core */
    int64_t head_bytes, target_bytes, body_bytes, reply_bytes, event_bytes;
    int64_t stored_answer;  /* bytes; 0: none is stored */
    int64_t stored_answers; /* bytes of an account in any 24 h */
    int64_t handshake_timeout, head_timeout, idle_timeout, total_timeout, drain_timeout; /* ms */
    int64_t body_rate;       /* bytes a second */
    int64_t connections;     /* per worker */
    int64_t journal_segment; /* bytes */
    int64_t changes_age;     /* ms until a change is sealed and archived */
    int64_t recent_time;     /* ms that Redis keeps a call at least */
    int64_t recent_calls;    /* newest of an account that Redis keeps */
    int64_t redis_timeout;   /* ms */
    int64_t recovering_wait; /* ms */
    char *offline_allowance; /* a decimal amount */
    int64_t offline_age;     /* ms */
    bool webhook_private;    /* webhooks may go to addresses that are not public */
    char *webhook_ca_file;   /* null: the system's authorities */
    int64_t webhook_look, webhook_timeout, webhook_retry, webhook_retry_longest, webhook_give_up; /* ms */
    bool testing;            /* permits --clock; archives and manifests state it */
    int64_t clock_offset;    /* ms; only with testing */
    size_t backend_count;
    struct backend_options *backends;
};

extern const struct conf_table options_table;

/* Reads and checks everything that can be checked without touching the network: files exist,
 * addresses parse, names are unique. `problems` gets one "file:line: sentence" (or "file:
 * sentence") a line; on failure `out` is cleared. */
bool options_load(const char *path, struct options *out, struct buf *problems) MUST_USE;
/* The same, for a server that runs with `before`: what cannot change while it runs must be as it
 * was. */
bool options_reload(const char *path, const struct options *before, struct options *out,
                    struct buf *problems) MUST_USE;
void options_clear(struct options *o);
/* Zone, clock offset and log level become those of this process: once at its start, before any
 * thread or child. */
bool options_take_effect(const struct options *o, struct err *err) MUST_USE;
DEFINE_AUTO_CLEAR(options)

#endif
