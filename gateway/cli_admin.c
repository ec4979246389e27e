/* cli_admin.c - commands over the admin API. */
#include "gateway/cli_admin.h"

#include <ctype.h>
#include <stdio.h>

#include "gateway/admin_client.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"

#define TARGET_BYTES_MAX 8192
#define OP_CHARACTERS    24
#define OP_TEXT          65
#define CALL_MS          60000
#define LONG_CALL_MS     3600000

/* What is asked for once more when its outcome is unknown. */
struct change {
    const char *op;
    bool is_one_record; /* then it is written or not, and nothing between */
};

static json_t *call(struct cli *c, const struct admin_request *request,
                    const struct change *change);
static void say_failure(const struct cli *c, const struct change *change,
                        const struct admin_reply *reply, const struct err *err);
static bool attempt(const struct cli *c, const struct admin_request *request,
                    struct admin_reply *reply, struct err *err);
static void choose_op(const struct cli *c, char op[OP_TEXT]);

char *cli_target(const char *pattern, const char *word)
{
    AUTO_CLEAR(buf) out = {.max = TARGET_BYTES_MAX};

    for (; *pattern; pattern++) {
        if (*pattern != '%') {
            buf_add_char(&out, *pattern);
            continue;
        }
        for (const unsigned char *p = (const unsigned char *)word; *p; p++) {
            if (isalnum(*p) || strchr("-._~", *p))
                buf_add_char(&out, (char)*p);
            else
                buf_printf(&out, "%%%02X", *p);
        }
    }
    return xstrdup(out.len && !out.failed ? out.data : "");
}

json_t *cli_get(struct cli *c, const char *target)
{
    struct admin_request request = {.method = "GET", .target = target, .timeout_ms = CALL_MS};

    return call(c, &request, NULL);
}

json_t *cli_post(struct cli *c, const char *target, const json_t *body)
{
    AUTO_JSON nothing = json_object();
    struct admin_request request = {.method = "POST",
                                    .target = target,
                                    .body = body ? body : nothing,
                                    .timeout_ms = LONG_CALL_MS};

    return call(c, &request, NULL);
}

json_t *cli_post_within(struct cli *c, const char *target, int64_t timeout_ms)
{
    AUTO_JSON nothing = json_object();
    struct admin_request request = {
        .method = "POST", .target = target, .body = nothing, .timeout_ms = timeout_ms};

    return call(c, &request, NULL);
}

json_t *cli_change(struct cli *c, const struct cli_change *change)
{
    AUTO_STRING target = NULL;
    char op[OP_TEXT];
    struct admin_request request = {.method = "POST", .body = change->body, .timeout_ms = CALL_MS};

    choose_op(c, op);
    target = xasprintf("%s%s%s", change->target, change->op_in_query ? "?op=" : "",
                       change->op_in_query ? op : "");
    request.target = target;
    if (!change->op_in_query)
        json_object_set_new(change->body, "op", json_string(op));
    fprintf(stderr, "operation %s\n", op);
    return call(c, &request, &(struct change){op, !change->op_in_query});
}

static void choose_op(const struct cli *c, char op[OP_TEXT])
{
    const char *given = cli_value(c, "--op");

    if (given && span_copy(span_of(given), op, OP_TEXT))
        return;
    memcpy(op, "op_", 3);
    rand_text(op + 3, OP_CHARACTERS);
}

static json_t *call(struct cli *c, const struct admin_request *request, const struct change *change)
{
    AUTO_CLEAR(admin_reply) reply = {.json = NULL};
    bool is_last = !change;
    struct err err;

    if (!c->options.state && !cli_read_config(c))
        return NULL;
    while (!attempt(c, request, &reply, &err)) {
        if (is_last || reply.is_answered || admin_client_is_refusal(err.code)) {
            say_failure(c, change, &reply, &err);
            return NULL;
        }
        fprintf(stderr, "%s; trying once more\n", err.text);
        is_last = true;
    }
    if (json_is_true(json_object_get(reply.json, "repeated")))
        fprintf(stderr, "nothing was changed: it was done before; this is how it stands now\n");
    if (reply.is_pending)
        fprintf(stderr, "written; it will be applied when Redis is back\n");
    return KEEP(reply.json);
}

static void say_failure(const struct cli *c, const struct change *change,
                        const struct admin_reply *reply, const struct err *err)
{
    if (!change || admin_client_is_refusal(err->code))
        cli_fail(c, "%s", err->text);
    else if (reply->is_answered && change->is_one_record)
        cli_fail(c, "not written: %s", err->text);
    else
        cli_fail(c, "%s; how much of it is written is not known: ask again with --op %s", err->text,
                 change->op);
}

/* Each attempt finds its own console: the last one's may be what broke. */
static bool attempt(const struct cli *c, const struct admin_request *request,
                    struct admin_reply *reply, struct err *err)
{
    AUTO(admin_client) client = admin_client_open(&c->options, err);

    return client && admin_client_call(client, request, reply, err);
}
