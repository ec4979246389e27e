/* cli_print.h - results for people (aligned columns) and for programs (JSON, one object a line). */
#ifndef TOLLGATE_GATEWAY_CLI_PRINT_H
#define TOLLGATE_GATEWAY_CLI_PRINT_H

#include "gateway/cli.h"
#include "lib/base/json.h"

struct cli_column {
    const char *title;
    const char *member; /* of a row; "totals.amount" is a member's member */
    bool is_number;     /* stands at the right */
};

/* An array of objects; `none` is said on stderr when it is empty. */
void cli_print_list(const struct cli *c, const json_t *rows, const struct cli_column *columns,
                    size_t count, const char *none);
/* One object: a line for each column whose member it has. */
void cli_print_object(const struct cli *c, const json_t *object, const struct cli_column *columns,
                      size_t count);
/* The object as a line of JSON, whatever the command was asked for. */
void cli_print_json(const json_t *value);

#endif
