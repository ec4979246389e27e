/* unit.c - the table of units. Adding one is a row; a child stands on its parent's side and has its
 * scale, for it may be charged as the parent. */
#include "billing/unit.h"

#define PER_MILLION INT64_C(1000000)
#define PER_ONE     INT64_C(1)

static const struct unit units[] = {
    {"input_tokens", NULL, PER_MILLION, UNIT_INPUT, "Tokens read, without those listed apart"},
    {"cached_input_tokens", "input_tokens", PER_MILLION, UNIT_INPUT,
     "Tokens read from a prompt cache"},
    {"cache_write_tokens", "input_tokens", PER_MILLION, UNIT_INPUT,
     "Tokens written to a prompt cache"},
    {"output_tokens", NULL, PER_MILLION, UNIT_OUTPUT, "Tokens written, without those listed apart"},
    {"reasoning_tokens", "output_tokens", PER_MILLION, UNIT_OUTPUT,
     "Tokens written while reasoning"},
    {"audio_input_tokens", "input_tokens", PER_MILLION, UNIT_INPUT, "Tokens of audio heard"},
    {"image_input_tokens", "input_tokens", PER_MILLION, UNIT_INPUT, "Tokens of images seen"},
    {"audio_output_tokens", "output_tokens", PER_MILLION, UNIT_OUTPUT, "Tokens of audio spoken"},
    {"call", NULL, PER_ONE, UNIT_OTHER, "Calls"},
    {"image", NULL, PER_ONE, UNIT_OTHER, "Images made"},
    {"audio_second", NULL, PER_ONE, UNIT_OTHER, "Seconds of audio"},
    {"character", NULL, PER_ONE, UNIT_INPUT, "Characters of text read aloud or translated"},
    {"instance_second", NULL, PER_ONE, UNIT_OTHER, "Seconds of a reserved instance"},
    {"subscription_month", NULL, PER_ONE, UNIT_OTHER, "Months of a subscription"},
};

static const char *const provenances[] = {
    [FROM_UPSTREAM] = "upstream",
    [COUNTED] = "counted",
    [ESTIMATED] = "estimated",
};

const struct unit *unit_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (span_equal(span_of(units[i].name), name))
            return &units[i];
    return NULL;
}

bool unit_is_token(const struct unit *unit)
{
    return unit->scale == PER_MILLION;
}

size_t unit_count(void)
{
    return ARRAY_LEN(units);
}

const struct unit *unit_at(size_t i)
{
    return i < ARRAY_LEN(units) ? &units[i] : NULL;
}

const char *provenance_name(enum provenance p)
{
    return provenances[p];
}

bool provenance_parse(struct span word, enum provenance *out)
{
    for (size_t i = 0; i < ARRAY_LEN(provenances); i++) {
        if (span_equal(span_of(provenances[i]), word)) {
            *out = (enum provenance)i;
            return true;
        }
    }
    return false;
}

bool used_set(struct used *u, const struct unit *unit, int64_t n, enum provenance p,
              struct err *err)
{
    size_t i = 0;

    while (i < u->count && u->item[i].unit != unit)
        i++;
    if (i == USED_MAX)
        return err_set(err, ERR_LIMIT, "no room for %s: a call can use %d units at most",
                       unit->name, USED_MAX);
    if (i == u->count)
        u->count++;
    u->item[i].unit = unit;
    u->item[i].n = n;
    u->item[i].provenance = p;
    return true;
}

const int64_t *used_get(const struct used *u, const char *unit)
{
    for (size_t i = 0; i < u->count; i++)
        if (strcmp(u->item[i].unit->name, unit) == 0)
            return &u->item[i].n;
    return NULL;
}
