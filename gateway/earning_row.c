/* earning_row.c - fields are blank-separated words; owners are id:weight,id:weight. */
#include "gateway/earning_row.h"

#include <stdio.h>

#include "billing/split.h"
#include "lib/base/text.h"

static bool parse_terms(struct span model, struct span rest, struct span suffix,
                        struct earning_row *row, bool *counts);
static struct span next_word(struct span *rest);
static bool parse_owners(struct span text, struct earning_row *row);

bool earning_row_parse_sold(struct span field, struct earning_row *out, bool *counts)
{
    struct span rest = field, model = next_word(&rest), day = next_word(&rest);

    *out = (struct earning_row){.calls = 0};
    return span_copy(day, out->day, sizeof out->day) &&
           parse_terms(model, rest, SPAN("calls"), out, counts);
}

bool earning_row_parse_returned(struct span field, struct earning_row *out, bool *counts)
{
    struct span rest = field, period = next_word(&rest), orig = next_word(&rest),
                model = next_word(&rest);

    *out = (struct earning_row){.calls = 0};
    return period_parse(period, &out->period, NULL) && period_parse(orig, &out->orig, NULL) &&
           parse_terms(model, rest, SPAN("count"), out, counts);
}

static bool parse_terms(struct span model, struct span rest, struct span suffix,
                        struct earning_row *row, bool *counts)
{
    struct span currency = next_word(&rest), contract = next_word(&rest), share = next_word(&rest),
                owners = next_word(&rest);
    int n = snprintf(row->terms, sizeof row->terms, "%.*s %.*s %.*s %.*s %.*s", SPAN_FMT(model),
                     SPAN_FMT(currency), SPAN_FMT(contract), SPAN_FMT(share), SPAN_FMT(owners));

    *counts = span_equal(rest, suffix);
    return n > 0 && (size_t)n < sizeof row->terms && (rest.len == 0 || *counts) &&
           int64_parse(share, &row->share_bp) && span_copy(model, row->model, sizeof row->model) &&
           span_copy(currency, row->currency, sizeof row->currency) && parse_owners(owners, row);
}

static struct span next_word(struct span *rest)
{
    const char *blank = memchr(rest->data, ' ', rest->len);
    struct span word = {rest->data, blank ? (size_t)(blank - rest->data) : rest->len};
    size_t used = word.len + (blank != NULL);

    *rest = (struct span){rest->data + used, rest->len - used};
    return word;
}

static bool parse_owners(struct span text, struct earning_row *row)
{
    while (text.len && row->owner_count < OWNERS_MAX) {
        const char *comma = memchr(text.data, ',', text.len);
        struct span one = {text.data, comma ? (size_t)(comma - text.data) : text.len};
        const char *colon = memchr(one.data, ':', one.len);
        struct owner *o = &row->owners[row->owner_count++];

        if (!colon ||
            !span_copy((struct span){one.data, (size_t)(colon - one.data)}, o->id, sizeof o->id) ||
            !int64_parse((struct span){colon + 1, one.len - (size_t)(colon + 1 - one.data)},
                         &o->weight))
            return false;
        text = (struct span){one.data + one.len + (comma != NULL),
                             text.len - one.len - (comma != NULL)};
    }
    return row->owner_count && !text.len;
}

bool earning_row_is_of(const struct earning_row *row, const char *creator)
{
    for (size_t i = 0; i < row->owner_count; i++)
        if (strcmp(row->owners[i].id, creator) == 0)
            return true;
    return false;
}

int64_t earning_row_share(const struct earning_row *row, int64_t nanos, const char *creator)
{
    int64_t weights[OWNERS_MAX], parts[OWNERS_MAX], platform;

    for (size_t i = 0; i < row->owner_count; i++)
        weights[i] = row->owners[i].weight;
    split_contract(nanos, row->share_bp, weights, row->owner_count, parts, &platform);
    for (size_t i = 0; i < row->owner_count; i++)
        if (strcmp(row->owners[i].id, creator) == 0)
            return parts[i];
    return 0;
}
