/* echo_prompt.c - words are what stands between ASCII blanks. Messages are small here, so a tree is good enough. */
#include "backends/echo_prompt.h"

#include "lib/base/json.h"

static bool read_messages(const json_t *messages, struct echo_prompt *p, struct err *err);
static bool read_message(const json_t *message, struct echo_prompt *p, struct err *err);
static void read_text(const json_t *text, bool is_user, struct echo_prompt *p);
static bool is_blank(char c);

bool echo_prompt_read(struct span body, struct echo_prompt *out, struct err *err)
{
    AUTO_JSON request = json_parse(body, err);
    AUTO_CLEAR(echo_prompt) p = {0};
    json_t *messages = NULL;

    buf_init(&p.text, body.len);
    if (!request || !json_get_array_or(request, "messages", &messages, "the request", err))
        return false;
    if (!messages)
        return err_set(err, ERR_INPUT, "the request: \"messages\" is missing");
    if (!read_messages(messages, &p, err) || !buf_ok(&p.text, "the message", err))
        return false;
    *out = p;
    p = (struct echo_prompt){0};
    return true;
}

static bool read_messages(const json_t *messages, struct echo_prompt *p, struct err *err)
{
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!read_message(json_array_get(messages, i), p, err))
            return err_context(err, "messages[%zu]", i);
    return true;
}

/* Content that is neither text nor parts (null beside tool calls) says nothing. */
static bool read_message(const json_t *message, struct echo_prompt *p, struct err *err)
{
    const char *role;
    const json_t *content;
    bool is_user;

    if (!json_get_string(message, "role", &role, "a message", err))
        return false;
    content = json_object_get(message, "content");
    is_user = strcmp(role, "user") == 0;
    if (is_user)
        buf_truncate(&p->text, 0);
    if (json_is_string(content))
        read_text(content, is_user, p);
    for (size_t i = 0; i < json_array_size(content); i++)
        read_text(json_object_get(json_array_get(content, i), "text"), is_user, p);
    return true;
}

static void read_text(const json_t *text, bool is_user, struct echo_prompt *p)
{
    struct span s = {json_string_value(text), json_string_length(text)};

    if (!json_is_string(text))
        return;
    p->input_words += echo_count_words(s);
    if (is_user)
        buf_add_span(&p->text, s);
}

void echo_prompt_clear(struct echo_prompt *p)
{
    buf_clear(&p->text);
}

struct span echo_next_word(struct span text, size_t at)
{
    size_t start = at, end;

    while (at < text.len && is_blank(text.data[at]))
        at++;
    end = at;
    while (end < text.len && !is_blank(text.data[end]))
        end++;
    if (end == at)
        return (struct span){text.data + start, 0};
    while (end < text.len && is_blank(text.data[end]))
        end++;
    return (struct span){text.data + start, end - start};
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

int64_t echo_count_words(struct span text)
{
    int64_t words = 0;
    size_t at = 0;

    for (;;) {
        struct span word = echo_next_word(text, at);

        if (word.len == 0)
            return words;
        at += word.len;
        words++;
    }
}
