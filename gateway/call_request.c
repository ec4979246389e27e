/* call_request.c - a body is scanned once; its bytes go on to the backend as they came, so only the fields that
 * decide routing, admission and metering are looked at, and those are held to their types. */
#include "gateway/call_request.h"

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
    BEST_OF,
    PROMPT,
    PROMPT_ITEM,
    ECHO_PROMPT,
    INPUT,
    ENCODING_FORMAT,
    DIMENSIONS,
    FIELDS
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
    [PROMPT] = "prompt",
    [PROMPT_ITEM] = "prompt.*",
    [ECHO_PROMPT] = "echo",
    [INPUT] = "input",
    [ENCODING_FORMAT] = "encoding_format",
    [DIMENSIONS] = "dimensions",
};

struct field_rule;
static bool check_fields(const struct jscan *scanner, enum surface surface, const char **param,
                         struct err *err);
static bool check_field(const struct field_rule *rule, const char *name,
                        const struct jscan_hit *hit, struct err *err);
static bool looks_at(enum surface surface, enum field f);
static bool read_model(const struct jscan_hit *hit, struct call_request *out, struct err *err);
static bool read_count(const struct jscan_hit *hit, const char *name, int64_t max, int64_t *out,
                       struct err *err);
static bool read_answers(const struct jscan *scanner, struct call_request *out, const char **param,
                         struct err *err);
static int64_t prompts(const struct jscan *scanner);
static bool read_caps(const struct jscan *scanner, struct call_request *out, const char **param,
                      struct err *err);
static bool is_given(const struct jscan_hit *hit);
static struct span value_in(struct span body, const struct jscan_hit *hit);

struct jscan *call_request_scanner(void)
{
    return jscan_new(paths, ARRAY_LEN(paths));
}

bool call_request_read(struct jscan *scanner, enum surface surface, struct span body,
                       struct call_request *out, const char **param, struct err *err)
{
    struct call_request request = {.surface = surface, .body = body, .n = 1};

    *param = NULL;
    jscan_reset(scanner);
    if (jscan_feed(scanner, body.data, body.len, err) == JSCAN_BAD || !jscan_end(scanner, err))
        return err_context(err, "body");
    if (body.data[strspn(body.data, " \t\r\n")] != '{')
        return err_set(err, ERR_INPUT, "The body must be a JSON object");
    if (!check_fields(scanner, surface, param, err))
        return false;
    *param = paths[MODEL];
    if (!read_model(jscan_get(scanner, MODEL), &request, err) ||
        !read_answers(scanner, &request, param, err) || !read_caps(scanner, &request, param, err))
        return false;
    request.model_value = value_in(body, jscan_get(scanner, MODEL));
    request.stream = looks_at(surface, STREAM) && jscan_get(scanner, STREAM)->type == JSCAN_TRUE;
    if (looks_at(surface, OPTIONS) && jscan_get(scanner, OPTIONS)->seen) {
        request.usage_wanted = jscan_get(scanner, INCLUDE_USAGE)->type == JSCAN_TRUE;
        request.stream_options = value_in(body, jscan_get(scanner, OPTIONS));
    }
    *param = paths[ECHO_PROMPT];
    if (looks_at(surface, ECHO_PROMPT) && request.stream &&
        jscan_get(scanner, ECHO_PROMPT)->type == JSCAN_TRUE)
        return err_set(err, ERR_INPUT,
                       "'echo' is not supported in a stream; ask for a plain answer");
    *param = NULL;
    *out = request;
    return true;
}

