/* http_head.c - looking things up in a head, and moving one whose bytes were copied. */
#include "lib/net/http_head.h"

static void rebase(struct span *s, const char *from, const char *to);

struct span http_header_get(const struct http_head *head, const char *name)
{
    struct span wanted = span_of(name);

    for (size_t i = 0; i < head->header_count; i++)
        if (span_equal_nocase(head->headers[i].name, wanted))
            return head->headers[i].value;
    return (struct span){NULL, 0};
}

size_t http_header_count(const struct http_head *head, const char *name)
{
    struct span wanted = span_of(name);
    size_t count = 0;

    for (size_t i = 0; i < head->header_count; i++)
        count += span_equal_nocase(head->headers[i].name, wanted);
    return count;
}

void http_head_rebase(struct http_head *head, const char *from, const char *to)
{
    rebase(&head->method, from, to);
    rebase(&head->target, from, to);
    rebase(&head->host, from, to);
    for (size_t i = 0; i < head->header_count; i++) {
        rebase(&head->headers[i].name, from, to);
        rebase(&head->headers[i].value, from, to);
    }
}

static void rebase(struct span *s, const char *from, const char *to)
{
    if (s->data)
        s->data = to + (s->data - from);
}

static const struct {
    unsigned status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {100, "Continue"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {529, "Overloaded"},
};

const char *http_reason(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}
