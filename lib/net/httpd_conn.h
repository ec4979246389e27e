/* httpd_conn.h - the insides that the parts of httpd share: one server, its connections, the request each is busy with. */
#ifndef TOLLGATE_NET_HTTPD_CONN_H
#define TOLLGATE_NET_HTTPD_CONN_H

#include "lib/base/attr.h"
#include "lib/net/acceptor.h"
#include "lib/net/handover.h"
#include "lib/net/http1_chunks.h"
#include "lib/net/http1_reply.h"
#include "lib/net/httpd.h"

#define HTTPD_DROP_MAX 65536 /* of an unread body, for the sake of keep-alive */

struct httpd {
    struct loop *loop;
    struct tls_context *tls;
    struct httpd_limits limits;
    struct httpd_handler handler;
    void *arg;
    struct acceptor *acceptor; /* null once retiring */
    struct conn *conns;
    size_t conn_count;
    size_t finishing_count; /* streams that have no connection any more but are not yet closed */
    bool is_retiring;       /* no connection is kept alive */
    bool is_draining;       /* and idle ones are closed */
    bool is_freed;
    void (*on_idle)(void *);
    void *on_idle_arg;
    void (*on_closed)(struct httpd *h); /* one connection or finishing stream less */
    struct http1_date date;
    struct buf head; /* of an answer, while it is being written */
};

enum conn_state {
    CONN_HEAD,
    CONN_ASK,
    CONN_BODY,
    CONN_REPLY,
    CONN_END,
    CONN_DROP,
    CONN_CLOSE,
    CONN_NSTATES
};

enum conn_end {
    CONN_END_ABORT,  /* what is queued is lost */
    CONN_END_FINISH, /* it is sent, then the connection ends cleanly */
    CONN_END_RESET,  /* the client must not take it for an end */
};

enum conn_deadline {
    CONN_DEADLINE_NONE,
    CONN_DEADLINE_IDLE,
    CONN_DEADLINE_HEAD,
    CONN_DEADLINE_BODY,
    CONN_DEADLINE_DROP,
    CONN_DEADLINE_STALL,
};

struct conn {
    struct httpd *httpd;
    struct conn *next, **link;
    struct stream *stream;
    struct turn_end resume;
    enum conn_state state;
    enum conn_end end; /* how it will be closed */
    enum conn_deadline deadline;
    struct http_request *request; /* null between requests */
    struct buf in;                /* what came and could not be used yet */
    struct span input;  /* while running: what there is to use, in `in` or the loop's scratch */
    bool is_input_kept; /* `input` is the end of `in` */
    size_t searched;    /* bytes of an unfinished head that were looked at before */
    uint64_t drop_left; /* of a body that nobody read */
    bool is_running, is_paused;
};

struct http_request {
    struct conn *conn;
    struct http_head head; /* spans into `text` */
    struct buf text;
    struct buf body;
    size_t body_max;
    uint64_t body_left;  /* of a Content-Length */
    uint64_t body_bytes; /* that came */
    struct http1_chunks chunks;
    int64_t body_start_nanos; /* monotonic */
    bool is_accepted, is_continued, is_body_whole, is_refused;

    unsigned status; /* of the answer; 0: not begun */
    bool is_begun;   /* the answer's head was written */
    bool is_over;    /* ended or broken by the handler */
    bool is_broken;
    bool keeps_alive;
    bool is_bodiless;          /* the answer has no body, whatever is written */
    enum http_body reply_body; /* how the answer is framed */
    struct handover handover;

    void *data, *note;
    int mark;
    void (*on_gone)(void *data);
    void (*on_done)(void *data);
    void (*on_drained)(void *data);
};

void conn_new(struct httpd *h, int fd); /* joins the server's list */
void conn_die(struct conn *c);          /* ends its request, leaves the list */
void conn_touch(struct conn *c); /* something changed: the machine runs at the end of this turn */
void conn_close_if_idle(struct conn *c);
/* While an answer is not being taken by its client, time runs. */
void conn_watch_stall(struct conn *c);

#endif
