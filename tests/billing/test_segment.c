/* Frames and the records that begin a segment: what was written is read, and nothing else is taken for it. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "billing/seal.h"
#include "billing/segment.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define WRITER "w-0123456789abcdef"

static char *dir;

static void set_up(void)
{
    char name[] = "/tmp/tollgate-segment-XXXXXX";

    ck_assert(mkdtemp(name) && clock_set_zone("Asia/Shanghai", NULL));
    dir = xstrdup(name);
}

static void tear_down(void)
{
    size_t count;
    char **names;

    ck_assert(dir_list(dir, &names, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING path = path_join(dir, names[i]);

        unlink(path);
    }
    dir_names_free(names, count);
    rmdir(dir);
    free(dir);
}

static struct segment_header make_header(uint64_t number, uint64_t position)
{
    struct segment_header h = {.installation = "inst-1",
                               .writer = WRITER,
                               .segment = number,
                               .position = position,
                               .open_position = position / 2,
                               .at = INT64_C(1792483200123000000),
                               .totals = {.period = {"2026-10"}, .records = 9, .events = 7}};

    ck_assert(writer_totals_add(&h.totals, &(struct money){-5, "CNY"}, NULL));
    ck_assert(writer_totals_add(&h.totals, &(struct money){INT64_MAX, "USD"}, NULL));
    ck_assert(writer_totals_add_refund(&h.totals, &(struct money){7, "USD"}, NULL));
    ck_assert(writer_totals_add_refund(&h.totals, &(struct money){11, "JPY"}, NULL));
    h.totals.refunds = 2;
    ck_assert(writer_totals_add(&h.totals, &(struct money){INT64_MAX, "USD"}, NULL));
    h.heads.at[SIDE_ACCOUNT][17] = (struct record_cursor){1234, 0xdeadbeef};
    h.heads.at[SIDE_MODEL][63] = (struct record_cursor){1, 1};
    return h;
}

static bool same_totals(const struct writer_totals *a, const struct writer_totals *b)
{
    return writer_totals_equal(a, b) && period_compare(a->period, b->period) == 0;
}

START_TEST(totals_are_equal_only_when_every_figure_is)
{
    struct segment_header h = make_header(1, 0);
    struct writer_totals other = h.totals;

    ck_assert(writer_totals_equal(&other, &h.totals));
    other.refunds++;
    ck_assert(!writer_totals_equal(&other, &h.totals));
    other = h.totals;
    other.sum[1].refunded++;
    ck_assert(!writer_totals_equal(&other, &h.totals));
    other = h.totals;
    other.sum[1].nanos++;
    ck_assert(!writer_totals_equal(&other, &h.totals));
    other = h.totals;
    other.currency_count--;
    ck_assert(!writer_totals_equal(&other, &h.totals));
}
END_TEST

START_TEST(a_header_reads_as_it_was_written)
{
    struct segment_header h = make_header(3, 1000), back;
    AUTO_CLEAR(buf) json;
    struct err err;

    buf_init(&json, SEGMENT_HEADER_MAX);
    ck_assert(segment_header_write(&h, &json));
    ck_assert_msg(segment_header_parse(buf_span(&json), &back, &err), "%s", err.text);
    ck_assert_str_eq(back.installation, h.installation);
    ck_assert_str_eq(back.writer, h.writer);
    ck_assert_uint_eq(back.segment, 3);
    ck_assert_uint_eq(back.position, 1000);
    ck_assert_uint_eq(back.open_position, 500);
    ck_assert_int_eq(back.at, h.at);
    ck_assert(same_totals(&back.totals, &h.totals));
    ck_assert(record_heads_equal(&back.heads, &h.heads));
}
END_TEST

START_TEST(the_largest_header_and_seal_fit_their_room)
{
    static const char *const codes =
        "AED AUD BRL CAD CHF CNY EUR GBP HKD INR JPY KRW MXN SGD USD ZAR";
    struct segment_header h = make_header(UINT32_MAX, INT64_MAX);
    struct seal seal = {.writer = WRITER, .at = h.at};
    AUTO_CLEAR(buf) json;

    for (size_t i = 0; i < strlen(codes); i += 4) {
        struct money m = {INT64_MIN + 1, ""};

        memcpy(m.currency, codes + i, 3);
        ck_assert(writer_totals_add(&h.totals, &m, NULL));
        ck_assert(writer_totals_add_refund(&h.totals, &m, NULL));
    }
    while (h.totals.currency_count < TOTALS_CURRENCIES) {
        h.totals.sum[h.totals.currency_count] = h.totals.sum[3];
        h.totals.currency_count++;
    }
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            h.heads.at[side][i] = (struct record_cursor){INT64_MAX, UINT32_MAX};
    buf_init(&json, SEGMENT_HEADER_MAX - FRAME_HEAD);
    ck_assert(segment_header_write(&h, &json));
    buf_truncate(&json, 0);
    seal.totals = h.totals;
    seal.heads = h.heads;
    ck_assert(seal_write(&seal, &json));
    ck_assert_uint_lt(json.len + 200, SEGMENT_HEADER_MAX - FRAME_HEAD);
}
END_TEST

START_TEST(a_seal_reads_as_it_was_written)
{
    struct segment_header h = make_header(1, 0);
    struct seal seal = {.writer = WRITER, .at = h.at, .totals = h.totals, .heads = h.heads}, back;
    AUTO_CLEAR(buf) body;
    AUTO_CLEAR(buf) line;
    struct err err;

    buf_init(&body, SEGMENT_HEADER_MAX);
    buf_init(&line, SEGMENT_HEADER_MAX);
    ck_assert(seal_write(&seal, &body));
    ck_assert(record_compose(&line, RECORD_SEAL, WRITER, NULL, buf_span(&body)));
    ck_assert_msg(seal_parse(buf_span(&line), &back, &err), "%s", err.text);
    ck_assert_str_eq(back.writer, WRITER);
    ck_assert_int_eq(back.at, seal.at);
    ck_assert(same_totals(&back.totals, &seal.totals));
    ck_assert(record_heads_equal(&back.heads, &seal.heads));
    ck_assert(strstr(
        line.data,
        "\"sums\":{\"CNY\":\"-0.000000005\",\"USD\":\"18446744073.709551614\",\"JPY\":\"0\"},"
        "\"refunded\":{\"CNY\":\"0\",\"USD\":\"0.000000007\",\"JPY\":\"0.000000011\"}"));
}
END_TEST

START_TEST(malformed_totals_are_refused)
{
    static const char *const bad[] = {
        "{\"records\":1,\"events\":1}",
        "{\"records\":-1,\"events\":1,\"sums\":{}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":1}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"XXX\":\"1\"}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":\"\"}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":\"-\"}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":\"1.\"}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":\"1.0000000001\"}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":\"1.1.1\"}}",
        "{\"records\":1,\"events\":1,\"sums\":{\"CNY\":\"1e3\"}}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_JSON object = json_parse(span_of(bad[i]), NULL);
        struct writer_totals t = {0};

        ck_assert_msg(!writer_totals_parse(object, &t, NULL), "%s", bad[i]);
    }
}
END_TEST

START_TEST(a_sync_record_reads_as_it_was_written_and_fits_its_room)
{
    static const uint64_t positions[] = {0, 1, 1234567, INT64_MAX};

    for (size_t i = 0; i < ARRAY_LEN(positions); i++) {
        AUTO_CLEAR(buf) json;
        uint64_t back;

        buf_init(&json, 100);
        ck_assert(sync_record_write(positions[i], &json));
        ck_assert_uint_le(FRAME_HEAD + json.len, SYNC_FRAME_MAX);
        ck_assert(sync_record_parse(buf_span(&json), &back, NULL));
        ck_assert_uint_eq(back, positions[i]);
    }
}
END_TEST

static void add_frame(struct buf *out, struct span json, uint64_t position)
{
    size_t at = out->len;

    ck_assert(frame_add(out, json));
    frame_place(out->data + at, position);
}

START_TEST(a_frame_is_read_only_whole_and_where_it_belongs)
{
    AUTO_CLEAR(buf) bytes;
    struct frame frame;
    size_t size;
    bool ended;

    buf_init(&bytes, 1000);
    add_frame(&bytes, SPAN("{\"kind\":\"sync\",\"synced\":5}"), 77);
    ck_assert_int_eq(frame_read(buf_span(&bytes), 77, &frame, &size, &ended, NULL), 1);
    ck_assert_uint_eq(size, bytes.len);
    ck_assert_uint_eq(frame.position, 77);
    ck_assert(span_equal(frame.json, SPAN("{\"kind\":\"sync\",\"synced\":5}")));
    ck_assert_uint_eq(frame.crc, frame_crc(bytes.data));
    ck_assert_int_eq(frame_read(buf_span(&bytes), 78, &frame, &size, &ended, NULL), -1);
    for (size_t n = 0; n < bytes.len; n++) {
        ck_assert_int_eq(frame_read((struct span){bytes.data, n}, 77, &frame, &size, &ended, NULL),
                         0);
        ck_assert(!ended);
    }
}
END_TEST

START_TEST(any_bit_changed_in_a_frame_is_found)
{
    AUTO_CLEAR(buf) bytes;

    buf_init(&bytes, 1000);
    add_frame(&bytes, SPAN("{\"kind\":\"sync\",\"synced\":5}"), 77);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        struct frame frame;
        size_t size;
        bool ended;

        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
        ck_assert_int_ne(frame_read(buf_span(&bytes), 77, &frame, &size, &ended, NULL), 1);
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
    }
}
END_TEST

static char *write_segment(uint64_t number, uint64_t position, bool sealed, unsigned frames,
                           size_t zeros)
{
    char *path = segment_path(dir, number, sealed);
    struct segment_header h = make_header(number, position);
    static const char nothing[4096];
    AUTO_CLEAR(buf) bytes;
    AUTO_CLEAR(buf) json;

    buf_init(&bytes, 1 << 24);
    buf_init(&json, SEGMENT_HEADER_MAX);
    segment_header_write(&h, &json);
    add_frame(&bytes, buf_span(&json), position);
    for (unsigned i = 0; i < frames; i++) {
        buf_truncate(&json, 0);
        buf_printf(&json, "{\"kind\":\"sync\",\"synced\":%u}", i);
        for (unsigned k = 0; k < i * 97 % 5000; k++)
            buf_add_char(&json, ' ');
        add_frame(&bytes, buf_span(&json), position + bytes.len);
    }
    buf_add(&bytes, nothing, zeros);
    ck_assert(file_write_atomic(path, 0600, buf_span(&bytes), NULL));
    return path;
}

START_TEST(a_reader_returns_every_frame_and_then_the_end)
{
    for (size_t zeros = 0; zeros <= 40; zeros += 20) {
        AUTO_STRING path = write_segment(1, 5000, true, 300, zeros);
        AUTO(segment_reader) r = segment_reader_open(path, 5000, NULL);
        struct frame frame;
        unsigned n = 0;
        struct err err;
        int got;

        while ((got = segment_reader_next(r, &frame, &err)) == 1)
            n++;
        ck_assert_int_eq(got, 0);
        ck_assert_uint_eq(n, 301);
        ck_assert_int_eq(segment_reader_next(r, &frame, &err), 0);
    }
}
END_TEST

START_TEST(a_reader_never_looks_beyond_its_limit_and_sees_what_grows)
{
    AUTO_STRING path = write_segment(1, 0, false, 0, 4096);
    AUTO(segment_reader) r = segment_reader_open(path, 0, NULL);
    AUTO_CLEAR(buf) bytes;
    struct frame frame;
    uint64_t first;
    int fd = open(path, O_WRONLY);

    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 1);
    first = segment_reader_position(r);
    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 0);
    buf_init(&bytes, 4096);
    add_frame(&bytes, SPAN("{\"kind\":\"sync\",\"synced\":1}"), first);
    add_frame(&bytes, SPAN("{\"kind\":\"sync\",\"synced\":2}"), first + bytes.len);
    segment_reader_limit(r, first);
    ck_assert(pwrite(fd, bytes.data, bytes.len - 5, (off_t)first) > 0);
    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 0);
    segment_reader_limit(r, first + bytes.len / 2);
    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 1);
    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 0);
    ck_assert(pwrite(fd, bytes.data, bytes.len, (off_t)first) > 0);
    segment_reader_limit(r, first + bytes.len);
    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 1);
    ck_assert_int_eq(segment_reader_next(r, &frame, NULL), 0);
    close(fd);
}
END_TEST

START_TEST(a_file_cut_inside_a_frame_is_corrupt)
{
    AUTO_STRING path = write_segment(1, 0, true, 1, 0);
    struct stat st;
    struct frame frame;
    struct err err;

    ck_assert(stat(path, &st) == 0);
    for (off_t size = st.st_size - 1; size > st.st_size - 30; size--) {
        AUTO(segment_reader) r = NULL;

        ck_assert(truncate(path, size) == 0);
        r = segment_reader_open(path, 0, NULL);
        ck_assert_int_eq(segment_reader_next(r, &frame, &err), 1);
        ck_assert_int_eq(segment_reader_next(r, &frame, &err), -1);
        ck_assert_int_eq(err.code, ERR_CORRUPT);
        ck_assert_msg(strstr(err.text, "offset"), "%s", err.text);
    }
}
END_TEST

START_TEST(a_list_has_the_segments_in_order_and_nothing_else)
{
    AUTO_STRING first = write_segment(9, 0, true, 3, 0);
    AUTO_STRING second = write_segment(10, 4000, true, 3, 0);
    AUTO_STRING third = write_segment(11, 9000, false, 0, 4096);
    AUTO_STRING other = path_join(dir, "spare-1");
    AUTO_STRING longer = path_join(dir, "000000009.seg");
    struct segment_file *files;
    size_t count;
    struct err err;

    ck_assert(file_write_atomic(other, 0600, SPAN("x"), NULL));
    ck_assert(file_write_atomic(longer, 0600, SPAN("x"), NULL));
    ck_assert_msg(segment_list(dir, &files, &count, &err), "%s", err.text);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(files[i].number, 9 + i);
        ck_assert_int_eq(files[i].sealed, i < 2);
    }
    ck_assert_uint_eq(files[1].position, 4000);
    ck_assert_uint_eq(files[2].position, 9000);
    segment_list_free(files, count);
}
END_TEST

START_TEST(a_list_with_a_spoilt_beginning_is_corrupt)
{
    AUTO_STRING path = write_segment(9, 0, true, 3, 0);
    struct segment_file *files;
    size_t count;
    struct err err;
    int fd = open(path, O_WRONLY);

    ck_assert(pwrite(fd, "x", 1, 40) == 1);
    close(fd);
    ck_assert(!segment_list(dir, &files, &count, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert(truncate(path, 10) == 0);
    ck_assert(!segment_list(dir, &files, &count, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("segment");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_header_reads_as_it_was_written);
    tcase_add_test(t, totals_are_equal_only_when_every_figure_is);
    tcase_add_test(t, the_largest_header_and_seal_fit_their_room);
    tcase_add_test(t, a_seal_reads_as_it_was_written);
    tcase_add_test(t, malformed_totals_are_refused);
    tcase_add_test(t, a_sync_record_reads_as_it_was_written_and_fits_its_room);
    tcase_add_test(t, a_frame_is_read_only_whole_and_where_it_belongs);
    tcase_add_test(t, any_bit_changed_in_a_frame_is_found);
    tcase_add_test(t, a_reader_returns_every_frame_and_then_the_end);
    tcase_add_test(t, a_reader_never_looks_beyond_its_limit_and_sees_what_grows);
    tcase_add_test(t, a_file_cut_inside_a_frame_is_corrupt);
    tcase_add_test(t, a_list_has_the_segments_in_order_and_nothing_else);
    tcase_add_test(t, a_list_with_a_spoilt_beginning_is_corrupt);
    return run_tests(t, "segment");
}
