/* Config files: every mistake is reported with its line and what would be right, and the reference is the defaults. */
#include <string.h>

#include "lib/base/conf.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

struct backend {
    char *title;
    char *url;
    int64_t weight;
    int64_t timeout_ms;
};

struct settings {
    char *listen;
    char *user;
    int64_t workers;
    bool testing;
    int64_t body_bytes_max;
    int64_t drain_ms;
    struct backend *backends;
    size_t backend_count;
};

#define HOUR 3600000

static const struct conf_option options[] = {
    {"listen", CONF_STRING, "0.0.0.0:8443", 0, 0, offsetof(struct settings, listen),
     "Where clients connect. \"Quotes\", \\ and ${HOME} are kept."},
    {"user", CONF_STRING, NULL, 0, 0, offsetof(struct settings, user), "Who to become."},
    {"workers", CONF_INT, "2", -1, 64, offsetof(struct settings, workers),
     "How many worker processes serve calls. This sentence is here only so that the comment grows "
     "longer than one line of the reference, which is then wrapped."},
    {"testing", CONF_BOOL, "false", 0, 0, offsetof(struct settings, testing), "Allows --clock."},
    {"body_bytes_max", CONF_BYTES, "32 MiB", 1024, INT64_C(1) << 30,
     offsetof(struct settings, body_bytes_max), "The largest body."},
    {"drain_timeout", CONF_DURATION, "30 s", 250, HOUR, offsetof(struct settings, drain_ms),
     "How long streams may take to finish."},
};
static const struct conf_option backend_options[] = {
    {"url", CONF_STRING, "http://127.0.0.1/$x\"", 0, 0, offsetof(struct backend, url), "Where."},
    {"weight", CONF_INT, "1", 0, 100, offsetof(struct backend, weight), "Its share."},
    {"timeout", CONF_DURATION, "10 min", 1, HOUR, offsetof(struct backend, timeout_ms),
     "Patience."},
};
static const struct conf_section sections[] = {
    {"backend", backend_options, ARRAY_LEN(backend_options), sizeof(struct backend),
     offsetof(struct settings, backends), offsetof(struct settings, backend_count),
     "A server of models."},
};
static const struct conf_table table = {options, ARRAY_LEN(options), sections, ARRAY_LEN(sections)};

static struct settings settings;
static struct buf problems = {.max = 65536};

static bool reads(struct span text)
{
    ck_assert(file_write_atomic("t.conf", 0600, text, NULL));
    memset(&settings, 0, sizeof settings);
    buf_truncate(&problems, 0);
    if (conf_read(&table, "t.conf", &settings, NULL, &problems))
        return true;
    conf_clear(&table, &settings);
    return false;
}

static void leave(void)
{
    conf_clear(&table, &settings);
    buf_clear(&problems);
    leave_scratch_folder();
}

static void has_defaults(const struct settings *s)
{
    ck_assert_str_eq(s->listen, "0.0.0.0:8443");
    ck_assert_ptr_null(s->user);
    ck_assert_int_eq(s->workers, 2);
    ck_assert(!s->testing);
    ck_assert_int_eq(s->body_bytes_max, 32 << 20);
    ck_assert_int_eq(s->drain_ms, 30000);
    ck_assert_uint_eq(s->backend_count, 0);
    ck_assert_ptr_null(s->backends);
}

START_TEST(an_empty_file_means_the_defaults)
{
    ck_assert(reads(SPAN("")));
    has_defaults(&settings);
    conf_clear(&table, &settings);
    ck_assert_ptr_null(settings.listen);
}
END_TEST

