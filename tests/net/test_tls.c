/* test_tls.c - what contexts promise about files, names, protocols and workers, and the development
 * certificates that the other tests trust. Python's ssl is the peer where a client must offer or
 * resume what ours never does. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/net/pki.h"
#include "lib/net/stream.h"
#include "tests/base/run.h"

#define PEM_MAX 8192

static char dir[] = "/tmp/tollgate-test-tls-XXXXXX";
static struct loop *loop;
static struct tls_context *server_tls;
static struct addr listening[2];
static int listeners[2] = {-1, -1};
static struct watch *watches[2];

static struct stream *accepted[8], *client;
static size_t accepted_count;
static bool is_over;
static unsigned opened, failed;
static struct err failure;
static const struct stream_limits limits = {1 << 20, 1 << 18, 1 << 16};

static char *in_dir(const char *name)
{
    return path_join(dir, name);
}

static void greet(void *arg)
{
    stream_write(*(struct stream **)arg, "hello", 5);
}

static void on_accept(void *arg)
{
    static const struct stream_handlers handlers = {.on_open = greet};
    int fd = accept4(*(int *)arg, NULL, NULL, SOCK_NONBLOCK);
    struct stream **s = &accepted[accepted_count++ % ARRAY_LEN(accepted)];

    stream_free(*s);
    *s = stream_accepted(loop, fd, server_tls, &(struct stream_owner){&limits, &handlers, s});
}

static void listen_now(size_t i)
{
    struct addr any;
    struct err err;

    ck_assert(addr_parse("127.0.0.1:0", &any, &err));
    listeners[i] = addr_listen(&any, &listening[i], &err);
    ck_assert_int_ge(listeners[i], 0);
    watches[i] = watch_new(loop, listeners[i], on_accept, NULL, &listeners[i]);
    watch_want(watches[i], true, false);
}

static void setup(void)
{
    AUTO_STRING certificate = NULL;
    AUTO_STRING key = NULL;
    struct err err;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_msg(pki_ensure_dev(dir, &err), "%s", err.text);
    certificate = in_dir("server.pem");
    key = in_dir("server.key");
    server_tls = tls_server_new(certificate, key, &err);
    ck_assert_msg(server_tls != NULL, "%s", err.text);
    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
    listen_now(0);
}

static void teardown(void)
{
    AUTO_STRING command = xasprintf("rm -rf %s", dir);

    stream_free(client);
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        stream_free(accepted[i]);
    for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
        watch_free(watches[i]);
        close(listeners[i]);
    }
    loop_free(loop);
    tls_context_free(server_tls);
    ck_assert_int_eq(system(command), 0);
}

static void on_open(void *arg UNUSED)
{
    opened++;
    is_over = true;
}

static void on_failed(void *arg UNUSED, const struct err *err)
{
    failed++;
    failure = *err;
    is_over = true;
}

static void try(struct tls_context *tls, const char *host)
{
    static const struct stream_handlers handlers = {.on_open = on_open, .on_failed = on_failed};
    const struct stream_peer peer = {listening[0], tls, host};
    struct err err;

    stream_free(client);
    opened = failed = 0;
    is_over = false;
    client = stream_connect(loop, &peer, &(struct stream_owner){&limits, &handlers, NULL}, &err);
    ck_assert_msg(client != NULL, "%s", err.text);
    ck_assert(loop_run_until(loop, &is_over, 60000));
}

static struct tls_context *trusting(const char *ca)
{
    struct err err;
    struct tls_context *c = tls_client_new(ca, &err);

    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

START_TEST(names_and_numbers_are_verified_against_the_certificate)
{
    static const struct {
        const char *host;
        bool is_accepted;
    } rows[] = {
        {"localhost", true},      {"127.0.0.1", true},  {"::1", true},  {"[::1]", true},
        {"example.com", false},   {"127.0.0.2", false}, {"::2", false}, {"LOCALHOST", true},
        {"www.localhost", false}, {"local", false},
    };
    AUTO_STRING ca = in_dir("ca.pem");
    AUTO(tls_context) tls = trusting(ca);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        try(tls, rows[i].host);
        ck_assert_msg(opened == rows[i].is_accepted, "%s: %s", rows[i].host, failure.text);
        if (rows[i].is_accepted)
            continue;
        ck_assert_int_eq(failure.code, ERR_DENIED);
        ck_assert_ptr_nonnull(strstr(failure.text, "certificate is not accepted"));
    }
}
END_TEST

START_TEST(a_certificate_of_another_authority_is_refused)
{
    AUTO_STRING other = in_dir("other");
    AUTO_STRING ca = in_dir("other/ca.pem");
    AUTO(tls_context) tls = NULL;
    AUTO(tls_context) system_tls = trusting(NULL);
    struct err err;

    ck_assert(pki_ensure_dev(other, &err));
    tls = trusting(ca);
    try(tls, "localhost");
    ck_assert_int_eq(failure.code, ERR_DENIED);
    try(system_tls, "localhost");
    ck_assert_int_eq(failure.code, ERR_DENIED);
}
END_TEST

START_TEST(a_client_without_a_host_is_not_made)
{
    static const struct stream_handlers none = {.on_open = NULL};
    AUTO_STRING ca = in_dir("ca.pem");
    AUTO(tls_context) tls = trusting(ca);
    const struct stream_owner owner = {&limits, &none, NULL};
    const struct stream_peer hostless[] = {{listening[0], tls, NULL}, {listening[0], tls, ""}};
    struct err err;

    ck_assert_ptr_null(stream_connect(loop, &hostless[0], &owner, &err));
    ck_assert_ptr_null(stream_connect(loop, &hostless[1], &owner, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

START_TEST(files_that_do_not_serve_are_named_with_the_reason)
{
    AUTO_STRING certificate = in_dir("server.pem");
    AUTO_STRING key = in_dir("server.key");
    AUTO_STRING other_key = in_dir("ca.key");
    AUTO_STRING missing = in_dir("missing");
    struct err err;

    ck_assert_ptr_null(tls_server_new(missing, key, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "missing: No such file"));
    ck_assert_ptr_null(tls_server_new(certificate, missing, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_null(tls_server_new(certificate, other_key, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "key values mismatch"));
    ck_assert_ptr_null(tls_server_new(key, key, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_ptr_null(tls_client_new(missing, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "missing"));
    ck_assert_int_eq(chmod(key, 0644), 0);
    ck_assert_ptr_null(tls_server_new(certificate, key, &err));
    ck_assert_int_eq(err.code, ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(err.text, "chmod 600"));
}
END_TEST

/* --- Resumption, without a loop: both ends in hand
 * ------------------------------------------------------------------ */

