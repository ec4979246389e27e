/* Routes: what a path may match, what its parts may hold, and that no row opens by omission. */
#include <check.h>
#include <stdlib.h>

#include "gateway/api_routes.h"
#include "gateway/console_routes.h"
#include "tests/base/run.h"

static void handle(void *server, struct http_request *r, const struct route_match *match)
{
    (void)server;
    (void)r;
    (void)match;
}

static const struct route table[] = {
    {"GET", "/v1/models", CALLER, 0, false, handle},
    {"GET", "/v1/models/:id+", CALLER, 0, false, handle},
    {"GET", "/v1/usage/:id", CALLER, 0, false, handle},
    {"GET", "/v1/usage/:id/receipt", CALLER, 0, false, handle},
    {"POST", "/v1/usage/:id", CALLER, 0, false, handle},
};

static enum route_result find(const char *method, const char *path, struct route_match *out)
{
    return route_find(table, ARRAY_LEN(table), span_of(method), span_of(path), out);
}

START_TEST(paths_match_segment_by_segment)
{
    struct route_match m;

    ck_assert_int_eq(find("GET", "/v1/models", &m), ROUTE_FOUND);
    ck_assert_ptr_eq(m.route, &table[0]);
    ck_assert_int_eq(find("GET", "/v1/usage/req_1/receipt", &m), ROUTE_FOUND);
    ck_assert_ptr_eq(m.route, &table[3]);
    ck_assert_str_eq(m.value[0], "req_1");
    ck_assert_int_eq(find("GET", "/v1/usage/req_1", &m), ROUTE_FOUND);
    ck_assert_ptr_eq(m.route, &table[2]);
}
END_TEST

START_TEST(a_model_id_may_hold_its_slash_as_itself_or_escaped)
{
    static const char *const paths[] = {"/v1/models/demo/echo", "/v1/models/demo%2Fecho",
                                        "/v1/models/demo%2fecho"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct route_match m;

        ck_assert_int_eq(find("GET", paths[i], &m), ROUTE_FOUND);
        ck_assert_ptr_eq(m.route, &table[1]);
        ck_assert_str_eq(m.value[0], "demo/echo");
    }
}
END_TEST

START_TEST(what_is_not_there_is_told_from_the_wrong_method)
{
    static const char *const absent[] = {"/",
                                         "",
                                         "/v1",
                                         "/v1/models/",
                                         "/v1/modelsx",
                                         "/v1/usage//receipt",
                                         "/v1/usage/a/b",
                                         "v1/models",
                                         "/V1/models"};
    struct route_match m;

    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        ck_assert_msg(find("GET", absent[i], &m) == ROUTE_NO_PATH, "%s was found", absent[i]);
    ck_assert_int_eq(find("DELETE", "/v1/models", &m), ROUTE_WRONG_METHOD);
    ck_assert_int_eq(find("get", "/v1/models", &m), ROUTE_WRONG_METHOD);
}
END_TEST

START_TEST(the_methods_of_a_path_are_named)
{
    char out[ROUTE_METHODS_TEXT];

    ck_assert_str_eq(route_methods(table, ARRAY_LEN(table), SPAN("/v1/usage/req_1"), out),
                     "GET, POST");
    ck_assert_str_eq(route_methods(table, ARRAY_LEN(table), SPAN("/v1/models"), out), "GET");
    ck_assert_str_eq(route_methods(table, ARRAY_LEN(table), SPAN("/none"), out), "");
}
END_TEST

START_TEST(malformed_escapes_and_nul_are_refused)
{
    static const char *const bad[] = {"/v1/usage/%", "/v1/usage/%2", "/v1/usage/%zz",
                                      "/v1/usage/a%00b", "/v1/usage/%2g"};
    struct route_match m;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(find("GET", bad[i], &m) == ROUTE_BAD_PATH, "%s was not refused", bad[i]);
}
END_TEST

