/* Catalogues: what a file may state, what it changes, and that no version is ever edited. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/catalogue.h"
#include "gateway/catalogue_change.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

#define FILE_TEXT                                                                              \
    "{\"currency\":\"CNY\",\"creators\":[{\"id\":\"demo\",\"name\":\"Demo\",\"contract\":{"    \
    "\"share_bp\":7000,\"from\":\"2026-11-01\"}}],"                                            \
    "\"models\":[{\"id\":\"demo/"                                                              \
    "echo\",\"owners\":[{\"creator\":\"demo\",\"weight\":1}],\"surfaces\":[\"chat\"],"         \
    "\"backends\":[{\"name\":\"echo\"}],\"price\":\"p\",\"max_output_tokens\":100}],"          \
    "\"prices\":[{\"id\":\"p\",\"from\":\"2026-11-01T00:00:00Z\",\"units\":{\"input_tokens\":" \
    "\"2\",\"output_tokens\":\"8\"}}]}"

static int64_t now;

static void set_zone(void)
{
    struct err err;

    ck_assert(clock_set_zone("Asia/Shanghai", &err));
    ck_assert(clock_parse(SPAN("2026-11-22T00:00:00Z"), &now, &err));
}

/* Changes are applied to `next`, as Redis would. */
struct applied {
    struct catalogue *next;
    size_t count;
    char objects[256];
};

static bool take(void *arg, const struct catalogue_change *c, struct err *err)
{
    struct applied *a = arg;

    a->count++;
    snprintf(a->objects + strlen(a->objects), sizeof a->objects - strlen(a->objects), "%s ",
             c->object);
    return catalogue_add(a->next, c->object, c->id, c->revision, c->body, err);
}

static bool apply(const struct catalogue *present, const char *text, struct applied *a,
                  struct err *err)
{
    AUTO_JSON file = json_parse(span_of(text), err);

    ck_assert_msg(file, "%s: %s", text, err->text);
    *a = (struct applied){.next = catalogue_new()};
    return catalogue_diff(present, file, now, take, a, err);
}

/* FILE_TEXT with one part replaced. */
static char *edited(const char *from, const char *to)
{
    static char text[4096];
    const char *at = strstr(FILE_TEXT, from);

    ck_assert_msg(at, "%s is not in the file", from);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - FILE_TEXT), FILE_TEXT, to,
             at + strlen(from));
    return text;
}

START_TEST(a_new_catalogue_changes_everything_and_can_be_looked_up)
{
    AUTO(catalogue) empty = catalogue_new();
    struct applied a;
    struct err err;

    ck_assert_msg(apply(empty, FILE_TEXT, &a, &err), "%s", err.text);
    ck_assert_uint_eq(a.count, 4);
    ck_assert_ptr_nonnull(catalogue_model(a.next, "demo/echo"));
    ck_assert_ptr_null(catalogue_model(a.next, "demo/other"));
    ck_assert_int_eq(catalogue_contract(a.next, "demo", now)->share_bp, 7000);
    ck_assert_str_eq(catalogue_contract(a.next, "demo", now)->version,
                     "demo@2026-10-31T16:00:00.000Z");
    ck_assert_ptr_nonnull(catalogue_price(a.next, "p", now));
    ck_assert_ptr_null(catalogue_price(a.next, "p", now - 365 * 24 * 3600 * NANOS_PER_SECOND));
    catalogue_free(a.next);
}
END_TEST

START_TEST(the_same_file_again_changes_nothing)
{
    AUTO(catalogue) empty = catalogue_new();
    struct applied a, again;
    struct err err;

    ck_assert(apply(empty, FILE_TEXT, &a, &err));
    ck_assert_msg(apply(a.next, FILE_TEXT, &again, &err), "%s", err.text);
    ck_assert_uint_eq(again.count, 0);
    catalogue_free(a.next);
    catalogue_free(again.next);
}
END_TEST

