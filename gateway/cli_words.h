/* cli_words.h - names and arguments of commands are words in a string; these count and compare
 * them. */
#ifndef TOLLGATE_GATEWAY_CLI_WORDS_H
#define TOLLGATE_GATEWAY_CLI_WORDS_H

#include <string.h>

#include "lib/base/attr.h"

/* "account create" begins with "account", not with "acc". */
static inline bool cli_words_begin_with(const char *words, const char *word)
{
    size_t n = strlen(word);

    return strncmp(words, word, n) == 0 && (words[n] == '\0' || words[n] == ' ');
}

static inline size_t cli_words_count(const char *words)
{
    size_t count = 0;

    for (const char *p = words; *p; p++)
        count += *p != ' ' && (p == words || p[-1] == ' ');
    return count;
}

/* Those that are not in brackets. */
static inline size_t cli_words_required(const char *words)
{
    size_t count = cli_words_count(words);

    for (const char *p = words; *p; p++)
        count -= *p == '[';
    return count;
}

#endif
