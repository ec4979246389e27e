/* cli_doctor.c - looks at the running environment; what is unsafe stands with its remedy. */
#include "gateway/cli_doctor.h"

#include "gateway/cli_print.h"
#include "gateway/doctor.h"

int doctor(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"ABOUT", "about", false},
        {"HEALTH", "health", false},
        {"WHAT IS", "says", false},
        {"REMEDY", "remedy", false},
    };
    AUTO_JSON findings = json_array();
    struct doctor d = {.options = &c->options, .findings = findings};

    if (!cli_read_config(c))
        return CLI_FAILED;
    doctor_look_at_files(&d);
    doctor_look_at_limits(&d);
    doctor_look_at_journal(&d);
    doctor_look_at_archive(&d);
    doctor_look_at_redis(&d);
    cli_print_list(c, findings, columns, ARRAY_LEN(columns), "nothing was found");
    if (d.unsafe)
        return cli_fail(c, "%zu of %zu findings are unsafe", d.unsafe, json_array_size(findings));
    return CLI_DONE;
}