START_TEST(every_type_is_read)
{
    ck_assert(reads(SPAN("# comment\nlisten = \"[::1]:443\"\nuser = tollgate\nworkers=-1\n"
                         "testing = yes // comment\nbody_bytes_max = 2048\n/* a\nb */\n"
                         "drain_timeout = '250ms'\n")));
    ck_assert_str_eq(settings.listen, "[::1]:443");
    ck_assert_str_eq(settings.user, "tollgate");
    ck_assert_int_eq(settings.workers, -1);
    ck_assert(settings.testing);
    ck_assert_int_eq(settings.body_bytes_max, 2048);
    ck_assert_int_eq(settings.drain_ms, 250);
    ck_assert_str_eq(buf_span(&problems).data, "");
}
END_TEST

START_TEST(sections_keep_their_titles_and_order)
{
    ck_assert(reads(SPAN("backend \"b\" { url = \"http://x\" weight = 7 }\nworkers = 3\n"
                         "backend a {\n  timeout = \"1 h\"\n}\n")));
    ck_assert_uint_eq(settings.backend_count, 2);
    ck_assert_str_eq(settings.backends[0].title, "b");
    ck_assert_str_eq(settings.backends[0].url, "http://x");
    ck_assert_int_eq(settings.backends[0].weight, 7);
    ck_assert_int_eq(settings.backends[0].timeout_ms, 600000);
    ck_assert_str_eq(settings.backends[1].title, "a");
    ck_assert_str_eq(settings.backends[1].url, "http://127.0.0.1/$x\"");
    ck_assert_int_eq(settings.backends[1].timeout_ms, HOUR);
    ck_assert_int_eq(settings.workers, 3);
}
END_TEST

static const struct {
    const char *text;
    int64_t bytes, ms; /* -1: refused */
} quantities[] = {
    {"1024", 1024, -1},
    {"16 KiB", 16384, -1},
    {"16KiB", 16384, -1},
    {"1 GiB", 1 << 30, -1},
    {"1023", -1, -1},
    {"1073741825", -1, -1},
    {"2 GiB", -1, -1},
    {"1.5 MiB", -1, -1},
    {"16 kib", -1, -1},
    {"16 KB", -1, -1},
    {"16  KiB", -1, -1},
    {" 16 KiB", -1, -1},
    {"16 KiB ", -1, -1},
    {"-16 KiB", -1, -1},
    {"9999999 TiB", -1, -1},
    {"KiB", -1, -1},
    {"99999999999999999999", -1, -1},
    {"250 ms", -1, 250},
    {"10s", -1, 10000},
    {"5 min", -1, 300000},
    {"1 h", -1, HOUR},
    {"2 h", -1, -1},
    {"249 ms", -1, -1},
    {"10 sec", -1, -1},
    {"10 m", -1, -1},
    {"", -1, -1},
    {"1 s 5 ms", -1, -1},
};

START_TEST(sizes_and_durations_have_units_and_bounds)
{
    char text[100];

    snprintf(text, sizeof text, "body_bytes_max = \"%s\"\n", quantities[_i].text);
    ck_assert_int_eq(reads(span_of(text)), quantities[_i].bytes >= 0);
    if (quantities[_i].bytes >= 0)
        ck_assert_int_eq(settings.body_bytes_max, quantities[_i].bytes);
    conf_clear(&table, &settings);
    snprintf(text, sizeof text, "drain_timeout = \"%s\"\n", quantities[_i].text);
    ck_assert_int_eq(reads(span_of(text)), quantities[_i].ms >= 0);
    if (quantities[_i].ms >= 0)
        ck_assert_int_eq(settings.drain_ms, quantities[_i].ms);
}
END_TEST

