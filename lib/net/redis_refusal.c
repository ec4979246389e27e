/* redis_refusal.c - only what a server says before it has done anything stands in this table. A
 * script of ours is refused at its first write at the latest, so READONLY is of this kind. */
#include "lib/net/redis_refusal.h"

#include <stdio.h>
#include <string.h>

static bool find_where(struct span error, char where[ADDR_TEXT]);

enum redis_refusal redis_refusal_of(struct span error, char where[ADDR_TEXT])
{
    static const struct {
        struct span word;
        enum redis_refusal meaning;
    } table[] = {
        {{"NOSCRIPT ", 9}, REDIS_NO_SCRIPT},
        {{"MOVED ", 6}, REDIS_MOVED},
        {{"ASK ", 4}, REDIS_ASK},
        {{"TRYAGAIN ", 9}, REDIS_LATER},
        {{"CLUSTERDOWN ", 12}, REDIS_LATER},
        {{"LOADING ", 8}, REDIS_LATER},
        {{"BUSY ", 5}, REDIS_LATER},
        {{"MASTERDOWN ", 11}, REDIS_DEMOTED},
        {{"READONLY ", 9}, REDIS_DEMOTED},
        {{"UNBLOCKED ", 10}, REDIS_DEMOTED},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!span_starts(error, table[i].word))
            continue;
        bool has_where = table[i].meaning == REDIS_MOVED || table[i].meaning == REDIS_ASK;

        if (!has_where || find_where(error, where))
            return table[i].meaning;
    }
    return REDIS_IS_REPLY;
}

/* "MOVED 3999 127.0.0.1:6381"; an IPv6 address has no brackets here. */
static bool find_where(struct span error, char where[ADDR_TEXT])
{
    const char *end = error.data + error.len, *blank = memrchr(error.data, ' ', error.len);
    const char *host = blank + 1;
    const char *colon = memrchr(host, ':', (size_t)(end - host));
    bool is_v6 = colon && memchr(host, ':', (size_t)(colon - host));
    int n;

    if (!colon)
        return false;
    n = snprintf(where, ADDR_TEXT, "%s%.*s%s%.*s", is_v6 ? "[" : "", (int)(colon - host), host,
                 is_v6 ? "]" : "", (int)(end - colon), colon);
    return n < ADDR_TEXT;
}
