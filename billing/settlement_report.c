/* settlement_report.c - what a person or a program is told after settling; the figures are those
 * of the files. */
#include "billing/settlement_report.h"

#include "billing/bundle.h"
#include "billing/settlement.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

static const char *state_words(const struct settlement_report *r);
static void text_statements(const struct settlement_report *r, struct buf *out);
static void text_totals(const json_t *trailer, struct buf *out);
static void text_lists(const struct settlement_report *r, struct buf *out);
static const char *plural(uint64_t n);
static const char *member(const json_t *object, const char *name);
static void json_statements(const struct settlement_report *r, struct jw *w);
static void json_lists(const struct settlement_report *r, struct jw *w);
static void json_writer(const struct settlement_writer *writer, struct jw *w);

const char *settlement_state_name(enum settlement_state s)
{
    static const char *const names[] = {"open", "over", "closed"};

    return names[s];
}

void settlement_report_clear(struct settlement_report *r)
{
    free(r->dir);
    json_decref(r->statements);
    reasons_clear(&r->reasons);
    free(r->periods);
    free(r->writers);
    *r = (struct settlement_report){0};
}

bool settlement_report_load(struct settlement_report *r, const char *dir, const char *shown_dir,
                            struct err *err)
{
    AUTO_STRING path = path_join(dir, bundle_file_name(BUNDLE_STATEMENTS_JSONL));
    AUTO_CLEAR(buf) text = {.max = BUNDLE_TEXT_MAX};
    AUTO_JSON list = json_array();
    const char *line, *end;

    if (!file_read(path, &text, err))
        return false;
    for (line = buf_span(&text).data; (end = strchr(line, '\n')); line = end + 1) {
        json_t *row = json_parse((struct span){line, (size_t)(end - line)}, err);

        if (!row || json_array_append_new(list, row) != 0)
            return err_context(err, "%s", path);
    }
    json_decref(r->statements);
    r->statements = KEEP(list);
    if (shown_dir) {
        free(r->dir);
        r->dir = xstrdup(shown_dir);
    }
    return true;
}

void settlement_report_text(const struct settlement_report *r, struct buf *out)
{
    buf_printf(out, "%s %s%s%s%s\n", r->period.text, state_words(r),
               r->was_kept ? " (kept bytes)" : "", r->dir ? ": " : "", r->dir ? r->dir : "");
    text_statements(r, out);
    text_lists(r, out);
    if (r->writer_count == 0 && r->state != SETTLEMENT_CLOSED && r->reasons.count == 0)
        buf_printf(out,
                   "  nothing was metered: no process of this installation wrote calls by then\n");
    if (r->reasons.count > 0)
        buf_printf(out, "it cannot be closed now:\n");
    for (size_t i = 0; i < r->reasons.kept; i++)
        buf_printf(out, "  - %s\n", r->reasons.sentence[i]);
    if (r->reasons.count > r->reasons.kept)
        buf_printf(out, "  - and %zu more\n", r->reasons.count - r->reasons.kept);
}

static const char *state_words(const struct settlement_report *r)
{
    static const char *const words[] = {"is open", "is over, but not closed", "is closed"};

    return clock_now() < period_start(r->period) ? "has not begun" : words[r->state];
}

static void text_statements(const struct settlement_report *r, struct buf *out)
{
    json_t *row;
    size_t i;

    json_array_foreach(r->statements, i, row)
    {
        if (!json_object_get(row, "statement")) {
            text_totals(row, out);
            continue;
        }
        buf_printf(out,
                   "  %s  %-24s %s  opening %s  earned %s  refunds %s  payout %s  closing %s\n",
                   member(row, "statement"), member(row, "creator"), member(row, "currency"),
                   member(row, "opening"), member(row, "earned"), member(row, "refunds"),
                   member(row, "payout"), member(row, "closing"));
    }
}

static void text_totals(const json_t *trailer, struct buf *out)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(trailer, "totals"), i, row) buf_printf(
        out,
        "  all creators: %s gross %s  earned %s  refunds %s  platform %s  payout %s  closing %s\n",
        member(row, "currency"), member(row, "gross"), member(row, "earned"),
        member(row, "refunds"), member(row, "platform"), member(row, "payout"),
        member(row, "closing"));
}

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "?";
}

static void text_lists(const struct settlement_report *r, struct buf *out)
{
    for (size_t i = 0; i < r->period_count; i++)
        buf_printf(out, "  period %s  %-6s  %llu event%s\n", r->periods[i].period.text,
                   settlement_state_name(r->periods[i].state),
                   (unsigned long long)r->periods[i].events, plural(r->periods[i].events));
    for (size_t i = 0; i < r->writer_count; i++)
        buf_printf(out, "  writer %s since %s  %s  %llu segment%s  %llu record%s  %llu event%s\n",
                   r->writers[i].writer, r->writers[i].first_period.text,
                   r->writers[i].is_sealed ? "sealed" : "not sealed",
                   (unsigned long long)r->writers[i].segments, plural(r->writers[i].segments),
                   (unsigned long long)r->writers[i].records, plural(r->writers[i].records),
                   (unsigned long long)r->writers[i].events, plural(r->writers[i].events));
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

void settlement_report_json(const struct settlement_report *r, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "period", r->period.text);
    jw_string_member(w, "state", settlement_state_name(r->state));
    jw_bool_member(w, "kept", r->was_kept);
    jw_key(w, "dir");
    if (r->dir)
        jw_string(w, r->dir);
    else
        jw_null(w);
    json_statements(r, w);
    json_lists(r, w);
    jw_key(w, "reasons");
    reasons_write(&r->reasons, w);
    jw_object_end(w);
}

/* The lines of statements.jsonl under "statements", the trailer's totals under "totals". */
static void json_statements(const struct settlement_report *r, struct jw *w)
{
    AUTO_CLEAR(buf) text = {.max = BUNDLE_TEXT_MAX};
    json_t *row, *totals = NULL;
    size_t i;

    jw_key(w, "statements");
    jw_array(w);
    json_array_foreach(r->statements, i, row)
    {
        if (!json_object_get(row, "statement")) {
            totals = json_object_get(row, "totals");
            continue;
        }
        buf_truncate(&text, 0);
        json_dump(row, &text);
        jw_raw(w, buf_span(&text));
    }
    jw_array_end(w);
    if (!totals)
        return;
    buf_truncate(&text, 0);
    json_dump(totals, &text);
    jw_key(w, "totals");
    jw_raw(w, buf_span(&text));
}

static void json_lists(const struct settlement_report *r, struct jw *w)
{
    jw_key(w, "periods");
    jw_array(w);
    for (size_t i = 0; i < r->period_count; i++) {
        jw_object(w);
        jw_string_member(w, "period", r->periods[i].period.text);
        jw_string_member(w, "state", settlement_state_name(r->periods[i].state));
        jw_int_member(w, "events", (int64_t)r->periods[i].events);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_key(w, "writers");
    jw_array(w);
    for (size_t i = 0; i < r->writer_count; i++)
        json_writer(&r->writers[i], w);
    jw_array_end(w);
}

static void json_writer(const struct settlement_writer *writer, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "writer", writer->writer);
    jw_string_member(w, "first_period", writer->first_period.text);
    jw_bool_member(w, "sealed", writer->is_sealed);
    jw_int_member(w, "segments", (int64_t)writer->segments);
    jw_int_member(w, "records", (int64_t)writer->records);
    jw_int_member(w, "events", (int64_t)writer->events);
    jw_object_end(w);
}
