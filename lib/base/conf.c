/* conf.c - libconfuse reads, the table decides. To libconfuse every option is a string, so that our own words say
 * what is wrong and reading goes on after a bad value.
 *
 * It does stop at an option that it does not know. Then the name is added to those it tolerates and the file is read
 * again from the start, so that one look shows all mistakes; the last reading's problems are the ones that count. */
#include "lib/base/conf.h"

#include <assert.h>
#include <confuse.h>
#include <stdio.h>

#include "lib/base/conf_comments.h"
#include "lib/base/conf_value.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define FILE_BYTES_MAX (1 << 20)
#define UNKNOWN_MAX    32

/* An option that we add as the last line. libconfuse does not mind when the file ends within a section or a comment;
 * but then this one is met where it is unknown, or not at all. */
#define END_MARK "end_of_file"

struct unknown {
    const struct conf_section *section; /* null: outside of all */
    char *name;
};

struct reader {
    const struct conf_table *table;
    const char *path;
    int last_line;              /* of the file; what is missing at its end is missing there */
    struct conf_places *places; /* null: nobody asks */
    struct buf *problems;
    size_t problem_count;
    struct unknown unknown[UNKNOWN_MAX];
    size_t unknown_count;
    bool again; /* stopped at an unknown option that is tolerated from now on */
};

static bool read_text(const char *path, struct buf *text, struct buf *problems);
static int count_lines(struct span text);
static cfg_t *read_all(struct reader *r, const char *text);
static cfg_t *read_once(struct reader *r, const char *text);
static cfg_opt_t *options_for(const struct reader *r, const struct conf_section *section);
static cfg_opt_t *root_options(const struct reader *r);
static void free_root_options(const struct reader *r, cfg_opt_t *list);
static void problem(struct reader *r, int line, const char *format, ...) PRINTF_LIKE(3, 4);
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);
static void check_value(cfg_t *cfg, cfg_opt_t *opt, const char *value);
static void remember_place(struct conf_places *places, const char *title, const char *name,
                           int line);
static void remember_sections(struct reader *r, cfg_t *cfg, const char *text);
static int line_of_section(const char *text, const char *name, const char *title);
static bool begins_with(const char **at, const char *word);
static void on_error(cfg_t *cfg, const char *format, va_list args);
static void on_unknown(struct reader *r, const cfg_t *cfg, const char *name);
static bool is_unknown(const struct reader *r, const char *name);
static const struct conf_section *section_of(const struct reader *r, const cfg_t *cfg);
static const struct conf_option *option_of(const struct reader *r, const cfg_t *cfg,
                                           const char *name);
static void fill(const struct conf_table *table, cfg_t *cfg, void *out);
static void fill_section(const struct conf_section *section, cfg_t *cfg, void *out);
static void fill_options(const struct conf_option *options, size_t count, cfg_t *cfg, void *out);
static void store(const struct conf_option *option, const char *text, void *out);
static void clear_options(const struct conf_option *options, size_t count, void *out);

/* libconfuse hands no pointer of ours to its callbacks. Set only while a file is being read. */
static _Thread_local struct reader *reading;

bool conf_read(const struct conf_table *table, const char *path, void *out,
               struct conf_places *places, struct buf *problems)
{
    AUTO_CLEAR(buf) text = {.max = FILE_BYTES_MAX};
    struct reader r = {.table = table, .path = path, .places = places, .problems = problems};
    cfg_t *cfg;
    bool ok;

    if (!read_text(path, &text, problems))
        return false;
    r.last_line = count_lines(buf_span(&text)) - 1; /* the mark is not the reader's */
    cfg = read_all(&r, text.data);
    if (cfg && places)
        remember_sections(&r, cfg, text.data);
    ok = cfg && r.problem_count == 0;
    if (cfg) {
        fill(table, cfg, out);
        cfg_free(cfg);
    }
    for (size_t i = 0; i < r.unknown_count; i++)
        free(r.unknown[i].name);
    return ok;
}

