/* tls.c - everything about OpenSSL's sessions. A context is configured once and completely, so that
 * a session costs no more than SSL_new(); the error queue is cleared before each call, because
 * SSL_get_error() reads what others left. */
#include "lib/net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define HOST_MAX      256
#define SECONDS_A_DAY INT64_C(86400)

#define HOSTS_MAX 16 /* whose sessions a client remembers */

struct remembered {
    char host[HOST_MAX];
    SSL_SESSION *session; /* null: none */
};

struct tls_context {
    SSL_CTX *ctx; /* counted: a session holds one reference of its own */
    bool is_server;
    struct remembered sessions[HOSTS_MAX]; /* of a client */
    size_t next_session;                   /* where another host goes */
};

struct tls {
    SSL *ssl;
    char host[HOST_MAX]; /* of a client */
    bool may_shut_down;  /* handshake done, nothing broken, close_notify not sent yet */
    bool met_plain_http;
};

static const unsigned char alpn[] = "\x08http/1.1";

static struct tls_context *context_new(bool is_server, struct err *err);
static bool load_identity(SSL_CTX *ctx, const char *certificate_file, const char *key_file,
                          struct err *err);
static bool is_private(const char *key_file, struct err *err);
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *arg);
static bool load_trust(SSL_CTX *ctx, const char *ca_file, struct err *err);
static bool expect_host(struct tls *t, const char *host, struct err *err);
static int on_new_session(SSL *ssl, SSL_SESSION *session);
static struct remembered *find_session(struct tls_context *c, const char *host);
static void forget_session(struct tls *t);
static enum tls_want outcome(struct tls *t, int sys, struct err *err);
static enum tls_want broken(struct tls *t, int sys, struct err *err);
static bool is_reason(unsigned long error, int reason);
static bool tls_error(struct err *err, enum err_code code, const char *what);

struct tls_context *tls_server_new(const char *certificate_file, const char *key_file,
                                   struct err *err)
{
    AUTO(tls_context) c = context_new(true, err);

    if (!c || !load_identity(c->ctx, certificate_file, key_file, err))
        return NULL;
    SSL_CTX_set_alpn_select_cb(c->ctx, select_alpn, NULL);
    SSL_CTX_set_session_id_context(c->ctx, (const unsigned char *)"tollgate", 8);
    return KEEP(c);
}

/* A server's session state lives in tickets only, whose keys are part of the context and so survive fork(). */
static struct tls_context *context_new(bool is_server, struct err *err)
{
    AUTO(tls_context) c = xcalloc(1, sizeof *c);

    ERR_clear_error();
    c->is_server = is_server;
    c->ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (!c->ctx || !SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(c->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20")) {
        tls_error(err, ERR_IO, "cannot make a TLS context");
        return NULL;
    }
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(c->ctx, 1);
    return KEEP(c);
}

static bool load_identity(SSL_CTX *ctx, const char *certificate_file, const char *key_file,
                          struct err *err)
{
    if (!is_private(key_file, err))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate_file) != 1)
        return tls_error(err, ERR_INPUT, certificate_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, ERR_INPUT, key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return err_set(err, ERR_INPUT,
                       "%s is not the key of the certificate %s (key values mismatch)", key_file,
                       certificate_file);
    return true;
}

static bool is_private(const char *key_file, struct err *err)
{
    struct stat st;

    if (stat(key_file, &st) != 0)
        return err_sys(err, "%s", key_file);
    if (st.st_mode & S_IRWXO)
        return err_set(err, ERR_DENIED, "%s can be read by everybody; chmod 600 it", key_file);
    return true;
}

