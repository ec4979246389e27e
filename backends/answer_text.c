/* answer_text.c - one pass over the bytes, whatever the nesting; nothing is kept but the last name. */
#include "backends/answer_text.h"

#include "lib/base/jview.h"

static const char *take_string(const char *at, const char *end, int64_t *bytes);
static const char *take_escape(const char *at, const char *end, int64_t *bytes);
static const char *skip_blanks(const char *at, const char *end);
static bool is_label(struct span name);
static bool is_no_output(struct span name);
static bool says_something(struct span value);

int64_t answer_text_bytes(struct span value)
{
    const char *at = value.data, *end = value.len > 0 ? at + value.len : at;
    struct span name = SPAN("");
    int64_t total = 0;

    while (at < end) {
        const char *start = at;
        int64_t bytes = 0;

        if (*at != '"') {
            at++;
            continue;
        }
        at = take_string(at + 1, end, &bytes);
        if (skip_blanks(at, end) < end && *skip_blanks(at, end) == ':')
            name = (struct span){start, (size_t)(at - start)};
        else if (!is_label(name))
            total += bytes;
    }
    return total;
}

/* From behind its opening quote to behind the closing one. */
static const char *take_string(const char *at, const char *end, int64_t *bytes)
{
    while (at < end && *at != '"') {
        if (*at == '\\') {
            at = take_escape(at + 1, end, bytes);
        } else {
            ++*bytes;
            at++;
        }
    }
    return at < end ? at + 1 : end;
}

/* Each half of a surrogate pair counts for two of its four bytes. */
static const char *take_escape(const char *at, const char *end, int64_t *bytes)
{
    if (end - at < 5 || *at != 'u') {
        ++*bytes;
        return at < end ? at + 1 : end;
    }
    if (at[1] == '0' && at[2] == '0' && at[3] < '8')
        *bytes += 1;
    else if ((at[1] == '0' && at[2] < '8') || ((at[1] | 0x20) == 'd' && at[2] >= '8'))
        *bytes += 2;
    else
        *bytes += 3;
    return at + 5;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

static bool is_label(struct span name)
{
    return jview_says(name, "role") || jview_says(name, "id") || jview_says(name, "type");
}

bool answer_delta_says(struct span delta)
{
    struct jview v = jview_of(delta);
    struct span name, value;

    while (jview_is_object(delta) && jview_member(&v, &name, &value))
        if (says_something(value) && !is_no_output(name))
            return true;
    return false;
}

/* Whose answer it is, and what stands beside it: where it was found (OpenAI's search, Azure's data), what a service notes (Gemini's). */
static bool is_no_output(struct span name)
{
    static const char *const names[] = {"role", "name", "annotations", "context", "extra_content"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (jview_says(name, names[i]))
            return true;
    return false;
}

static bool says_something(struct span value)
{
    const char *end = value.data + value.len;

    if (jview_is_string(value))
        return value.len > 2;
    return (jview_is_object(value) || jview_is_array(value)) &&
           skip_blanks(value.data + 1, end) < end - 1;
}
