/* pki.c - certificates for a development machine, as strict as clients now want them: names in SAN,
 * usages, key identifiers, a server certificate of at most 397 days, and a CA that can vouch for
 * this machine's own names only. Their time is real time, because clients check it against
 * theirs. */
#include "lib/net/pki.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define DAY_S        86400
#define CA_S         (3650 * (int64_t)DAY_S)
#define SERVER_S     (397 * (int64_t)DAY_S)
#define RENEW_S      (30 * (int64_t)DAY_S)
#define BACKDATE_S   3600 /* a client's clock may be a little behind; part of the lifetimes above */
#define PEM_MAX      65536
#define SERIAL_BYTES 16

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};
static void identity_clear(struct identity *id);
DEFINE_AUTO_CLEAR(identity)

struct extension {
    int nid;
    const char *value;
};

static const struct extension ca_extensions[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
    {NID_name_constraints,
     "critical,permitted;DNS:localhost,permitted;IP:127.0.0.1/255.255.255.255,"
     "permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};
static const struct extension server_extensions[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

struct plan {
    const char *common_name;
    int64_t lifetime_s;
    const struct extension *extensions;
    size_t extension_count;
};

static bool ensure_ca(const char *dir, struct identity *ca, struct err *err);
static bool ensure_server(const char *dir, const struct identity *ca, struct err *err);
static bool load(const char *dir, const char *name, struct identity *out);
static BIO *read_pem(const char *dir, const char *name, const char *suffix);
static bool is_usable(const struct identity *id);
static bool make(const struct plan *plan, const struct identity *issuer, struct identity *out,
                 struct err *err);
static bool fill(X509 *x, const struct plan *plan, const struct identity *issuer, EVP_PKEY *key);
static bool set_serial(X509 *x);
static bool set_times(X509 *x, int64_t lifetime_s);
static bool set_names(X509 *x, const char *common_name, X509 *issuer);
static bool add_extensions(X509 *x, const struct plan *plan, X509 *issuer);
static bool save(const char *dir, const char *name, const struct identity *id, X509 *chain,
                 struct err *err);
static bool write_pem(const char *dir, const char *name, const char *suffix, mode_t mode, BIO *pem,
                      struct err *err);
static time_t real_time(void);
static bool openssl_error(struct err *err, const char *what);

bool pki_ensure_dev(const char *dir, struct err *err)
{
    AUTO_CLEAR(identity) ca = {0};

    return dir_ensure(dir, 0700, err) && ensure_ca(dir, &ca, err) && ensure_server(dir, &ca, err);
}

/* The name differs with each CA, so that nobody takes an old one for its successor. */
static bool ensure_ca(const char *dir, struct identity *ca, struct err *err)
{
    char id[7], name[64];
    struct plan plan = {name, CA_S, ca_extensions, ARRAY_LEN(ca_extensions)};

    if (load(dir, "ca", ca))
        return true;
    identity_clear(ca);
    rand_text(id, sizeof id - 1);
    snprintf(name, sizeof name, "Tollgate development CA %s", id);
    return make(&plan, NULL, ca, err) && save(dir, "ca", ca, NULL, err);
}

static bool ensure_server(const char *dir, const struct identity *ca, struct err *err)
{
    struct plan plan = {"localhost", SERVER_S, server_extensions, ARRAY_LEN(server_extensions)};
    AUTO_CLEAR(identity) server = {0};

    if (load(dir, "server", &server) && X509_verify(server.certificate, ca->key) == 1)
        return true;
    identity_clear(&server);
    return make(&plan, ca, &server, err) && save(dir, "server", &server, ca->certificate, err);
}

static void identity_clear(struct identity *id)
{
    X509_free(id->certificate);
    EVP_PKEY_free(id->key);
    *id = (struct identity){0};
}

/* False: it is not there, not whole, or soon over, and has to be made. */
static bool load(const char *dir, const char *name, struct identity *out)
{
    BIO *certificate = read_pem(dir, name, "pem");
    BIO *key = read_pem(dir, name, "key");

    if (certificate && key) {
        out->certificate = PEM_read_bio_X509(certificate, NULL, NULL, NULL);
        out->key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
    }
    BIO_free(certificate);
    BIO_free(key);
    ERR_clear_error();
    return is_usable(out);
}

static BIO *read_pem(const char *dir, const char *name, const char *suffix)
{
    AUTO_STRING path = xasprintf("%s/%s.%s", dir, name, suffix);
    AUTO_CLEAR(buf) pem;
    BIO *bio = NULL;

    buf_init(&pem, PEM_MAX);
    if (file_read(path, &pem, NULL) && pem.len && (bio = BIO_new(BIO_s_mem())))
        BIO_write(bio, pem.data, (int)pem.len);
    return bio;
}

static bool is_usable(const struct identity *id)
{
    time_t begin = real_time(), end = begin + RENEW_S;

    return id->certificate && id->key && X509_check_private_key(id->certificate, id->key) == 1 &&
           X509_cmp_time(X509_get0_notBefore(id->certificate), &begin) < 0 &&
           X509_cmp_time(X509_get0_notAfter(id->certificate), &end) > 0;
}

/* `issuer` null: it signs itself. */
static bool make(const struct plan *plan, const struct identity *issuer, struct identity *out,
                 struct err *err)
{
    ERR_clear_error();
    out->key = EVP_EC_gen("P-256");
    out->certificate = X509_new();
    if (!issuer)
        issuer = out;
    if (!out->key || !out->certificate || !fill(out->certificate, plan, issuer, out->key) ||
        !X509_sign(out->certificate, issuer->key, EVP_sha256()))
        return openssl_error(err, "cannot make a certificate");
    return true;
}

static bool fill(X509 *x, const struct plan *plan, const struct identity *issuer, EVP_PKEY *key)
{
    return X509_set_version(x, X509_VERSION_3) && set_serial(x) && set_times(x, plan->lifetime_s) &&
           set_names(x, plan->common_name, issuer->certificate) && X509_set_pubkey(x, key) &&
           add_extensions(x, plan, issuer->certificate);
}

/* Positive and of at most 20 bytes, RFC 5280 section 4.1.2.2. */
static bool set_serial(X509 *x)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool is_set;

    rand_bytes(bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40);
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
    BN_free(number);
    return is_set;
}

static bool set_times(X509 *x, int64_t lifetime_s)
{
    time_t begin = real_time() - BACKDATE_S;

    return ASN1_TIME_set(X509_getm_notBefore(x), begin) &&
           ASN1_TIME_set(X509_getm_notAfter(x), begin + lifetime_s - 1);
}

static bool set_names(X509 *x, const char *common_name, X509 *issuer)
{
    X509_NAME *subject = X509_get_subject_name(x);

    return X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                      (const unsigned char *)"Tollgate development", -1, -1, 0) &&
           X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) &&
           X509_set_issuer_name(x, X509_get_subject_name(issuer));
}

