/* writer_words.c - the scripts write these words, and several readers ask for them. */
#include "billing/writer_words.h"

#include <string.h>

#include "lib/base/text.h"

/* The word that `rest` begins with; *rest is then what follows its blank, if any. */
static struct span take_word(struct span *rest)
{
    const char *blank;

    if (!rest->len)
        return *rest;
    blank = memchr(rest->data, ' ', rest->len);
    struct span word = {rest->data, blank ? (size_t)(blank - rest->data) : rest->len};
    size_t taken = word.len + (blank != NULL);

    *rest = (struct span){rest->data + taken, rest->len - taken};
    return word;
}

bool cursor_word_parse(struct span word, struct record_cursor *out)
{
    struct span number = take_word(&word);
    unsigned char crc[4];
    uint64_t n;

    if (!digits_parse(number, INT64_MAX, &n) || !hex_decode(word, crc, sizeof crc))
        return false;
    *out = (struct record_cursor){n, (uint32_t)crc[0] << 24 | (uint32_t)crc[1] << 16 |
                                         (uint32_t)crc[2] << 8 | crc[3]};
    return true;
}

bool live_word_parse(struct span word, struct live_word *out)
{
    bool is_behind = span_starts(take_word(&word), SPAN("-"));
    int64_t heard_ms;

    if (!int64_parse(take_word(&word), &heard_ms))
        return false;
    *out = (struct live_word){is_behind, heard_ms};
    return true;
}
