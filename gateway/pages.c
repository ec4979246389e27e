/* pages.c - a table of names, and one answer for all. */
#include "gateway/pages.h"

#include <stdio.h>

#include "gateway/service.h"
#include "lib/base/crypto.h"

#define HTML   "text/html; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

#define POLICY                                                                              \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src " \
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct page {
    const char *name, *type, *text;
};

static const struct page pages[] = {
    {"icon.svg", "image/svg+xml", page_icon},
    {"style.css", "text/css; charset=utf-8", page_style},
    {"text.js", SCRIPT, page_text},
    {"format.js", SCRIPT, page_format},
    {"dom.js", SCRIPT, page_dom},
    {"chart.js", SCRIPT, page_chart},
    {"api.js", SCRIPT, page_api},
    {"calls.js", SCRIPT, page_calls},
    {"client.js", SCRIPT, page_client},
    {"creator.js", SCRIPT, page_creator},
    {"finance.js", SCRIPT, page_finance},
    {"app.js", SCRIPT, page_app},
};

static void reply_page(struct http_request *r, const struct page *page);

void page_index_get(void *server, struct http_request *r, const struct route_match *match)
{
    (void)server;
    (void)match;
    reply_page(r, &(struct page){"", HTML, page_index});
}

void page_get(void *server, struct http_request *r, const struct route_match *match)
{
    (void)server;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (strcmp(pages[i].name, match->value[0]) == 0) {
            reply_page(r, &pages[i]);
            return;
        }
    reply_problem(r, CALLER_NOT_FOUND, "The console has no page '%s'", match->value[0]);
}

static void reply_page(struct http_request *r, const struct page *page)
{
    struct span text = span_of(page->text);
    char digest[SHA256_HEX], etag[SHA256_HEX + 2];
    const struct http_field fields[] = {
        {"content-type", page->type},          {"etag", etag},
        {"cache-control", "no-cache"},         {"content-security-policy", POLICY},
        {"x-content-type-options", "nosniff"}, {"referrer-policy", "no-referrer"}};
    bool is_known;

    sha256_hex(text.data, text.len, digest);
    snprintf(etag, sizeof etag, "\"%s\"", digest);
    is_known = span_equal(http_header_get(http_request_head(r), "if-none-match"), span_of(etag));
    http_reply(r, is_known ? 304 : 200, fields, ARRAY_LEN(fields), is_known ? SPAN("") : text);
}