/* A client that offers only what we do not speak is told so, as RFC 7301 section 3.2 wants. */
static int select_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *arg UNUSED)
{
    unsigned char *chosen = NULL;

    if (SSL_select_next_proto(&chosen, out_len, alpn, sizeof alpn - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

struct tls_context *tls_client_new(const char *ca_file, struct err *err)
{
    AUTO(tls_context) c = context_new(false, err);

    if (!c || !load_trust(c->ctx, ca_file, err))
        return NULL;
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(c->ctx),
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_CTX_set_alpn_protos(c->ctx, alpn, sizeof alpn - 1) != 0) {
        tls_error(err, ERR_IO, "cannot make a TLS context");
        return NULL;
    }
    SSL_CTX_set_app_data(c->ctx, c);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
    return KEEP(c);
}

bool tls_client_identify(struct tls_context *c, const char *certificate_file, const char *key_file,
                         struct err *err)
{
    ERR_clear_error();
    return load_identity(c->ctx, certificate_file, key_file, err);
}

static bool load_trust(SSL_CTX *ctx, const char *ca_file, struct err *err)
{
    int ok = ca_file ? SSL_CTX_load_verify_locations(ctx, ca_file, NULL)
                     : SSL_CTX_set_default_verify_paths(ctx);

    return ok == 1 || tls_error(err, ERR_INPUT, ca_file ? ca_file : "the system's certificates");
}

bool tls_certificate_end(const char *path, int64_t *out, struct err *err)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    int days = 0, seconds = 0;
    bool ok;

    if (!file)
        return err_sys(err, "%s", path);
    fclose(file);
    ok = certificate && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
    X509_free(certificate);
    ERR_clear_error();
    if (!ok)
        return err_set(err, ERR_INPUT, "%s holds no certificate in PEM", path);
    *out = clock_now() - clock_offset() +
           (days * SECONDS_A_DAY + seconds) * NANOS_PER_SECOND;
    return true;
}

void tls_context_free(struct tls_context *c)
{
    if (!c)
        return;
    if (c->ctx)
        SSL_CTX_set_app_data(c->ctx, NULL); /* connections may go on */
    for (size_t i = 0; i < HOSTS_MAX; i++)
        SSL_SESSION_free(c->sessions[i].session);
    SSL_CTX_free(c->ctx);
    free(c);
}

struct tls *tls_new(struct tls_context *c, int fd, const char *host, struct err *err)
{
    AUTO(tls) t = xcalloc(1, sizeof *t);
    const struct remembered *known;

    ERR_clear_error();
    t->ssl = SSL_new(c->ctx);
    if (!t->ssl || !SSL_set_fd(t->ssl, fd)) {
        tls_error(err, ERR_MEMORY, "cannot make a TLS session");
        return NULL;
    }
    if (c->is_server) {
        SSL_set_accept_state(t->ssl);
        return KEEP(t);
    }
    SSL_set_connect_state(t->ssl);
    SSL_set_app_data(t->ssl, t);
    if (!expect_host(t, host, err))
        return NULL;
    known = find_session(c, t->host);
    if (known && SSL_SESSION_is_resumable(known->session))
        SSL_set_session(t->ssl, known->session);
    return KEEP(t);
}

/* A numeric host is checked against the certificate's addresses and is no SNI (RFC 6066 section
 * 3). */
static bool expect_host(struct tls *t, const char *host, struct err *err)
{
    SSL *ssl = t->ssl;
    struct span text = span_of(host ? host : "");

    if (text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        text = (struct span){text.data + 1, text.len - 2};
    if (text.len == 0 || !span_copy(text, t->host, sizeof t->host))
        return err_set(err, ERR_INPUT, "a TLS connection needs the name of its host");
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), t->host))
        return true;
    ERR_clear_error();
    if (SSL_set_tlsext_host_name(ssl, t->host) && SSL_set1_host(ssl, t->host))
        return true;
    return tls_error(err, ERR_INPUT, t->host);
}