/* What a member may be; null always means "not given", as SDKs send it for unset options. */
struct field_rule {
    bool required;
    bool refused;
    bool filled; /* not an empty array */
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

static bool is_text_or_list(enum jscan_type t)
{
    return t == JSCAN_STRING || t == JSCAN_ARRAY;
}

#define ANY_CALL [MODEL] = {.required = true, .type = "a string", .fits = is_string}
#define WRITING_CALL                                                                            \
    ANY_CALL, [STREAM] = {.type = "a boolean", .fits = is_bool},                                \
              [OPTIONS] = {.type = "an object", .fits = is_object},                             \
              [INCLUDE_USAGE] = {.type = "a boolean", .fits = is_bool},                         \
              [MAX_TOKENS] = {.type = "an integer", .fits = is_number},                         \
              [MAX_COMPLETION_TOKENS] = {.type = "an integer", .fits = is_number},              \
              [N] = {.type = "an integer", .fits = is_number}, [N_PREDICT] = {.refused = true}, \
              [N_CMPL] = {.refused = true}, [BEST_OF] = {.refused = true}

#define THE_TURNS \
    [MESSAGES] = {.required = true, .filled = true, .type = "an array", .fits = is_array}

/* What has no row passes on unread. */
static const struct field_rule rules[SURFACES][FIELDS] = {
    [SURFACE_CHAT] = {WRITING_CALL, THE_TURNS},
    [SURFACE_COMPLETIONS] = {WRITING_CALL,
                             [PROMPT] = {.required = true,
                                         .type = "a string or an array",
                                         .fits = is_text_or_list},
                             [ECHO_PROMPT] = {.type = "a boolean", .fits = is_bool}},
    [SURFACE_EMBEDDINGS] = {ANY_CALL,
                            [INPUT] = {.required = true,
                                       .type = "a string or an array",
                                       .fits = is_text_or_list},
                            [ENCODING_FORMAT] = {.type = "a string", .fits = is_string},
                            [DIMENSIONS] = {.type = "an integer", .fits = is_number}},
    [SURFACE_MESSAGES] =
        {ANY_CALL, [STREAM] = {.type = "a boolean", .fits = is_bool},
         [MAX_TOKENS] = {.required = true, .type = "an integer", .fits = is_number}, THE_TURNS},
};

static bool looks_at(enum surface surface, enum field f)
{
    return rules[surface][f].fits != NULL;
}

static bool check_fields(const struct jscan *scanner, enum surface surface, const char **param,
                         struct err *err)
{
    for (enum field f = 0; f < FIELDS; f++) {
        const struct field_rule *rule = &rules[surface][f];

        *param = paths[f];
        if ((rule->fits || rule->refused) &&
            !check_field(rule, paths[f], jscan_get(scanner, f), err))
            return false;
    }
    return true;
}

static bool check_field(const struct field_rule *rule, const char *name,
                        const struct jscan_hit *hit, struct err *err)
{
    if (hit->seen > 1)
        return err_set(err, ERR_INPUT, "'%s' is given twice; give it once", name);
    if (rule->refused)
        return !hit->seen ||
               err_set(err, ERR_INPUT, "'%s' is not supported; use 'max_tokens' and 'n'", name);
    if (!is_given(hit))
        return !rule->required || err_set(err, ERR_INPUT, "'%s' is required: %s", name, rule->type);
    if (!rule->fits(hit->type))
        return err_set(err, ERR_INPUT, "'%s' must be %s", name, rule->type);
    return !rule->filled || hit->count > 0 ||
           err_set(err, ERR_INPUT, "'%s' must have one entry at least", name);
}

static bool read_model(const struct jscan_hit *hit, struct call_request *out, struct err *err)
{
    if (memchr(hit->text, '\0', hit->text_len))
        return err_set(err, ERR_INPUT, "'model' must have no character U+0000");
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

/* A backend writes n answers to each prompt, all of which must finish before its usage is final. */
static bool read_answers(const struct jscan *scanner, struct call_request *out, const char **param,
                         struct err *err)
{
    const struct jscan_hit *n = jscan_get(scanner, N);

    *param = paths[N];
    if (looks_at(out->surface, N) && is_given(n) && !read_count(n, "n", CHOICES_MAX, &out->n, err))
        return false;
    if (!looks_at(out->surface, PROMPT))
        return true;
    *param = paths[PROMPT];
    if (prompts(scanner) > CHOICES_MAX / out->n)
        return err_set(err, ERR_INPUT,
                       "'prompt' asks for more than %d answers: give at most %lld prompts",
                       CHOICES_MAX, (long long)(CHOICES_MAX / out->n));
    out->n *= prompts(scanner);
    return true;
}

/* A list of tokens is one prompt, as is one that mixes tokens with text. */
static int64_t prompts(const struct jscan *scanner)
{
    const struct jscan_hit *prompt = jscan_get(scanner, PROMPT);

    if (prompt->type != JSCAN_ARRAY || prompt->count == 0 ||
        jscan_get(scanner, PROMPT_ITEM)->type == JSCAN_NUMBER)
        return 1;
    return prompt->count;
}

/* Two caps would leave it to the backend which one counts: as at OpenAI, only one may be given. */
static bool read_caps(const struct jscan *scanner, struct call_request *out, const char **param,
                      struct err *err)
{
    static const enum field order[] = {MAX_TOKENS, MAX_COMPLETION_TOKENS};

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const struct jscan_hit *hit = jscan_get(scanner, order[i]);

        if (!looks_at(out->surface, order[i]))
            continue;
        *param = paths[order[i]];
        if (is_given(hit) && out->cap)
            return err_set(err, ERR_INPUT,
                           "Give 'max_completion_tokens' or 'max_tokens', not both");
        if (is_given(hit) && !read_count(hit, paths[order[i]], INT32_MAX, &out->cap, err))
            return false;
        if (hit->seen && (is_given(hit) || !out->cap_value.data))
            out->cap_value = value_in(out->body, hit);
    }
    if (!out->cap)
        out->cap = surface_row(out->surface)->cap_default;
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
