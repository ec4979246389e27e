/* projection_members.c - members are found by one scan of the line; what was written by event_write() and its like is compared byte for
 * byte, since its spelling is fixed. */
#include "billing/projection_members.h"

#include "billing/event.h"
#include "lib/base/clock.h"
#include "lib/base/jscan.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct members {
    struct jscan *scan;
    struct span line;
};

static bool take(struct span *rest, const char *literal);
static struct span take_up_to(struct span *rest, char end);
static struct span take_digits(struct span *rest);
static bool is_digits(struct span s);

static const char *const paths[PATHS] = {
    [P_ACCOUNT] = "account",
    [P_REQUEST_ID] = "request_id",
    [P_CURRENCY] = "currency",
    [P_AMOUNT] = "amount",
    [P_PERIOD] = "period",
    [P_ENDED_AT] = "ended_at",
    [P_MODEL] = "model",
    [P_CONTRACT] = "contract",
    [P_SHARE_BP] = "share_bp",
    [P_CREATORS] = "creators",
    [P_KEY] = "key",
    [P_OWNER_KIND] = "owner_kind",
    [P_OWNER] = "owner",
    [P_HASH] = "hash",
    [P_PEPPER] = "pepper",
    [P_STATE] = "state",
    [P_EXPIRES_AT] = "expires_at",
    [P_SCOPES] = "scopes",
    [P_MODELS] = "models",
    [P_IPS] = "ips",
    [P_FIRST_KEY] = "first_key",
    [P_REPLACES] = "replaces",
    [P_GRACE] = "grace",
    [P_REPLACED_UNTIL] = "replaced_until",
    [P_REVISION] = "revision",
    [P_AT] = "at",
    [P_OP] = "op",
    [P_MODE] = "mode",
    [P_CREDIT_LIMIT] = "credit_limit",
    [P_CONCURRENCY] = "concurrency",
    [P_RPM] = "rpm",
    [P_TPM] = "tpm",
    [P_BUDGET_DAY] = "budget_day",
    [P_BUDGET_MONTH] = "budget_month",
    [P_ZONE] = "zone",
    [P_UNITS] = "units",
    [P_OUTCOME] = "outcome",
    [P_STARTED_AT] = "started_at",
    [P_BEGAN_ON] = "began_on",
    [P_IDEM_KEY] = "idempotency.key",
    [P_IDEM_BODY] = "idempotency.body",
    [P_OBJECT] = "object",
    [P_ID] = "id",
    [P_BODY] = "body",
    [P_CHARGED] = "charged",
    [P_ORIG_PERIOD] = "orig_period",
    [P_ENTRY] = "entry",
    [P_AS] = "as",
    [P_DETAIL] = "detail",
    [P_SPENT] = "spent",
    [P_TAKEN] = "taken",
    [P_LEFT] = "left",
};

struct members *members_new(void)
{
    struct members *m = xcalloc(1, sizeof *m);

    m->scan = jscan_new(paths, PATHS);
    return m;
}

void members_free(struct members *m)
{
    if (!m)
        return;
    jscan_free(m->scan);
    free(m);
}

bool members_read(struct members *m, struct span line)
{
    jscan_reset(m->scan);
    m->line = line;
    return jscan_feed(m->scan, line.data, line.len, NULL) == JSCAN_DONE;
}

bool member_value(const struct members *m, enum path path, struct span *out)
{
    const struct jscan_hit *hit = jscan_get(m->scan, path);

    if (hit->seen != 1)
        return false;
    *out = (struct span){m->line.data + hit->start, (size_t)(hit->end - hit->start)};
    return true;
}

/* A string without blanks, which part the fields of Redis's values, and short enough for a key. */
bool member_text(const struct members *m, enum path path, const char **out)
{
    const struct jscan_hit *hit = jscan_get(m->scan, path);

    if (hit->seen != 1 || hit->type != JSCAN_STRING || hit->text_cut || !hit->text_len)
        return false;
    for (size_t i = 0; i < hit->text_len; i++)
        if ((unsigned char)hit->text[i] <= ' ')
            return false;
    *out = hit->text;
    return true;
}

bool member_id(const struct members *m, enum path path, const char **out)
{
    return id_is_valid(
               (struct span){jscan_get(m->scan, path)->text, jscan_get(m->scan, path)->text_len}) &&
           member_text(m, path, out);
}

