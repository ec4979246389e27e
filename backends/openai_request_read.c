/* openai_request_read.c - the body of a chat completion as a neutral request. */
#include "backends/openai_form.h"

#include "backends/field_rule.h"
#include "lib/base/jview.h"

static const struct field_rule fields[] = {
    {"model", FIELD_TAKEN},
    {"messages", FIELD_TAKEN},
    {"max_tokens", FIELD_TAKEN},
    {"max_completion_tokens", FIELD_TAKEN},
    {"stream", FIELD_TAKEN},
    {"stream_options", FIELD_TAKEN},
    {"temperature", FIELD_TAKEN},
    {"top_p", FIELD_TAKEN},
    {"stop", FIELD_TAKEN},
    {"tools", FIELD_TAKEN},
    {"tool_choice", FIELD_TAKEN},
    {"parallel_tool_calls", FIELD_TAKEN},
    {"user", FIELD_TAKEN},
    {"n", FIELD_TAKEN},
    {"response_format", FIELD_TAKEN},
    {"frequency_penalty", FIELD_DROPPED},
    {"presence_penalty", FIELD_DROPPED},
    {"logit_bias", FIELD_DROPPED},
    {"seed", FIELD_DROPPED},
    {"service_tier", FIELD_DROPPED},
    {"store", FIELD_DROPPED},
    {"metadata", FIELD_DROPPED},
    {"reasoning_effort", FIELD_DROPPED},
    {"verbosity", FIELD_DROPPED},
    {"safety_identifier", FIELD_DROPPED},
    {"prompt_cache_key", FIELD_DROPPED},
    {"prompt_cache_retention", FIELD_DROPPED},
    {"prediction", FIELD_DROPPED},
    {"logprobs", FIELD_REFUSED},
    {"top_logprobs", FIELD_REFUSED},
    {"audio", FIELD_REFUSED},
    {"modalities", FIELD_REFUSED},
    {"functions", FIELD_REFUSED},
    {"function_call", FIELD_REFUSED},
    {"web_search_options", FIELD_REFUSED},
};

static bool check_single_text(struct span body, struct err *err);
static bool read_messages(struct span messages, struct neutral_request *out, struct err *err);
static bool read_message(struct span message, struct neutral_request *out, struct err *err);
static bool read_result(struct span message, struct neutral_request *out, struct err *err);
static bool read_content(struct span content, struct neutral_request *out, struct err *err);
static bool read_part(struct span part, struct neutral_request *out, struct err *err);
static bool add_text(struct span text, struct neutral_request *out, struct err *err);
static bool add_image(struct span url, struct neutral_request *out, struct err *err);
static bool read_calls(struct span calls, struct neutral_request *out, struct err *err);
static bool read_tools(struct span tools, struct neutral_request *out, struct err *err);
static bool read_choice(struct span choice, struct neutral_request *out, struct err *err);

bool openai_read_request(struct span body, struct neutral_request *out, struct err *err)
{
    out->temperature = jview_given(body, "temperature");
    out->top_p = jview_given(body, "top_p");
    out->stop = jview_given(body, "stop");
    out->one_tool_at_a_time = span_equal(jview_get(body, "parallel_tool_calls"), SPAN("false"));
    out->user = jview_given(body, "user");
    if (!jview_is_string(out->user))
        out->user = (struct span){NULL, 0};
    return fields_check(body, fields, ARRAY_LEN(fields), err) && check_single_text(body, err) &&
           read_messages(jview_given(body, "messages"), out, err) &&
           read_tools(jview_given(body, "tools"), out, err) &&
           read_choice(jview_given(body, "tool_choice"), out, err);
}

static bool check_single_text(struct span body, struct err *err)
{
    struct span n = jview_given(body, "n"), format = jview_given(body, "response_format");

    if (n.data && !span_equal(n, SPAN("1")))
        return err_set(err, ERR_INPUT, "'n' must be 1: the server of this model gives one answer");
    return !format.data || jview_says(jview_get(format, "type"), "text") ||
           err_set(err, ERR_INPUT,
                   "'response_format' can't be translated for the server of this model; leave it "
                   "out");
}

static bool read_messages(struct span messages, struct neutral_request *out, struct err *err)
{
    struct jview v = jview_of(messages);
    struct span message;

    for (size_t i = 0; jview_item(&v, &message); i++)
        if (!read_message(message, out, err))
            return err_context(err, "messages[%zu]", i);
    return true;
}

static bool read_message(struct span message, struct neutral_request *out, struct err *err)
{
    static const struct {
        const char *role;
        enum neutral_role is;
    } roles[] = {{"system", ROLE_SYSTEM},
                 {"developer", ROLE_SYSTEM},
                 {"user", ROLE_USER},
                 {"assistant", ROLE_ASSISTANT}};
    struct span role = jview_get(message, "role");

    if (jview_says(role, "tool"))
        return read_result(message, out, err);
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (jview_says(role, roles[i].role))
            return neutral_add_message(out, roles[i].is, err) &&
                   read_content(jview_given(message, "content"), out, err) &&
                   read_calls(jview_given(message, "tool_calls"), out, err);
    return err_set(err, ERR_INPUT,
                   "'role' must be system, developer, user, assistant or tool for the server of "
                   "this model");
}

