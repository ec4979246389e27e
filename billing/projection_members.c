/* projection_members.c - a line is this program's own and was found whole, so it is not validated once more: one walk notes where its members
 * stand. What was written by event_write() and its like is compared byte for byte, since its spelling is fixed. */
#include "billing/projection_members.h"

#include "billing/event.h"
#include "lib/base/clock.h"
#include "lib/base/jview.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define SLOTS 128 /* more than twice as many as there are names */

/* What a line says of a member: how often, and last as what. */
struct given {
    size_t seen;
    struct span value;
};

struct members {
    unsigned char slots
        [SLOTS]; /* names that are asked for, by slot_of(); P_LINE: it is free, and stands for all others */
    struct given given[PATHS];
    char texts[PATHS][MEMBER_TEXT];
};

static size_t slot_of(const struct members *m, struct span name);
static struct given find(const struct members *m, enum path path);
static bool find_text(struct members *m, enum path path, struct span *text);
static bool take(struct span *rest, const char *literal);
static struct span take_up_to(struct span *rest, char end);
static struct span take_digits(struct span *rest);
static bool is_digits(struct span s);

#define WITHIN(path, text)            \
    {                                 \
        {text, sizeof text - 1}, path \
    }
#define MEMBER(text) WITHIN(P_LINE, text)

static const struct place {
    struct span name;
    enum path within;
} places[PATHS] = {
    [P_ACCOUNT] = MEMBER("account"),
    [P_REQUEST_ID] = MEMBER("request_id"),
    [P_CURRENCY] = MEMBER("currency"),
    [P_AMOUNT] = MEMBER("amount"),
    [P_PERIOD] = MEMBER("period"),
    [P_ENDED_AT] = MEMBER("ended_at"),
    [P_MODEL] = MEMBER("model"),
    [P_CONTRACT] = MEMBER("contract"),
    [P_SHARE_BP] = MEMBER("share_bp"),
    [P_CREATORS] = MEMBER("creators"),
    [P_KEY] = MEMBER("key"),
    [P_OWNER_KIND] = MEMBER("owner_kind"),
    [P_OWNER] = MEMBER("owner"),
    [P_HASH] = MEMBER("hash"),
    [P_PEPPER] = MEMBER("pepper"),
    [P_STATE] = MEMBER("state"),
    [P_EXPIRES_AT] = MEMBER("expires_at"),
    [P_SCOPES] = MEMBER("scopes"),
    [P_MODELS] = MEMBER("models"),
    [P_IPS] = MEMBER("ips"),
    [P_FIRST_KEY] = MEMBER("first_key"),
    [P_REPLACES] = MEMBER("replaces"),
    [P_GRACE] = MEMBER("grace"),
    [P_REPLACED_UNTIL] = MEMBER("replaced_until"),
    [P_REVISION] = MEMBER("revision"),
    [P_AT] = MEMBER("at"),
    [P_OP] = MEMBER("op"),
    [P_MODE] = MEMBER("mode"),
    [P_CREDIT_LIMIT] = MEMBER("credit_limit"),
    [P_CONCURRENCY] = MEMBER("concurrency"),
    [P_RPM] = MEMBER("rpm"),
    [P_TPM] = MEMBER("tpm"),
    [P_BUDGET_DAY] = MEMBER("budget_day"),
    [P_BUDGET_MONTH] = MEMBER("budget_month"),
    [P_ZONE] = MEMBER("zone"),
    [P_UNITS] = MEMBER("units"),
    [P_OUTCOME] = MEMBER("outcome"),
    [P_STARTED_AT] = MEMBER("started_at"),
    [P_BEGAN_ON] = MEMBER("began_on"),
    [P_IDEMPOTENCY] = MEMBER("idempotency"),
    [P_IDEM_KEY] = WITHIN(P_IDEMPOTENCY, "key"),
    [P_IDEM_BODY] = WITHIN(P_IDEMPOTENCY, "body"),
    [P_OBJECT] = MEMBER("object"),
    [P_ID] = MEMBER("id"),
    [P_BODY] = MEMBER("body"),
    [P_CHARGED] = MEMBER("charged"),
    [P_ORIG_PERIOD] = MEMBER("orig_period"),
    [P_ENTRY] = MEMBER("entry"),
    [P_AS] = MEMBER("as"),
    [P_DETAIL] = MEMBER("detail"),
    [P_SPENT] = MEMBER("spent"),
    [P_TAKEN] = MEMBER("taken"),
    [P_LEFT] = MEMBER("left"),
};

