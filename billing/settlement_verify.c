/* settlement_verify.c - trusts nothing but the events and the terms, and these only as far as
 * the signature goes: every other byte of a bundle is made again and compared. */
#include "billing/settlement.h"

#include <stdio.h>

#include "billing/archive_proof.h"
#include "billing/bundle.h"
#include "billing/closes.h"
#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

struct verification {
    const struct settlement_proof *proof;
    struct manifest manifest;
    struct buf manifest_text;
    unsigned char signature[ED25519_SIGNATURE_LEN];
    struct terms terms;
    struct public_keys keys; /* of the terms */
    struct event_pass pass;
    /* "writer" → calls, "writer currency" → nanos: of the events; of the refunds */
    struct sum_table *writers, *writer_refunds;
    struct bundle_texts texts;
};

static bool verify(struct verification *v, struct settlement_verdict *verdict, struct err *err);
static bool is_bundle(const char *dir, struct err *err);
static bool read_manifest(struct verification *v, struct err *err);
static bool read_terms(struct verification *v, struct err *err);
static bool check_signature(struct verification *v, bool *is_pinned, struct err *err);
static bool check_terms(struct verification *v, struct err *err);
static bool read_events(struct verification *v, struct err *err);
static bool read_event_lines(struct verification *v, struct zstd_reader *zstd, struct err *err);
static void add_to_writer(struct sum_table *t, const char *writer, const struct money *amount);
static bool check_writers(struct verification *v, struct err *err);
static bool has_these(const struct sum_table *events, const struct manifest_writer *w,
                      size_t *named);
static bool covers_these(const struct sum_table *refunds, const struct manifest_writer *w,
                         size_t *named);
static bool check_texts(struct verification *v, struct err *err);
static bool check_text(struct verification *v, enum bundle_file f, struct err *err);
static bool check_digest(const struct verification *v, enum bundle_file f,
                         const struct file_digest *digest, struct err *err);
static bool check_bytes(const struct verification *v, enum bundle_file f,
                        const struct file_digest *digest, struct err *err);
static bool sums_are_equal(const struct sum_table *stated, const struct sum_table *has);
static bool check_facts(struct verification *v, enum bundle_file f, struct err *err);
static bool check_previous(struct verification *v, bool *is_chained, struct err *err);
static bool check_archive(struct verification *v, bool *is_complete, struct err *err);

bool settlement_verify(const struct settlement_proof *proof, struct settlement_verdict *verdict,
                       struct err *err)
{
    struct verification *v = xcalloc(1, sizeof *v);
    bool ok;

    v->proof = proof;
    manifest_init(&v->manifest);
    buf_init(&v->manifest_text, MANIFEST_BYTES_MAX);
    terms_init(&v->terms);
    event_pass_init(&v->pass, &v->terms);
    bundle_texts_init(&v->texts);
    v->writers = sum_table_new();
    v->writer_refunds = sum_table_new();
    *verdict = (struct settlement_verdict){0};
    ok = verify(v, verdict, err);
    manifest_clear(&v->manifest);
    buf_clear(&v->manifest_text);
    terms_clear(&v->terms);
    public_keys_clear(&v->keys);
    event_pass_clear(&v->pass);
    sum_table_free(v->writers);
    sum_table_free(v->writer_refunds);
    bundle_texts_clear(&v->texts);
    free(v);
    return ok;
}

static bool verify(struct verification *v, struct settlement_verdict *verdict, struct err *err)
{
    const struct manifest *m = &v->manifest;

    if (!is_bundle(v->proof->dir, err) || !bundle_check_names(v->proof->dir, err) ||
        !read_manifest(v, err) || !read_terms(v, err) ||
        !check_signature(v, &verdict->is_pinned, err) || !check_terms(v, err) ||
        !read_events(v, err) || !check_writers(v, err) ||
        !bundle_render(&v->pass, &v->keys, m->is_preview, &v->texts, err) || !check_texts(v, err) ||
        !check_previous(v, &verdict->is_chained, err) ||
        !check_archive(v, &verdict->is_complete, err))
        return false;
    snprintf(verdict->kind, sizeof verdict->kind, "%s", m->is_preview ? "preview" : "close");
    verdict->period = m->period;
    memcpy(verdict->installation, m->installation, sizeof verdict->installation);
    memcpy(verdict->key_id, m->key_id, sizeof verdict->key_id);
    verdict->testing = m->testing;
    verdict->events = v->pass.tally.events;
    verdict->refunds = v->pass.tally.refunds;
    verdict->statements = v->texts.rows[BUNDLE_STATEMENTS_CSV];
    return true;
}

