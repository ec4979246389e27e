/* anthropic_reply.c - an answer is passed on as it came, but only once it is known to be one: a message. */
#include "backends/anthropic_reply.h"

#include "backends/answer_text.h"
#include "backends/anthropic_usage.h"

#define STATUS_UNKNOWN 502 /* of an error with a good HTTP status */

enum path { TYPE = ANTHROPIC_USAGE_PATH_COUNT, CONTENT };

static const char *const paths[] = {
    ANTHROPIC_USAGE_PATHS("usage"),
    [TYPE] = "type",
    [CONTENT] = "content",
};

struct jscan *anthropic_reply_scanner(void)
{
    return jscan_new(paths, ARRAY_LEN(paths));
}

bool anthropic_reply_read(struct jscan *scanner, struct span body, struct openai_reply *out,
                          struct usage *usage, struct err *err)
{
    const struct jscan_hit *type = jscan_get(scanner, TYPE), *content = jscan_get(scanner, CONTENT);
    struct openai_reply reply = {.usage_as_stated = true};
    struct err why = {.text = ""};
    struct span said;

    jscan_reset(scanner);
    if (jscan_feed(scanner, body.data, body.len, &why) == JSCAN_BAD || !jscan_end(scanner, &why))
        return err_set(err, ERR_PROTOCOL, "the backend's answer is no JSON: %s", why.text);
    if (type->type == JSCAN_STRING && strcmp(type->text, "error") == 0)
        reply.refused_status = STATUS_UNKNOWN;
    else if (content->type != JSCAN_ARRAY)
        return err_set(err, ERR_PROTOCOL, "the backend's answer is no message");
    reply.content = content->count > 0;
    said = (struct span){body.data + content->start, (size_t)(content->end - content->start)};
    anthropic_usage_read(scanner, 0, usage);
    if (usage->bucket[USAGE_OUTPUT].source == USAGE_MISSING)
        usage_set(usage, USAGE_OUTPUT, answer_text_bytes(said) / BYTES_PER_TOKEN, USAGE_ESTIMATED);
    *out = reply;
    return true;
}