/* A handshake over a socket pair, then a byte from the server, behind which its tickets have come. True: it was resumed. */
static bool shake_hands(struct tls_context *tls, const char *host, bool *is_accepted)
{
    int fds[2];
    enum tls_want at_server = TLS_WANT_READ, at_client = TLS_WANT_READ;
    AUTO(tls) server = NULL;
    AUTO(tls) one = NULL;
    struct err err;
    char byte;
    size_t n;
    bool is_resumed;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    server = tls_new(server_tls, fds[0], NULL, &err);
    one = tls_new(tls, fds[1], host, &err);
    ck_assert(server && one);
    for (int i = 0; i < 20; i++) {
        if (at_client != TLS_DONE && at_client != TLS_FAILED)
            at_client = tls_handshake(one, &err);
        if (at_server != TLS_DONE && at_server != TLS_FAILED)
            at_server = tls_handshake(server, &err);
    }
    *is_accepted = at_client == TLS_DONE && at_server == TLS_DONE;
    is_resumed = *is_accepted && tls_is_resumed(one);
    if (*is_accepted) {
        ck_assert_int_eq(tls_write(server, "x", 1, &n, &err), TLS_DONE);
        ck_assert_int_eq(tls_read(one, &byte, 1, &n, &err), TLS_DONE);
    }
    close(fds[0]);
    close(fds[1]);
    return is_resumed;
}

START_TEST(a_host_is_resumed_and_no_other_host_by_its_session)
{
    AUTO_STRING ca = in_dir("ca.pem");
    struct err err;
    AUTO(tls_context) tls = tls_client_new(ca, &err);
    bool is_accepted;

    ck_assert(!shake_hands(tls, "localhost", &is_accepted) && is_accepted);
    ck_assert(shake_hands(tls, "localhost", &is_accepted));
    ck_assert(shake_hands(tls, "localhost", &is_accepted)); /* by what the resumed one brought */
    ck_assert(!shake_hands(tls, "127.0.0.1", &is_accepted) && is_accepted);
    ck_assert(shake_hands(tls, "127.0.0.1", &is_accepted));
    ck_assert(!shake_hands(tls, "example.com", &is_accepted) && !is_accepted);
    ck_assert(shake_hands(tls, "localhost", &is_accepted));
}
END_TEST