static bool is_bundle(const char *dir, struct err *err)
{
    AUTO_STRING manifest = path_join(dir, MANIFEST_NAME);

    return file_exists(manifest) ||
           err_set(err, ERR_NOT_FOUND, "%s is no bundle: %s is missing", dir, MANIFEST_NAME);
}

static bool read_manifest(struct verification *v, struct err *err)
{
    struct err why;

    if (manifest_read(v->proof->dir, &v->manifest, &v->manifest_text, v->signature, &why))
        return true;
    if (why.code == ERR_CORRUPT || why.code == ERR_LIMIT)
        return err_set(err, ERR_CORRUPT, "%s or %s is damaged: %s", MANIFEST_NAME, SIGNATURE_NAME,
                       why.text);
    return err_set(err, why.code, "%s", why.text);
}

static bool read_terms(struct verification *v, struct err *err)
{
    AUTO_STRING path = path_join(v->proof->dir, bundle_file_name(BUNDLE_TERMS));
    AUTO_CLEAR(buf) text = {.max = TERMS_BYTES_MAX};
    struct file_digest digest = {0};

    if (!file_read(path, &text, err))
        return false;
    digest.bytes = text.len;
    sha256_hex(text.data, text.len, digest.sha256);
    memcpy(digest.uncompressed_sha256, digest.sha256, SHA256_HEX);
    return check_digest(v, BUNDLE_TERMS, &digest, err) &&
           (terms_parse(buf_span(&text), &v->terms, &v->keys, err) ||
            err_context(err, "%s", bundle_file_name(BUNDLE_TERMS)));
}

/* Unpinned, the key is the bundle's own: that proves only that nothing was changed by accident. */
static bool check_signature(struct verification *v, bool *is_pinned, struct err *err)
{
    AUTO_CLEAR(public_keys) pinned = {0};
    const char *key_file = v->proof->key_file;
    const struct signing_key *key;

    if (key_file && !public_keys_read(key_file, &pinned, err))
        return false;
    key = public_keys_find(key_file ? &pinned : &v->keys, v->manifest.key_id);
    if (!key)
        return err_set(err, ERR_DENIED, "it is signed by key %s, which is not in %s",
                       v->manifest.key_id, key_file ? key_file : bundle_file_name(BUNDLE_TERMS));
    *is_pinned = key_file != NULL;
    return signing_key_verify(key, buf_span(&v->manifest_text), v->signature) ||
           err_set(err, ERR_DENIED,
                   "%s or %s is damaged: the one is not the signature of the other by key %s",
                   SIGNATURE_NAME, MANIFEST_NAME, v->manifest.key_id);
}

/* From here on times are read in the bundle's zone. */
static bool check_terms(struct verification *v, struct err *err)
{
    const struct manifest *m = &v->manifest;
    const struct terms *t = &v->terms;

    if (strcmp(m->period.text, t->period.text) != 0 || strcmp(m->zone, t->zone) != 0 ||
        strcmp(m->installation, t->installation) != 0 || m->testing != t->testing)
        return err_set(err, ERR_CORRUPT,
                       "%s and %s differ in period, zone, installation or testing", MANIFEST_NAME,
                       bundle_file_name(BUNDLE_TERMS));
    return clock_set_zone(t->zone, err);
}

static bool read_events(struct verification *v, struct err *err)
{
    const char *name = bundle_file_name(BUNDLE_EVENTS);
    AUTO_STRING path = path_join(v->proof->dir, name);
    AUTO(zstd_reader) zstd = zstd_reader_open(path, err);
    struct file_digest digest;

    if (!zstd || !bundle_file_digest(v->proof->dir, name, &digest, err) ||
        !check_bytes(v, BUNDLE_EVENTS, &digest, err) || !read_event_lines(v, zstd, err))
        return false;
    zstd_reader_sha256(zstd, digest.uncompressed_sha256);
    return check_digest(v, BUNDLE_EVENTS, &digest, err);
}

static bool read_event_lines(struct verification *v, struct zstd_reader *zstd, struct err *err)
{
    struct pass_line fact;
    struct span line;
    int got;

    while ((got = zstd_reader_line(zstd, RECORD_BYTES_MAX, &line, err)) == 1) {
        if (!event_pass_line(&v->pass, line, &fact, err))
            return err_context(err, "%s, line %llu", bundle_file_name(BUNDLE_EVENTS),
                               (unsigned long long)zstd_reader_line_number(zstd));
        add_to_writer(fact.head.kind == RECORD_CALL ? v->writers : v->writer_refunds,
                      fact.head.writer, &fact.amount);
    }
    return got == 0 && (event_pass_end(&v->pass, err) ||
                        err_context(err, "%s", bundle_file_name(BUNDLE_EVENTS)));
}

