/* key_mover.c - one small request a key. An answer that says no is the console's to explain, in its log or the next time. */
#include "gateway/key_mover.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/admin_socket.h"
#include "gateway/pepper.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"

#define MOVES_MAX     32
#define OP_CHARACTERS 20

struct key_mover {
    struct loop *loop;
    struct httpc *httpc;
    char pepper[PEPPER_ID_TEXT];
    struct move *first;
    size_t count;
    bool is_idle; /* nothing is under way */
};

struct move {
    struct key_mover *mover;
    struct move *next, **link;
    struct httpc_call *call;
    char public_id[KEY_ID_PUBLIC];
    unsigned status;
    char *body;
};

static bool is_under_way(const struct key_mover *m, const char *public_id);
static char *write_body(const struct key_mover *m, const unsigned char hash[SHA256_LEN]);
static void on_head(void *arg, const struct http_head *head);
static void on_bytes(void *arg, const char *bytes, size_t n);
static void on_end(void *arg, const struct err *err);
static void move_free(struct move *v);

struct key_mover *key_mover_new(struct loop *loop, const char *state, const char *pepper_id,
                                struct err *err)
{
    AUTO(key_mover) m = xcalloc(1, sizeof *m);

    m->loop = loop;
    m->is_idle = true;
    if (!span_copy(span_of(pepper_id), m->pepper, sizeof m->pepper)) {
        err_set(err, ERR_LIMIT, "a pepper's id is too long: '%.80s'", pepper_id);
        return NULL;
    }
    m->httpc = admin_socket_open(loop, state, err);
    return m->httpc ? KEEP(m) : NULL;
}

void key_mover_free(struct key_mover *m)
{
    if (!m)
        return;
    for (struct move *v = m->first; v; v = v->next)
        httpc_cancel(v->call);
    while (!loop_run_until(m->loop, &m->is_idle, 1000))
        ;
    httpc_free(m->httpc);
    free(m);
}

void key_mover_move(struct key_mover *m, const char *public_id,
                    const unsigned char hash[SHA256_LEN])
{
    static const struct httpc_handlers handlers = {on_head, on_bytes, on_end};
    AUTO_STRING target = xasprintf("/admin/v1/keys/%s/hash", public_id);
    struct httpc_request request = {.method = SPAN("POST"), .target = span_of(target)};
    struct move *v;

    if (m->count >= MOVES_MAX || is_under_way(m, public_id))
        return;
    v = xcalloc(1, sizeof *v);
    v->mover = m;
    snprintf(v->public_id, sizeof v->public_id, "%s", public_id);
    v->body = write_body(m, hash);
    request.body = span_of(v->body);
    v->call = httpc_call(m->httpc, &request, &handlers, v, NULL);
    if (!v->call) {
        free(v->body);
        free(v);
        return;
    }
    v->link = &m->first;
    v->next = m->first;
    if (v->next)
        v->next->link = &v->next;
    m->first = v;
    m->count++;
    m->is_idle = false;
}

static bool is_under_way(const struct key_mover *m, const char *public_id)
{
    for (const struct move *v = m->first; v; v = v->next)
        if (strcmp(v->public_id, public_id) == 0)
            return true;
    return false;
}

/* An operation of its own each time: two that give a key the same hash do what one does. */
static char *write_body(const struct key_mover *m, const unsigned char hash[SHA256_LEN])
{
    char op[OP_CHARACTERS + 1], hex[SHA256_HEX];

    rand_text(op, OP_CHARACTERS);
    hex_encode(hash, SHA256_LEN, hex);
    return xasprintf("{\"hash\":\"%s\",\"pepper\":\"%s\",\"op\":\"op_%s\"}", hex, m->pepper, op);
}

static void on_head(void *arg, const struct http_head *head)
{
    ((struct move *)arg)->status = head->status;
}

static void on_bytes(void *arg UNUSED, const char *bytes UNUSED, size_t n UNUSED)
{
}

static void on_end(void *arg, const struct err *err)
{
    struct move *v = arg;

    if (err)
        log_debug("key_not_moved", "key %s: %s", v->public_id, err->text);
    else if (v->status / 100 != 2)
        log_debug("key_not_moved", "key %s: the console answered %u", v->public_id, v->status);
    move_free(v);
}

static void move_free(struct move *v)
{
    struct key_mover *m = v->mover;

    *v->link = v->next;
    if (v->next)
        v->next->link = v->link;
    m->is_idle = --m->count == 0;
    free(v->body);
    free(v);
}
