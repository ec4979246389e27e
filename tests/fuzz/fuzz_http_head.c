/* fuzz_http_head.c - heads of requests and responses. Whatever comes: a verdict is steady (a longer input never changes it), spans
 * lie inside the head, no accepted name or value could end a line, and the body's end is said once. */
#include <stdlib.h>
#include <string.h>

#include "lib/net/http1.h"
#include "lib/net/http_chars.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)   \
    do {              \
        if (!(claim)) \
            abort();  \
    } while (0)

static const struct http_limits limits = {.head_bytes_max = 1500, .target_bytes_max = 100};
static struct http_head head;

static int64_t parse(bool is_request, struct span bytes, unsigned *status)
{
    struct err err;

    *status = 0;
    return is_request ? http1_request(bytes, &limits, &head, status, &err)
                      : http1_response(bytes, SPAN("GET"), &limits, &head, &err);
}

static void check_span(struct span s, struct span within, unsigned kind)
{
    MUST(s.data >= within.data && s.data + s.len <= within.data + within.len);
    for (size_t i = 0; i < s.len; i++)
        MUST(http_char_is(s.data[i], kind));
}

static size_t count(const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < head.header_count; i++)
        n += span_equal_nocase(head.headers[i].name, span_of(name));
    return n;
}

static void check_head(bool is_request, struct span taken)
{
    for (size_t i = 0; i < head.header_count; i++) {
        check_span(head.headers[i].name, taken, HTTP_TOKEN);
        check_span(head.headers[i].value, taken, HTTP_VALUE);
        MUST(head.headers[i].name.len > 0);
    }
    MUST(count("content-length") + count("transfer-encoding") <= 1);
    MUST(taken.len <= limits.head_bytes_max);
    MUST(memcmp(taken.data + taken.len - 4, "\r\n\r\n", 4) == 0);
    if (!is_request)
        return;
    check_span(head.method, taken, HTTP_TOKEN);
    check_span(head.target, taken, HTTP_TARGET);
    MUST(head.target.len > 0 && head.target.len <= limits.target_bytes_max);
    MUST(count("host") == 1 || (head.minor == 0 && count("host") == 0));
    MUST(head.body != HTTP_BODY_UNTIL_CLOSE);
    MUST((head.body == HTTP_BODY_LENGTH) == (count("content-length") == 1));
    MUST((head.body == HTTP_BODY_CHUNKED) == (count("transfer-encoding") == 1));
}

static void check(bool is_request, struct span bytes)
{
    unsigned status, status_now;
    int64_t verdict = parse(is_request, bytes, &status);
    bool has_fallen = false;

    MUST(verdict >= -1 && verdict <= (int64_t)bytes.len);
    MUST(verdict != 0 || bytes.len <= limits.head_bytes_max);
    if (verdict > 0)
        check_head(is_request, (struct span){bytes.data, (size_t)verdict});
    for (size_t n = 0; n <= bytes.len; n++) {
        int64_t now = parse(is_request, (struct span){bytes.data, n}, &status_now);

        MUST(now == 0 ? !has_fallen : now == verdict && status_now == status);
        has_fallen = now != 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1); /* so that a read past the end is seen */

    if (size > 0 && size <= 4000) {
        memcpy(copy, data, size);
        check(true, (struct span){copy, size});
        check(false, (struct span){copy, size});
    }
    free(copy);
    return 0;
}
