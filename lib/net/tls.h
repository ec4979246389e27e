/* tls.h - TLS 1.2+ contexts and sessions over OpenSSL, on non-blocking sockets. Only stream.c talks
 * to sessions. */
#ifndef TOLLGATE_NET_TLS_H
#define TOLLGATE_NET_TLS_H

#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct tls_context; /* shared by sessions; freed when the last is gone */
/* ALPN offers http/1.1. Session tickets are on; keys are made before workers fork, so that all
 * share them. */
struct tls_context *tls_server_new(const char *certificate_file, const char *key_file,
                                   struct err *err) MUST_USE;
/* Verifies the peer against `ca_file`, or the system's store when null. Remembers each host's last
 * session (of 16 hosts) and resumes it: a resumed one costs no certificate, and was verified for
 * the same name. */
struct tls_context *tls_client_new(const char *ca_file, struct err *err) MUST_USE;
/* What the client shows when it is asked for a certificate. */
bool tls_client_identify(struct tls_context *c, const char *certificate_file, const char *key_file,
                         struct err *err) MUST_USE;
/* Until when the first certificate of a PEM file holds: nanoseconds since 1970. */
bool tls_certificate_end(const char *path, int64_t *out, struct err *err) MUST_USE;
void tls_context_free(struct tls_context *c);
DEFINE_AUTO(tls_context)

struct tls; /* one session on one descriptor, which it borrows */
/* `host` (client only): SNI and the name to verify. */
struct tls *tls_new(struct tls_context *c, int fd, const char *host, struct err *err) MUST_USE;
void tls_free(struct tls *t);
DEFINE_AUTO(tls)

enum tls_want { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_EOF, TLS_FAILED };
enum tls_want tls_handshake(struct tls *t, struct err *err) MUST_USE;
enum tls_want tls_read(struct tls *t, char *out, size_t size, size_t *n, struct err *err) MUST_USE;
/* May take less than n (partial write). */
enum tls_want tls_write(struct tls *t, const char *bytes, size_t n, size_t *taken,
                        struct err *err) MUST_USE;
/* After a server's handshake failed: the client spoke HTTP, and can read an answer in the clear, as nothing was sent to it. */
bool tls_met_plain_http(const struct tls *t);
bool tls_has_pending(const struct tls *t);
bool tls_is_resumed(const struct tls *t); /* after the handshake: it went on from an earlier one */
void tls_shutdown(struct tls *t);         /* sends close_notify once, without waiting */

#endif