static const struct {
    const char *text, *problems;
} mistakes[] = {
    {"workers = 65\n",
     "t.conf:1: workers = \"65\" is not allowed: it must be a whole number from -1 to 64\n"},
    {"\n\nworkers = two\n",
     "t.conf:3: workers = \"two\" is not allowed: it must be a whole number from -1 to 64\n"},
    {"testing = maybe", "t.conf:1: testing = \"maybe\" is not allowed: it must be true or false\n"},
    {"body_bytes_max = 1\n",
     "t.conf:1: body_bytes_max = \"1\" is not allowed: it must be a size from 1 KiB to 1 GiB, "
     "such as \"64 KiB\", \"1 MiB\" or a number of bytes\n"},
    {"drain_timeout = 10\n",
     "t.conf:1: drain_timeout = \"10\" is not allowed: it must be a duration from 250 ms to 1 h, "
     "such as \"250 ms\", \"10 s\", \"5 min\" or \"24 h\"\n"},
    {"worker = 2\n", "t.conf:1: there is no option \"worker\"\n"},
    {"workers = 2\nworkers = 3\n", "t.conf:2: workers is set a second time\n"},
    {"backend a {\n\nwait = 1\n}\n", "t.conf:3: there is no option \"wait\" in section backend\n"},
    {"backend a {\nweight = 101\n}\n",
     "t.conf:2: weight = \"101\" is not allowed: it must be a whole number from 0 to 100\n"},
    {"queue a {\n  size = 3\n}\n", "t.conf:1: there is no option \"queue\"\n"},
    {"queue {\n  size = 3\n}\n", "t.conf:1: there is no option \"queue\"\n"},
    {"weight = 3\n", "t.conf:1: there is no option \"weight\"\n"},
    {"backend a {\n", "t.conf:1: section backend \"a\" is not closed by }\n"},
    /* All of them at once, in their order. */
    {"a = 1\nworkers = 99\nb = \"x\"\nbackend z {\n  c = 3\n  weight = -1\n}\ntesting = 1\n",
     "t.conf:1: there is no option \"a\"\n"
     "t.conf:2: workers = \"99\" is not allowed: it must be a whole number from -1 to 64\n"
     "t.conf:3: there is no option \"b\"\n"
     "t.conf:5: there is no option \"c\" in section backend\n"
     "t.conf:6: weight = \"-1\" is not allowed: it must be a whole number from 0 to 100\n"
     "t.conf:8: testing = \"1\" is not allowed: it must be true or false\n"},
};

START_TEST(mistakes_are_told_with_line_option_value_and_remedy)
{
    ck_assert(!reads(span_of(mistakes[_i].text)));
    ck_assert_str_eq(buf_span(&problems).data, mistakes[_i].problems);
    ck_assert(!settings.listen && !settings.backends);
}
END_TEST

/* libconfuse's own words; but line and file are always there, and it never goes on as if nothing were. */
static const struct {
    const char *text;
    int line;
} broken[] = {
    {"workers 3\n", 1},
    {"workers\n", 1},
    {"\nworkers = \n", 2},
    {"workers = {1, 2}\n", 1},
    {"backend {\n}\n", 1},
    {"backend a {\n  weight = 3\n", 2},
    {"backend a {\n  weight = 3", 2},
    {"backend a { }\nbackend a { }\n", 2},
    {"}\n", 1},
    {"listen = \"abc\n", 1},
    {"workers = 2\n= 3\n", 2},
    {"drain_timeout = 10 s\n", 1},
    {"backend a b {\n}\n", 1},
    {"backend = 3\n", 1},
    {"bad { x = 1 }\nworkers = 900\n", 1},
    {"workers = 3\n/* never closed\nworkers = 4\n", 3},
    {"listen += x\n", 1},
    {"include(\"/etc/hostname\")\n", 1},
};

START_TEST(what_cannot_be_parsed_is_told_with_its_line)
{
    char place[32];

    snprintf(place, sizeof place, "t.conf:%d: ", broken[_i].line);
    ck_assert(!reads(span_of(broken[_i].text)));
    ck_assert_msg(strncmp(problems.data, place, strlen(place)) == 0, "%s", problems.data);
}
END_TEST

