/* anthropic_request_read.c - a body of /v1/messages as a neutral request. */
#include "backends/anthropic_form.h"

#include "backends/field_rule.h"
#include "lib/base/jview.h"

static const struct field_rule fields[] = {
    {"model", FIELD_TAKEN},           {"messages", FIELD_TAKEN},
    {"max_tokens", FIELD_TAKEN},      {"system", FIELD_TAKEN},
    {"stream", FIELD_TAKEN},          {"stop_sequences", FIELD_TAKEN},
    {"temperature", FIELD_TAKEN},     {"top_p", FIELD_TAKEN},
    {"tools", FIELD_TAKEN},           {"tool_choice", FIELD_TAKEN},
    {"metadata", FIELD_TAKEN},        {"top_k", FIELD_DROPPED},
    {"thinking", FIELD_DROPPED},      {"service_tier", FIELD_DROPPED},
    {"inference_geo", FIELD_DROPPED}, {"cache_control", FIELD_DROPPED},
    {"container", FIELD_REFUSED},     {"mcp_servers", FIELD_REFUSED},
    {"output_config", FIELD_REFUSED}, {"output_format", FIELD_REFUSED},
};

static bool read_system(struct span system, struct neutral_request *out, struct err *err);
static bool read_messages(struct span messages, struct neutral_request *out, struct err *err);
static bool read_message(struct span message, struct neutral_request *out, struct err *err);
static bool read_content(struct span content, struct neutral_request *out, struct err *err);
static bool read_block(struct span block, struct neutral_request *out, struct err *err);
static bool read_text(struct span block, struct neutral_request *out, struct err *err);
static bool read_image(struct span block, struct neutral_request *out, struct err *err);
static bool read_tool_use(struct span block, struct neutral_request *out, struct err *err);
static bool read_tool_result(struct span block, struct neutral_request *out, struct err *err);
static bool skip_block(struct span block, struct neutral_request *out, struct err *err);
static bool read_tools(struct span tools, struct neutral_request *out, struct err *err);
static bool read_choice(struct span choice, struct neutral_request *out, struct err *err);

static const struct block_reader {
    const char *type;
    bool (*read)(struct span block, struct neutral_request *out, struct err *err);
} block_readers[] = {
    {"text", read_text},
    {"image", read_image},
    {"tool_use", read_tool_use},
    {"tool_result", read_tool_result},
    {"thinking", skip_block}, /* a model's own, which no other provider takes back */
    {"redacted_thinking", skip_block},
};

bool anthropic_read_request(struct span body, struct neutral_request *out, struct err *err)
{
    out->temperature = jview_given(body, "temperature");
    out->top_p = jview_given(body, "top_p");
    out->stop = jview_given(body, "stop_sequences");
    out->user = jview_given(jview_given(body, "metadata"), "user_id");
    if (!jview_is_string(out->user))
        out->user = (struct span){NULL, 0};
    return fields_check(body, fields, ARRAY_LEN(fields), err) &&
           read_system(jview_given(body, "system"), out, err) &&
           read_messages(jview_given(body, "messages"), out, err) &&
           read_tools(jview_given(body, "tools"), out, err) &&
           read_choice(jview_given(body, "tool_choice"), out, err);
}

static bool read_system(struct span system, struct neutral_request *out, struct err *err)
{
    if (!system.data)
        return true;
    return neutral_add_message(out, ROLE_SYSTEM, err) &&
           (read_content(system, out, err) || err_context(err, "'system'"));
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
    struct span role = jview_get(message, "role");
    bool is_user = jview_says(role, "user");

    if (!is_user && !jview_says(role, "assistant"))
        return err_set(err, ERR_INPUT, "'role' must be \"user\" or \"assistant\"");
    return neutral_add_message(out, is_user ? ROLE_USER : ROLE_ASSISTANT, err) &&
           read_content(jview_get(message, "content"), out, err);
}

static bool read_content(struct span content, struct neutral_request *out, struct err *err)
{
    struct jview v = jview_of(content);
    struct neutral_part *part;
    struct span block;

    if (jview_is_string(content)) {
        part = neutral_add_part(out, PART_TEXT, err);
        if (part)
            part->text = content;
        return part != NULL;
    }
    if (!jview_is_array(content))
        return err_set(err, ERR_INPUT, "'content' must be a string or an array of blocks");
    for (size_t i = 0; jview_item(&v, &block); i++)
        if (!read_block(block, out, err))
            return err_context(err, "content[%zu]", i);
    return true;
}

static bool read_block(struct span block, struct neutral_request *out, struct err *err)
{
    struct span type = jview_get(block, "type");

    for (size_t i = 0; i < ARRAY_LEN(block_readers); i++)
        if (jview_says(type, block_readers[i].type))
            return block_readers[i].read(block, out, err);
    return err_set(err, ERR_INPUT,
                   "blocks of this type can't be translated for the server of this model; it takes "
                   "text, image, tool_use and tool_result");
}

