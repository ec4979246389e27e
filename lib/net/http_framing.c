/* http_framing.c - one row for each header that frames a message, and the rules that hold between them. */
#include "lib/net/http_framing.h"

#include "lib/base/text.h"
#include "lib/net/http_chars.h"

static bool take_host(struct http_framing *f, struct span value, unsigned *status, struct err *err);
static bool take_length(struct http_framing *f, struct span value, unsigned *status,
                        struct err *err);
static bool take_encoding(struct http_framing *f, struct span value, unsigned *status,
                          struct err *err);
static bool take_connection(struct http_framing *f, struct span value, unsigned *status,
                            struct err *err);
static bool take_expect(struct http_framing *f, struct span value, unsigned *status,
                        struct err *err);
static bool refuse(unsigned *status, unsigned value, struct err *err, const char *sentence);
static bool host_is_valid(struct span host);
static bool is_address(struct span host);
static bool is_port(struct span text);
static bool last_is_chunked(struct span codings);
static struct span next_element(struct span *list);
static bool check_encoding(const struct http_framing *f, unsigned *status, struct err *err);
static void end_connection(struct http_framing *f);

static const struct {
    const char *name;
    size_t name_len;
    bool of_requests_only;
    bool (*take)(struct http_framing *f, struct span value, unsigned *status, struct err *err);
} framing_headers[] = {
    {"host", 4, true, take_host},
    {"expect", 6, true, take_expect},
    {"connection", 10, false, take_connection},
    {"content-length", 14, false, take_length},
    {"transfer-encoding", 17, false, take_encoding},
};

void http_framing_init(struct http_framing *f, struct http_head *head, bool is_request)
{
    *f = (struct http_framing){.head = head, .is_request = is_request};
}

bool http_framing_take(struct http_framing *f, const struct http_header *header, unsigned *status,
                       struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(framing_headers); i++) {
        struct span name = {framing_headers[i].name, framing_headers[i].name_len};

        if (header->name.len != name.len || (framing_headers[i].of_requests_only && !f->is_request))
            continue;
        if (span_equal_nocase(header->name, name))
            return framing_headers[i].take(f, header->value, status, err);
    }
    return true;
}

static bool take_host(struct http_framing *f, struct span value, unsigned *status, struct err *err)
{
    if (f->has_host)
        return refuse(status, 400, err, "the request has more than one Host header");
    if (!host_is_valid(value))
        return refuse(status, 400, err, "the Host header is not a host name with an optional port");
    f->has_host = true;
    f->head->host = value;
    return true;
}

static bool refuse(unsigned *status, unsigned value, struct err *err, const char *sentence)
{
    *status = value;
    return err_set(err, ERR_INPUT, "%s", sentence);
}

static bool host_is_valid(struct span host)
{
    const char *colon, *bracket;

    for (size_t i = 0; i < host.len; i++)
        if (!http_char_is(host.data[i], HTTP_HOST))
            return false;
    if (is_address(host))
        return true;
    bracket = memchr(host.data, '[', host.len);
    colon = memchr(host.data, ':', host.len);
    if (bracket || memchr(host.data, ']', host.len))
        return false;
    if (!colon)
        return host.len > 0;
    return colon > host.data &&
           is_port((struct span){colon + 1, (size_t)(host.data + host.len - colon - 1)});
}

/* "[" IPv6 "]" and perhaps ":" port. Whether the address exists is not our business; that no other byte hides in it is. */
static bool is_address(struct span host)
{
    const char *end = host.data + host.len;
    const char *close = host.len && host.data[0] == '[' ? memchr(host.data, ']', host.len) : NULL;

    if (!close || close - host.data < 3)
        return false;
    for (const char *p = host.data + 1; p < close; p++)
        if (!memchr("0123456789abcdefABCDEF:.", *p, 24))
            return false;
    if (close + 1 == end)
        return true;
    return close[1] == ':' && is_port((struct span){close + 2, (size_t)(end - close - 2)});
}

static bool is_port(struct span text)
{
    uint64_t port;

    return digits_parse(text, UINT16_MAX, &port);
}

