/* openai_reply.c - an answer is passed on as it came, but only once it is known to be one: valid JSON, an object, and not
 * an error sent with status 200, as some routers do. */
#include "backends/openai_reply.h"

#include "backends/answer_text.h"
#include "backends/openai_usage.h"
#include "lib/base/jview.h"

#define STATUS_UNKNOWN 502 /* of an error that states none */

enum path {
    CHOICES = OPENAI_USAGE_PATH_COUNT,
    FAILURE,
    FAILURE_CODE,
    FIRST_TEXT,
    LAST_TEXT = FIRST_TEXT + 5,
};

static const char *const paths[] = {
    OPENAI_USAGE_PATHS,
    [CHOICES] = "choices",
    [FAILURE] = "error",
    [FAILURE_CODE] = "error.code",
    [FIRST_TEXT] = "choices.*.message.content",
    "choices.*.message.reasoning_content",
    "choices.*.message.reasoning",
    "choices.*.message.refusal",
    "choices.*.message.tool_calls.*.function.arguments",
    "choices.*.text",
};

static bool scan(struct jscan *scanner, struct span body, struct err *err);
static unsigned refused_status(const struct jscan *scanner);
static int64_t choices_with_content(const struct jscan *scanner);
static int64_t text_bytes(struct span body);

struct jscan *openai_reply_scanner(void)
{
    return jscan_new(paths, ARRAY_LEN(paths));
}

bool openai_reply_read(struct jscan *scanner, enum dialect dialect, struct span body,
                       struct openai_reply *out, struct usage *usage, struct err *err)
{
    struct openai_reply reply = {.usage_as_stated = true};
    struct openai_counts counts;

    if (!scan(scanner, body, err))
        return false;
    reply.refused_status = refused_status(scanner);
    reply.content = choices_with_content(scanner);
    if (openai_counts_read(scanner, &counts)) {
        if (dialect == DIALECT_OPENAI_EMBEDDINGS)
            openai_counts_drop_output(&counts);
        reply.usage_as_stated = openai_counts_to_usage(&counts, usage);
    }
    if (dialect != DIALECT_OPENAI_EMBEDDINGS && usage->bucket[USAGE_OUTPUT].source == USAGE_MISSING)
        usage_set(usage, USAGE_OUTPUT, text_bytes(body) / BYTES_PER_TOKEN, USAGE_ESTIMATED);
    *out = reply;
    return true;
}

static bool scan(struct jscan *scanner, struct span body, struct err *err)
{
    static const char what[] = "the backend's answer is no JSON object";
    struct err why = {.text = ""};
    size_t at = 0;

    while (at < body.len && strchr(" \t\r\n", body.data[at]))
        at++;
    if (at == body.len || body.data[at] != '{')
        return err_set(err, ERR_PROTOCOL, "%s", what);
    jscan_reset(scanner);
    if (jscan_feed(scanner, body.data, body.len, &why) == JSCAN_BAD || !jscan_end(scanner, &why))
        return err_set(err, ERR_PROTOCOL, "%s: %s", what, why.text);
    return true;
}

static unsigned refused_status(const struct jscan *scanner)
{
    const struct jscan_hit *failure = jscan_get(scanner, FAILURE);
    int64_t code;

    if (!failure->seen || failure->type == JSCAN_NULL || jscan_get(scanner, CHOICES)->seen)
        return 0;
    if (jscan_int(jscan_get(scanner, FAILURE_CODE), &code) && code >= 400 && code <= 599)
        return (unsigned)code;
    return STATUS_UNKNOWN;
}

static int64_t choices_with_content(const struct jscan *scanner)
{
    int64_t most = 0, all = jscan_get(scanner, CHOICES)->count;

    for (size_t i = FIRST_TEXT; i <= LAST_TEXT; i++)
        if (jscan_get(scanner, i)->nonempty > most)
            most = jscan_get(scanner, i)->nonempty;
    return most < all ? most : all;
}

/* Of all choices together. */
static int64_t text_bytes(struct span body)
{
    size_t blanks = strspn(body.data, " \t\r\n");
    struct span choice;
    struct jview choices =
        jview_of(jview_get((struct span){body.data + blanks, body.len - blanks}, "choices"));
    int64_t total = 0;

    while (jview_item(&choices, &choice))
        total += answer_text_bytes(jview_get(choice, "message")) +
                 answer_text_bytes(jview_get(choice, "text"));
    return total;
}