START_TEST(more_hosts_than_are_remembered_push_the_oldest_out)
{
    AUTO_STRING ca = in_dir("ca.pem");
    struct err err;
    AUTO(tls_context) tls = tls_client_new(ca, &err);
    bool is_accepted;

    ck_assert(!shake_hands(tls, "localhost", &is_accepted) && is_accepted);
    for (int i = 1; i <= 16; i++) {
        AUTO_STRING host =
            xasprintf("%c%c%c%c%c%c%c%c%c", i & 1 ? 'L' : 'l', i & 2 ? 'O' : 'o', i & 4 ? 'C' : 'c',
                      i & 8 ? 'A' : 'a', i & 16 ? 'L' : 'l', 'h', 'o', 's', 't');

        ck_assert(!shake_hands(tls, host, &is_accepted) && is_accepted);
    }
    ck_assert(!shake_hands(tls, "localhost", &is_accepted) && is_accepted);
}
END_TEST

START_TEST(a_connection_may_outlive_its_context)
{
    AUTO_STRING ca = in_dir("ca.pem");
    struct err err;
    struct tls_context *tls = tls_client_new(ca, &err);
    AUTO(tls) one = NULL;
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    one = tls_new(tls, fds[1], "localhost", &err);
    ck_assert_ptr_nonnull(one);
    tls_context_free(tls);
    close(fds[0]);
    ck_assert_int_eq(tls_handshake(one, &err), TLS_FAILED);
    close(fds[1]);
}
END_TEST

/* --- With Python's ssl as client
 * ------------------------------------------------------------------ */

/* Runs the program while the loop serves; returns what it printed. sys.argv: ca.pem, ports. */
static const char *python(const char *program, unsigned port, unsigned other_port)
{
    static char said[512];
    AUTO_STRING ca = in_dir("ca.pem");
    AUTO_STRING first = xasprintf("%u", port);
    AUTO_STRING other = xasprintf("%u", other_port);
    bool never = false;
    size_t len = 0;
    int out[2];
    ssize_t n;
    pid_t pid;

    ck_assert_int_eq(pipe(out), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], STDOUT_FILENO);
        execlp("python3", "python3", "-c", program, ca, first, other, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    while ((n = read(out[0], said + len, sizeof said - 1 - len)) != 0) {
        len += n > 0 ? (size_t)n : 0;
        ck_assert(!loop_run_until(loop, &never, 2));
    }
    said[len] = '\0';
    close(out[0]);
    waitpid(pid, NULL, 0);
    return said;
}

static unsigned port_of(const struct addr *a)
{
    return ntohs(a->u.v4.sin_port);
}

#define PYTHON_START                                                          \
    "import socket, ssl, sys, warnings\n"                                     \
    "warnings.simplefilter(\'ignore\')\n"                                     \
    "context = ssl.create_default_context(cafile=sys.argv[1])\n"              \
    "def call(port, **more):\n"                                               \
    "    raw = socket.create_connection(('127.0.0.1', int(port)))\n"          \
    "    s = context.wrap_socket(raw, server_hostname='localhost', **more)\n" \
    "    assert s.recv(5) == b'hello'\n"                                      \
    "    return s\n"

START_TEST(http_1_1_is_chosen_and_a_client_that_wants_only_others_is_told)
{
    ck_assert_str_eq(python(PYTHON_START "context.set_alpn_protocols(['h2', 'http/1.1'])\n"
                                         "print(call(sys.argv[2]).selected_alpn_protocol())\n",
                            port_of(&listening[0]), 0),
                     "http/1.1\n");
    ck_assert_str_eq(python(PYTHON_START "print(call(sys.argv[2]).selected_alpn_protocol())\n",
                            port_of(&listening[0]), 0),
                     "None\n");
    ck_assert_str_eq(python(PYTHON_START "context.set_alpn_protocols(['h2'])\n"
                                         "try:\n"
                                         "    call(sys.argv[2])\n"
                                         "except ssl.SSLError:\n"
                                         "    print('refused')\n",
                            port_of(&listening[0]), 0),
                     "refused\n");
}
END_TEST

