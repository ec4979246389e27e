/* Verifying a bundle: what is whole passes, whatever was changed by accident or on purpose does
 * not. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "billing/bundle.h"
#include "billing/closes.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define DECEMBER "2026-12-01T09:00:00Z"

static bool verify(const struct settlement_proof *proof, struct settlement_verdict *verdict,
                   struct err *err)
{
    *err = (struct err){0};
    return settlement_verify(proof, verdict, err);
}

static void passes(const struct settlement_proof *proof, struct settlement_verdict *verdict)
{
    struct err err;

    ck_assert_msg(verify(proof, verdict, &err), "%s", err.text);
}

static void fails(const struct settlement_proof *proof, const char *sentence)
{
    struct settlement_verdict verdict;
    struct err err;

    ck_assert(!verify(proof, &verdict, &err));
    ck_assert_msg(strstr(err.text, sentence), "not \"%s\" but: %s", sentence, err.text);
}

static void close_to(struct world *w, const char *period, const char *out)
{
    AUTO_CLEAR(settlement_report) report = {0};
    struct err err;

    ck_assert_msg(settlement_close(&w->sources, period_text(period), out, &report, &err), "%s",
                  err.text);
}

static void write_key(const struct signing_key *key, const char *path)
{
    unsigned char raw[ED25519_PUBLIC_LEN];

    signing_key_public_raw(key, raw);
    ck_assert(file_write_atomic(path, 0644, (struct span){(const char *)raw, sizeof raw}, NULL));
}

START_TEST(a_whole_bundle_passes_every_proof)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "2026-11");
    AUTO_STRING next = world_path(w, "2026-12");
    AUTO_STRING key = world_path(w, "key");
    struct settlement_verdict v;

    close_to(w, "2026-11", out);
    write_key(w->key, key);
    passes(&(struct settlement_proof){.dir = out}, &v);
    ck_assert(!v.is_pinned && !v.is_chained && !v.is_complete && v.testing);
    ck_assert_int_eq(v.events, 3);
    ck_assert_int_eq(v.statements, 2);
    ck_assert_str_eq(v.kind, "close");
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    world_begin(w, 2, "2026-12");
    world_seal(w, 2);
    world_archive(w, 2);
    ledger_sums_clear(&w->redis);
    ledger_sums_init(&w->redis);
    world_clock("2027-01-01T09:00:00Z");
    close_to(w, "2026-12", next);
    passes(
        &(struct settlement_proof){
            .dir = next, .key_file = key, .previous = out, .archive = w->archive},
        &v);
    ck_assert(v.is_pinned && v.is_chained && v.is_complete);
    passes(&(struct settlement_proof){.dir = out, .archive = w->archive}, &v);
    ck_assert(v.is_complete);
    fails(&(struct settlement_proof){.dir = out, .previous = next},
          "is not the bundle that this one follows");
    world_free(w);
}
END_TEST

/* The first and the last of November's calls. Where `has_zone`, of an account by whose own days they began in October and in
 * December. */
static struct world *world_edges(bool has_zone)
{
    static const char *const ends[] = {"2026-10-31T16:00:00.000Z", "2026-11-30T15:59:59.999Z"};
    static const char *const days[] = {"2026-10-31", "2026-12-01"};
    struct world *w = world_new(DECEMBER);

    world_begin(w, 0, "2026-11");
    world_contract(w, 0, "ann", WORLD_FROM, 7000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2.00", "8.00");
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct event e = world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 1000000, ends[i]);
        if (has_zone)
            ck_assert(span_copy(span_of(days[i]), e.began_on, sizeof e.began_on));
        world_write(w, 0, &e);
    }
    world_seal(w, 0);
    world_archive(w, 0);
    return w;
}

START_TEST(the_days_that_a_client_counts_by_move_nothing_between_months)
{
    struct world *with = world_edges(true), *without = world_edges(false);
    AUTO_STRING out = world_path(with, "out");
    AUTO_STRING plain = world_path(without, "out");
    static const char *const same[] = {"statements.csv", "lines.csv", "accounts.csv"};
    struct settlement_verdict v;

    close_to(with, "2026-11", out);
    close_to(without, "2026-11", plain);
    passes(&(struct settlement_proof){.dir = out, .archive = with->archive}, &v);
    ck_assert(v.is_complete);
    ck_assert_int_eq(v.events, 2);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        AUTO_STRING zoned = file_text(out, same[i]);
        AUTO_STRING usual = file_text(plain, same[i]);
        ck_assert_str_eq(zoned, usual);
    }
    run_command("zstd -qd %s/events.jsonl.zst -o %s/events.jsonl", out, with->top);
    AUTO_STRING events = file_text(with->top, "events.jsonl");
    const char *first = strstr(events, "\"began_on\":\"2026-10-31\"");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(strstr(first, "\"began_on\":\"2026-12-01\""));
    world_free(with);
    world_free(without);
}
END_TEST