/* One option on the line that is named, behind comments of every kind and what only looks like one. */
static const struct {
    const char *text;
    int line;
} commented[] = {
    {"# a\nworkers = 65\n", 2},
    {"# a\n#\n### b\n\nworkers = 65\n# c\n# d\n", 5},
    {"// a\n//\nworkers = 65 // b\n// c\n", 3},
    {"/* a\nb\n*/ /**/\nworkers = 65\n\n\n", 4},
    {"listen = 1 # a\nworkers = 65\n\n\n", 2},
    {"listen = \"# /* ' \\\" // \"\nworkers = 65\n# a */\n\n", 2},
    {"listen = '// \" \\' /* '\nworkers = 65\n# a */\n\n", 2},
    {"listen = \"${none:-\\\"#}\"\nworkers = 65\n# a\n\n", 2},
    {"listen = http://x//y\nworkers = 65\n# a\n\n", 2},
    {"# it's \"a\nworkers = 65\n# \"b'\n\n", 2},
    {"backend a {\n# a\n  # b\n  weight = 101\n}\n# c\n# d\n", 4},
};

START_TEST(comments_move_no_line)
{
    char place[32];

    snprintf(place, sizeof place, "t.conf:%d: w", commented[_i].line);
    ck_assert(!reads(span_of(commented[_i].text)));
    ck_assert_msg(strncmp(problems.data, place, strlen(place)) == 0, "%s", problems.data);
    ck_assert_uint_eq(strcspn(problems.data, "\n") + 1, problems.len);
}
END_TEST

START_TEST(what_looks_like_a_comment_is_kept)
{
    ck_assert(reads(SPAN("listen = \"# a // b /* c */\" # d\nuser = http://x//y // e\n")));
    ck_assert_str_eq(settings.listen, "# a // b /* c */");
    ck_assert_str_eq(settings.user, "http://x//y");
}
END_TEST

/* Also when the file was read more than once, which the unknown option causes. */
START_TEST(places_are_the_lines_of_what_was_set)
{
    static const char text[] =
        "workers = 2\nbackend a {\n\n  weight = 3\n  url = x\n}\n  backend \"e\" {}\n";
    AUTO_CLEAR(conf_places) places = {0};
    AUTO_CLEAR(buf) wrong = {.max = 1000};

    ck_assert(file_write_atomic("t.conf", 0600, span_of(text), NULL));
    ck_assert(conf_read(&table, "t.conf", &settings, &places, &problems));
    ck_assert_uint_eq(places.count, 5);
    ck_assert_int_eq(conf_places_line(&places, NULL, "workers"), 1);
    ck_assert_int_eq(conf_places_line(&places, "a", "weight"), 4);
    ck_assert_int_eq(conf_places_line(&places, "a", NULL), 4);
    ck_assert_int_eq(conf_places_line(&places, "e", NULL), 7);
    ck_assert_int_eq(conf_places_line(&places, "e", "weight"), 0);
    ck_assert_int_eq(conf_places_line(&places, NULL, "weight"), 0);
    ck_assert_int_eq(conf_places_line(&places, "b", NULL), 0);
    conf_clear(&table, &settings);
    buf_printf(&wrong, "%sodd = 1\n", text);
    ck_assert(file_write_atomic("t.conf", 0600, buf_span(&wrong), NULL));
    ck_assert(!conf_read(&table, "t.conf", &settings, &places, &problems));
    ck_assert_uint_eq(places.count, 5);
    ck_assert_int_eq(settings.workers, 2); /* what is good can still be checked further */
    conf_clear(&table, &settings);
}
END_TEST

START_TEST(files_that_are_none_are_refused)
{
    ck_assert(!conf_read(&table, "none.conf", &settings, NULL, &problems));
    ck_assert_ptr_nonnull(strstr(problems.data, "cannot open none.conf: "));
    ck_assert(!conf_read(&table, "/", &settings, NULL, &problems));
    ck_assert(!reads(SPAN("workers = 2\n\0workers = 900\n")));
    ck_assert_ptr_nonnull(strstr(problems.data, "t.conf:1: the file is not text"));
}
END_TEST

