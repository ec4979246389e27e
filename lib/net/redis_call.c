/* redis_call.c - encoded once; of a script that is sent again only the run_id changes, which has
 * the same length in every server. */
#include "lib/net/redis_call.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

static void encode_args(struct redis_call *c, const struct redis_words *args);
static size_t encoded_max(const struct redis_words *args);
static void send_asking(struct redis_link *link, int64_t due_ms);
static void asking_answered(void *arg, const struct redis_reply *reply, const struct err *err);

static const char run_id_room[] =
    "---------------------------------------------------------------------------------";
const struct span redis_arg_run_id = {run_id_room, sizeof run_id_room - 1};
static_assert(sizeof run_id_room == REDIS_RUN_ID, "it stands where a run_id will");

struct redis_call *redis_call_new(struct redis *r, redis_on_reply *on_reply, void *arg)
{
    struct redis_call *c = xcalloc(1, sizeof *c);

    c->redis = r;
    c->on_reply = on_reply;
    c->arg = arg;
    c->slot = REDIS_ANY_SLOT;
    buf_init(&c->bytes, REDIS_CALL_MAX);
    return c;
}

void redis_call_free(struct redis_call *c)
{
    buf_clear(&c->bytes);
    free(c->asked);
    free(c->why);
    free(c);
}

void redis_call_plain(struct redis_call *c, const struct redis_words *words)
{
    if (!buf_room(&c->bytes, REDIS_FRAMING_MAX + encoded_max(words)))
        return;
    redis_encode_start(&c->bytes, words->count);
    encode_args(c, words);
}

void redis_call_script(struct redis_call *c, const struct redis_eval *eval)
{
    const struct redis_script *s = eval->script;
    char count[INT64_TEXT];
    const struct span words[] = {
        SPAN("EVALSHA"), {s->sha1, sizeof s->sha1 - 1}, uint64_text(eval->keys.count, count)};
    const struct redis_words head = REDIS_WORDS(words);

    c->script = s;
    if (!buf_room(&c->bytes, REDIS_FRAMING_MAX + encoded_max(&head) + encoded_max(&eval->keys) +
                                 encoded_max(&eval->args)))
        return;
    redis_encode_start(&c->bytes, head.count + eval->keys.count + eval->args.count);
    encode_args(c, &head);
    encode_args(c, &eval->keys);
    encode_args(c, &eval->args);
}

static void encode_args(struct redis_call *c, const struct redis_words *args)
{
    for (size_t i = 0; i < args->count; i++) {
        redis_encode_arg(&c->bytes, args->words[i]);
        if (args->words[i].data == run_id_room)
            c->run_id_at = c->bytes.len - strlen("\r\n") - args->words[i].len;
    }
}

/* At most, so that a command grows its buffer once. */
static size_t encoded_max(const struct redis_words *args)
{
    size_t bytes = args->count * REDIS_FRAMING_MAX;

    for (size_t i = 0; i < args->count; i++)
        bytes += args->words[i].len;
    return bytes;
}

void redis_call_send(struct redis_call *c, struct redis_node *node, redis_on_reply *on_reply)
{
    struct redis_link *link = redis_node_link(node);

    if (c->run_id_at)
        memcpy(c->bytes.data + c->run_id_at, redis_node_run_id(node), REDIS_RUN_ID - 1);
    if (c->asked)
        send_asking(link, c->due_ms);
    c->node = node;
    c->number = redis_link_sent(link);
    redis_link_send(link, buf_span(&c->bytes), c->due_ms, on_reply, c);
}

static void send_asking(struct redis_link *link, int64_t due_ms)
{
    AUTO_CLEAR(buf) line = {.max = 64};

    redis_encode(&line, &SPAN("ASKING"), 1);
    redis_link_send(link, buf_span(&line), due_ms, asking_answered, NULL);
}

/* The command behind it is refused when this is. */
static void asking_answered(void *arg UNUSED, const struct redis_reply *reply UNUSED,
                            const struct err *err UNUSED)
{
}