START_TEST(a_preview_is_proven_up_to_the_heads_it_covers)
{
    struct world *w = world_new("2026-11-20T00:00:00Z");
    AUTO_STRING out = world_path(w, "out");
    AUTO_CLEAR(settlement_report) report = {0};
    struct settlement_verdict v;
    struct event e;

    world_begin(w, 0, "2026-11");
    world_contract(w, 0, "ann", WORLD_FROM, 7000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2.00", "8.00");
    for (int i = 0; i < 2; i++) {
        e = world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 1000000,
                        "2026-11-03T10:00:00.000Z");
        world_write(w, 0, &e);
        world_archive(w, 0);
        if (i == 0)
            ck_assert(settlement_preview(&w->sources, period_text("2026-11"), out, &report, NULL));
    }
    passes(&(struct settlement_proof){.dir = out, .archive = w->archive}, &v);
    ck_assert_str_eq(v.kind, "preview");
    ck_assert_int_eq(v.events, 1);
    world_free(w);
}
END_TEST

static void flip(const char *path, off_t at, unsigned char bit)
{
    int fd = open(path, O_RDWR);
    unsigned char c;

    ck_assert_int_eq(pread(fd, &c, 1, at), 1);
    c ^= bit;
    ck_assert_int_eq(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

/* Whichever bit: one is tried at each byte, another at each. */
START_TEST(every_flipped_byte_is_found)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");

    close_to(w, "2026-11", out);
    for (size_t f = 0; bundle_names[f]; f++) {
        AUTO_STRING path = path_join(out, bundle_names[f]);
        AUTO_CLEAR(buf) bytes = {.max = 1 << 20};

        ck_assert(file_read(path, &bytes, NULL));
        ck_assert_uint_gt(bytes.len, 60);
        for (size_t i = 0; i < bytes.len; i++) {
            const struct settlement_proof proof = {.dir = out};
            struct settlement_verdict v;
            unsigned char bit = (unsigned char)(1u << (i % 8));
            struct err err;

            flip(path, (off_t)i, bit);
            ck_assert_msg(!verify(&proof, &v, &err), "%s: byte %zu may be changed", bundle_names[f],
                          i);
            ck_assert(err.text[0] != '\0');
            flip(path, (off_t)i, bit);
        }
    }
    passes(&(struct settlement_proof){.dir = out}, &(struct settlement_verdict){0});
    world_free(w);
}
END_TEST

START_TEST(what_is_missing_cut_or_added_is_found)
{
    static const char *const hidden[] = {".x", "..x", ".manifest.json.new"};
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");
    const struct settlement_proof proof = {.dir = out};

    for (size_t f = 0; bundle_names[f]; f++) {
        AUTO_STRING path = path_join(out, bundle_names[f]);

        run_command("rm -rf %s", out);
        close_to(w, "2026-11", out);
        ck_assert_int_eq(truncate(path, 10), 0);
        fails(&proof, "");
        ck_assert_int_eq(unlink(path), 0);
        fails(&proof, "is missing");
        run_command("rm -rf %s", out);
        close_to(w, "2026-11", out);
        run_command("printf '\\n' >> %s", path);
        fails(&proof, "is damaged");
    }
    run_command("rm -rf %s", out);
    close_to(w, "2026-11", out);
    run_command("cp %s/statements.csv %s/payouts.csv", out, out);
    fails(&proof, "payouts.csv is no file of a bundle");
    run_command("rm %s/payouts.csv", out);
    passes(&proof, &(struct settlement_verdict){0});
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        AUTO_STRING path = path_join(out, hidden[i]);

        run_command("touch %s", path);
        fails(&proof, "is no file of a bundle");
        fails(&proof, path);
        run_command("rm %s", path);
    }
    run_command("mkdir %s/.more", out);
    fails(&proof, ".more is no file of a bundle");
    fails(&(struct settlement_proof){.dir = w->top}, "is no bundle");
    world_free(w);
}
END_TEST

START_TEST(another_key_is_refused)
{
    struct world *w = world_november(DECEMBER);
    AUTO(signing_key) other = signing_key_generate();
    AUTO_STRING out = world_path(w, "out");
    AUTO_STRING path = world_path(w, "key");

    close_to(w, "2026-11", out);
    write_key(other, path);
    fails(&(struct settlement_proof){.dir = out, .key_file = path}, "which is not in");
    fails(&(struct settlement_proof){.dir = out, .key_file = out}, "cannot read");
    world_free(w);
}
END_TEST

