/* clock.c - wall time with the process's offset, and its text. Formatting is on the path of every call, so it is
 * arithmetic rather than strftime. */
#include "lib/base/clock.h"

#include <string.h>
#include <time.h>

#include "lib/base/text.h"

struct fields {
    uint64_t year, month, day, hour, minute, second, nanos;
    int64_t offset; /* seconds east of UTC */
};

static int64_t read_clock(clockid_t id);
static void put_digits(char *at, unsigned n, unsigned value);
static bool parse_fields(struct span text, struct fields *f);
static bool take(struct span *text, size_t n, uint64_t max, uint64_t *out);
static bool take_char(struct span *text, const char *any_of);
static bool take_decimals(struct span *text, uint64_t *nanos);
static bool take_offset(struct span *text, int64_t *seconds);

/* Set once at start, see the header. Without a zone it is UTC. */
static int64_t offset_nanos;
static struct zone *platform_zone;

int64_t clock_now(void)
{
    return read_clock(CLOCK_REALTIME) + offset_nanos;
}

int64_t clock_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic() / NANOS_PER_MS;
}

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * NANOS_PER_SECOND + now.tv_nsec;
}

void clock_set_offset(int64_t nanos)
{
    offset_nanos = nanos;
}

int64_t clock_offset(void)
{
    return offset_nanos;
}

const char *clock_format(int64_t nanos, char out[CLOCK_TEXT])
{
    int64_t seconds = floor_div(nanos, NANOS_PER_SECOND);
    int64_t days = floor_div(seconds, SECONDS_PER_DAY);
    unsigned in_day = (unsigned)(seconds - days * SECONDS_PER_DAY);
    int64_t rest = nanos % NANOS_PER_SECOND;
    unsigned ms = (unsigned)((rest < 0 ? rest + NANOS_PER_SECOND : rest) / NANOS_PER_MS);
    struct civil date = civil_of_days(days);

    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    put_digits(out, 4, (unsigned)date.year);
    put_digits(out + 5, 2, (unsigned)date.month);
    put_digits(out + 8, 2, (unsigned)date.day);
    put_digits(out + 11, 2, in_day / 3600);
    put_digits(out + 14, 2, in_day / 60 % 60);
    put_digits(out + 17, 2, in_day % 60);
    put_digits(out + 20, 3, ms);
    return out;
}

static void put_digits(char *at, unsigned n, unsigned value)
{
    while (n-- > 0) {
        at[n] = (char)('0' + value % 10);
        value /= 10;
    }
}

bool clock_parse(struct span text, int64_t *nanos, struct err *err)
{
    struct fields f = {0};
    int64_t seconds, result;

    if (!parse_fields(text, &f))
        return err_set(err, ERR_INPUT,
                       "\"%.*s\" is not an RFC 3339 time such as 2026-11-22T10:52:55Z",
                       (int)(text.len < 64 ? text.len : 64), text.data ? text.data : "");
    seconds = civil_days((struct civil){(int)f.year, (int)f.month, (int)f.day}) * SECONDS_PER_DAY +
              (int64_t)(f.hour * 3600 + f.minute * 60 + f.second) - f.offset;
    if (__builtin_mul_overflow(seconds, NANOS_PER_SECOND, &result) ||
        __builtin_add_overflow(result, (int64_t)f.nanos, &result))
        return err_set(err, ERR_INPUT, "\"%.*s\" lies outside the years 1678 to 2261",
                       SPAN_FMT(text));
    *nanos = result;
    return true;
}

static bool parse_fields(struct span text, struct fields *f)
{
    return take(&text, 4, 9999, &f->year) && take_char(&text, "-") &&
           take(&text, 2, 12, &f->month) && take_char(&text, "-") && take(&text, 2, 31, &f->day) &&
           f->month >= 1 && f->day >= 1 &&
           (int)f->day <= civil_days_in_month((int)f->year, (int)f->month) &&
           take_char(&text, "Tt") && take(&text, 2, 23, &f->hour) && take_char(&text, ":") &&
           take(&text, 2, 59, &f->minute) && take_char(&text, ":") &&
           take(&text, 2, 59, &f->second) && take_decimals(&text, &f->nanos) &&
           take_offset(&text, &f->offset) && text.len == 0;
}

static bool take(struct span *text, size_t n, uint64_t max, uint64_t *out)
{
    if (text->len < n || !digits_parse((struct span){text->data, n}, max, out))
        return false;
    *text = (struct span){text->data + n, text->len - n};
    return true;
}

static bool take_char(struct span *text, const char *any_of)
{
    if (text->len == 0 || !memchr(any_of, text->data[0], strlen(any_of)))
        return false;
    *text = (struct span){text->data + 1, text->len - 1};
    return true;
}

static bool take_decimals(struct span *text, uint64_t *nanos)
{
    uint64_t digit, scale = NANOS_PER_SECOND;

    *nanos = 0;
    if (!take_char(text, "."))
        return true;
    while (scale > 1 && take(text, 1, 9, &digit)) {
        scale /= 10;
        *nanos += digit * scale;
    }
    return scale < NANOS_PER_SECOND;
}

static bool take_offset(struct span *text, int64_t *seconds)
{
    uint64_t hours, minutes;
    bool west;

    *seconds = 0;
    if (take_char(text, "Zz"))
        return true;
    west = text->len > 0 && text->data[0] == '-';
    if (!take_char(text, "+-") || !take(text, 2, 23, &hours) || !take_char(text, ":") ||
        !take(text, 2, 59, &minutes))
        return false;
    *seconds = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

bool clock_set_zone(const char *zone, struct err *err)
{
    struct zone *opened = zone_open(zone, err);

    if (!opened)
        return false;
    zone_free(platform_zone);
    platform_zone = opened;
    return true;
}

struct civil clock_civil(int64_t nanos)
{
    int64_t seconds = floor_div(nanos, NANOS_PER_SECOND);

    return platform_zone ? zone_civil(platform_zone, seconds)
                         : civil_of_days(floor_div(seconds, SECONDS_PER_DAY));
}

int64_t clock_civil_start(struct civil day)
{
    int64_t seconds =
        platform_zone ? zone_civil_start(platform_zone, day) : civil_days(day) * SECONDS_PER_DAY;

    return seconds * NANOS_PER_SECOND;
}
