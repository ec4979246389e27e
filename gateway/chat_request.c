/* chat_request.c - a chat body is scanned once; its bytes go on to the backend as they came, so only the fields that
 * decide routing, admission and metering are looked at, and those are held to their types. */
#include "gateway/chat_request.h"

#define CHOICES_MAX 128

enum field {
    MODEL,
    STREAM,
    OPTIONS,
    INCLUDE_USAGE,
    MAX_TOKENS,
    MAX_COMPLETION_TOKENS,
    N,
    MESSAGES,
    N_PREDICT,
    N_CMPL,
    BEST_OF
};

static const char *const paths[] = {
    [MODEL] = "model",
    [STREAM] = "stream",
    [OPTIONS] = "stream_options",
    [INCLUDE_USAGE] = "stream_options.include_usage",
    [MAX_TOKENS] = "max_tokens",
    [MAX_COMPLETION_TOKENS] = "max_completion_tokens",
    [N] = "n",
    [MESSAGES] = "messages",
    [N_PREDICT] = "n_predict",
    [N_CMPL] = "n_cmpl",
    [BEST_OF] = "best_of",
};

static bool check_field(enum field f, const struct jscan_hit *hit, struct err *err);
static bool read_model(const struct jscan_hit *hit, struct chat_request *out, struct err *err);
static bool read_count(const struct jscan_hit *hit, const char *name, int64_t max, int64_t *out,
                       struct err *err);
static bool read_caps(const struct jscan *scanner, struct chat_request *out, const char **param,
                      struct err *err);
static bool is_given(const struct jscan_hit *hit);
static struct span value_in(struct span body, const struct jscan_hit *hit);

struct jscan *chat_request_scanner(void)
{
    return jscan_new(paths, ARRAY_LEN(paths));
}

bool chat_request_read(struct jscan *scanner, struct span body, struct chat_request *out,
                       const char **param, struct err *err)
{
    struct chat_request request = {.body = body, .n = 1};

    *param = NULL;
    jscan_reset(scanner);
    if (jscan_feed(scanner, body.data, body.len, err) == JSCAN_BAD || !jscan_end(scanner, err))
        return err_context(err, "body");
    if (body.data[strspn(body.data, " \t\r\n")] != '{')
        return err_set(err, ERR_INPUT, "the body must be a JSON object");
    for (enum field f = 0; f < ARRAY_LEN(paths); f++) {
        *param = paths[f];
        if (!check_field(f, jscan_get(scanner, f), err))
            return false;
    }
    *param = paths[MODEL];
    if (!read_model(jscan_get(scanner, MODEL), &request, err))
        return false;
    *param = paths[N];
    if (is_given(jscan_get(scanner, N)) &&
        !read_count(jscan_get(scanner, N), "n", CHOICES_MAX, &request.n, err))
        return false;
    if (!read_caps(scanner, &request, param, err))
        return false;
    request.model_value = value_in(body, jscan_get(scanner, MODEL));
    request.stream = jscan_get(scanner, STREAM)->type == JSCAN_TRUE;
    request.usage_wanted = jscan_get(scanner, INCLUDE_USAGE)->type == JSCAN_TRUE;
    if (jscan_get(scanner, OPTIONS)->seen)
        request.stream_options = value_in(body, jscan_get(scanner, OPTIONS));
    *param = NULL;
    *out = request;
    return true;
}

/* What a member may be; null always means "not given", as SDKs send it for unset options. */
struct field_rule {
    bool required;
    bool refused;
    const char *type;
    bool (*fits)(enum jscan_type type);
};

static bool is_string(enum jscan_type t)
{
    return t == JSCAN_STRING;
}

static bool is_bool(enum jscan_type t)
{
    return t == JSCAN_TRUE || t == JSCAN_FALSE;
}

static bool is_object(enum jscan_type t)
{
    return t == JSCAN_OBJECT;
}

static bool is_array(enum jscan_type t)
{
    return t == JSCAN_ARRAY;
}

static bool is_number(enum jscan_type t)
{
    return t == JSCAN_NUMBER;
}

static const struct field_rule rules[] = {
    [MODEL] = {.required = true, .type = "a string", .fits = is_string},
    [STREAM] = {.type = "a boolean", .fits = is_bool},
    [OPTIONS] = {.type = "an object", .fits = is_object},
    [INCLUDE_USAGE] = {.type = "a boolean", .fits = is_bool},
    [MAX_TOKENS] = {.type = "an integer", .fits = is_number},
    [MAX_COMPLETION_TOKENS] = {.type = "an integer", .fits = is_number},
    [N] = {.type = "an integer", .fits = is_number},
    [MESSAGES] = {.required = true, .type = "an array", .fits = is_array},
    [N_PREDICT] = {.refused = true},
    [N_CMPL] = {.refused = true},
    [BEST_OF] = {.refused = true},
};

static bool check_field(enum field f, const struct jscan_hit *hit, struct err *err)
{
    const struct field_rule *rule = &rules[f];

    if (hit->seen > 1)
        return err_set(err, ERR_INPUT, "'%s' is given twice; give it once", paths[f]);
    if (rule->refused)
        return !hit->seen ||
               err_set(err, ERR_INPUT, "'%s' is not supported; use 'max_completion_tokens' and 'n'",
                       paths[f]);
    if (!is_given(hit))
        return !rule->required ||
               err_set(err, ERR_INPUT, "'%s' is required: %s", paths[f], rule->type);
    return rule->fits(hit->type) ||
           err_set(err, ERR_INPUT, "'%s' must be %s", paths[f], rule->type);
}

static bool read_model(const struct jscan_hit *hit, struct chat_request *out, struct err *err)
{
    if (hit->text_cut ||
        !span_copy((struct span){hit->text, hit->text_len}, out->model, sizeof out->model))
        return err_set(err, ERR_INPUT, "'model' must be at most %zu characters",
                       sizeof out->model - 1);
    return true;
}

static bool read_count(const struct jscan_hit *hit, const char *name, int64_t max, int64_t *out,
                       struct err *err)
{
    if (!jscan_int(hit, out) || *out < 1 || *out > max)
        return err_set(err, ERR_INPUT, "'%s' must be an integer from 1 to %lld", name,
                       (long long)max);
    return true;
}

/* Two caps would leave it to the backend which one counts: as at OpenAI, only one may be given. */
static bool read_caps(const struct jscan *scanner, struct chat_request *out, const char **param,
                      struct err *err)
{
    static const enum field order[] = {MAX_TOKENS, MAX_COMPLETION_TOKENS};

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const struct jscan_hit *hit = jscan_get(scanner, order[i]);

        *param = paths[order[i]];
        if (is_given(hit) && out->cap)
            return err_set(err, ERR_INPUT,
                           "give 'max_completion_tokens' or 'max_tokens', not both");
        if (is_given(hit) && !read_count(hit, paths[order[i]], INT32_MAX, &out->cap, err))
            return false;
        if (hit->seen && (is_given(hit) || !out->cap_value.data))
            out->cap_value = value_in(out->body, hit);
    }
    return true;
}

static bool is_given(const struct jscan_hit *hit)
{
    return hit->seen && hit->type != JSCAN_NULL;
}

static struct span value_in(struct span body, const struct jscan_hit *hit)
{
    return (struct span){body.data + hit->start, (size_t)(hit->end - hit->start)};
}
