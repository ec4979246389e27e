/* spending.c - names of sums. */
#include "billing/spending.h"

#include <stdio.h>

const char *spent_name(const char *account, const char *day, const char *currency,
                       char out[SPENT_TEXT])
{
    snprintf(out, SPENT_TEXT, "%s:%.*s:%s", account, PERIOD_TEXT - 1, day, currency);
    return out;
}