START_TEST(only_what_differs_changes)
{
    AUTO(catalogue) empty = catalogue_new();
    struct applied a, next;
    struct err err;

    ck_assert(apply(empty, FILE_TEXT, &a, &err));
    ck_assert_msg(apply(a.next, edited("\"max_output_tokens\":100", "\"max_output_tokens\":200"),
                        &next, &err),
                  "%s", err.text);
    ck_assert_str_eq(next.objects, "model ");
    ck_assert_int_gt(catalogue_revision(next.next), catalogue_revision(a.next));
    catalogue_free(a.next);
    catalogue_free(next.next);
}
END_TEST

START_TEST(what_a_model_serves_can_change)
{
    AUTO(catalogue) empty = catalogue_new();
    struct applied a, next;
    const struct model *m;
    struct err err;

    ck_assert(apply(empty, FILE_TEXT, &a, &err));
    m = catalogue_model(a.next, "demo/echo");
    ck_assert(model_serves(m, SURFACE_CHAT) && !model_serves(m, SURFACE_COMPLETIONS));
    ck_assert(apply(a.next, edited("[\"chat\"]", "[\"completions\",\"chat\"]"), &next, &err));
    ck_assert_str_eq(next.objects, "model ");
    m = catalogue_model(next.next, "demo/echo");
    ck_assert(model_serves(m, SURFACE_CHAT) && model_serves(m, SURFACE_COMPLETIONS));
    catalogue_free(a.next);
    catalogue_free(next.next);
}
END_TEST

START_TEST(a_model_that_only_embeds_needs_no_price_of_output)
{
    static const char format[] =
        "{\"currency\":\"CNY\",\"creators\":[{\"id\":\"demo\",\"contract\":{\"from\":"
        "\"2026-11-01\"}}],\"prices\":[{\"id\":\"p\",\"from\":\"2026-11-01T00:00:00Z\",\"units\":"
        "{\"input_tokens\":\"2\"}}],\"models\":[{\"id\":\"demo/m\",\"owners\":[{\"creator\":"
        "\"demo\"}],\"price\":\"p\",\"backends\":[{\"name\":\"b\"}],\"surfaces\":[%s]}]}";
    static const struct {
        const char *surfaces;
        bool may;
    } rows[] = {
        {"\"embeddings\"", true}, {"\"embeddings\",\"completions\"", false}, {"\"chat\"", false}};
    AUTO(catalogue) empty = catalogue_new();
    struct applied a;
    char text[1024];
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof text, format, rows[i].surfaces);
        ck_assert_msg(apply(empty, text, &a, &err) == rows[i].may, "%s", rows[i].surfaces);
        if (!rows[i].may)
            ck_assert_ptr_nonnull(strstr(err.text, "output_tokens"));
        catalogue_free(a.next);
    }
}
END_TEST

/* Each change as a line of JSON. */
static bool describe(void *arg, const struct catalogue_change *c, struct err *err)
{
    struct buf *out = arg;
    struct jw w;

    jw_init(&w, out);
    catalogue_change_write(c, &w);
    buf_add_char(out, '\n');
    return buf_ok(out, "the changes", err);
}

static char *changes_of(const struct catalogue *present, const char *text)
{
    AUTO_CLEAR(buf) out = {.max = 1 << 20};
    struct err err;
    AUTO_JSON file = json_parse(span_of(text), &err);

    ck_assert_msg(catalogue_diff(present, file, now, describe, &out, &err), "%s", err.text);
    return xstrndup(out.data ? out.data : "", out.len);
}

static void expect_part(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part), "%s is not in:\n%s", part, text);
}