static void add_to_writer(struct sum_table *t, const char *writer, const struct money *amount)
{
    char name[WRITER_TEXT + CURRENCY_TEXT];

    sum_table_row(t, span_of(writer))->calls++;
    snprintf(name, sizeof name, "%s %s", writer, amount->currency);
    sum_table_row(t, span_of(name))->nanos += amount->nanos;
}

/* Each writer's events are as many, and come to as much, as the manifest says; no other writer
 * has any. Its refunds are no more than that: those that do not count are not in the bundle. */
static bool check_writers(struct verification *v, struct err *err)
{
    size_t with_events = 0, with_refunds = 0;

    for (size_t i = 0; i < v->manifest.writer_count; i++) {
        const struct manifest_writer *w = &v->manifest.writers[i];

        if (!has_these(v->writers, w, &with_events))
            return err_set(err, ERR_CORRUPT,
                           "writer %s: its events are not those that the manifest states",
                           w->writer);
        if (!covers_these(v->writer_refunds, w, &with_refunds))
            return err_set(err, ERR_CORRUPT,
                           "writer %s: it has more refunds than the manifest states", w->writer);
    }
    return (with_events == sum_table_count(v->writers) &&
            with_refunds == sum_table_count(v->writer_refunds)) ||
           err_set(err, ERR_CORRUPT,
                   "there are events or refunds of writers or currencies that the manifest does "
                   "not list");
}

/* Adds how many of the table's names are this writer's. */
static bool has_these(const struct sum_table *events, const struct manifest_writer *w,
                      size_t *named)
{
    const struct sum *calls = sum_table_find(events, span_of(w->writer));
    bool is_equal = w->totals.events == (calls ? (uint64_t)calls->calls : 0);
    char name[WRITER_TEXT + CURRENCY_TEXT];

    *named += calls != NULL;
    for (size_t c = 0; is_equal && c < w->totals.currency_count; c++) {
        const struct sum *sum;

        snprintf(name, sizeof name, "%s %s", w->writer, w->totals.sum[c].currency);
        sum = sum_table_find(events, span_of(name));
        is_equal = (sum ? sum->nanos : 0) == w->totals.sum[c].nanos;
        *named += sum != NULL;
    }
    return is_equal;
}

static bool covers_these(const struct sum_table *refunds, const struct manifest_writer *w,
                         size_t *named)
{
    const struct sum *count = sum_table_find(refunds, span_of(w->writer));
    bool is_covered = w->totals.refunds >= (count ? (uint64_t)count->calls : 0);
    char name[WRITER_TEXT + CURRENCY_TEXT];

    *named += count != NULL;
    for (size_t c = 0; is_covered && c < w->totals.currency_count; c++) {
        const struct sum *sum;

        snprintf(name, sizeof name, "%s %s", w->writer, w->totals.sum[c].currency);
        sum = sum_table_find(refunds, span_of(name));
        is_covered = (sum ? sum->nanos : 0) <= w->totals.sum[c].refunded;
        *named += sum != NULL;
    }
    return is_covered;
}

static bool check_texts(struct verification *v, struct err *err)
{
    for (int f = 0; f < BUNDLE_FILES; f++)
        if ((f != BUNDLE_EVENTS && !check_text(v, (enum bundle_file)f, err)) ||
            !check_facts(v, (enum bundle_file)f, err))
            return false;
    return true;
}

static bool check_text(struct verification *v, enum bundle_file f, struct err *err)
{
    AUTO_STRING path = path_join(v->proof->dir, bundle_file_name(f));
    AUTO_CLEAR(buf) text = {.max = BUNDLE_TEXT_MAX};
    struct file_digest digest;

    if (!bundle_file_digest(v->proof->dir, bundle_file_name(f), &digest, err) ||
        !check_digest(v, f, &digest, err) || !file_read(path, &text, err))
        return false;
    return span_equal(buf_span(&text), buf_span(&v->texts.text[f])) ||
           err_set(err, ERR_CORRUPT, "%s is not what the events and the terms give",
                   bundle_file_name(f));
}

static bool check_digest(const struct verification *v, enum bundle_file f,
                         const struct file_digest *digest, struct err *err)
{
    const struct file_digest *stated = &v->manifest.files[f].digest;

    return check_bytes(v, f, digest, err) &&
           (strcmp(stated->uncompressed_sha256, digest->uncompressed_sha256) == 0 ||
            err_set(err, ERR_CORRUPT,
                    "%s is damaged: the manifest states the SHA-256 %s of its content, found %s",
                    bundle_file_name(f), stated->uncompressed_sha256, digest->uncompressed_sha256));
}

