/* openai_request.c - a body is never parsed to a tree to be passed on: a 400 kB prompt must cost about as much as copying
 * it, and numbers and escapes must reach the provider as the caller wrote them. The surface found the values; here they
 * become at most five edits, applied in one copy. */
#include "backends/openai_request.h"

#include <assert.h>
#include <stdio.h>

#include "lib/base/jscan.h"
#include "lib/base/json.h"
#include "lib/base/text.h"

#define EDITS_MAX 5
#define EDIT_ROOM 128 /* for the inserted bytes, beside the model's name */

/* Bytes [start, end) of the body become `text`, which points into the list's own buffer. */
struct edit {
    size_t start, end;
    size_t text_at, text_len;
};

struct edits {
    struct span body;
    struct buf text;
    size_t count;
    struct edit list[EDITS_MAX]; /* by rising start */
};

static bool asks_usage(const struct backend_request *r);
static void set_model(struct edits *e, const struct backend_request *r);
static void set_cap(struct edits *e, const struct backend_request *r);
static bool want_usage(struct edits *e, const struct backend_request *r, struct err *err);
static bool want_usage_in(struct edits *e, struct span options, struct err *err);
static void insert_member(struct edits *e, struct span object, struct span member, bool is_only);
static void replace(struct edits *e, struct span old, struct span text);
static void add_edit(struct edits *e, struct span old, size_t text_at);
static bool apply(const struct edits *e, struct buf *out, struct err *err);

bool openai_request_edit(const struct backend_request *request, struct buf *out, struct span *body,
                         struct err *err)
{
    struct edits e = {.body = request->body};
    bool done;

    buf_init(out, request->body.len + 6 * strlen(request->model) + EDIT_ROOM);
    buf_init(&e.text, 6 * strlen(request->model) + EDIT_ROOM);
    set_model(&e, request);
    set_cap(&e, request);
    done = (!asks_usage(request) || want_usage(&e, request, err)) &&
           buf_ok(&e.text, "the changes to a request", err) && apply(&e, out, err);
    buf_clear(&e.text);
    if (done)
        *body = e.count ? buf_span(out) : request->body;
    return done;
}

/* Anthropic's streams always state it. */
static bool asks_usage(const struct backend_request *r)
{
    return r->stream && r->dialect != DIALECT_ANTHROPIC_MESSAGES;
}

static void set_model(struct edits *e, const struct backend_request *r)
{
    size_t text_at = e->text.len;
    struct jw w;

    jw_init(&w, &e->text);
    jw_string(&w, r->model);
    add_edit(e, r->model_value, text_at);
}

/* A value that is no plain integer (null, 1e3) says nothing that could be compared, so the cap takes its place. */
static void set_cap(struct edits *e, const struct backend_request *r)
{
    char text[48];
    int64_t stated;

    if (r->output_cap <= 0)
        return;
    if (r->cap_value.data && int64_parse(r->cap_value, &stated) && stated <= r->output_cap)
        return;
    snprintf(text, sizeof text, "%s%lld",
             r->cap_value.data ? "" : "\"max_tokens\":", (long long)r->output_cap);
    if (r->cap_value.data)
        replace(e, r->cap_value, span_of(text));
    else
        insert_member(e, r->body, span_of(text), false);
}

static bool want_usage(struct edits *e, const struct backend_request *r, struct err *err)
{
    struct span options = r->stream_options;

    if (!options.data)
        insert_member(e, r->body, SPAN("\"stream_options\":{\"include_usage\":true}"), false);
    else if (span_equal(options, SPAN("null")))
        replace(e, options, SPAN("{\"include_usage\":true}"));
    else
        return want_usage_in(e, options, err);
    return true;
}

/* The caller's other options (include_obfuscation …) stay. */
static bool want_usage_in(struct edits *e, struct span options, struct err *err)
{
    static const char *const paths[] = {"include_usage"};
    AUTO(jscan) scanner = jscan_new(paths, ARRAY_LEN(paths));
    const struct jscan_hit *hit = jscan_get(scanner, 0);
    const char *first = options.data + 1;

    if (options.len == 0 || options.data[0] != '{')
        return err_set(err, ERR_INPUT, "\"stream_options\" must be an object");
    if (jscan_feed(scanner, options.data, options.len, err) == JSCAN_BAD ||
        !jscan_end(scanner, err))
        return err_context(err, "\"stream_options\"");
    if (hit->seen > 1)
        return err_set(err, ERR_INPUT, "\"include_usage\" is given twice in \"stream_options\"");
    if (hit->seen) {
        replace(e, (struct span){options.data + hit->start, (size_t)(hit->end - hit->start)},
                SPAN("true"));
        return true;
    }
    first += strspn(first, " \t\r\n"); /* ends at the brace at the latest: it is valid JSON */
    insert_member(e, options, SPAN("\"include_usage\":true"), *first == '}');
    return true;
}

/* As the first member, since an object's start is known without a search. */
static void insert_member(struct edits *e, struct span object, struct span member, bool is_only)
{
    const char *at = memchr(object.data, '{', object.len);
    size_t text_at = e->text.len;

    assert(at);
    buf_add_span(&e->text, member);
    if (!is_only)
        buf_add_char(&e->text, ',');
    add_edit(e, (struct span){at + 1, 0}, text_at);
}

static void replace(struct edits *e, struct span old, struct span text)
{
    size_t text_at = e->text.len;

    buf_add_span(&e->text, text);
    add_edit(e, old, text_at);
}

/* The text is what was appended since text_at. What changes nothing is no edit. */
static void add_edit(struct edits *e, struct span old, size_t text_at)
{
    size_t start = (size_t)(old.data - e->body.data), i = e->count;
    struct span text = {e->text.data + text_at, e->text.len - text_at};

    assert(start + old.len <= e->body.len && e->count < EDITS_MAX);
    if (e->text.failed || span_equal(old, text))
        return;
    for (; i > 0 && e->list[i - 1].start > start; i--)
        e->list[i] = e->list[i - 1];
    e->list[i] = (struct edit){start, start + old.len, text_at, text.len};
    e->count++;
}

static bool apply(const struct edits *e, struct buf *out, struct err *err)
{
    size_t at = 0;

    if (e->count == 0)
        return true;
    for (size_t i = 0; i < e->count; i++) {
        const struct edit *edit = &e->list[i];

        buf_add(out, e->body.data + at, edit->start - at);
        buf_add(out, e->text.data + edit->text_at, edit->text_len);
        at = edit->end;
    }
    buf_add(out, e->body.data + at, e->body.len - at);
    return buf_ok(out, "the request for the backend", err);
}