START_TEST(a_change_says_what_was_and_what_is_to_be)
{
    AUTO(catalogue) empty = catalogue_new();
    AUTO_STRING added = changes_of(empty, FILE_TEXT);
    struct applied first;
    struct err err;

    expect_part(added, "\"change\":\"add\"");
    ck_assert(!strstr(added, "\"before\"") && !strstr(added, "supersede"));
    ck_assert(apply(empty, FILE_TEXT, &first, &err));
    AUTO_STRING same = changes_of(first.next, FILE_TEXT);
    ck_assert_str_eq(same, "");
    AUTO_STRING model =
        changes_of(first.next, edited("\"max_output_tokens\":100", "\"max_output_tokens\":200"));
    expect_part(model, "\"change\":\"change\",\"members\":[{\"name\":\"max_output_tokens\","
                       "\"before\":\"100\",\"after\":\"200\"}]}\n");
    AUTO_STRING contract =
        changes_of(first.next, edited("\"share_bp\":7000,\"from\":\"2026-11-01\"",
                                      "\"share_bp\":8050,\"from\":\"2026-12-01\""));
    expect_part(contract, "\"change\":\"supersede\",\"supersedes\":\"demo@2026-10-31T16:00:00"
                          ".000Z\",\"from\":\"2026-11-30T16:00:00.000Z\",\"members\":[{\"name\":"
                          "\"share\",\"before\":\"70 %\",\"after\":\"80.5 %\"}]}\n");
    AUTO_STRING price = changes_of(
        first.next, edited("\"2026-11-01T00:00:00Z\",\"units\":{\"input_tokens\":\"2\",",
                           "\"2026-12-01T00:00:00Z\",\"units\":{\"cached_input_tokens\":\"1\","
                           "\"input_tokens\":\"2.50\","));
    expect_part(price, "{\"name\":\"input_tokens\",\"before\":\"2\",\"after\":\"2.5\"}");
    expect_part(price, "{\"name\":\"cached_input_tokens\",\"after\":\"1\"}");
    ck_assert(!strstr(price, "\"output_tokens\""));
    catalogue_free(first.next);
}
END_TEST

START_TEST(versions_are_superseded_and_never_edited)
{
    AUTO(catalogue) empty = catalogue_new();
    struct applied a, next;
    struct err err;

    ck_assert(apply(empty, FILE_TEXT, &a, &err));
    ck_assert(
        !apply(a.next, edited("\"output_tokens\":\"8\"", "\"output_tokens\":\"9\""), &next, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "never edited"));
    ck_assert_uint_eq(next.count, 0);
    catalogue_free(next.next);
    ck_assert(!apply(a.next, edited("\"share_bp\":7000", "\"share_bp\":6000"), &next, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "never edited"));
    catalogue_free(next.next);
    ck_assert(!apply(a.next, edited("2026-11-01T00:00:00Z", "2026-11-22T00:00:30Z"), &next, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "60 s ahead"));
    catalogue_free(next.next);
    ck_assert_msg(
        apply(a.next, edited("2026-11-01T00:00:00Z", "2026-11-22T00:01:00Z"), &next, &err), "%s",
        err.text);
    ck_assert_str_eq(next.objects, "price ");
    catalogue_free(next.next);
    catalogue_free(a.next);
}
END_TEST

START_TEST(no_version_of_a_price_may_make_a_published_model_free)
{
    static const char *const files[] = {
        "{\"currency\":\"CNY\",\"prices\":[{\"id\":\"p\",\"from\":\"2026-12-01T00:00:00Z\","
        "\"units\":{\"input_tokens\":\"2\"}}]}",
        "{\"currency\":\"CNY\",\"prices\":[{\"id\":\"p\",\"from\":\"2026-12-01T00:00:00Z\","
        "\"units\":{\"output_tokens\":\"2\"}},"
        "{\"id\":\"p\",\"from\":\"2026-12-02T00:00:00Z\",\"units\":{\"input_tokens\":\"2\","
        "\"output_tokens\":\"2\"}}]}",
    };
    AUTO(catalogue) empty = catalogue_new();
    struct applied a, next;
    struct err err;

    ck_assert(apply(empty, FILE_TEXT, &a, &err));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        ck_assert(!apply(a.next, files[i], &next, &err));
        ck_assert_ptr_nonnull(strstr(err.text, "has no rate for"));
        ck_assert_uint_eq(next.count, 0);
        catalogue_free(next.next);
    }
    catalogue_free(a.next);
}
END_TEST