/* libconfuse ends the process when it cannot read a file (a directory, say), so it gets the text from us. */
static bool read_text(const char *path, struct buf *text, struct buf *problems)
{
    struct err err;

    if (!file_read(path, text, &err)) {
        buf_printf(problems, "%s\n", err.text);
        return false;
    }
    if (text->len && memchr(text->data, '\0', text->len)) {
        buf_printf(problems, "%s:1: the file is not text: it has a NUL byte\n", path);
        return false;
    }
    if (text->len && text->data[text->len - 1] != '\n')
        buf_add_char(text, '\n');
    if (!buf_add_string(text, END_MARK " = 1\n"))
        return false;
    conf_blank_comments(text->data);
    return true;
}

static int count_lines(struct span text)
{
    int n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    return n;
}

/* Null when libconfuse gave up; it has said why. */
static cfg_t *read_all(struct reader *r, const char *text)
{
    size_t before = r->problems->len;
    cfg_t *cfg;

    do {
        buf_truncate(r->problems, before);
        if (r->places)
            conf_places_clear(r->places);
        r->problem_count = 0;
        r->again = false;
        cfg = read_once(r, text);
    } while (r->again);
    return cfg;
}

static cfg_t *read_once(struct reader *r, const char *text)
{
    cfg_opt_t *options = root_options(r);
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    int rc;

    free_root_options(r, options);
    if (!cfg)
        abort();
    cfg_set_error_function(cfg, on_error);
    reading = r;
    rc = cfg_parse_buf(cfg, text);
    reading = NULL;
    if (rc == CFG_SUCCESS && r->problem_count == 0 && !cfg_getstr(cfg, END_MARK))
        problem(r, cfg->line, "a comment is not closed by */");
    if (rc == CFG_SUCCESS)
        return cfg;
    if (!r->again && r->problem_count == 0)
        problem(r, cfg->line, "cannot be read as a configuration");
    cfg_free(cfg);
    return NULL;
}

/* Freed by free_root_options(): cfg_init() copies all. */
static cfg_opt_t *root_options(const struct reader *r)
{
    const struct conf_table *table = r->table;
    cfg_opt_t *list = options_for(r, NULL);
    size_t n = 0;

    while (list[n].name)
        n++;
    list = xrealloc_array(list, n + table->section_count + 2, sizeof *list);
    list[n++] = (cfg_opt_t){.name = END_MARK, .type = CFGT_STR};
    for (size_t i = 0; i < table->section_count; i++)
        list[n++] = (cfg_opt_t){.name = table->sections[i].name,
                                .type = CFGT_SEC,
                                .flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES,
                                .subopts = options_for(r, &table->sections[i])};
    list[n] = (cfg_opt_t)CFG_END();
    return list;
}

static void free_root_options(const struct reader *r, cfg_opt_t *list)
{
    size_t n = 0;

    for (; list[n].name; n++)
        if (list[n].type == CFGT_SEC)
            free(list[n].subopts);
    assert(n >= r->table->section_count);
    free(list);
}

/* The options of the table, and the unknown ones met so far. */
static cfg_opt_t *options_for(const struct reader *r, const struct conf_section *section)
{
    const struct conf_option *options = section ? section->options : r->table->options;
    size_t count = section ? section->option_count : r->table->option_count;
    cfg_opt_t *list = xcalloc(count + r->unknown_count + 1, sizeof *list);
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        list[n++] = (cfg_opt_t){.name = options[i].name, .type = CFGT_STR, .parsecb = on_value};
    for (size_t i = 0; i < r->unknown_count; i++)
        if (r->unknown[i].section == section)
            list[n++] =
                (cfg_opt_t){.name = r->unknown[i].name, .type = CFGT_STR, .parsecb = on_value};
    list[n] = (cfg_opt_t)CFG_END();
    return list;
}

