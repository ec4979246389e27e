/* http1.c - heads in one pass, left to right, without a copy. The verdict falls at a byte that does not depend on how the
 * bytes were cut: a longer input never changes it. */
#include "lib/net/http1.h"

#include "lib/net/http_chars.h"
#include "lib/net/http_framing.h"

#define METHOD_MAX 20

enum verdict { GOOD, MORE, REFUSED };

struct parse {
    const char *at, *end;
    bool is_cut; /* `end` is where the limit falls, and bytes follow it */
    size_t target_bytes_max;
    struct http_framing framing;
    struct http_head *head;
    unsigned status; /* of the refusal */
    struct err *err;
};

static void parse_init(struct parse *p, struct span bytes, const struct http_limits *limits,
                       struct http_head *out, struct err *err);
static enum verdict request_line(struct parse *p);
static enum verdict empty_line(struct parse *p);
static enum verdict method(struct parse *p);
static enum verdict method_is_known(struct parse *p);
static enum verdict target(struct parse *p);
static enum verdict target_form(struct parse *p);
static enum verdict version(struct parse *p);
static enum verdict line_end(struct parse *p);
static enum verdict status_line(struct parse *p);
static enum verdict header_lines(struct parse *p);
static enum verdict header_line(struct parse *p);
static enum verdict not_a_name(struct parse *p, bool is_first);
static enum verdict header_value(struct parse *p, struct http_header *header);
static enum verdict refuse(struct parse *p, unsigned status, const char *sentence);
static enum verdict out_of_bytes(struct parse *p);
static void skip(struct parse *p, unsigned kind);

int64_t http1_request(struct span bytes, const struct http_limits *limits, struct http_head *out,
                      unsigned *status, struct err *err)
{
    struct parse p;
    enum verdict verdict;

    parse_init(&p, bytes, limits, out, err);
    http_framing_init(&p.framing, out, true);
    verdict = request_line(&p);
    if (verdict == GOOD)
        verdict = header_lines(&p);
    if (verdict == GOOD && !http_framing_end_request(&p.framing, &p.status, err))
        verdict = REFUSED;
    if (verdict == REFUSED)
        *status = p.status;
    return verdict == GOOD ? p.at - bytes.data : verdict == MORE ? 0 : -1;
}

static void parse_init(struct parse *p, struct span bytes, const struct http_limits *limits,
                       struct http_head *out, struct err *err)
{
    bool is_cut = bytes.len > limits->head_bytes_max;

    *p = (struct parse){
        .at = bytes.data,
        .end = bytes.data + (is_cut ? limits->head_bytes_max : bytes.len),
        .is_cut = is_cut,
        .target_bytes_max = limits->target_bytes_max,
        .head = out,
        .err = err,
    };
    out->method = out->target = out->host = (struct span){NULL, 0};
    out->status = 0;
    out->minor = 1;
    out->body = HTTP_BODY_NONE;
    out->length = 0;
    out->keep_alive = out->expect_continue = false;
    out->header_count = 0;
}

static enum verdict request_line(struct parse *p)
{
    static enum verdict (*const parts[])(struct parse *) = {
        empty_line, method, method_is_known, target, target_form, version, line_end,
    };
    enum verdict verdict = GOOD;

    for (size_t i = 0; i < ARRAY_LEN(parts) && verdict == GOOD; i++)
        verdict = parts[i](p);
    return verdict;
}

static enum verdict empty_line(struct parse *p)
{
    return p->at < p->end && *p->at == '\r' ? line_end(p) : GOOD;
}

static enum verdict method(struct parse *p)
{
    const char *start = p->at;

    while (p->at < p->end && p->at - start <= METHOD_MAX && http_char_is(*p->at, HTTP_TOKEN))
        p->at++;
    if (p->at - start > METHOD_MAX)
        return refuse(p, 501, "the request's method is not one that is served here");
    if (p->at == p->end)
        return out_of_bytes(p);
    if (*p->at != ' ' || p->at == start)
        return refuse(p, 400, "the request line does not begin with a method and a space");
    p->head->method = (struct span){start, (size_t)(p->at++ - start)};
    return GOOD;
}

