/* Tables: the exact bytes of RFC 4180, no cell that a spreadsheet would run, and nothing lost on
 * the way back. */
#include <check.h>
#include <stdlib.h>

#include "billing/csv.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS 5000
#define CELLS  4
#define OUT    4096

/* One cell between two numbers, so that neither end of the row matters. */
static void ck_cell(struct span text, const char *expected)
{
    AUTO_CLEAR(buf) out;
    struct csv c;

    buf_init(&out, OUT);
    csv_init(&c, &out);
    csv_int(&c, 1);
    csv_text(&c, text);
    csv_int(&c, 2);
    csv_row_end(&c);
    buf_add_char(&out, '\0');
    ck_assert_str_eq(out.data + 2, expected);
}

static const struct {
    const char *text, *cell;
} cells[] = {
    {"", ",2\r\n"},
    {"plain", "plain,2\r\n"},
    {"two words", "two words,2\r\n"},
    {"a,b", "\"a,b\",2\r\n"},
    {"a;b", "\"a;b\",2\r\n"},
    {"a\tb", "\"a\tb\",2\r\n"},
    {"say \"so\"", "\"say \"\"so\"\"\",2\r\n"},
    {"\"", "\"\"\"\",2\r\n"},
    {"line\nline", "\"line\nline\",2\r\n"},
    {"line\r\nline", "\"line\r\nline\",2\r\n"},
    {" led", "\" led\",2\r\n"},
    {"trailed ", "\"trailed \",2\r\n"},
    {"\xe5\xbc\xa0\xe4\xb8\x89", "\xe5\xbc\xa0\xe4\xb8\x89,2\r\n"},
};

START_TEST(cells_are_quoted_where_they_must_be)
{
    ck_cell(span_of(cells[_i].text), cells[_i].cell);
}
END_TEST

static const struct {
    const char *text, *cell;
} formulas[] = {
    {"=1+1", "'=1+1,2\r\n"},
    {"=HYPERLINK(\"http://a\",\"b\")", "\"'=HYPERLINK(\"\"http://a\"\",\"\"b\"\")\",2\r\n"},
    {"+1", "'+1,2\r\n"},
    {"-1", "'-1,2\r\n"},
    {"@SUM(A1)", "'@SUM(A1),2\r\n"},
    {"\t=1", "\"'\t=1\",2\r\n"},
    {"\r=1", "\"'\r=1\",2\r\n"},
    {"\n=1", "\"'\n=1\",2\r\n"},
    {"'quoted", "''quoted,2\r\n"},
    {"\xef\xbc\x9d"
     "1",
     "'\xef\xbc\x9d"
     "1,2\r\n"},
    {"\xef\xbc\x8b"
     "1",
     "'\xef\xbc\x8b"
     "1,2\r\n"},
    {"\xef\xbc\x8d"
     "1",
     "'\xef\xbc\x8d"
     "1,2\r\n"},
    {"\xef\xbc\xa0"
     "1",
     "'\xef\xbc\xa0"
     "1,2\r\n"},
};

START_TEST(text_never_becomes_a_formula)
{
    ck_cell(span_of(formulas[_i].text), formulas[_i].cell);
}
END_TEST

START_TEST(signs_inside_text_are_left_alone)
{
    ck_cell(SPAN("a=b+c-d@e'f"), "a=b+c-d@e'f,2\r\n");
}
END_TEST

START_TEST(numbers_stay_numbers)
{
    AUTO_CLEAR(buf) out;
    struct csv c;

    buf_init(&out, OUT);
    csv_init(&c, &out);
    csv_amount(&c, -12300000000);
    csv_amount(&c, (int128)INT64_MAX * 10);
    csv_int(&c, INT64_MIN);
    csv_int(&c, 0);
    csv_row_end(&c);
    ck_assert_str_eq(out.data, "-12.3,92233720368.54775807,-9223372036854775808,0\r\n");
}
END_TEST

START_TEST(rows_follow_each_other)
{
    static const char *const head[] = {"statement", "creator"}, *const empty[] = {"", ""};
    AUTO_CLEAR(buf) out;
    struct csv c;

    buf_init(&out, OUT);
    csv_init(&c, &out);
    csv_row(&c, head, 2);
    csv_row(&c, empty, 2);
    csv_row(&c, empty, 1);
    csv_int(&c, 1);
    csv_row_end(&c);
    ck_assert_str_eq(out.data, "statement,creator\r\n\"\",\r\n\"\"\r\n1\r\n");
}
END_TEST

START_TEST(a_full_buffer_fails_as_a_buffer_does)
{
    AUTO_CLEAR(buf) out;
    struct csv c;
    struct err err;

    buf_init(&out, 8);
    csv_init(&c, &out);
    csv_text(&c, SPAN("much too long"));
    csv_row_end(&c);
    ck_assert(!buf_ok(&out, "statements.csv", &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
}
END_TEST

/* A reader by RFC 4180's grammar alone: takes the next cell from *at and returns the character
 * behind it. */
static char read_cell(const char **at, const char *end, struct buf *cell)
{
    bool is_quoted = *at < end && **at == '"';

    *at += is_quoted;
    for (; *at < end; ++*at) {
        if (is_quoted && **at == '"') {
            if (++*at == end || **at != '"')
                break;
        } else if (!is_quoted && (**at == ',' || **at == '\r')) {
            break;
        }
        buf_add_char(cell, **at);
    }
    ck_assert(*at < end);
    return *(*at)++;
}

START_TEST(random_cells_are_read_back_less_one_apostrophe)
{
    static const char letters[] = "ab\"\",,;\t\r\n =+-@'\xef\xbc\x9d";

    for (int round = 0; round < ROUNDS; round++) {
        char text[CELLS][8];
        size_t len[CELLS];
        AUTO_CLEAR(buf) out;
        struct csv c;
        const char *at;

        buf_init(&out, OUT);
        csv_init(&c, &out);
        for (size_t i = 0; i < CELLS; i++) {
            len[i] = rand_below(sizeof text[i] + 1);
            for (size_t k = 0; k < len[i]; k++)
                text[i][k] = letters[rand_below(sizeof letters - 1)];
            csv_text(&c, (struct span){text[i], len[i]});
        }
        csv_row_end(&c);
        at = out.data;
        for (size_t i = 0; i < CELLS; i++) {
            AUTO_CLEAR(buf) cell;
            struct span read;

            buf_init(&cell, OUT);
            ck_assert_int_eq(read_cell(&at, out.data + out.len, &cell), i + 1 < CELLS ? ',' : '\r');
            read = buf_span(&cell);
            ck_assert(read.len == 0 || !strchr("=+-@\t\r\n", read.data[0]));
            if (read.len > 0 && read.data[0] == '\'')
                read = (struct span){read.data + 1, read.len - 1};
            ck_assert(span_equal(read, (struct span){text[i], len[i]}));
        }
        ck_assert(*at == '\n' && at + 1 == out.data + out.len);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("csv");

    tcase_add_loop_test(tcase, cells_are_quoted_where_they_must_be, 0, ARRAY_LEN(cells));
    tcase_add_loop_test(tcase, text_never_becomes_a_formula, 0, ARRAY_LEN(formulas));
    tcase_add_test(tcase, signs_inside_text_are_left_alone);
    tcase_add_test(tcase, numbers_stay_numbers);
    tcase_add_test(tcase, rows_follow_each_other);
    tcase_add_test(tcase, a_full_buffer_fails_as_a_buffer_does);
    tcase_add_test(tcase, random_cells_are_read_back_less_one_apostrophe);
    return run_tests(tcase, "csv");
}
