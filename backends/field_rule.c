/* field_rule.c - what is not known is refused, as the providers themselves do: dropping it would answer another question. */
#include "backends/field_rule.h"

#include "lib/base/jview.h"

#define NAME_SHOWN 64

static const struct field_rule *find(struct span name, const struct field_rule *rules,
                                     size_t count);

static bool asks_for_nothing(struct span value);

bool fields_check(struct span object, const struct field_rule *rules, size_t count, struct err *err)
{
    struct jview v = jview_of(object);
    struct span name, value;

    while (jview_member(&v, &name, &value)) {
        const struct field_rule *rule = find(name, rules, count);
        struct span shown = jview_inside(name);

        if (asks_for_nothing(value) || (rule && rule->fate != FIELD_REFUSED))
            continue;
        if (shown.len > NAME_SHOWN)
            shown.len = NAME_SHOWN;
        return err_set(err, ERR_INPUT,
                       "'%.*s' can't be translated for the server of this model; leave it out",
                       SPAN_FMT(shown));
    }
    return true;
}

static bool asks_for_nothing(struct span value)
{
    return span_equal(value, SPAN("null")) || span_equal(value, SPAN("false"));
}

static const struct field_rule *find(struct span name, const struct field_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (jview_says(name, rules[i].name))
            return &rules[i];
    return NULL;
}

bool string_check(struct span value, const char *what, struct err *err)
{
    return jview_is_string(value) || err_set(err, ERR_INPUT, "%s must be a string", what);
}