/* Always "well": libconfuse would stop. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    check_value(cfg, opt, value);
    *(const char **)result = value;
    return 0;
}

static void check_value(cfg_t *cfg, cfg_opt_t *opt, const char *value)
{
    const struct conf_option *option = option_of(reading, cfg, opt->name);
    AUTO_CLEAR(buf) allowed = {.max = 1024};
    int64_t number;

    if (!option) {
        on_unknown(reading, cfg, opt->name);
        return;
    }
    if (opt->def.number++ > 0) /* means nothing for strings, so here it counts */
        problem(reading, cfg->line, "%s is set a second time", opt->name);
    if (reading->places)
        remember_place(reading->places, section_of(reading, cfg) ? cfg_title(cfg) : NULL,
                       option->name, cfg->line);
    if (conf_value_parse(option, value, &number))
        return;
    conf_value_allowed(option, &allowed);
    problem(reading, cfg->line, "%s = \"%.80s\" is not allowed: it must be %s", opt->name, value,
            allowed.data ? allowed.data : "");
}

static void remember_place(struct conf_places *places, const char *title, const char *name,
                           int line)
{
    places->at = xrealloc_array(places->at, places->count + 1, sizeof *places->at);
    places->at[places->count++] = (struct conf_place){title ? xstrdup(title) : NULL, name, line};
}

/* libconfuse does not say where a section begins: it is the line that starts with its name and has its title. */
static void remember_sections(struct reader *r, cfg_t *cfg, const char *text)
{
    for (size_t i = 0; i < r->table->section_count; i++) {
        const char *name = r->table->sections[i].name;

        for (unsigned k = 0; k < cfg_size(cfg, name); k++) {
            const char *title = cfg_title(cfg_getnsec(cfg, name, k));

            remember_place(r->places, title, "", line_of_section(text, name, title));
        }
    }
}

