/* bundle.c - events first, since everything else follows from them; the manifest last, since it
 * vouches for all. */
#include "billing/bundle.h"

#include "billing/account_file.h"
#include "billing/statement_files.h"
#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

static bool write_events(const char *dir, struct event_pass *pass, struct fact_list *facts,
                         struct file_digest *digest, struct err *err);
static bool write_event(struct event_pass *pass, struct span line, struct zstd_writer *zstd,
                        struct err *err);
static bool write_texts(const char *dir, struct manifest *m, const struct bundle_texts *texts,
                        struct err *err);
static void note_sums(struct sum_table *to, const struct sum_table *from);
static void note_facts(struct manifest *m, struct event_pass *pass,
                       const struct bundle_texts *texts);
static bool use_key(const struct signing_key *key, struct manifest *m, struct public_keys *keys,
                    struct err *err);

void bundle_texts_init(struct bundle_texts *t)
{
    *t = (struct bundle_texts){0};
    for (int f = 0; f < BUNDLE_FILES; f++)
        buf_init(&t->text[f], BUNDLE_TEXT_MAX);
}

void bundle_texts_clear(struct bundle_texts *t)
{
    for (int f = 0; f < BUNDLE_FILES; f++)
        buf_clear(&t->text[f]);
}

bool bundle_render(struct event_pass *pass, const struct public_keys *keys, bool is_preview,
                   struct bundle_texts *out, struct err *err)
{
    AUTO_CLEAR(statements) statements = {0};

    tally_sort(&pass->tally);
    if (!statements_make(&pass->tally, pass->terms, is_preview, &statements, err))
        return false;
    statements_csv(&statements, &out->text[BUNDLE_STATEMENTS_CSV]);
    statements_jsonl(&statements, &out->text[BUNDLE_STATEMENTS_JSONL]);
    lines_csv(&statements, &out->text[BUNDLE_LINES_CSV]);
    out->rows[BUNDLE_ACCOUNTS_CSV] =
        accounts_csv(&pass->tally, pass->terms, &out->text[BUNDLE_ACCOUNTS_CSV]);
    terms_write(pass->terms, keys, &out->text[BUNDLE_TERMS]);
    out->rows[BUNDLE_STATEMENTS_CSV] = (int64_t)statements.count;
    out->rows[BUNDLE_STATEMENTS_JSONL] = (int64_t)statements.count;
    out->rows[BUNDLE_LINES_CSV] = (int64_t)statements.line_count;
    out->rows[BUNDLE_EVENTS] = pass->tally.events + pass->tally.refunds;
    for (int f = 0; f < BUNDLE_FILES; f++)
        if (!buf_ok(&out->text[f], bundle_file_name((enum bundle_file)f), err))
            return false;
    return true;
}

bool bundle_write(const char *dir, struct manifest *m, struct terms *terms, struct fact_list *facts,
                  const struct signing_key *key, struct err *err)
{
    AUTO_CLEAR(event_pass) pass;
    AUTO_CLEAR(bundle_texts) texts;
    AUTO_CLEAR(public_keys) keys = {0};

    event_pass_init(&pass, terms);
    bundle_texts_init(&texts);
    if (!use_key(key, m, &keys, err) ||
        !write_events(dir, &pass, facts, &m->files[BUNDLE_EVENTS].digest, err) ||
        !bundle_render(&pass, &keys, m->is_preview, &texts, err) ||
        !write_texts(dir, m, &texts, err))
        return false;
    note_facts(m, &pass, &texts);
    return manifest_publish(m, key, dir, err) && dir_sync(dir, err);
}

static bool use_key(const struct signing_key *key, struct manifest *m, struct public_keys *keys,
                    struct err *err)
{
    unsigned char raw[ED25519_PUBLIC_LEN];

    signing_key_id(key, m->key_id);
    signing_key_public_raw(key, raw);
    return public_keys_parse((struct span){(const char *)raw, sizeof raw}, keys, err);
}

static bool write_events(const char *dir, struct event_pass *pass, struct fact_list *facts,
                         struct file_digest *digest, struct err *err)
{
    AUTO_STRING path = path_join(dir, bundle_file_name(BUNDLE_EVENTS));
    AUTO(zstd_writer) zstd = zstd_writer_open(path, err);
    char content[SHA256_HEX];
    struct span line;
    int got;

    if (!zstd || !fact_list_start(facts, err))
        return false;
    while ((got = fact_list_next(facts, &line, err)) == 1)
        if (!write_event(pass, line, zstd, err))
            return false;
    if (got < 0 || !event_pass_end(pass, err) || !zstd_writer_finish(zstd, content, err) ||
        !bundle_file_digest(dir, bundle_file_name(BUNDLE_EVENTS), digest, err))
        return false;
    memcpy(digest->uncompressed_sha256, content, SHA256_HEX);
    return true;
}

static bool write_event(struct event_pass *pass, struct span line, struct zstd_writer *zstd,
                        struct err *err)
{
    struct pass_line fact;

    return event_pass_line(pass, line, &fact, err) && zstd_writer_add(zstd, line, err) &&
           zstd_writer_add(zstd, SPAN("\n"), err);
}

static bool write_texts(const char *dir, struct manifest *m, const struct bundle_texts *texts,
                        struct err *err)
{
    for (int f = 0; f < BUNDLE_FILES; f++)
        if (f != BUNDLE_EVENTS &&
            !bundle_file_write(dir, bundle_file_name((enum bundle_file)f),
                               buf_span(&texts->text[f]), &m->files[f].digest, err))
            return false;
    return true;
}

/* What clients paid and got back stands at every file that adds up to it. */
static void note_facts(struct manifest *m, struct event_pass *pass,
                       const struct bundle_texts *texts)
{
    for (int f = 0; f < BUNDLE_FILES; f++) {
        m->files[f].rows = texts->rows[f];
        if (f == BUNDLE_TERMS)
            continue;
        note_sums(m->files[f].sums, pass->tally.currencies);
        note_sums(m->files[f].refunds, pass->tally.currency_refunds);
    }
}

static void note_sums(struct sum_table *to, const struct sum_table *from)
{
    for (size_t i = 0; i < sum_table_count(from); i++) {
        const struct sum *s = sum_table_at(from, i);

        sum_table_row(to, span_of(s->name))->nanos = s->nanos;
    }
}