START_TEST(a_part_that_does_not_fit_is_refused_not_cut)
{
    char path[ROUTE_PARAM_TEXT + 32] = "/v1/usage/";
    size_t head = strlen(path);
    struct route_match m;

    memset(path + head, 'x', ROUTE_PARAM_TEXT - 1);
    path[head + ROUTE_PARAM_TEXT - 1] = '\0';
    ck_assert_int_eq(find("GET", path, &m), ROUTE_FOUND);
    ck_assert_uint_eq(strlen(m.value[0]), ROUTE_PARAM_TEXT - 1);
    memset(path + head, 'x', ROUTE_PARAM_TEXT);
    path[head + ROUTE_PARAM_TEXT] = '\0';
    ck_assert_int_eq(find("GET", path, &m), ROUTE_BAD_PATH);
}
END_TEST

START_TEST(query_parameters_are_found_whole_and_decoded)
{
    char out[16];

    ck_assert_int_eq(query_get(SPAN("a=1&limit=20&b="), "limit", out, sizeof out), QUERY_FOUND);
    ck_assert_str_eq(out, "20");
    ck_assert_int_eq(query_get(SPAN("q=a+b%2Bc"), "q", out, sizeof out), QUERY_FOUND);
    ck_assert_str_eq(out, "a b+c");
    ck_assert_int_eq(query_get(SPAN("b="), "b", out, sizeof out), QUERY_FOUND);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(query_get(SPAN("xlimit=1&limits=2"), "limit", out, sizeof out), QUERY_ABSENT);
    ck_assert_int_eq(query_get(SPAN(""), "limit", out, sizeof out), QUERY_ABSENT);
    ck_assert_int_eq(query_get(SPAN("limit=12345678901234567890"), "limit", out, sizeof out),
                     QUERY_BAD);
    ck_assert_int_eq(query_get(SPAN("limit=%zz"), "limit", out, sizeof out), QUERY_BAD);
}
END_TEST

START_TEST(a_row_without_access_or_handler_refuses_to_start)
{
    struct route rows[] = {{"GET", "/a", ANYONE, 0, false, handle},
                           {"GET", "/b", ACCESS_UNSTATED, 0, false, handle}};
    struct err err;

    ck_assert(route_table_is_complete(rows, 1, &err));
    ck_assert(!route_table_is_complete(rows, 2, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/b"));
    rows[1] = (struct route){"GET", "/c", ANYONE, 0, false, NULL};
    ck_assert(!route_table_is_complete(rows, 2, &err));
}
END_TEST

START_TEST(every_table_of_the_product_is_complete)
{
    struct err err;

    ck_assert(route_table_is_complete(api_routes, api_route_count, &err));
    ck_assert(route_table_is_complete(console_routes, console_route_count, &err));
    ck_assert(route_table_is_complete(admin_routes, admin_route_count, &err));
    for (size_t i = 0; i < admin_route_count; i++)
        ck_assert_int_eq(admin_routes[i].access, LOCAL);
    for (size_t i = 0; i < api_route_count; i++)
        ck_assert_int_ne(api_routes[i].access, LOCAL);
    for (size_t i = 0; i < console_route_count; i++)
        ck_assert_int_ne(console_routes[i].access, LOCAL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("routes");

    tcase_add_test(t, paths_match_segment_by_segment);
    tcase_add_test(t, a_model_id_may_hold_its_slash_as_itself_or_escaped);
    tcase_add_test(t, what_is_not_there_is_told_from_the_wrong_method);
    tcase_add_test(t, the_methods_of_a_path_are_named);
    tcase_add_test(t, malformed_escapes_and_nul_are_refused);
    tcase_add_test(t, a_part_that_does_not_fit_is_refused_not_cut);
    tcase_add_test(t, query_parameters_are_found_whole_and_decoded);
    tcase_add_test(t, a_row_without_access_or_handler_refuses_to_start);
    tcase_add_test(t, every_table_of_the_product_is_complete);
    return run_tests(t, "route");
}
