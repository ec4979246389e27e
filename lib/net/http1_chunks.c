/* http1_chunks.c - one row for each place in the coding; every row but payload takes one byte and names the next. */
#include "lib/net/http1_chunks.h"

#include "lib/net/http_chars.h"

enum state {
    SIZE_FIRST, /* a size must have a digit */
    SIZE,
    EXTENSION,
    SIZE_LF,
    PAYLOAD,
    PAYLOAD_CR,
    PAYLOAD_LF,
    LINE_FIRST, /* of a trailer, or the empty line that ends the body */
    NAME,
    VALUE,
    VALUE_LF,
    END_LF,
    DONE,
    BAD,
};

static enum http1_chunk take_payload(struct http1_chunks *c, struct span *in, struct span *payload);
static bool take_byte(struct http1_chunks *c, char byte, struct err *err);
static bool size_first(struct http1_chunks *c, char byte, struct err *err);
static bool size(struct http1_chunks *c, char byte, struct err *err);
static bool add_digit(struct http1_chunks *c, int digit, struct err *err);
static int hex_digit(char byte);
static bool extension(struct http1_chunks *c, char byte, struct err *err);
static bool size_lf(struct http1_chunks *c, char byte, struct err *err);
static bool payload_cr(struct http1_chunks *c, char byte, struct err *err);
static bool payload_lf(struct http1_chunks *c, char byte, struct err *err);
static bool line_first(struct http1_chunks *c, char byte, struct err *err);
static bool name(struct http1_chunks *c, char byte, struct err *err);
static bool value(struct http1_chunks *c, char byte, struct err *err);
static bool value_lf(struct http1_chunks *c, char byte, struct err *err);
static bool end_lf(struct http1_chunks *c, char byte, struct err *err);
static bool refuse(struct http1_chunks *c, enum err_code code, struct err *err,
                   const char *sentence);

static bool (*const rows[])(struct http1_chunks *, char, struct err *) = {
    [SIZE_FIRST] = size_first, /* -> SIZE */
    [SIZE] = size,             /* -> EXTENSION, SIZE_LF */
    [EXTENSION] = extension,   /* -> SIZE_LF */
    [SIZE_LF] = size_lf,       /* -> PAYLOAD, or LINE_FIRST after the last chunk */
    [PAYLOAD_CR] = payload_cr, /* -> PAYLOAD_LF */
    [PAYLOAD_LF] = payload_lf, /* -> SIZE_FIRST */
    [LINE_FIRST] = line_first, /* -> NAME, END_LF */
    [NAME] = name,             /* -> VALUE */
    [VALUE] = value,           /* -> VALUE_LF */
    [VALUE_LF] = value_lf,     /* -> LINE_FIRST */
    [END_LF] = end_lf,         /* -> DONE */
};

void http1_chunks_init(struct http1_chunks *c)
{
    *c = (struct http1_chunks){.state = SIZE_FIRST};
}

enum http1_chunk http1_chunks_next(struct http1_chunks *c, struct span *in, struct span *payload,
                                   struct err *err)
{
    while (c->state != DONE) {
        if (c->state == BAD) {
            err_set(err, ERR_INPUT, "the chunked body was refused before");
            return HTTP1_CHUNK_BAD;
        }
        if (in->len == 0)
            return HTTP1_CHUNK_MORE;
        if (c->state == PAYLOAD)
            return take_payload(c, in, payload);
        if (!take_byte(c, *in->data, err))
            return HTTP1_CHUNK_BAD;
        in->data++;
        in->len--;
    }
    return HTTP1_CHUNK_DONE;
}

static enum http1_chunk take_payload(struct http1_chunks *c, struct span *in, struct span *payload)
{
    size_t n = c->left < in->len ? (size_t)c->left : in->len;

    *payload = (struct span){in->data, n};
    in->data += n;
    in->len -= n;
    c->left -= n;
    if (c->left == 0)
        c->state = PAYLOAD_CR;
    return HTTP1_CHUNK_PAYLOAD;
}

static bool take_byte(struct http1_chunks *c, char byte, struct err *err)
{
    unsigned max = c->state >= LINE_FIRST ? HTTP1_CHUNK_TRAILERS_MAX : HTTP1_CHUNK_LINE_MAX;

    if (++c->line > max)
        return refuse(c, ERR_LIMIT, err,
                      c->state >= LINE_FIRST ? "the trailers of a chunked body are too long"
                                             : "the size line of a chunk is too long");
    return rows[c->state](c, byte, err);
}

static bool refuse(struct http1_chunks *c, enum err_code code, struct err *err,
                   const char *sentence)
{
    c->state = BAD;
    return err_set(err, code, "%s", sentence);
}

static bool size_first(struct http1_chunks *c, char byte, struct err *err)
{
    int digit = hex_digit(byte);

    if (digit < 0)
        return refuse(c, ERR_INPUT, err, "a chunk's size is not a hexadecimal number");
    c->left = 0;
    c->line = 1;
    c->state = SIZE;
    return add_digit(c, digit, err);
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

static bool add_digit(struct http1_chunks *c, int digit, struct err *err)
{
    if (c->left > (uint64_t)INT64_MAX >> 4)
        return refuse(c, ERR_INPUT, err, "a chunk's size is larger than any body");
    c->left = c->left << 4 | (unsigned)digit;
    return true;
}

static bool size(struct http1_chunks *c, char byte, struct err *err)
{
    int digit = hex_digit(byte);

    if (digit >= 0)
        return add_digit(c, digit, err);
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (byte == ';')
        c->state = EXTENSION;
    else
        return refuse(c, ERR_INPUT, err, "a chunk's size is not followed by CRLF or an extension");
    return true;
}

static bool extension(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (!http_char_is(byte, HTTP_VALUE))
        return refuse(c, ERR_INPUT, err, "a chunk's extension has a control byte");
    return true;
}

static bool size_lf(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte != '\n')
        return refuse(c, ERR_INPUT, err, "the CR of a chunk's size line is not followed by LF");
    c->state = c->left ? PAYLOAD : LINE_FIRST;
    c->line = 0;
    return true;
}

static bool payload_cr(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte != '\r')
        return refuse(c, ERR_INPUT, err, "a chunk is longer than its size says");
    c->state = PAYLOAD_LF;
    return true;
}

static bool payload_lf(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte != '\n')
        return refuse(c, ERR_INPUT, err, "the CR after a chunk is not followed by LF");
    c->state = SIZE_FIRST;
    return true;
}

static bool line_first(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte == '\r')
        c->state = END_LF;
    else if (http_char_is(byte, HTTP_TOKEN))
        c->state = NAME;
    else
        return refuse(c, ERR_INPUT, err, "a trailer of a chunked body has no name");
    return true;
}

static bool name(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte == ':')
        c->state = VALUE;
    else if (!http_char_is(byte, HTTP_TOKEN))
        return refuse(c, ERR_INPUT, err,
                      "the name of a trailer has a byte that is not allowed there");
    return true;
}

static bool value(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte == '\r')
        c->state = VALUE_LF;
    else if (!http_char_is(byte, HTTP_VALUE))
        return refuse(c, ERR_INPUT, err, "the value of a trailer has a control byte");
    return true;
}

static bool value_lf(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte != '\n')
        return refuse(c, ERR_INPUT, err, "the CR of a trailer is not followed by LF");
    c->state = LINE_FIRST;
    return true;
}

static bool end_lf(struct http1_chunks *c, char byte, struct err *err)
{
    if (byte != '\n')
        return refuse(c, ERR_INPUT, err, "the CR that ends a chunked body is not followed by LF");
    c->state = DONE;
    return true;
}