bool member_word(const struct members *m, enum path path, const char *const *words,
                 const char **out)
{
    const char *found;

    if (!member_text(m, path, &found))
        return false;
    for (; *words; words++) {
        if (strcmp(*words, found) == 0) {
            *out = *words;
            return true;
        }
    }
    return false;
}

bool member_amount(const struct members *m, enum path path, int64_t *out)
{
    const char *decimal;

    return member_text(m, path, &decimal) && decimal_parse(span_of(decimal), out, NULL);
}

bool member_count(const struct members *m, enum path path, int64_t *out)
{
    const struct jscan_hit *hit = jscan_get(m->scan, path);

    return hit->seen == 1 && jscan_int(hit, out) && *out >= 0;
}

bool member_time(const struct members *m, enum path path, int64_t *out)
{
    const char *when;

    return member_text(m, path, &when) && clock_parse(span_of(when), out, NULL) && *out >= 0;
}

bool member_time_or_zero(const struct members *m, enum path path, int64_t *out)
{
    *out = 0;
    return member_is_absent(m, path) || member_time(m, path, out);
}

bool member_is_named(const struct members *m, enum path path)
{
    return jscan_get(m->scan, path)->seen > 0;
}

bool member_is_absent(const struct members *m, enum path path)
{
    const struct jscan_hit *hit = jscan_get(m->scan, path);

    return hit->seen == 0 || (hit->seen == 1 && hit->type == JSCAN_NULL);
}

/* {"input_tokens":12,…}, spelled as event_write() spells it: the sum of what is counted in tokens, none larger than
 * what a rate can hold. */
bool member_tokens(const struct members *m, enum path path, int64_t *out)
{
    const struct jscan_hit *hit = jscan_get(m->scan, path);
    struct span rest = {m->line.data + hit->start, (size_t)(hit->end - hit->start)};
    int64_t sum = 0;

    if (hit->seen != 1 || hit->type != JSCAN_OBJECT || !take(&rest, "{"))
        return false;
    while (take(&rest, "\"")) {
        const struct unit *unit = unit_find(take_up_to(&rest, '"'));
        uint64_t n;

        if (!take(&rest, "\":") || !digits_parse(take_digits(&rest), INT64_MAX, &n))
            return false;
        if (unit && unit_is_token(unit))
            sum += n < TOKENS_MAX ? (int64_t)n : TOKENS_MAX;
        (void)take(&rest, ",");
    }
    *out = sum < TOKENS_MAX ? sum : TOKENS_MAX;
    return take(&rest, "}");
}

/* [{"id":"a","weight":1},…], spelled as event_write() spells it, becomes a:1,… */
bool member_owners(const struct members *m, enum path path, struct buf *out)
{
    const struct jscan_hit *hit = jscan_get(m->scan, path);
    struct span rest = {m->line.data + hit->start, (size_t)(hit->end - hit->start)};
    struct span owner, digits;

    if (hit->seen != 1 || hit->type != JSCAN_ARRAY || !take(&rest, "["))
        return false;
    for (;;) {
        if (!take(&rest, "{\"id\":\""))
            return false;
        owner = take_up_to(&rest, '"');
        if (!id_is_valid(owner) || !take(&rest, "\",\"weight\":"))
            return false;
        digits = take_up_to(&rest, '}');
        if (!is_digits(digits) || !take(&rest, "}"))
            return false;
        buf_add_span(out, owner);
        buf_add_char(out, ':');
        buf_add_span(out, digits);
        if (!take(&rest, ","))
            return rest.len == 1;
        buf_add_char(out, ',');
    }
}

static struct span take_up_to(struct span *rest, char end)
{
    const char *found = memchr(rest->data, end, rest->len);
    size_t n = found ? (size_t)(found - rest->data) : rest->len;
    struct span taken = {rest->data, n};

    *rest = (struct span){rest->data + n, rest->len - n};
    return taken;
}

static struct span take_digits(struct span *rest)
{
    size_t n = 0;

    while (n < rest->len && rest->data[n] >= '0' && rest->data[n] <= '9')
        n++;
    struct span taken = {rest->data, n};
    *rest = (struct span){rest->data + n, rest->len - n};
    return taken;
}

static bool is_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return s.len > 0;
}

static bool take(struct span *rest, const char *literal)
{
    struct span prefix = span_of(literal);

    if (!span_starts(*rest, prefix))
        return false;
    *rest = (struct span){rest->data + prefix.len, rest->len - prefix.len};
    return true;
}
