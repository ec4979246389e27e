/* conf_comments.c - tells comments from what only looks like one, by the same rules as libconfuse: within quotes and in
 * the midst of a word there is none but that of a '#'. */
#include "lib/base/conf_comments.h"

#include <string.h>

#define BETWEEN_WORDS " #\"'\t\n\r={}()+,*"

static char *past_token(char *at);
static char *blank(char *from, char *to);
static char *past_quotes(char *at);
static char *past_variable(char *at);

void conf_blank_comments(char *text)
{
    while (*text)
        text = past_token(text);
}

static char *past_token(char *at)
{
    size_t word = strcspn(at, BETWEEN_WORDS);
    char *end;

    if (at[0] == '#' || strncmp(at, "//", 2) == 0)
        return blank(at, at + strcspn(at, "\n"));
    if (strncmp(at, "/*", 2) == 0) {
        end = strstr(at + 2, "*/");
        return blank(at, end ? end + 2 : at + strlen(at));
    }
    if (at[0] == '"' || at[0] == '\'')
        return past_quotes(at);
    end = past_variable(at);
    if (end)
        return end;
    return at + (word ? word : 1);
}

static char *blank(char *from, char *to)
{
    for (; from < to; from++)
        if (*from != '\n')
            *from = ' ';
    return to;
}

static char *past_quotes(char *at)
{
    char quote = *at++;

    while (*at && *at != quote) {
        char *end = quote == '"' ? past_variable(at) : NULL;

        if (end)
            at = end;
        else
            at += at[0] == '\\' && at[1] ? 2 : 1;
    }
    return *at ? at + 1 : at;
}

/* ${NAME}, which may hold quotes; null: there is none here. */
static char *past_variable(char *at)
{
    char *end = strncmp(at, "${", 2) == 0 ? strchr(at, '}') : NULL;

    return end ? end + 1 : NULL;
}