/* A server of TLS 1.3 sends its tickets behind the handshake, so this comes while something is read. 1: kept. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct tls *t = SSL_get_app_data(ssl);
    struct remembered *place;

    if (!c)
        return 0;
    place = find_session(c, t->host);
    if (!place)
        place = &c->sessions[c->next_session++ % HOSTS_MAX];
    SSL_SESSION_free(place->session);
    place->session = session;
    memcpy(place->host, t->host, sizeof place->host);
    return 1;
}

static struct remembered *find_session(struct tls_context *c, const char *host)
{
    for (size_t i = 0; i < HOSTS_MAX; i++)
        if (c->sessions[i].session && strcmp(c->sessions[i].host, host) == 0)
            return &c->sessions[i];
    return NULL;
}

/* It may be why the handshake failed. */
static void forget_session(struct tls *t)
{
    struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(t->ssl));
    struct remembered *place = c && !c->is_server ? find_session(c, t->host) : NULL;

    if (!place)
        return;
    SSL_SESSION_free(place->session);
    place->session = NULL;
}

/* OpenSSL takes the session of a connection that is closed without a word for a bad one. */
void tls_free(struct tls *t)
{
    if (!t)
        return;
    if (t->may_shut_down)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    free(t);
}

enum tls_want tls_handshake(struct tls *t, struct err *err)
{
    ERR_clear_error();
    errno = 0;
    if (SSL_do_handshake(t->ssl) != 1) {
        enum tls_want want = outcome(t, errno, err);

        if (want == TLS_FAILED)
            forget_session(t);
        return want;
    }
    t->may_shut_down = true;
    return TLS_DONE;
}

enum tls_want tls_read(struct tls *t, char *out, size_t size, size_t *n, struct err *err)
{
    *n = 0;
    ERR_clear_error();
    errno = 0;
    return SSL_read_ex(t->ssl, out, size, n) ? TLS_DONE : outcome(t, errno, err);
}

enum tls_want tls_write(struct tls *t, const char *bytes, size_t n, size_t *taken, struct err *err)
{
    *taken = 0;
    ERR_clear_error();
    errno = 0;
    return SSL_write_ex(t->ssl, bytes, n, taken) ? TLS_DONE : outcome(t, errno, err);
}

/* All three calls return 0 or -1 on failure; SSL_get_error() only asks whether it is above 0. */
static enum tls_want outcome(struct tls *t, int sys, struct err *err)
{
    switch (SSL_get_error(t->ssl, -1)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_EOF;
    default:
        return broken(t, sys, err);
    }
}

static enum tls_want broken(struct tls *t, int sys, struct err *err)
{
    unsigned long first = ERR_peek_error();
    long verified = SSL_get_verify_result(t->ssl);

    t->may_shut_down = false;
    t->met_plain_http = is_reason(first, SSL_R_HTTP_REQUEST);
    if (is_reason(first, SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        err_set(err, ERR_CLOSED, "the peer closed the connection without ending TLS");
    } else if (is_reason(first, SSL_R_CERTIFICATE_VERIFY_FAILED)) {
        err_set(err, ERR_DENIED, "the peer's certificate is not accepted: %s",
                X509_verify_cert_error_string(verified));
    } else if (first) {
        tls_error(err, ERR_PROTOCOL, "TLS failed");
    } else {
        errno = sys ? sys : ECONNRESET;
        err_sys(err, "the connection broke");
        if (err)
            err->code = ERR_CLOSED;
    }
    return TLS_FAILED;
}

static bool is_reason(unsigned long error, int reason)
{
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == reason;
}

/* Takes the oldest error: later ones are consequences. */
static bool tls_error(struct err *err, enum err_code code, const char *what)
{
    unsigned long first = ERR_get_error();
    const char *reason =
        ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(first);

    ERR_clear_error();
    return err_set(err, code, "%s: %s", what, reason ? reason : "refused by OpenSSL");
}

bool tls_met_plain_http(const struct tls *t)
{
    return t->met_plain_http;
}

bool tls_has_pending(const struct tls *t)
{
    return SSL_has_pending(t->ssl);
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl);
}

void tls_shutdown(struct tls *t)
{
    if (!t->may_shut_down)
        return;
    t->may_shut_down = false;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
}
