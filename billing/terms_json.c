/* terms_json.c - terms.json, written from what was used and read back. What is read here only
 * proves to be a whole terms.json when it is written again, after the events, and gives the same
 * bytes. */
#include "billing/event_fields.h"
#include "billing/funds.h"
#include "billing/terms.h"

#include "lib/base/text.h"

static void write_rules(struct jw *w);
static void write_contracts(const struct terms *t, struct jw *w);
static void write_prices(const struct terms *t, struct jw *w);
static void write_owners(struct terms *t, struct jw *w);
static void write_owner_list(struct span owners, struct jw *w);
static void write_openings(struct terms *t, struct jw *w);
static void write_priors(struct terms *t, struct jw *w);
static void write_funds(struct terms *t, struct jw *w);
static void write_prior(const struct sum *prior, struct jw *w);
static struct span take_word(struct span *rest);
static void write_keys(const struct public_keys *keys, struct jw *w);
static bool parse_head(const json_t *object, struct terms *t, struct err *err);
static bool parse_versions(const json_t *object, struct terms *t, struct err *err);
static bool parse_opening(const json_t *item, struct terms *t, struct err *err);
static bool parse_prior(const json_t *item, struct terms *t, struct err *err);
static bool parse_funds(const json_t *item, struct terms *t, struct err *err);
static bool parse_keys(const json_t *object, struct public_keys *keys, struct err *err);

bool terms_write(struct terms *t, const struct public_keys *keys, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_int_member(&w, "format", TERMS_FORMAT);
    jw_string_member(&w, "period", t->period.text);
    jw_string_member(&w, "zone", t->zone);
    jw_string_member(&w, "installation", t->installation);
    jw_bool_member(&w, "testing", t->testing);
    write_rules(&w);
    write_contracts(t, &w);
    write_prices(t, &w);
    write_owners(t, &w);
    write_openings(t, &w);
    write_priors(t, &w);
    write_funds(t, &w);
    write_keys(keys, &w);
    jw_object_end(&w);
    return buf_add_char(out, '\n');
}

/* In words, for whoever reads the file; billing/split.h and billing/price.h are the rules
 * themselves. */
static void write_rules(struct jw *w)
{
    jw_key(w, "rules");
    jw_object(w);
    jw_string_member(w, "rating", "exact sum over all units, halves up, once per event");
    jw_string_member(
        w, "split",
        "platform and pool by the first owner's contract, then the pool by weight; largest "
        "remainder, ties by creator id, the platform last; once per model, owners, "
        "contract, currency and period");
    jw_string_member(w, "refunds",
                     "per period of the calls: the split of the net before, less the split of the "
                     "net after, under the original contract");
    jw_string_member(w, "payout", "rounded down to the minor unit, the rest is carried");
    jw_object_end(w);
}

