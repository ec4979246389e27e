/* neutral.h - a conversation with a model as no provider words it: what stands between two dialects.
 *
 * A request is read from one dialect and written in another; an answer is read as deltas, in the order in which a model
 * writes, and written from them, plain or streamed alike. Nothing is parsed to a tree: what a span calls a literal is a JSON
 * string with its quotes, as the caller wrote it, and is copied as it is; so are numbers and schemas. Spans borrow from the text
 * that was read. */
#ifndef TOLLGATE_BACKENDS_NEUTRAL_H
#define TOLLGATE_BACKENDS_NEUTRAL_H

#include "backends/usage.h"
#include "lib/base/buf.h"

enum neutral_part_kind {
    PART_TEXT, /* `text` */
    PART_IMAGE, /* `text`, what stands inside a literal: its URL, or its base64 when there is a `media_type` */
    PART_TOOL_CALL,   /* of the model: `id`, `name`, `arguments` */
    PART_TOOL_RESULT, /* for the model: `id` and `text`, or parts of text in `list` */
};
struct neutral_part {
    enum neutral_part_kind kind;
    struct span text;       /* a literal */
    struct span media_type; /* what stands inside a literal: image/png; or null data */
    struct span id, name;   /* literals */
    struct span arguments;  /* a literal whose text is JSON, or the JSON object itself */
    struct span list; /* [{"type":"text","text":…}], the same in both dialects; or null data */
};

enum neutral_role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT };
struct neutral_message {
    enum neutral_role role;
    size_t first, count; /* its parts */
};

struct neutral_tool {
    struct span name, description, schema,
        strict; /* literals, an object, a boolean; null data where not given */
};

enum neutral_choice { CHOICE_UNSTATED, CHOICE_AUTO, CHOICE_NONE, CHOICE_ANY, CHOICE_TOOL };

struct neutral_request {
    struct neutral_message *messages;
    size_t message_count, message_room;
    struct neutral_part *parts;
    size_t part_count, part_room;
    struct neutral_tool *tools;
    size_t tool_count, tool_room;
    enum neutral_choice choice;
    struct span chosen_tool; /* a literal */
    bool one_tool_at_a_time;
    struct span temperature, top_p; /* numbers; null data where not given */
    struct span stop;               /* a literal, or an array of them */
    struct span user;               /* a literal */
};
void neutral_request_clear(struct neutral_request *r);
DEFINE_AUTO_CLEAR(neutral_request)
/* Empty ones, to be filled in. A new part belongs to the last message; a message of the same role as the last one is the last. Null, and why,
 * beyond NEUTRAL_MAX of a kind. */
#define NEUTRAL_MAX 65536
bool neutral_add_message(struct neutral_request *r, enum neutral_role role,
                         struct err *err) MUST_USE;
struct neutral_part *neutral_add_part(struct neutral_request *r, enum neutral_part_kind kind,
                                      struct err *err) MUST_USE;
struct neutral_tool *neutral_add_tool(struct neutral_request *r, struct err *err) MUST_USE;

/* What is written around a request's meaning. */
struct neutral_frame {
    const char *model;  /* the backend's own name */
    int64_t output_cap; /* > 0 */
    bool stream;
};
/* Where in the written text the values stand that are set by the backend. */
struct neutral_places {
    struct span model_value, cap_value;
};

enum neutral_delta_kind {
    DELTA_BEGIN,     /* `name`: the model; may come again */
    DELTA_TEXT,      /* `text` */
    DELTA_REASONING, /* `text` */
    DELTA_TOOL,      /* a tool call begins: `id`, `name` */
    DELTA_ARGUMENTS, /* of the tool call that began last: `text`, a piece of JSON; of a plain answer all of it */
    DELTA_FINISH, /* `finish` */
};
enum neutral_finish { FINISH_STOP, FINISH_LENGTH, FINISH_TOOLS, FINISH_REFUSAL };
struct neutral_delta {
    enum neutral_delta_kind kind;
    struct span text;     /* what stands inside a JSON string, escapes as they came */
    struct span id, name; /* the same */
    enum neutral_finish finish;
};

/* Turns an answer into deltas. */
struct neutral_reader {
    /* False: it can't be taken, and why. */
    bool (*on_delta)(void *arg, const struct neutral_delta *delta, struct err *err);
    void *arg;
    int64_t tools;  /* that began */
    int64_t tool;   /* the provider's number of the last */
    bool has_ended; /* a stream's last event was read */
};

/* Turns deltas into an answer; what a dialect needs to know between two of them. Its memory is O(1) for a stream; a plain answer is
 * written as it comes, or kept in the bufs until its end. */
#define NEUTRAL_ID_TEXT 40
struct neutral_writer {
    bool stream, usage_wanted;
    struct buf *out; /* the caller's; emptied by it between two deltas of a stream */
    char id[NEUTRAL_ID_TEXT];
    int64_t created; /* Unix seconds */
    struct buf model;
    bool has_begun;
    enum neutral_finish finish;
    int64_t tools;                     /* that began */
    bool has_arguments;                /* the last of them */
    bool is_open;                      /* a block of content is being written */
    enum neutral_delta_kind open;      /* of this kind */
    int64_t blocks;                    /* that are closed */
    struct buf text, reasoning, calls; /* what is collected for a plain answer */
};
void neutral_writer_init(struct neutral_writer *w, const char *id_prefix, struct buf *out);
void neutral_writer_clear(struct neutral_writer *w);

/* A dialect, as far as it can be translated: a file each of what it asks and what it answers, and the row that joins them. */
struct neutral_form {
    const char *id_prefix;
    /* ERR_INPUT with a sentence for the caller: malformed, or a field that can't be translated. */
    bool (*read_request)(struct span body, struct neutral_request *out, struct err *err);
    bool (*write_request)(const struct neutral_request *r, const struct neutral_frame *frame,
                          struct buf *out, struct neutral_places *places, struct err *err);
    /* A whole, plain answer; one event of a stream, its data valid JSON. An event that means nothing gives no delta. */
    bool (*read_reply)(struct neutral_reader *reader, struct span body, struct err *err);
    bool (*read_event)(struct neutral_reader *reader, struct span data, struct err *err);
    bool (*write_delta)(struct neutral_writer *w, const struct neutral_delta *d, struct err *err);
    /* The last bytes. */
    void (*write_end)(struct neutral_writer *w, const struct usage *usage);
    /* An error object as the body of an answer with that status. `message` is a literal. */
    void (*write_error)(unsigned status, struct span message, const char *request_id,
                        struct buf *out);
};
extern const struct neutral_form openai_form, anthropic_form;

/* A total of the buckets: of what was read, or written. */
int64_t neutral_input_tokens(const struct usage *u);
int64_t neutral_output_tokens(const struct usage *u);

#endif