static bool take_length(struct http_framing *f, struct span value, unsigned *status,
                        struct err *err)
{
    if (f->has_length)
        return refuse(status, 400, err, "the message has more than one Content-Length");
    if (!digits_parse(value, INT64_MAX, &f->head->length))
        return refuse(status, 400, err, "the Content-Length is not a number of bytes");
    f->has_length = true;
    return true;
}

static bool take_encoding(struct http_framing *f, struct span value, unsigned *status,
                          struct err *err)
{
    if (f->is_chunked)
        return refuse(status, 400, err, "the message has more than one Transfer-Encoding");
    if (!last_is_chunked(value))
        return refuse(status, 400, err, "the Transfer-Encoding does not end in chunked");
    if (!span_equal_nocase(value, SPAN("chunked")))
        return refuse(status, 501, err, "the only Transfer-Encoding understood here is chunked");
    f->is_chunked = true;
    return true;
}

static bool last_is_chunked(struct span codings)
{
    struct span last = codings;

    while (codings.len)
        last = next_element(&codings);
    return span_equal_nocase(last, SPAN("chunked"));
}

/* Takes the first element of a comma-separated list, without its blanks. */
static struct span next_element(struct span *list)
{
    const char *comma = memchr(list->data, ',', list->len);
    size_t n = comma ? (size_t)(comma - list->data) : list->len;
    struct span element = {list->data, n};

    list->data += n + (comma != NULL);
    list->len -= n + (comma != NULL);
    while (element.len && (element.data[0] == ' ' || element.data[0] == '\t'))
        element.data++, element.len--;
    while (element.len &&
           (element.data[element.len - 1] == ' ' || element.data[element.len - 1] == '\t'))
        element.len--;
    return element;
}

static bool take_connection(struct http_framing *f, struct span value, unsigned *status UNUSED,
                            struct err *err UNUSED)
{
    while (value.len) {
        struct span option = next_element(&value);

        if (span_equal_nocase(option, SPAN("close")))
            f->asks_close = true;
        else if (span_equal_nocase(option, SPAN("keep-alive")))
            f->asks_keep_alive = true;
    }
    return true;
}

static bool take_expect(struct http_framing *f, struct span value, unsigned *status,
                        struct err *err)
{
    if (!span_equal_nocase(value, SPAN("100-continue")))
        return refuse(status, 417, err, "the only expectation understood here is 100-continue");
    f->head->expect_continue = f->head->minor == 1;
    return true;
}

bool http_framing_end_request(struct http_framing *f, unsigned *status, struct err *err)
{
    struct http_head *head = f->head;

    if (!check_encoding(f, status, err))
        return false;
    if (!f->has_host && head->minor == 1)
        return refuse(status, 400, err, "the request has no Host header");
    if (f->authority.data && f->has_host && !span_equal_nocase(f->authority, head->host))
        return refuse(status, 400, err, "the request's target and its Host header disagree");
    head->body = f->is_chunked   ? HTTP_BODY_CHUNKED
                 : f->has_length ? HTTP_BODY_LENGTH
                                 : HTTP_BODY_NONE;
    end_connection(f);
    return true;
}

static bool check_encoding(const struct http_framing *f, unsigned *status, struct err *err)
{
    if (f->is_chunked && f->has_length)
        return refuse(status, 400, err,
                      "the message has both a Content-Length and a Transfer-Encoding");
    if (f->is_chunked && f->head->minor == 0)
        return refuse(status, 400, err, "HTTP/1.0 has no Transfer-Encoding");
    return true;
}

static void end_connection(struct http_framing *f)
{
    f->head->keep_alive = !f->asks_close && (f->head->minor == 1 || f->asks_keep_alive);
}

bool http_framing_end_response(struct http_framing *f, struct span method, struct err *err)
{
    struct http_head *head = f->head;
    unsigned unused;

    if (!check_encoding(f, &unused, err))
        return false;
    end_connection(f);
    if (head->status < 200 || head->status == 204 || head->status == 304 ||
        span_equal(method, SPAN("HEAD"))) {
        head->body = HTTP_BODY_NONE;
    } else if (f->is_chunked) {
        head->body = HTTP_BODY_CHUNKED;
    } else if (f->has_length) {
        head->body = HTTP_BODY_LENGTH;
    } else {
        head->body = HTTP_BODY_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return true;
}
