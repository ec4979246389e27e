/* clock.c - wall time with the process's offset, and its text. Formatting is on the path of every call, so it is
 * arithmetic (days_from_civil and its inverse, H. Hinnant, "chrono-compatible low-level date algorithms") rather
 * than strftime; only the civil zone, which is asked rarely, goes through the C library's zone rules. */
#include "lib/base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/text.h"

#define SECONDS_PER_DAY  INT64_C(86400)
#define SECONDS_PER_HOUR INT64_C(3600)

struct fields {
    uint64_t year, month, day, hour, minute, second, nanos;
    int64_t offset; /* seconds east of UTC */
};

static int64_t read_clock(clockid_t id);
static int64_t floor_div(int64_t a, int64_t b);
static struct civil civil_of_days(int64_t days);
static int64_t days_of_civil(int64_t year, int64_t month, int64_t day);
static void put_digits(char *at, unsigned n, unsigned value);
static bool parse_fields(struct span text, struct fields *f);
static bool take(struct span *text, size_t n, uint64_t max, uint64_t *out);
static bool take_char(struct span *text, const char *any_of);
static bool take_decimals(struct span *text, uint64_t *nanos);
static bool take_offset(struct span *text, int64_t *seconds);
static unsigned days_in_month(uint64_t year, uint64_t month);
static bool zone_is_known(const char *zone);
static bool is_before(struct civil a, struct civil b);

/* Set once at start, see the header. */
static int64_t offset_nanos;

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

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static void put_digits(char *at, unsigned n, unsigned value)
{
    while (n-- > 0) {
        at[n] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Years begin in March here, so that the leap day is the last of its year. */
static struct civil civil_of_days(int64_t days)
{
    int64_t shifted = days + 719468; /* from 0000-03-01 */
    int64_t era = floor_div(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct civil date = {
        .year = (int)(year_of_era + era * 400 + (month >= 10)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
    };

    return date;
}

static int64_t days_of_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = year - (month <= 2);
    int64_t era = floor_div(shifted, 400);
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

bool clock_parse(struct span text, int64_t *nanos, struct err *err)
{
    struct fields f = {0};
    int64_t seconds, result;

    if (!parse_fields(text, &f))
        return err_set(err, ERR_INPUT,
                       "\"%.*s\" is not an RFC 3339 time such as 2026-11-22T10:52:55Z",
                       (int)(text.len < 64 ? text.len : 64), text.data ? text.data : "");
    seconds = days_of_civil((int64_t)f.year, (int64_t)f.month, (int64_t)f.day) * SECONDS_PER_DAY +
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
           f->month >= 1 && f->day >= 1 && f->day <= days_in_month(f->year, f->month) &&
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

static unsigned days_in_month(uint64_t year, uint64_t month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

bool clock_set_zone(const char *zone, struct err *err)
{
    if (!zone_is_known(zone))
        return err_set(err, ERR_INPUT,
                       "time zone \"%s\" is not known to this machine (is tzdata installed?)",
                       zone);
    if (setenv("TZ", zone, 1) != 0)
        return err_sys(err, "cannot set the time zone");
    tzset();
    return true;
}

/* The C library takes unknown names for UTC without a word; so look for the compiled file first. */
static bool zone_is_known(const char *zone)
{
    const char *dir = getenv("TZDIR");
    char path[512], magic[4];
    bool known;
    int fd, n;

    if (zone[0] == '\0' || zone[0] == '/' || zone[0] == ':' || strstr(zone, ".."))
        return false;
    n = snprintf(path, sizeof path, "%s/%s", dir && dir[0] ? dir : "/usr/share/zoneinfo", zone);
    if (n < 0 || (size_t)n >= sizeof path)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    known = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "TZif", 4) == 0;
    close(fd);
    return known;
}

struct civil clock_civil(int64_t nanos)
{
    time_t seconds = floor_div(nanos, NANOS_PER_SECOND);
    struct tm local;

    localtime_r(&seconds, &local);
    return (struct civil){local.tm_year + 1900, local.tm_mon + 1, local.tm_mday};
}

/* The first second whose civil date is not before the day: right also where midnight is skipped or comes twice,
 * and where a whole day never was. Noon is a safe place to search from. */
int64_t clock_civil_start(struct civil day)
{
    int64_t month = (int64_t)day.year * 12 + day.month - 1;
    struct civil date = civil_of_days(
        days_of_civil(floor_div(month, 12), month - floor_div(month, 12) * 12 + 1, day.day));
    struct tm noon = {
        .tm_year = date.year - 1900, .tm_mon = date.month - 1, .tm_mday = date.day, .tm_hour = 12};
    int64_t before, after;

    noon.tm_isdst = -1;
    before = mktime(&noon);
    after = before + 24 * SECONDS_PER_HOUR;
    before -= 48 * SECONDS_PER_HOUR;
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;

        if (is_before(clock_civil(middle * NANOS_PER_SECOND), date))
            before = middle;
        else
            after = middle;
    }
    return after * NANOS_PER_SECOND;
}

static bool is_before(struct civil a, struct civil b)
{
    if (a.year != b.year)
        return a.year < b.year;
    if (a.month != b.month)
        return a.month < b.month;
    return a.day < b.day;
}