static void write_contracts(const struct terms *t, struct jw *w)
{
    jw_key(w, "contracts");
    jw_array(w);
    for (size_t i = 0; i < t->contract_count; i++) {
        const struct term_contract *c = &t->contracts[i];

        if (!c->is_used)
            continue;
        jw_object(w);
        jw_string_member(w, "version", c->version);
        jw_string_member(w, "creator", c->creator);
        jw_time_member(w, "from", c->from);
        jw_int_member(w, "share_bp", c->share_bp);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_prices(const struct terms *t, struct jw *w)
{
    jw_key(w, "prices");
    jw_array(w);
    for (size_t i = 0; i < t->price_count; i++)
        if (t->prices[i].is_used)
            price_write(&t->prices[i].price, w);
    jw_array_end(w);
}

static void write_owners(struct terms *t, struct jw *w)
{
    sum_table_sort(t->owners);
    jw_key(w, "owners");
    jw_array(w);
    for (size_t i = 0; i < sum_table_count(t->owners); i++) {
        const char *name = sum_table_at(t->owners, i)->name, *blank = strchr(name, ' ');

        jw_object(w);
        jw_span_member(w, "model", (struct span){name, (size_t)(blank - name)});
        write_owner_list(span_of(blank + 1), w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

/* From "id:weight,id:weight". */
static void write_owner_list(struct span owners, struct jw *w)
{
    jw_key(w, "creators");
    jw_array(w);
    while (owners.len > 0) {
        const char *comma = memchr(owners.data, ',', owners.len);
        size_t n = comma ? (size_t)(comma - owners.data) : owners.len;
        const char *colon = memchr(owners.data, ':', n);
        size_t id = (size_t)(colon - owners.data);

        jw_object(w);
        jw_span_member(w, "id", (struct span){owners.data, id});
        jw_key(w, "weight");
        jw_raw(w, (struct span){colon + 1, n - id - 1});
        jw_object_end(w);
        n += comma != NULL;
        owners = (struct span){owners.data + n, owners.len - n};
    }
    jw_array_end(w);
}

static void write_openings(struct terms *t, struct jw *w)
{
    char decimal[DECIMAL_TEXT];

    sum_table_sort(t->openings);
    jw_key(w, "openings");
    jw_array(w);
    for (size_t i = 0; i < sum_table_count(t->openings); i++) {
        const struct sum *s = sum_table_at(t->openings, i);
        const char *blank = strchr(s->name, ' ');

        jw_object(w);
        jw_span_member(w, "creator", (struct span){s->name, (size_t)(blank - s->name)});
        jw_string_member(w, "currency", blank + 1);
        jw_string_member(w, "amount", decimal_format(s->nanos, decimal));
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_priors(struct terms *t, struct jw *w)
{
    sum_table_sort(t->priors);
    jw_key(w, "priors");
    jw_array(w);
    for (size_t i = 0; i < sum_table_count(t->priors); i++)
        if (sum_table_at(t->priors, i)->calls > 0)
            write_prior(sum_table_at(t->priors, i), w);
    jw_array_end(w);
}

static void write_prior(const struct sum *prior, struct jw *w)
{
    static const char *const members[] = {"period", "model", "currency", "contract"};
    struct span rest = span_of(prior->name);
    char decimal[DECIMAL_TEXT];

    jw_object(w);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        jw_span_member(w, members[i], take_word(&rest));
    jw_key(w, "share_bp");
    jw_raw(w, take_word(&rest));
    write_owner_list(rest, w);
    jw_string_member(w, "net", decimal_format(prior->nanos, decimal));
    jw_object_end(w);
}

static void write_funds(struct terms *t, struct jw *w)
{
    static const char *const members[] = {"kind", "account"};
    char decimal[DECIMAL_TEXT];

    sum_table_sort(t->funds);
    jw_key(w, "funds");
    jw_array(w);
    for (size_t i = 0; i < sum_table_count(t->funds); i++) {
        const struct sum *s = sum_table_at(t->funds, i);
        struct span rest = span_of(s->name);

        jw_object(w);
        for (size_t k = 0; k < ARRAY_LEN(members); k++)
            jw_span_member(w, members[k], take_word(&rest));
        jw_span_member(w, "currency", rest);
        jw_string_member(w, "amount", decimal_format(s->nanos, decimal));
        jw_int_member(w, "count", s->calls);
        jw_object_end(w);
    }
    jw_array_end(w);
}

/* Up to a blank, which is passed. */
static struct span take_word(struct span *rest)
{
    size_t n = strcspn(rest->data, " ");
    struct span word = {rest->data, n};

    *rest = (struct span){rest->data + n + 1, rest->len - n - 1};
    return word;
}

static void write_keys(const struct public_keys *keys, struct jw *w)
{
    jw_key(w, "keys");
    jw_array(w);
    for (size_t i = 0; i < keys->count; i++)
        jwk_write(keys->at[i].key, w);
    jw_array_end(w);
}

bool terms_parse(struct span text, struct terms *t, struct public_keys *keys, struct err *err)
{
    AUTO_JSON object = json_parse(text, err);
    json_t *openings = NULL, *priors = NULL, *funds = NULL;

    if (!object || !parse_head(object, t, err) || !parse_versions(object, t, err) ||
        !json_get_array_or(object, "openings", &openings, "terms", err) ||
        !json_get_array_or(object, "priors", &priors, "terms", err) ||
        !json_get_array_or(object, "funds", &funds, "terms", err) || !parse_keys(object, keys, err))
        return false;
    for (size_t i = 0; i < json_array_size(openings); i++)
        if (!parse_opening(json_array_get(openings, i), t, err))
            return false;
    for (size_t i = 0; i < json_array_size(priors); i++)
        if (!parse_prior(json_array_get(priors, i), t, err))
            return false;
    for (size_t i = 0; i < json_array_size(funds); i++)
        if (!parse_funds(json_array_get(funds, i), t, err))
            return false;
    terms_sort(t);
    return true;
}

static bool parse_head(const json_t *object, struct terms *t, struct err *err)
{
    const char *period, *zone, *installation;
    int64_t format;

    if (!json_get_int(object, "format", &format, "terms", err) ||
        !json_get_string(object, "period", &period, "terms", err) ||
        !json_get_string(object, "zone", &zone, "terms", err) ||
        !json_get_string(object, "installation", &installation, "terms", err) ||
        !json_get_bool_or(object, "testing", &t->testing, "terms", err))
        return false;
    if (format != TERMS_FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    if (!span_copy(span_of(zone), t->zone, sizeof t->zone) ||
        !span_copy(span_of(installation), t->installation, sizeof t->installation))
        return err_set(err, ERR_CORRUPT, "the zone or the installation is too long");
    return period_parse(span_of(period), &t->period, err);
}

static bool parse_versions(const json_t *object, struct terms *t, struct err *err)
{
    json_t *contracts = NULL, *prices = NULL, *item;
    size_t i;

    if (!json_get_array_or(object, "contracts", &contracts, "terms", err) ||
        !json_get_array_or(object, "prices", &prices, "terms", err))
        return false;
    json_array_foreach(contracts, i, item)
    {
        const char *version;

        if (!json_get_string(item, "version", &version, "contract", err) ||
            !terms_add(t, "contract", version, 0, item, err))
            return false;
    }
    json_array_foreach(prices, i, item)
    {
        struct price p;

        if (!price_parse(item, NULL, &p, err) || !terms_add(t, "price", p.version, 0, item, err))
            return false;
    }
    return true;
}

static bool parse_opening(const json_t *item, struct terms *t, struct err *err)
{
    const char *creator, *currency, *amount;
    AUTO_CLEAR(buf) name = {.max = 2 * ID_TEXT};
    int64_t nanos;

    if (!json_get_string(item, "creator", &creator, "opening", err) ||
        !json_get_string(item, "currency", &currency, "opening", err) ||
        !json_get_string(item, "amount", &amount, "opening", err) ||
        !decimal_parse(span_of(amount), &nanos, err))
        return false;
    if (!id_is_valid(span_of(creator)) || !currency_is_known(span_of(currency)))
        return err_set(err, ERR_CORRUPT, "the opening of \"%.64s\" is malformed", creator);
    buf_printf(&name, "%s %s", creator, currency);
    sum_table_row(t->openings, buf_span(&name))->nanos = nanos;
    return true;
}

/* The name is made again from its parts, each checked as a refund's would be. */
static bool parse_prior(const json_t *item, struct terms *t, struct err *err)
{
    struct owner owners[OWNERS_MAX];
    struct parties p = {.owners = owners};
    struct period period;
    char name[PARTIES_TEXT];
    const char *net;
    int64_t nanos;

    if (!field_period_parse(item, "period", &period, err) ||
        !json_get_string(item, "model", &p.model, "prior", err) ||
        !json_get_string(item, "currency", &p.currency, "prior", err) ||
        !json_get_string(item, "contract", &p.contract, "prior", err) ||
        !json_get_string(item, "net", &net, "prior", err) ||
        !decimal_parse(span_of(net), &nanos, err) ||
        !field_owners_parse(item, owners, &p.owner_count, err) ||
        !field_share_parse(item, owners[0].id, p.contract, &p.share_bp, err))
        return false;
    if (!model_is_valid(span_of(p.model)) || !version_is_valid(span_of(p.contract)) ||
        !currency_is_known(span_of(p.currency)) || strlen(p.model) >= MODEL_TEXT ||
        strlen(p.contract) >= VERSION_TEXT)
        return err_set(err, ERR_CORRUPT, "the prior net of \"%.130s\" is malformed", p.model);
    sum_table_row(t->priors, span_of(parties_name_of_period(&p, period, name)))->nanos = nanos;
    return true;
}

static bool parse_funds(const json_t *item, struct terms *t, struct err *err)
{
    const char *kind, *account, *currency, *amount;
    AUTO_CLEAR(buf) name = {.max = 2 * ID_TEXT};
    struct sum *row;
    int64_t nanos, count;

    if (!json_get_string(item, "kind", &kind, "funds", err) ||
        !json_get_string(item, "account", &account, "funds", err) ||
        !json_get_string(item, "currency", &currency, "funds", err) ||
        !json_get_string(item, "amount", &amount, "funds", err) ||
        !json_get_int(item, "count", &count, "funds", err) ||
        !decimal_parse(span_of(amount), &nanos, err))
        return false;
    if (!funds_kind_is_known(kind) || !id_is_valid(span_of(account)) ||
        !currency_is_known(span_of(currency)) || count < 1)
        return err_set(err, ERR_CORRUPT, "the money of account \"%.64s\" is malformed", account);
    buf_printf(&name, "%s %s %s", kind, account, currency);
    row = sum_table_row(t->funds, buf_span(&name));
    row->nanos = nanos;
    row->calls = count;
    return true;
}

static bool parse_keys(const json_t *object, struct public_keys *keys, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = PUBLIC_KEYS_BYTES_MAX};

    buf_add_string(&text, "{\"keys\":");
    json_dump(json_object_get(object, "keys"), &text);
    buf_add_char(&text, '}');
    return buf_ok(&text, "the keys", err) && public_keys_parse(buf_span(&text), keys, err);
}