static enum verdict refuse(struct parse *p, unsigned status, const char *sentence)
{
    p->status = status;
    err_set(p->err, status == 414 || status == 431 ? ERR_LIMIT : ERR_INPUT, "%s", sentence);
    return REFUSED;
}

static enum verdict out_of_bytes(struct parse *p)
{
    return p->is_cut ? refuse(p, 431, "the message's head is larger than the limit") : MORE;
}

static enum verdict method_is_known(struct parse *p)
{
    static const struct {
        const char *name;
        unsigned status; /* 0: served */
    } methods[] = {
        {"POST", 0},   {"GET", 0},   {"HEAD", 0},    {"OPTIONS", 0},   {"PUT", 0},
        {"DELETE", 0}, {"PATCH", 0}, {"TRACE", 405}, {"CONNECT", 405},
    };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (!span_equal(p->head->method, span_of(methods[i].name)))
            continue;
        return methods[i].status
                   ? refuse(p, methods[i].status, "the request's method is not allowed here")
                   : GOOD;
    }
    return refuse(p, 501, "the request's method is not one that is served here");
}

static enum verdict target(struct parse *p)
{
    const char *start = p->at;
    size_t room = (size_t)(p->end - start);
    const char *stop = room > p->target_bytes_max ? start + p->target_bytes_max : p->end;

    while (p->at < stop && http_char_is(*p->at, HTTP_TARGET))
        p->at++;
    if (p->at == p->end)
        return out_of_bytes(p);
    if (http_char_is(*p->at, HTTP_TARGET))
        return refuse(p, 414, "the request's target is longer than the limit");
    if (*p->at == '\r' || *p->at == '\n')
        return refuse(p, 400, "the request line has no HTTP version");
    if (*p->at != ' ')
        return refuse(p, 400, "the request's target has a byte that must be percent-encoded");
    p->head->target = (struct span){start, (size_t)(p->at++ - start)};
    return GOOD;
}

/* A path, "*" for OPTIONS, or an absolute URL, of which the path is kept and the authority is held against Host. */
static enum verdict target_form(struct parse *p)
{
    struct span *t = &p->head->target;
    struct span scheme =
        span_equal_nocase((struct span){t->data, t->len < 8 ? t->len : 8}, SPAN("https://"))
            ? SPAN("https://")
            : SPAN("http://");
    const char *slash;

    if (t->len && t->data[0] == '/')
        return GOOD;
    if (span_equal(*t, SPAN("*")) && span_equal(p->head->method, SPAN("OPTIONS")))
        return GOOD;
    if (t->len < scheme.len || !span_equal_nocase((struct span){t->data, scheme.len}, scheme))
        return refuse(p, 400, "the request's target is neither a path nor an http URL");
    slash = memchr(t->data + scheme.len, '/', t->len - scheme.len);
    if (!slash || memchr(t->data, '?', (size_t)(slash - t->data)))
        return refuse(p, 400, "the request's target is a URL without a path");
    p->framing.authority =
        (struct span){t->data + scheme.len, (size_t)(slash - t->data) - scheme.len};
    *t = (struct span){slash, (size_t)(t->data + t->len - slash)};
    return GOOD;
}

static enum verdict version(struct parse *p)
{
    static const char pattern[] = "HTTP/#.#";
    const char *start = p->at;

    for (size_t i = 0; pattern[i]; i++, p->at++) {
        if (p->at == p->end)
            return out_of_bytes(p);
        if (pattern[i] == '#' ? *p->at < '0' || *p->at > '9' : *p->at != pattern[i])
            return refuse(p, 400, "the first line does not name an HTTP version");
    }
    if (start[5] != '1' || start[7] > '1')
        return refuse(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    p->head->minor = (unsigned)(start[7] - '0');
    return GOOD;
}

static enum verdict line_end(struct parse *p)
{
    if (p->at == p->end)
        return out_of_bytes(p);
    if (*p->at == '\n')
        return refuse(p, 400, "a line ends in a bare LF");
    if (*p->at != '\r')
        return refuse(p, 400, "a line of the head has a byte that is not allowed there");
    if (p->at + 1 == p->end)
        return out_of_bytes(p);
    if (p->at[1] != '\n')
        return refuse(p, 400, "a CR is not followed by LF");
    p->at += 2;
    return GOOD;
}

static enum verdict header_lines(struct parse *p)
{
    while (p->at < p->end && *p->at != '\r') {
        enum verdict verdict = header_line(p);

        if (verdict != GOOD)
            return verdict;
    }
    return line_end(p);
}

static enum verdict header_line(struct parse *p)
{
    struct http_header *header = &p->head->headers[p->head->header_count];
    const char *start = p->at;
    enum verdict verdict;

