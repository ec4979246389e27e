/* money.c - amounts as text and back, and rounding. Decimal text has one accepted spelling of its
 * sign and whole part, so that no reader can take an amount for another; digits are made by hand
 * because every event has an amount. */
#include "billing/money.h"

#include <assert.h>

#define DECIMALS         9
#define WHOLE_DIGITS_MAX 10 /* with nine decimals 19 digits: always inside uint64 */

static int64_t find_minor(struct span code);
static const char *read_decimal(struct span text, int64_t *nanos);
static size_t count_digits(struct span text, size_t from);
static uint64_t read_digits(struct span digits);
static char *put_digits_before(char *end, uint128 value);

/* ISO 4217's codes of circulating money by the size of the minor unit; four bytes a code. */
static const struct {
    int64_t minor_nanos;
    const char *codes;
} currencies[] = {
    {NANOS_PER_UNIT / 100,
     "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP "
     "BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD "
     "FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS "
     "KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
     "MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD "
     "RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT "
     "TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD XCG YER ZAR ZMW ZWG"},
    {NANOS_PER_UNIT, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"},
    {NANOS_PER_UNIT / 1000, "BHD IQD JOD KWD LYD OMR TND"},
};

bool currency_is_known(struct span code)
{
    return find_minor(code) != 0;
}

int64_t currency_minor_nanos(const char *currency)
{
    int64_t minor = find_minor(span_of(currency));

    assert(minor > 0);
    return minor;
}

static int64_t find_minor(struct span code)
{
    if (code.len != CURRENCY_TEXT - 1)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(currencies); i++) {
        size_t end = strlen(currencies[i].codes);

        for (size_t at = 0; at < end; at += CURRENCY_TEXT)
            if (memcmp(currencies[i].codes + at, code.data, code.len) == 0)
                return currencies[i].minor_nanos;
    }
    return 0;
}

bool decimal_parse(struct span text, int64_t *nanos, struct err *err)
{
    struct span shown = {text.data ? text.data : "", text.len < 40 ? text.len : 40};
    int64_t value;
    const char *problem = read_decimal(text, &value);

    if (problem)
        return err_set(err, ERR_INPUT, "\"%.*s\" is not a decimal such as 12.5: %s",
                       SPAN_FMT(shown), problem);
    *nanos = value;
    return true;
}

/* Null, or what is wrong. */
static const char *read_decimal(struct span text, int64_t *nanos)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    size_t whole = count_digits(text, negative), decimals = 0, at = negative + whole;
    uint64_t magnitude;

    if (whole == 0)
        return "it must begin with a digit, or with a minus and a digit";
    if (whole > 1 && text.data[negative] == '0')
        return "leading zeros are not allowed";
    if (at < text.len && text.data[at] == '.') {
        decimals = count_digits(text, at + 1);
        if (decimals == 0)
            return "a digit must follow the point";
        at += 1 + decimals;
    }
    if (at != text.len)
        return "only digits and one point are allowed";
    if (decimals > DECIMALS)
        return "it has more than nine decimals";
    if (whole > WHOLE_DIGITS_MAX)
        return "it is too large";
    magnitude = read_digits((struct span){text.data + negative, whole});
    for (size_t i = 0; i < DECIMALS; i++)
        magnitude =
            magnitude * 10 + (i < decimals ? (uint64_t)(text.data[at - decimals + i] - '0') : 0);
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return "it is too large";
    if (magnitude == 0 && negative)
        return "zero has no minus";
    *nanos = negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return NULL;
}

static size_t count_digits(struct span text, size_t from)
{
    size_t n = 0;

    while (from + n < text.len && text.data[from + n] >= '0' && text.data[from + n] <= '9')
        n++;
    return n;
}

static uint64_t read_digits(struct span digits)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
    return value;
}

/* Nine decimals, less the trailing zeros; written from the end of `out`, then moved to its front. */
const char *decimal_format(int128 nanos, char out[DECIMAL_TEXT])
{
    uint128 magnitude = nanos < 0 ? -(uint128)nanos : (uint128)nanos;
    uint64_t fraction = (uint64_t)(magnitude % NANOS_PER_UNIT);
    char *end = out + DECIMAL_TEXT - 1, *at = end;
    size_t decimals = DECIMALS;

    *end = '\0';
    for (; decimals > 0 && fraction % 10 == 0; decimals--)
        fraction /= 10;
    for (size_t i = 0; i < decimals; i++) {
        *--at = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    if (decimals > 0)
        *--at = '.';
    at = put_digits_before(at, magnitude / NANOS_PER_UNIT);
    if (nanos < 0)
        *--at = '-';
    return memmove(out, at, (size_t)(end - at) + 1);
}

/* Divides in 128 bits only as long as it must. */
static char *put_digits_before(char *end, uint128 value)
{
    uint64_t rest;

    while (value > UINT64_MAX) {
        *--end = (char)('0' + (int)(value % 10));
        value /= 10;
    }
    rest = (uint64_t)value;
    do
        *--end = (char)('0' + rest % 10);
    while (rest /= 10);
    return end;
}

/* The remainder is compared with what is missing to the next integer, which cannot overflow as
 * doubling it could. */
int128 round_half_up(int128 numerator, int128 denominator)
{
    int128 quotient, rest;

    assert(denominator > 0);
    quotient = numerator / denominator;
    rest = numerator % denominator;
    if (rest > 0)
        return quotient + (rest >= denominator - rest);
    return quotient - (rest < 0 && -rest >= denominator + rest);
}

int64_t money_floor_minor(int64_t nanos, const char *currency)
{
    int64_t minor = currency_minor_nanos(currency), rest = nanos % minor, floored;
    bool fits = nanos_fit((int128)nanos - rest - (rest < 0 ? minor : 0), &floored);

    assert(fits);
    return fits ? floored : INT64_MIN;
}

bool nanos_fit(int128 value, int64_t *out)
{
    if (value < INT64_MIN || value > INT64_MAX)
        return false;
    *out = (int64_t)value;
    return true;
}