static int line_of_section(const char *text, const char *name, const char *title)
{
    for (int line = 1; *text; line++) {
        const char *at = text + strspn(text, " \t");

        if (begins_with(&at, name)) {
            at += strspn(at, " \t\"'");
            if (begins_with(&at, title) && strchr(" \t\"'{\n", *at))
                return line;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return 0;
}

static bool begins_with(const char **at, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

static void problem(struct reader *r, int line, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (line > r->last_line)
        line = r->last_line > 0 ? r->last_line : 1;
    buf_printf(r->problems, "%s:%d: %s\n", r->path, line, text);
    r->problem_count++;
}

/* The two messages that may be about an unknown option have its name as their only argument. A tolerated name that
 * turns out to be a section ("missing equal sign") was still only unknown. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    va_list peek;
    const char *name = NULL;
    char text[256];

    va_copy(peek, args);
    if (strstr(format, "option '%s'") || strstr(format, "duplicate title '%s'"))
        name = va_arg(peek, const char *);
    va_end(peek);
    if (name && strstr(format, "duplicate title")) {
        problem(reading, cfg->line, "the name \"%.80s\" is given to a second section", name);
        return;
    }
    if (name && (strstr(format, "no such") || is_unknown(reading, name))) {
        on_unknown(reading, cfg, name);
        return;
    }
    vsnprintf(text, sizeof text, format, args);
    problem(reading, cfg->line, "%s", text);
}

static void on_unknown(struct reader *r, const cfg_t *cfg, const char *name)
{
    const struct conf_section *section = section_of(r, cfg);

    if (section && strcmp(name, END_MARK) == 0) {
        problem(r, cfg->line, "section %s \"%.80s\" is not closed by }", section->name, cfg->title);
        return;
    }
    problem(r, cfg->line, "there is no option \"%.80s\"%s%s", name, section ? " in section " : "",
            section ? section->name : "");
    for (size_t i = 0; i < r->unknown_count; i++)
        if (r->unknown[i].section == section && strcmp(r->unknown[i].name, name) == 0)
            return;
    if (r->unknown_count == UNKNOWN_MAX)
        return;
    r->unknown[r->unknown_count++] = (struct unknown){section, xstrdup(name)};
    r->again = true;
}

static bool is_unknown(const struct reader *r, const char *name)
{
    for (size_t i = 0; i < r->unknown_count; i++)
        if (strcmp(r->unknown[i].name, name) == 0)
            return true;
    return false;
}

static const struct conf_section *section_of(const struct reader *r, const cfg_t *cfg)
{
    for (size_t i = 0; i < r->table->section_count; i++)
        if (strcmp(r->table->sections[i].name, cfg->name) == 0)
            return &r->table->sections[i];
    return NULL;
}

static const struct conf_option *option_of(const struct reader *r, const cfg_t *cfg,
                                           const char *name)
{
    const struct conf_section *section = section_of(r, cfg);
    const struct conf_option *options = section ? section->options : r->table->options;
    size_t count = section ? section->option_count : r->table->option_count;

    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

static void fill(const struct conf_table *table, cfg_t *cfg, void *out)
{
    fill_options(table->options, table->option_count, cfg, out);
    for (size_t i = 0; i < table->section_count; i++)
        fill_section(&table->sections[i], cfg, out);
}

static void fill_section(const struct conf_section *section, cfg_t *cfg, void *out)
{
    size_t count = cfg_size(cfg, section->name);
    char *items = count ? xcalloc(count, section->item_size) : NULL;

    for (size_t i = 0; i < count; i++) {
        cfg_t *part = cfg_getnsec(cfg, section->name, (unsigned)i);
        void *item = items + i * section->item_size;

        *(char **)item = xstrdup(cfg_title(part));
        fill_options(section->options, section->option_count, part, item);
    }
    *(void **)((char *)out + section->array_offset) = items;
    *(size_t *)(void *)((char *)out + section->count_offset) = count;
}

/* `cfg` null: the defaults, which also stand for values that are not allowed. */
static void fill_options(const struct conf_option *options, size_t count, cfg_t *cfg, void *out)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = cfg ? cfg_getstr(cfg, options[i].name) : NULL;
        int64_t number;

        if (!text || !conf_value_parse(&options[i], text, &number))
            text = options[i].initial;
        if (text)
            store(&options[i], text, out);
    }
}

/* What was written in the file has been checked; what was written in the table must be right. */
static void store(const struct conf_option *option, const char *text, void *out)
{
    void *field = (char *)out + option->offset;
    int64_t number;
    bool ok = conf_value_parse(option, text, &number);

    assert(ok);
    if (!ok)
        return;
    if (option->type == CONF_STRING)
        *(char **)field = xstrdup(text);
    else if (option->type == CONF_BOOL)
        *(bool *)field = number != 0;
    else
        *(int64_t *)field = number;
}

int conf_places_line(const struct conf_places *places, const char *title, const char *name)
{
    for (size_t i = 0; i < places->count; i++) {
        const struct conf_place *p = &places->at[i];

        if ((title && p->title ? strcmp(title, p->title) == 0 : title == p->title) &&
            (!name || strcmp(name, p->name) == 0))
            return p->line;
    }
    return 0;
}

void conf_places_clear(struct conf_places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->at[i].title);
    free(places->at);
    *places = (struct conf_places){0};
}

void conf_clear(const struct conf_table *table, void *out)
{
    clear_options(table->options, table->option_count, out);
    for (size_t i = 0; i < table->section_count; i++) {
        const struct conf_section *section = &table->sections[i];
        char **items = (char **)(void *)((char *)out + section->array_offset);
        size_t *count = (size_t *)(void *)((char *)out + section->count_offset);

        for (size_t k = 0; k < *count; k++) {
            void *item = *items + k * section->item_size;

            free(*(char **)item);
            clear_options(section->options, section->option_count, item);
        }
        free(*items);
        *items = NULL;
        *count = 0;
    }
}

static void clear_options(const struct conf_option *options, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        char **field = (char **)(void *)((char *)out + options[i].offset);

        if (options[i].type != CONF_STRING)
            continue;
        free(*field);
        *field = NULL;
    }
}