START_TEST(both_versions_are_spoken_and_nothing_older)
{
    ck_assert_str_eq(python(PYTHON_START
                            "print(call(sys.argv[2]).version())\n"
                            "context.maximum_version = ssl.TLSVersion.TLSv1_2\n"
                            "print(call(sys.argv[2]).version())\n"
                            "context.set_ciphers('ALL:@SECLEVEL=0')\n"
                            "context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED\n"
                            "context.maximum_version = ssl.TLSVersion.TLSv1_1\n"
                            "try:\n"
                            "    print(call(sys.argv[2]).version())\n"
                            "except ssl.SSLError as e:\n"
                            "    print(e.reason)\n",
                            port_of(&listening[0]), 0),
                     "TLSv1.3\nTLSv1.2\nTLSV1_ALERT_PROTOCOL_VERSION\n");
}
END_TEST

START_TEST(strict_clients_accept_the_certificate)
{
    ck_assert_str_eq(python(PYTHON_START "context.verify_flags |= ssl.VERIFY_X509_STRICT\n"
                                         "print(call(sys.argv[2]).version())\n",
                            port_of(&listening[0]), 0),
                     "TLSv1.3\n");
}
END_TEST

/* Two processes with a listener each: what one gave out, the other takes. */
START_TEST(a_session_is_resumed_by_another_worker)
{
    struct err err;
    pid_t pid;

    listen_now(1);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!loop_after_fork(loop, &err))
            _exit(1);
        watch_want(watches[0], false, false);
        loop_run(loop);
    }
    watch_want(watches[1], false, false);
    ck_assert_str_eq(python(PYTHON_START
                            "for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:\n"
                            "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n"
                            "    context.maximum_version = version\n"
                            "    session = call(sys.argv[2]).session\n"
                            "    print(call(sys.argv[3], session=session).session_reused)\n",
                            port_of(&listening[0]), port_of(&listening[1])),
                     "True\nTrue\n");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
END_TEST

/* --- The files
 * ------------------------------------------------------------------------------------ */

static void read_all(struct buf pem[4])
{
    static const char *const names[] = {"ca.pem", "ca.key", "server.pem", "server.key"};

    for (size_t i = 0; i < 4; i++) {
        AUTO_STRING path = in_dir(names[i]);
        struct err err;

        buf_init(&pem[i], PEM_MAX);
        ck_assert_msg(file_read(path, &pem[i], &err), "%s", err.text);
    }
}

/* Which of the four changed, as bits, when they are ensured again. */
static unsigned changed_after(const char *spoiled)
{
    AUTO_STRING path = in_dir(spoiled);
    struct buf before[4], after[4];
    unsigned changed = 0;
    struct err err;

    read_all(before);
    if (*spoiled)
        ck_assert(file_write_atomic(path, 0600, SPAN("spoiled"), &err));
    ck_assert_msg(pki_ensure_dev(dir, &err), "%s", err.text);
    read_all(after);
    for (size_t i = 0; i < 4; i++) {
        changed |= span_equal(buf_span(&before[i]), buf_span(&after[i])) ? 0 : 1u << i;
        buf_clear(&before[i]);
        buf_clear(&after[i]);
    }
    return changed;
}

START_TEST(what_is_whole_is_kept_and_what_depends_on_a_loss_is_made_anew)
{
    ck_assert_uint_eq(changed_after(""), 0);
    ck_assert_uint_eq(changed_after("server.key"), 0xc);
    ck_assert_uint_eq(changed_after("server.pem"), 0xc);
    ck_assert_uint_eq(changed_after("ca.key"), 0xf);
    ck_assert_uint_eq(changed_after("ca.pem"), 0xf);
    ck_assert_uint_eq(changed_after(""), 0);
}
END_TEST

START_TEST(keys_are_secret_and_certificates_are_not)
{
    static const struct {
        const char *name;
        mode_t mode;
    } rows[] = {{"ca.key", 0600}, {"server.key", 0600}, {"ca.pem", 0644}, {"server.pem", 0644}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_STRING path = in_dir(rows[i].name);
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, rows[i].mode);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        names_and_numbers_are_verified_against_the_certificate,
        a_certificate_of_another_authority_is_refused,
        a_client_without_a_host_is_not_made,
        files_that_do_not_serve_are_named_with_the_reason,
        http_1_1_is_chosen_and_a_client_that_wants_only_others_is_told,
        both_versions_are_spoken_and_nothing_older,
        strict_clients_accept_the_certificate,
        a_session_is_resumed_by_another_worker,
        a_host_is_resumed_and_no_other_host_by_its_session,
        more_hosts_than_are_remembered_push_the_oldest_out,
        a_connection_may_outlive_its_context,
        what_is_whole_is_kept_and_what_depends_on_a_loss_is_made_anew,
        keys_are_secret_and_certificates_are_not,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "tls");
}
