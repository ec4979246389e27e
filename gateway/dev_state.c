/* dev_state.c - a table of members, read and written alike. */
#include "gateway/dev_state.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define FORMAT        1
#define BYTES_MAX     65536
#define OP_CHARACTERS 24

struct member {
    const char *name;
    size_t offset;
    bool is_operation; /* made at once */
};

#define FIELD(f) offsetof(struct dev_state, f)
static const struct member members[] = {
    {"since", FIELD(since), false},
    {"account_op", FIELD(account_op), true},
    {"credit_op", FIELD(credit_op), true},
    {"key_op", FIELD(key_op), true},
    {"creator_key_op", FIELD(creator_key_op), true},
    {"key", FIELD(key), false},
    {"creator_key", FIELD(creator_key), false},
    {"upstream", FIELD(upstream), false},
    {"upstream_model", FIELD(upstream_model), false},
};

static bool read_members(struct dev_state *s, struct err *err);
static void make_operations(struct dev_state *s);
static char **field_of(const struct dev_state *s, const struct member *m);

bool dev_state_load(const char *dir, struct dev_state *out, struct err *err)
{
    AUTO_CLEAR(dev_state) s = {.path = path_join(dir, "dev.json")};

    if (file_exists(s.path) && !read_members(&s, err))
        return err_context(err, "%s", s.path);
    make_operations(&s);
    *out = s;
    s = (struct dev_state){.path = NULL};
    return true;
}

static bool read_members(struct dev_state *s, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = BYTES_MAX};
    AUTO_JSON json = NULL;
    int64_t format;

    if (!file_read(s->path, &text, err))
        return false;
    json = json_parse(buf_span(&text), err);
    if (!json || !json_get_int(json, "format", &format, "the state", err) ||
        !json_get_int(json, "clock_offset_ms", &s->clock_offset_ms, "the state", err))
        return false;
    if (format != FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const char *text_value = NULL;

        if (!json_get_string_or(json, members[i].name, &text_value, "the state", err))
            return false;
        dev_state_set(field_of(s, &members[i]), text_value);
    }
    return true;
}

static void make_operations(struct dev_state *s)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        char **field = field_of(s, &members[i]);

        if (!*field && members[i].is_operation)
            dev_state_new_operation(field);
    }
}

void dev_state_new_operation(char **op)
{
    char text[3 + OP_CHARACTERS + 1] = "op_";

    rand_text(text + 3, OP_CHARACTERS);
    dev_state_set(op, text);
}

bool dev_state_save(const struct dev_state *s, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = BYTES_MAX};
    struct jw w;

    jw_init(&w, &text);
    jw_object(&w);
    jw_int_member(&w, "format", FORMAT);
    jw_int_member(&w, "clock_offset_ms", s->clock_offset_ms);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (*field_of(s, &members[i]))
            jw_string_member(&w, members[i].name, *field_of(s, &members[i]));
    jw_object_end(&w);
    buf_add_char(&text, '\n');
    return buf_ok(&text, s->path, err) && file_write_atomic(s->path, 0600, buf_span(&text), err);
}

void dev_state_clear(struct dev_state *s)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        dev_state_set(field_of(s, &members[i]), NULL);
    dev_state_set(&s->path, NULL);
}

void dev_state_set(char **field, const char *value)
{
    char *copy = value ? xstrdup(value) : NULL;

    free(*field);
    *field = copy;
}

static char **field_of(const struct dev_state *s, const struct member *m)
{
    return (char **)(void *)((char *)s + m->offset);
}