struct members *members_new(void)
{
    struct members *m = xcalloc(1, sizeof *m);

    for (enum path path = P_LINE + 1; path < PATHS; path++)
        if (places[path].within == P_LINE)
            m->slots[slot_of(m, places[path].name)] = (unsigned char)path;
    return m;
}

/* Where the name stands, or could stand. */
static size_t slot_of(const struct members *m, struct span name)
{
    unsigned char first = name.len ? (unsigned char)name.data[0] : 0;
    unsigned char last = name.len ? (unsigned char)name.data[name.len - 1] : 0;
    size_t slot = (name.len + 5u * first + 17u * last) % SLOTS;

    while (m->slots[slot] != P_LINE && !span_equal(places[m->slots[slot]].name, name))
        slot = (slot + 1) % SLOTS;
    return slot;
}

void members_free(struct members *m)
{
    free(m);
}

bool members_read(struct members *m, struct span line)
{
    struct jview v = jview_of(line);
    struct span name, value;

    memset(m->given, 0, sizeof m->given);
    while (jview_member(&v, &name, &value)) {
        struct given *given = &m->given[m->slots[slot_of(m, jview_inside(name))]];

        given->seen++;
        given->value = value;
    }
    return v.at && v.at == v.end;
}

static struct given find(const struct members *m, enum path path)
{
    const struct place *p = &places[path];
    struct given given = m->given[path];

    if (p->within == P_LINE)
        return given;
    given = find(m, p->within);
    if (given.seen == 1)
        given.value = jview_get(given.value, p->name.data);
    given.seen = given.seen == 1 && given.value.data;
    return given;
}

bool member_value(const struct members *m, enum path path, struct span *out)
{
    struct given given = find(m, path);

    if (given.seen == 1)
        *out = given.value;
    return given.seen == 1;
}

/* A string without blanks, which part the fields of Redis's values, and short enough for a key. */
bool member_text(struct members *m, enum path path, const char **out)
{
    struct span text;

    if (!find_text(m, path, &text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] <= ' ')
            return false;
    *out = text.data;
    return true;
}

static bool find_text(struct members *m, enum path path, struct span *text)
{
    struct buf plain = {.data = m->texts[path], .cap = MEMBER_TEXT, .max = MEMBER_TEXT - 1};
    struct span value;

    if (!member_value(m, path, &value) || !jview_is_string(value))
        return false;
    jview_unescape(value, &plain);
    *text = buf_span(&plain);
    return !plain.failed && plain.len > 0;
}

bool member_id(struct members *m, enum path path, const char **out)
{
    struct span text;

    if (!find_text(m, path, &text) || !id_is_valid(text))
        return false;
    *out = text.data;
    return true;
}

bool member_word(struct members *m, enum path path, const char *const *words, const char **out)
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

bool member_amount(struct members *m, enum path path, int64_t *out)
{
    const char *decimal;

    return member_text(m, path, &decimal) && decimal_parse(span_of(decimal), out, NULL);
}

bool member_count(const struct members *m, enum path path, int64_t *out)
{
    struct span digits;

    return member_value(m, path, &digits) && int64_parse(digits, out) && *out >= 0;
}

bool member_time(struct members *m, enum path path, int64_t *out)
{
    const char *when;

    return member_text(m, path, &when) && clock_parse(span_of(when), out, NULL) && *out >= 0;
}

bool member_time_or_zero(struct members *m, enum path path, int64_t *out)
{
    *out = 0;
    return member_is_absent(m, path) || member_time(m, path, out);
}

bool member_is_named(const struct members *m, enum path path)
{
    return find(m, path).seen > 0;
}

bool member_is_absent(const struct members *m, enum path path)
{
    struct given given = find(m, path);

    return given.seen == 0 || (given.seen == 1 && span_equal(given.value, SPAN("null")));
}

/* {"input_tokens":12,…}, spelled as event_write() spells it: the sum of what is counted in tokens, none larger than
 * what a rate can hold. */
bool member_tokens(const struct members *m, enum path path, int64_t *out)
{
    struct span rest;
    int64_t sum = 0;

    if (!member_value(m, path, &rest) || !take(&rest, "{"))
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
    struct span rest, owner, digits;

    if (!member_value(m, path, &rest) || !take(&rest, "["))
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
