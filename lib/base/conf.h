/* conf.h - options as a table: name, type, default, bounds and the sentence that documents each.
 * The table is the single source: libconfuse reads by it, `tollgate check` speaks by it, conf/tollgate.conf and the
 * manual are printed from it. */
#ifndef TOLLGATE_BASE_CONF_H
#define TOLLGATE_BASE_CONF_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

enum conf_type {
    CONF_STRING,   /* char *          */
    CONF_INT,      /* int64_t         */
    CONF_BOOL,     /* bool            */
    CONF_BYTES,    /* int64_t; "16 KiB", "32 MiB", or a plain number of bytes */
    CONF_DURATION, /* int64_t, milliseconds; "250 ms", "10 s", "5 min", "24 h" */
};

struct conf_option {
    const char *name;
    enum conf_type type;
    const char *
        initial; /* the default, as it would be written in the file; null: no default, may be absent */
    int64_t min, max;  /* for the numeric types */
    size_t offset;     /* of the field in the caller's struct */
    const char *about; /* one or more sentences */
};

/* Options that may stand several times with a title: backend "name" { … }. Their values are appended to an array. */
struct conf_section {
    const char *name;
    const struct conf_option *options;
    size_t option_count;
    size_t item_size;    /* of one struct; its first member is `char *title` */
    size_t array_offset; /* of `void *` items in the caller's struct */
    size_t count_offset; /* of `size_t` */
    const char *about;
};

struct conf_table {
    const struct conf_option *options;
    size_t option_count;
    const struct conf_section *sections;
    size_t section_count;
};

struct conf_place {
    char *title; /* of the section; null: outside of all */
    const char *name;
    int line;
};
struct conf_places { /* all zero to begin with */
    size_t count;
    struct conf_place *at;
};
/* Reads `path` into the struct at `out` (zeroed by the caller; its strings are freed by conf_clear()), and remembers in
 * `places`, unless that is null, where each option was set, for checks that can only be made when all is read. On failure
 * `problems` has every mistake, one "file:line: sentence" a line, and `out` what could be read nevertheless, with defaults
 * for the rest, or is all zero when nothing could. */
bool conf_read(const struct conf_table *table, const char *path, void *out,
               struct conf_places *places, struct buf *problems) MUST_USE;
/* The line on which the option was set; `name` null: the section's first option, or where an empty
 * section begins. 0: nowhere, the default stands. */
int conf_places_line(const struct conf_places *places, const char *title, const char *name);
void conf_places_clear(struct conf_places *places);
DEFINE_AUTO_CLEAR(conf_places)
void conf_clear(const struct conf_table *table, void *out);
/* A config file with every option at its default, each under its comment. */
void conf_print_reference(const struct conf_table *table, struct buf *out);

#endif