static bool read_result(struct span message, struct neutral_request *out, struct err *err)
{
    struct span content = jview_given(message, "content"), item;
    struct jview v = jview_of(content);
    struct neutral_part *part;

    if (!neutral_add_message(out, ROLE_USER, err) ||
        !(part = neutral_add_part(out, PART_TOOL_RESULT, err)))
        return false;
    part->id = jview_get(message, "tool_call_id");
    part->text = jview_is_string(content) ? content : SPAN("\"\"");
    if (jview_is_array(content))
        part->list = content;
    while (jview_item(&v, &item))
        if (!jview_is_string(jview_get(item, "text")))
            return err_set(err, ERR_INPUT, "a tool's result must be text");
    return string_check(part->id, "'tool_call_id'", err);
}

static bool read_content(struct span content, struct neutral_request *out, struct err *err)
{
    struct jview v = jview_of(content);
    struct span part;

    if (!content.data || jview_is_string(content))
        return !content.data || add_text(content, out, err);
    if (!jview_is_array(content))
        return err_set(err, ERR_INPUT, "'content' must be a string or an array of parts");
    for (size_t i = 0; jview_item(&v, &part); i++)
        if (!read_part(part, out, err))
            return err_context(err, "content[%zu]", i);
    return true;
}

static bool read_part(struct span part, struct neutral_request *out, struct err *err)
{
    struct span type = jview_get(part, "type");

    if (jview_says(type, "text"))
        return add_text(jview_get(part, "text"), out, err);
    if (jview_says(type, "refusal"))
        return add_text(jview_get(part, "refusal"), out, err);
    if (jview_says(type, "image_url"))
        return add_image(jview_get(jview_get(part, "image_url"), "url"), out, err);
    return err_set(err, ERR_INPUT,
                   "parts of this type can't be translated for the server of this model; it takes "
                   "text and image_url");
}

/* Empty texts say nothing, and Anthropic's servers refuse them. */
static bool add_text(struct span text, struct neutral_request *out, struct err *err)
{
    struct neutral_part *part;

    if (!string_check(text, "'text'", err))
        return false;
    if (text.len == 2)
        return true;
    part = neutral_add_part(out, PART_TEXT, err);
    if (part)
        part->text = text;
    return part != NULL;
}

/* "data:image/png;base64,…" is the image itself. */
static bool add_image(struct span url, struct neutral_request *out, struct err *err)
{
    static const char separator[] = ";base64,";
    struct span inside = jview_inside(url);
    struct neutral_part *part;
    const char *data;

    if (!string_check(url, "'url'", err) || !(part = neutral_add_part(out, PART_IMAGE, err)))
        return false;
    part->text = inside;
    if (!span_starts(inside, SPAN("data:")))
        return true;
    data = memmem(inside.data, inside.len, separator, sizeof separator - 1);
    if (!data)
        return err_set(err, ERR_INPUT, "an image in a data: URL must be base64");
    part->media_type = (struct span){inside.data + 5, (size_t)(data - inside.data - 5)};
    data += sizeof separator - 1;
    part->text = (struct span){data, (size_t)(inside.data + inside.len - data)};
    return true;
}

static bool read_calls(struct span calls, struct neutral_request *out, struct err *err)
{
    struct jview v = jview_of(calls);
    struct span call;

    while (jview_item(&v, &call)) {
        struct span function = jview_get(call, "function");
        struct neutral_part *part = neutral_add_part(out, PART_TOOL_CALL, err);

        if (!part)
            return false;
        part->id = jview_get(call, "id");
        part->name = jview_get(function, "name");
        part->arguments = jview_get(function, "arguments");
        if (!string_check(part->id, "a tool call's 'id'", err) ||
            !string_check(part->name, "a tool call's 'name'", err) ||
            !string_check(part->arguments, "a tool call's 'arguments'", err))
            return false;
    }
    return true;
}

static bool read_tools(struct span tools, struct neutral_request *out, struct err *err)
{
    struct jview v = jview_of(tools);
    struct span item;

    while (jview_item(&v, &item)) {
        struct span function = jview_get(item, "function");
        struct neutral_tool *tool = neutral_add_tool(out, err);

        if (!tool)
            return false;
        tool->name = jview_get(function, "name");
        tool->description = jview_given(function, "description");
        tool->schema = jview_given(function, "parameters");
        tool->strict = jview_given(function, "strict");
        if (!jview_says(jview_get(item, "type"), "function") || !jview_is_string(tool->name))
            return err_set(err, ERR_INPUT,
                           "'tools': only functions with a name can be translated for the server "
                           "of this model");
        if (!tool->schema.data)
            tool->schema = SPAN("{\"type\":\"object\",\"properties\":{}}");
    }
    return true;
}

static bool read_choice(struct span choice, struct neutral_request *out, struct err *err)
{
    static const struct {
        const char *word;
        enum neutral_choice choice;
    } rows[] = {{"auto", CHOICE_AUTO}, {"none", CHOICE_NONE}, {"required", CHOICE_ANY}};

    if (!choice.data)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jview_says(choice, rows[i].word))
            out->choice = rows[i].choice;
    if (jview_says(jview_get(choice, "type"), "function")) {
        out->choice = CHOICE_TOOL;
        out->chosen_tool = jview_get(jview_get(choice, "function"), "name");
    }
    if (out->choice == CHOICE_UNSTATED ||
        (out->choice == CHOICE_TOOL && !jview_is_string(out->chosen_tool)))
        return err_set(err, ERR_INPUT,
                       "'tool_choice' must be auto, none, required or a function with a name");
    return true;
}