static bool read_text(struct span block, struct neutral_request *out, struct err *err)
{
    struct neutral_part *part = neutral_add_part(out, PART_TEXT, err);

    if (part)
        part->text = jview_get(block, "text");
    return part && string_check(part->text, "'text'", err);
}

static bool read_image(struct span block, struct neutral_request *out, struct err *err)
{
    struct span source = jview_get(block, "source");
    bool is_data = jview_says(jview_get(source, "type"), "base64");
    struct neutral_part *part = neutral_add_part(out, PART_IMAGE, err);

    if (!part)
        return false;
    part->text = jview_get(source, is_data ? "data" : "url");
    if (is_data) {
        part->media_type = jview_get(source, "media_type");
        if (!string_check(part->media_type, "'media_type'", err))
            return false;
        part->media_type = jview_inside(part->media_type);
    }
    if (!jview_is_string(part->text))
        return err_set(err, ERR_INPUT, "the source of an image must be base64 or a url");
    part->text = jview_inside(part->text);
    return true;
}

static bool read_tool_use(struct span block, struct neutral_request *out, struct err *err)
{
    struct neutral_part *part = neutral_add_part(out, PART_TOOL_CALL, err);

    if (!part)
        return false;
    part->id = jview_get(block, "id");
    part->name = jview_get(block, "name");
    part->arguments = jview_get(block, "input");
    if (!jview_is_object(part->arguments))
        return err_set(err, ERR_INPUT, "'input' must be an object");
    return string_check(part->id, "'id'", err) && string_check(part->name, "'name'", err);
}

static bool read_tool_result(struct span block, struct neutral_request *out, struct err *err)
{
    struct neutral_part *part = neutral_add_part(out, PART_TOOL_RESULT, err);
    struct span content = jview_given(block, "content"), item;
    struct jview v = jview_of(content);

    if (!part)
        return false;
    part->id = jview_get(block, "tool_use_id");
    part->text = jview_is_string(content) ? content : SPAN("\"\"");
    if (jview_is_array(content))
        part->list = content;
    else if (content.data && !jview_is_string(content))
        return err_set(err, ERR_INPUT, "'content' must be a string or an array of blocks");
    while (jview_item(&v, &item))
        if (!jview_says(jview_get(item, "type"), "text") ||
            !jview_is_string(jview_get(item, "text")))
            return err_set(err, ERR_INPUT,
                           "a tool's result can be translated only as text for the server of this "
                           "model");
    return string_check(part->id, "'tool_use_id'", err);
}

static bool skip_block(struct span block, struct neutral_request *out, struct err *err)
{
    (void)block;
    (void)out;
    (void)err;
    return true;
}

static bool read_tools(struct span tools, struct neutral_request *out, struct err *err)
{
    struct jview v = jview_of(tools);
    struct span item;

    while (jview_item(&v, &item)) {
        struct span type = jview_given(item, "type");
        struct neutral_tool *tool = neutral_add_tool(out, err);

        if (!tool)
            return false;
        if (type.data && !jview_says(type, "custom"))
            return err_set(err, ERR_INPUT,
                           "'tools': tools that run at the provider can't be translated for the "
                           "server of this model");
        tool->name = jview_get(item, "name");
        tool->description = jview_given(item, "description");
        tool->schema = jview_get(item, "input_schema");
        tool->strict = jview_given(item, "strict");
        if (!jview_is_string(tool->name) || !jview_is_object(tool->schema))
            return err_set(err, ERR_INPUT, "'tools': each needs 'name' and 'input_schema'");
    }
    return true;
}

static bool read_choice(struct span choice, struct neutral_request *out, struct err *err)
{
    static const struct {
        const char *type;
        enum neutral_choice choice;
    } rows[] = {
        {"auto", CHOICE_AUTO}, {"any", CHOICE_ANY}, {"none", CHOICE_NONE}, {"tool", CHOICE_TOOL}};
    struct span type = jview_get(choice, "type");

    if (!choice.data)
        return true;
    out->one_tool_at_a_time =
        span_equal(jview_get(choice, "disable_parallel_tool_use"), SPAN("true"));
    out->chosen_tool = jview_get(choice, "name");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jview_says(type, rows[i].type))
            out->choice = rows[i].choice;
    if (out->choice == CHOICE_UNSTATED ||
        (out->choice == CHOICE_TOOL && !jview_is_string(out->chosen_tool)))
        return err_set(err, ERR_INPUT,
                       "'tool_choice' must be of type auto, any, none, or tool with a 'name'");
    return true;
}