    if (p->head->header_count == HTTP_HEADERS_MAX)
        return refuse(p, 431, "the message has too many headers");
    skip(p, HTTP_TOKEN);
    if (p->at == p->end)
        return out_of_bytes(p);
    if (*p->at != ':' || p->at == start)
        return not_a_name(p, p->at == start);
    header->name = (struct span){start, (size_t)(p->at++ - start)};
    verdict = header_value(p, header);
    if (verdict != GOOD)
        return verdict;
    p->head->header_count++;
    return http_framing_take(&p->framing, header, &p->status, p->err) ? GOOD : REFUSED;
}

static void skip(struct parse *p, unsigned kind)
{
    const char *at = p->at;

    while (at < p->end && http_char_is(*at, kind))
        at++;
    p->at = at;
}

static enum verdict not_a_name(struct parse *p, bool is_first)
{
    bool is_blank = *p->at == ' ' || *p->at == '\t';

    if (*p->at == '\n')
        return refuse(p, 400, "a line ends in a bare LF");
    if (is_blank)
        return refuse(p, 400,
                      is_first ? "a header is continued on a second line"
                               : "a header's name is followed by a blank");
    if (*p->at == ':')
        return refuse(p, 400, "a header has no name");
    if (*p->at == '\r')
        return refuse(p, 400, "a line of the head has no colon");
    return refuse(p, 400, "a header's name has a byte that is not allowed there");
}

static enum verdict header_value(struct parse *p, struct http_header *header)
{
    const char *start, *end;
    enum verdict verdict;

    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
        p->at++;
    start = p->at;
    skip(p, HTTP_VALUE);
    end = p->at;
    verdict = line_end(p);
    if (verdict != GOOD)
        return verdict;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    header->value = (struct span){start, (size_t)(end - start)};
    return GOOD;
}

int64_t http1_response(struct span bytes, struct span method, const struct http_limits *limits,
                       struct http_head *out, struct err *err)
{
    struct err why = {.code = ERR_NONE};
    struct parse p;
    enum verdict verdict;

    parse_init(&p, bytes, limits, out, &why);
    http_framing_init(&p.framing, out, false);
    verdict = status_line(&p);
    if (verdict == GOOD)
        verdict = header_lines(&p);
    if (verdict == GOOD && !http_framing_end_response(&p.framing, method, &why))
        verdict = REFUSED;
    if (verdict == REFUSED)
        err_set(err, why.code == ERR_LIMIT ? ERR_LIMIT : ERR_PROTOCOL, "%s", why.text);
    return verdict == GOOD ? p.at - bytes.data : verdict == MORE ? 0 : -1;
}

/* "HTTP/1.1 200 OK"; the reason may be missing together with its space. */
static enum verdict status_line(struct parse *p)
{
    enum verdict verdict = version(p);

    for (size_t i = 0; i < 4 && verdict == GOOD; i++, p->at++) {
        if (p->at == p->end)
            return out_of_bytes(p);
        if (i == 0 ? *p->at != ' ' : *p->at < '0' || *p->at > '9')
            return refuse(p, 400, "the status line has no status of three digits");
        if (i > 0)
            p->head->status = p->head->status * 10 + (unsigned)(*p->at - '0');
    }
    if (verdict != GOOD)
        return verdict;
    if (p->head->status < 100 || p->head->status > 599)
        return refuse(p, 400, "the status is not between 100 and 599");
    if (p->at < p->end && *p->at == ' ')
        skip(p, HTTP_VALUE);
    return line_end(p);
}