/* Signs whatever the manifest's files are now: what somebody with the key could do. */
static void sign_again(const struct world *w, const char *dir, enum bundle_file changed)
{
    AUTO_CLEAR(manifest) m;
    AUTO_CLEAR(buf) text = {.max = MANIFEST_BYTES_MAX};
    unsigned char signature[ED25519_SIGNATURE_LEN];
    struct err err = {0};

    manifest_init(&m);
    ck_assert(manifest_read(dir, &m, &text, signature, &err));
    ck_assert(bundle_file_digest(dir, bundle_file_name(changed), &m.files[changed].digest, &err));
    run_command("rm %s/manifest.json %s/manifest.sig", dir, dir);
    ck_assert_msg(manifest_publish(&m, w->key, dir, &err), "%s", err.text);
}

START_TEST(a_forged_statement_is_found_though_it_is_signed)
{
    static const enum bundle_file forged[] = {BUNDLE_STATEMENTS_CSV, BUNDLE_STATEMENTS_JSONL,
                                              BUNDLE_LINES_CSV};
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");

    for (size_t i = 0; i < ARRAY_LEN(forged); i++) {
        run_command("rm -rf %s", out);
        close_to(w, "2026-11", out);
        run_command("sed -i 's/0.000467133/9.000467133/' %s/%s", out, bundle_file_name(forged[i]));
        sign_again(w, out, forged[i]);
        fails(&(struct settlement_proof){.dir = out}, "is not what the events and the terms give");
    }
    world_free(w);
}
END_TEST

START_TEST(forged_terms_are_found_though_they_are_signed)
{
    static const struct {
        const char *edit, *says;
    } cases[] = {
        {"s/\"input_tokens\":\"2\"/\"input_tokens\":\"3\"/", "but price basic@"},
        {"s/\"share_bp\":7000/\"share_bp\":9000/", "states a share of 7000"},
        {"s/\"openings\":\\[\\]/"
         "\"openings\":[{\"creator\":\"bob\",\"currency\":\"CNY\",\"amount\":\"5\"}]/",
         "is not what the events and the terms give"},
        {"s/once per event/once per month/", "terms.json is not what"},
        {"s/Asia.Shanghai/Asia\\/Tokyo/", "differ in period, zone"},
    };
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        run_command("rm -rf %s", out);
        close_to(w, "2026-11", out);
        run_command("sed -i '%s' %s/terms.json", cases[i].edit, out);
        sign_again(w, out, BUNDLE_TERMS);
        fails(&(struct settlement_proof){.dir = out}, cases[i].says);
    }
    world_free(w);
}
END_TEST

/* A bundle may be consistent in itself and yet not have all events. */
START_TEST(events_that_are_missing_are_found_by_the_archive)
{
    struct world *w = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");
    const struct settlement_proof proof = {.dir = out, .archive = w->archive};

    close_to(w, "2026-11", out);
    world_begin(w, 2, "2026-11");
    passes(&(struct settlement_proof){.dir = out}, &(struct settlement_verdict){0});
    fails(&proof, "writer w-0000000000000003 began in 2026-11, but the manifest does not list it");
    run_command("rm %s/writers/w-0000000000000003.json", w->archive);
    passes(&proof, &(struct settlement_verdict){0});
    run_command("rm %s/w-0000000000000002/00000001.jsonl.zst", w->archive);
    fails(&proof, "the archive has 0 segments, not 1");
    world_free(w);
}
END_TEST

START_TEST(an_archive_with_another_history_is_found)
{
    struct world *w = world_november(DECEMBER);
    struct world *other = world_november(DECEMBER);
    AUTO_STRING out = world_path(w, "out");

    close_to(w, "2026-11", out);
    fails(&(struct settlement_proof){.dir = out, .archive = other->archive},
          "the archive does not hold what the manifest states");
    world_free(w);
    world_free(other);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("settlement verify");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_whole_bundle_passes_every_proof);
    tcase_add_test(tcase, the_days_that_a_client_counts_by_move_nothing_between_months);
    tcase_add_test(tcase, a_preview_is_proven_up_to_the_heads_it_covers);
    tcase_add_test(tcase, every_flipped_byte_is_found);
    tcase_add_test(tcase, what_is_missing_cut_or_added_is_found);
    tcase_add_test(tcase, another_key_is_refused);
    tcase_add_test(tcase, a_forged_statement_is_found_though_it_is_signed);
    tcase_add_test(tcase, forged_terms_are_found_though_they_are_signed);
    tcase_add_test(tcase, events_that_are_missing_are_found_by_the_archive);
    tcase_add_test(tcase, an_archive_with_another_history_is_found);
    return run_tests(tcase, "settlement verify");
}