static bool add_extensions(X509 *x, const struct plan *plan, X509 *issuer)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    for (size_t i = 0; i < plan->extension_count; i++) {
        const struct extension *row = &plan->extensions[i];
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, row->nid, row->value);
        bool is_added = e && X509_add_ext(x, e, -1);

        X509_EXTENSION_free(e);
        if (!is_added)
            return false;
    }
    return true;
}

/* The key first: a certificate without its key would be replaced at the next start anyway, never
 * served. */
static bool save(const char *dir, const char *name, const struct identity *id, X509 *chain,
                 struct err *err)
{
    BIO *key = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());
    bool is_written =
        key && pem && PEM_write_bio_PrivateKey(key, id->key, NULL, NULL, 0, NULL, NULL) &&
        PEM_write_bio_X509(pem, id->certificate) && (!chain || PEM_write_bio_X509(pem, chain));
    bool is_saved = is_written ? write_pem(dir, name, "key", 0600, key, err) &&
                                     write_pem(dir, name, "pem", 0644, pem, err)
                               : openssl_error(err, "cannot encode a certificate");

    BIO_free(key);
    BIO_free(pem);
    return is_saved;
}

static bool write_pem(const char *dir, const char *name, const char *suffix, mode_t mode, BIO *pem,
                      struct err *err)
{
    AUTO_STRING path = xasprintf("%s/%s.%s", dir, name, suffix);
    char *data;
    long len = BIO_get_mem_data(pem, &data);

    return file_write_atomic(path, mode, (struct span){data, (size_t)len}, err);
}

static time_t real_time(void)
{
    return (time_t)((clock_now() - clock_offset()) / NANOS_PER_SECOND);
}

static bool openssl_error(struct err *err, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());

    ERR_clear_error();
    return err_set(err, ERR_IO, "%s: %s", what, reason ? reason : "refused by OpenSSL");
}