static const struct mistake {
    const char *from, *to, *says;
} mistakes[] = {
    {"\"CNY\"", "\"XYZ\"", "currency"},
    {"\"CNY\"", "7", "currency"},
    {"\"creators\"", "\"creatorz\"", "creatorz"},
    {"\"id\":\"demo\"", "\"id\":\"de mo\"", "creator id"},
    {"\"id\":\"demo\"", "\"idd\":\"demo\"", "id"},
    {"\"share_bp\":7000", "\"share_bp\":10001", "share_bp"},
    {"\"share_bp\":7000", "\"share_bp\":\"70\"", "share_bp"},
    {"\"2026-11-01\"", "\"2026-13-01\"", "date"},
    {"\"2026-11-01\"", "\"tomorrow\"", "from"},
    {"demo/echo", "echo", "model id"},
    {"\"creator\":\"demo\"", "\"creator\":\"nobody\"", "nobody"},
    {"\"weight\":1", "\"weight\":0", "weight"},
    {"\"weight\":1", "\"wait\":1", "wait"},
    {"[\"chat\"]", "[\"video\"]", "surfaces"},
    {"[\"chat\"]", "[]", "surfaces"},
    {"[\"chat\"]", "[\"chat\",7]", "surfaces"},
    {"[{\"name\":\"echo\"}]", "[]", "backends"},
    {"\"price\":\"p\"", "\"price\":\"q\"", "price 'q'"},
    {"\"max_output_tokens\":100", "\"max_output_tokens\":0", "max_output_tokens"},
    {"\"max_output_tokens\":100", "\"on_disconnect\":\"later\"", "on_disconnect"},
    {"\"output_tokens\":\"8\"", "\"image\":\"8\"", "output_tokens"},
    {"\"output_tokens\":\"8\"", "\"output_tokens\":8", "output_tokens"},
    {"\"output_tokens\":\"8\"", "\"output_tokenz\":\"8\"", "output_tokenz"},
    {"\"output_tokens\":\"8\"", "\"output_tokens\":\"-8\"", "output_tokens"},
    {"{\"creator\":\"demo\",\"weight\":1}", "{\"creator\":\"demo\"},{\"creator\":\"demo\"}",
     "twice"},
};

START_TEST(every_mistake_is_named_and_changes_nothing)
{
    AUTO(catalogue) empty = catalogue_new();
    const struct mistake *m = &mistakes[_i];
    struct applied a;
    struct err err;

    ck_assert_msg(!apply(empty, edited(m->from, m->to), &a, &err), "%s was accepted", m->to);
    ck_assert_msg(strstr(err.text, m->says), "%s says: %s", m->to, err.text);
    ck_assert_uint_eq(a.count, 0);
    catalogue_free(a.next);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("catalogues");

    log_set_level(LOG_ERROR);
    tcase_add_checked_fixture(t, set_zone, NULL);
    tcase_add_test(t, a_new_catalogue_changes_everything_and_can_be_looked_up);
    tcase_add_test(t, the_same_file_again_changes_nothing);
    tcase_add_test(t, only_what_differs_changes);
    tcase_add_test(t, what_a_model_serves_can_change);
    tcase_add_test(t, a_model_that_only_embeds_needs_no_price_of_output);
    tcase_add_test(t, a_change_says_what_was_and_what_is_to_be);
    tcase_add_test(t, versions_are_superseded_and_never_edited);
    tcase_add_test(t, no_version_of_a_price_may_make_a_published_model_free);
    tcase_add_loop_test(t, every_mistake_is_named_and_changes_nothing, 0, (int)ARRAY_LEN(mistakes));
    return run_tests(t, "catalogue");
}
