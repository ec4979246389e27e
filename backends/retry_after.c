/* retry_after.c - numbers are taken whole or not at all; of dates only the form that servers may send. */
#include "backends/retry_after.h"

#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

#define DATE_TEXT 32

static int64_t within(int64_t ms);
static bool read_date(struct span text, int64_t *ms);
static int64_t now_at_peer(const struct http_head *head);

int64_t retry_after_ms(const struct http_head *head)
{
    struct span value = http_header_get(head, "retry-after");
    uint64_t n;
    int64_t at;

    if (digits_parse(http_header_get(head, "retry-after-ms"), INT32_MAX, &n))
        return within((int64_t)n);
    if (digits_parse(value, INT32_MAX, &n))
        return within((int64_t)n * 1000);
    return read_date(value, &at) ? within(at - now_at_peer(head)) : 0;
}

static int64_t within(int64_t ms)
{
    return ms < 0 ? 0 : ms < RETRY_AFTER_MS_MAX ? ms : RETRY_AFTER_MS_MAX;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT": ms since 1970. */
static bool read_date(struct span text, int64_t *ms)
{
    char copy[DATE_TEXT];
    struct tm tm = {0};
    const char *end;

    if (text.len == 0 || !span_copy(text, copy, sizeof copy))
        return false;
    end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return false;
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

static int64_t now_at_peer(const struct http_head *head)
{
    int64_t ms;

    if (read_date(http_header_get(head, "date"), &ms))
        return ms;
    return (clock_now() - clock_offset()) / NANOS_PER_MS;
}
