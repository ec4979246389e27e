/* httpd_fixture.h - for tests of the server: one whose handler does what the path says, and notes what it saw. For the
 * server time runs a hundred times faster, so that the 10 s of grace for slow bodies and slow readers are 100 ms; link
 * with -Wl,--wrap of stream_deadline and clock_monotonic. */
#ifndef TOLLGATE_TESTS_NET_HTTPD_FIXTURE_H
#define TOLLGATE_TESTS_NET_HTTPD_FIXTURE_H

#include "lib/net/httpd.h"
#include "tests/net/peer.h"

extern struct loop *loop;
extern struct httpd *server;
extern struct addr address;
extern struct buf seen;              /* "head:/a body:3 gone done " */
extern struct http_request *pending; /* of /wait and /later, until it is done */
extern const struct httpd_limits usual;

/* Paths: /now, /query, /deny and /empty are answered at their head; /wait is left to the test there, /later when its
 * body has come; /small takes ten bytes; every other gives its body back. */
void serve(void); /* a fixture: a loop with the server on it */
void serve_with(const struct httpd_limits *limits);
void stop(void); /* afterwards as many descriptors are open as before */

struct peer *dial(void);
void answer(struct http_request *r, struct span text);
const char *log_text(void);
void await_log(const char *text); /* until the server has noted it */
void await_count(size_t n);       /* of connections */

#define HOST               "Host: a\r\n"
#define GET(path)          "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define POST(path, length) "POST " path " HTTP/1.1\r\n" HOST "Content-Length: " length "\r\n\r\n"
#define CHUNKED(path)      "POST " path " HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

#endif