static bool check_bytes(const struct verification *v, enum bundle_file f,
                        const struct file_digest *digest, struct err *err)
{
    const struct file_digest *stated = &v->manifest.files[f].digest;

    return (stated->bytes == digest->bytes && strcmp(stated->sha256, digest->sha256) == 0) ||
           err_set(err, ERR_CORRUPT,
                   "%s is damaged: the manifest states %llu bytes with SHA-256 %s, found %llu "
                   "with %s",
                   bundle_file_name(f), (unsigned long long)stated->bytes, stated->sha256,
                   (unsigned long long)digest->bytes, digest->sha256);
}

static bool check_facts(struct verification *v, enum bundle_file f, struct err *err)
{
    const struct manifest_file *stated = &v->manifest.files[f];
    const struct tally *t = &v->pass.tally;
    AUTO(sum_table) none = sum_table_new();

    return (stated->rows == v->texts.rows[f] &&
            sums_are_equal(stated->sums, f == BUNDLE_TERMS ? none : t->currencies) &&
            sums_are_equal(stated->refunds, f == BUNDLE_TERMS ? none : t->currency_refunds)) ||
           err_set(err, ERR_CORRUPT, "%s has other rows or sums than the manifest states",
                   bundle_file_name(f));
}

static bool sums_are_equal(const struct sum_table *stated, const struct sum_table *has)
{
    bool is_equal = sum_table_count(stated) == sum_table_count(has);

    for (size_t i = 0; is_equal && i < sum_table_count(has); i++) {
        const struct sum *h = sum_table_at(has, i);
        const struct sum *s = sum_table_find(stated, span_of(h->name));

        is_equal = s && s->nanos == h->nanos;
    }
    return is_equal;
}

static bool check_previous(struct verification *v, bool *is_chained, struct err *err)
{
    AUTO(sum_table) carried = sum_table_new();
    char sha256[SHA256_HEX];

    if (!v->manifest.previous[0] && sum_table_count(v->terms.openings) > 0)
        return err_set(err, ERR_CORRUPT, "there are openings, but no close before");
    if (!v->proof->previous)
        return true;
    if (!bundle_carry(v->proof->previous, sha256, carried, err))
        return false;
    if (strcmp(sha256, v->manifest.previous) != 0)
        return err_set(err, ERR_CORRUPT, "%s is not the bundle that this one follows",
                       v->proof->previous);
    *is_chained = true;
    return sums_are_equal(v->terms.openings, carried) ||
           err_set(err, ERR_CORRUPT, "the openings are not the closings of the bundle before");
}

static bool check_archive(struct verification *v, bool *is_complete, struct err *err)
{
    const struct archive_proof proof = {.archive = v->proof->archive,
                                        .dir = v->proof->dir,
                                        .manifest = &v->manifest,
                                        .terms = &v->terms,
                                        .keys = &v->keys,
                                        .terms_text = buf_span(&v->texts.text[BUNDLE_TERMS])};

    if (!v->proof->archive)
        return true;
    *is_complete = archive_proof_check(&proof, err);
    return *is_complete;
}

void settlement_verdict_text(const struct settlement_verdict *v, struct buf *out)
{
    buf_printf(out, "verified: %s of %s, installation %s%s\n", v->kind, v->period.text,
               v->installation, v->testing ? " (testing)" : "");
    buf_printf(out,
               "  %lld event%s, %lld refund%s, %lld statement%s: all files follow from events and "
               "terms\n",
               (long long)v->events, v->events == 1 ? "" : "s", (long long)v->refunds,
               v->refunds == 1 ? "" : "s", (long long)v->statements, v->statements == 1 ? "" : "s");
    buf_printf(out, "  signature: %s %s\n", v->key_id, v->is_pinned ? "(pinned)" : "(unpinned)");
    buf_printf(out, "  opening: %s\n",
               v->is_chained ? "chained to the bundle before" : "as stated");
    buf_printf(out, "  archive: %s\n",
               v->is_complete ? "holds exactly these events and refunds" : "not compared");
}

void settlement_verdict_json(const struct settlement_verdict *v, struct jw *w)
{
    jw_object(w);
    jw_bool_member(w, "ok", true);
    jw_string_member(w, "kind", v->kind);
    jw_string_member(w, "period", v->period.text);
    jw_string_member(w, "installation", v->installation);
    jw_bool_member(w, "testing", v->testing);
    jw_int_member(w, "events", v->events);
    jw_int_member(w, "refunds", v->refunds);
    jw_int_member(w, "statements", v->statements);
    jw_string_member(w, "key_id", v->key_id);
    jw_string_member(w, "signature", v->is_pinned ? "pinned" : "unpinned");
    jw_string_member(w, "opening", v->is_chained ? "chained" : "as stated");
    jw_string_member(w, "archive", v->is_complete ? "complete" : "not compared");
    jw_object_end(w);
}