START_TEST(more_unknown_options_than_are_kept_are_still_refused)
{
    AUTO_CLEAR(buf) text = {.max = 10000};

    for (int i = 0; i < 100; i++)
        buf_printf(&text, "unknown%d = 1\n", i);
    ck_assert(!reads(buf_span(&text)));
    ck_assert_ptr_nonnull(strstr(problems.data, "t.conf:1: there is no option \"unknown0\"\n"));
    ck_assert_ptr_nonnull(strstr(problems.data, "t.conf:30: there is no option \"unknown29\"\n"));
}
END_TEST

START_TEST(the_environment_is_kept_out_of_the_defaults)
{
    AUTO_CLEAR(buf) text = {.max = 1000};

    setenv("x", "leaked", 1);
    conf_print_reference(&table, &text);
    ck_assert_ptr_nonnull(strstr(text.data, "#    url = \"http://127.0.0.1/\\$x\\\"\""));
}
END_TEST

/* Once as printed; once with every setting that is commented out brought in. */
START_TEST(the_reference_reads_back_as_the_defaults)
{
    AUTO_CLEAR(buf) text = {.max = 10000};

    conf_print_reference(&table, &text);
    ck_assert_msg(reads(buf_span(&text)), "%s", buf_span(&problems).data);
    has_defaults(&settings);
    conf_clear(&table, &settings);
    for (char *line = text.data; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (line[0] == '#' && (line[1] != ' ' || strncmp(line, "#    ", 5) == 0))
            line[0] = ' ';
    }
    ck_assert_msg(reads(buf_span(&text)), "%s%s", buf_span(&problems).data, text.data);
    ck_assert_uint_eq(settings.backend_count, 1);
    ck_assert_str_eq(settings.backends[0].url, "http://127.0.0.1/$x\"");
    ck_assert_int_eq(settings.backends[0].timeout_ms, 600000);
    ck_assert_str_eq(settings.user, "");
}
END_TEST

START_TEST(the_reference_documents_every_option_within_the_page)
{
    AUTO_CLEAR(buf) text = {.max = 10000};
    size_t width = 0;

    conf_print_reference(&table, &text);
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char setting[64];

        snprintf(setting, sizeof setting, "\n%s%s = ", options[i].initial ? "" : "#",
                 options[i].name);
        ck_assert_msg(strstr(text.data, setting) != NULL, "%s", setting);
    }
    ck_assert_ptr_nonnull(strstr(text.data, "It is a size from 1 KiB to 1 GiB"));
    for (size_t i = 0; i < text.len; i++) {
        width = text.data[i] == '\n' ? 0 : width + 1;
        ck_assert_uint_le(width, 100);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("conf");

    tcase_add_checked_fixture(tcase, enter_scratch_folder, leave);
    tcase_add_test(tcase, an_empty_file_means_the_defaults);
    tcase_add_test(tcase, every_type_is_read);
    tcase_add_test(tcase, sections_keep_their_titles_and_order);
    tcase_add_loop_test(tcase, sizes_and_durations_have_units_and_bounds, 0, ARRAY_LEN(quantities));
    tcase_add_loop_test(tcase, mistakes_are_told_with_line_option_value_and_remedy, 0,
                        ARRAY_LEN(mistakes));
    tcase_add_loop_test(tcase, what_cannot_be_parsed_is_told_with_its_line, 0, ARRAY_LEN(broken));
    tcase_add_loop_test(tcase, comments_move_no_line, 0, ARRAY_LEN(commented));
    tcase_add_test(tcase, what_looks_like_a_comment_is_kept);
    tcase_add_test(tcase, places_are_the_lines_of_what_was_set);
    tcase_add_test(tcase, files_that_are_none_are_refused);
    tcase_add_test(tcase, more_unknown_options_than_are_kept_are_still_refused);
    tcase_add_test(tcase, the_environment_is_kept_out_of_the_defaults);
    tcase_add_test(tcase, the_reference_reads_back_as_the_defaults);
    tcase_add_test(tcase, the_reference_documents_every_option_within_the_page);
    return run_tests(tcase, "conf");
}
