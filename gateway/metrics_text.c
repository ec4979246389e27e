/* metrics_text.c - a table of families, each written whole: Prometheus wants all lines of a name together. */
#include "gateway/metrics_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backends/breaker.h"
#include "billing/unit.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define MODELS_MAX   (2 * BOARD_MODELS)
#define OTHER_MODELS "_other"

/* A model's numbers of all seats. */
struct model_sum {
    const char *name, *currency;
    uint64_t calls[BOARD_OUTCOMES], units[BOARD_UNITS], amount_nanos;
    struct histogram first_byte, whole;
};

struct sums {
    struct buf *out;
    const struct board *board;
    const struct console_numbers *console;
    size_t model_count;
    struct model_sum *models;
};

struct family {
    const char *name, *type, *help;
    void (*write)(const struct sums *s, const char *name);
};

static void add_models(struct sums *s);
static void add_model(struct sums *s, const struct board_model *m, const char *name);
static struct model_sum *find_model(struct sums *s, const char *name, const char *currency);
static void add_histogram(struct histogram *sum, const struct histogram *h);
static void write_build(const struct sums *s, const char *name);
static void write_calls(const struct sums *s, const char *name);
static void write_units(const struct sums *s, const char *name);
static void write_amounts(const struct sums *s, const char *name);
static void write_whole(const struct sums *s, const char *name);
static void write_first_byte(const struct sums *s, const char *name);
static void write_responses(const struct sums *s, const char *name);
static void write_refusals(const struct sums *s, const char *name);
static void write_admits(const struct sums *s, const char *name);
static void write_syncs(const struct sums *s, const char *name);
static void write_workers(const struct sums *s, const char *name);
static void write_open_calls(const struct sums *s, const char *name);
static void write_open_holds(const struct sums *s, const char *name);
static void write_connections(const struct sums *s, const char *name);
static void write_unshipped(const struct sums *s, const char *name);
static void write_parked(const struct sums *s, const char *name);
static void write_redis(const struct sums *s, const char *name);
static void write_archive_fails(const struct sums *s, const char *name);
static void write_archived_at(const struct sums *s, const char *name);
static void write_archive_lag(const struct sums *s, const char *name);
static void write_breakers(const struct sums *s, const char *name);
static void write_unlogged(const struct sums *s, const char *name);
static void write_reloads(const struct sums *s, const char *name);
static void write_webhooks(const struct sums *s, const char *name);
static void write_webhooks_pending(const struct sums *s, const char *name);

static const struct family families[] = {
    {"tollgate_build_info", "gauge", "The version that the console runs; always 1.", write_build},
    {"tollgate_calls_total", "counter", "Calls that have ended, by model and outcome.",
     write_calls},
    {"tollgate_units_total", "counter", "What calls used, by model and unit of its price.",
     write_units},
    {"tollgate_amount_total", "counter", "What calls cost, by model, in units of the currency.",
     write_amounts},
    {"gen_ai_server_request_duration_seconds", "histogram",
     "From the arrival of a call's head to its end, by model.", write_whole},
    {"gen_ai_server_time_to_first_token_seconds", "histogram",
     "From the arrival of a call's head to the first of its answer, by model.", write_first_byte},
    {"tollgate_responses_total", "counter", "Answers to requests, by status.", write_responses},
    {"tollgate_refusals_total", "counter", "Requests refused, by x-tollgate-code.", write_refusals},
    {"tollgate_admit_duration_seconds", "histogram",
     "How long calls waited for Redis to admit or refuse them.", write_admits},
    {"tollgate_journal_sync_duration_seconds", "histogram",
     "How long the journals' writes with fdatasync took.", write_syncs},
    {"tollgate_workers", "gauge", "Workers that run, by whether they would admit a call.",
     write_workers},
    {"tollgate_open_calls", "gauge", "Calls that run.", write_open_calls},
    {"tollgate_open_holds", "gauge", "Holds that running calls have in Redis.", write_open_holds},
    {"tollgate_connections", "gauge", "Connections of clients.", write_connections},
    {"tollgate_unshipped_records", "gauge", "Records in the journals that Redis has not applied.",
     write_unshipped},
    {"tollgate_partitions_parked", "gauge", "Partitions of Redis that wait for a rebuild.",
     write_parked},
    {"tollgate_redis_up", "gauge", "Whether the console can use Redis.", write_redis},
    {"tollgate_archive_failing", "gauge", "Whether archiving failed when it was last tried.",
     write_archive_fails},
    {"tollgate_archive_success_timestamp_seconds", "gauge",
     "When all sealed segments were last seen in the archive.", write_archived_at},
    {"tollgate_archive_lag_seconds", "gauge", "Age of the oldest record that is not archived.",
     write_archive_lag},
    {"tollgate_backend_breaker", "gauge", "Workers whose breaker of the backend is in the state.",
     write_breakers},
    {"tollgate_access_log_dropped_total", "counter",
     "Lines of the access log that its file did not take in time.", write_unlogged},
    {"tollgate_reloads_total", "counter", "Reloads of the config, by result.", write_reloads},
    {"tollgate_webhooks_total", "counter",
     "Attempts to deliver to a webhook that succeeded or failed, and notices given up.",
     write_webhooks},
    {"tollgate_webhooks_pending", "gauge", "Notices on their way to webhooks.",
     write_webhooks_pending},
};

void metrics_write(const struct board *board, const struct console_numbers *console,
                   struct buf *out)
{
    struct sums s = {.out = out, .board = board, .console = console};

    s.models = xcalloc(MODELS_MAX + 1, sizeof *s.models);
    add_models(&s);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct family *f = &families[i];

        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
        f->write(&s, f->name);
    }
    free(s.models);
}

/* ------------------------------------------------------------------ sums over all seats */

static void add_models(struct sums *s)
{
    for (size_t i = 0; i < board_seats(s->board); i++) {
        const struct seat *seat = board_seat(s->board, i);

        for (size_t k = 0; k < BOARD_MODELS && metric_get(&seat->models[k].is_named); k++)
            add_model(s, &seat->models[k], seat->models[k].name);
        if (metric_get(&seat->others.whole.sum_nanos))
            add_model(s, &seat->others, OTHER_MODELS);
    }
}

static void add_model(struct sums *s, const struct board_model *m, const char *name)
{
    struct model_sum *sum = find_model(s, name, m->currency);

    for (size_t i = 0; i < BOARD_OUTCOMES; i++)
        sum->calls[i] += metric_get(&m->calls[i]);
    for (size_t i = 0; i < BOARD_UNITS; i++)
        sum->units[i] += metric_get(&m->units[i]);
    sum->amount_nanos += metric_get(&m->amount_nanos);
    add_histogram(&sum->first_byte, &m->first_byte);
    add_histogram(&sum->whole, &m->whole);
}

/* The last row takes what has no room. */
static struct model_sum *find_model(struct sums *s, const char *name, const char *currency)
{
    for (size_t i = 0; i < s->model_count; i++)
        if (strcmp(s->models[i].name, name) == 0 && strcmp(s->models[i].currency, currency) == 0)
            return &s->models[i];
    if (s->model_count > MODELS_MAX)
        return &s->models[MODELS_MAX];
    s->models[s->model_count].name = s->model_count < MODELS_MAX ? name : OTHER_MODELS;
    s->models[s->model_count].currency = s->model_count < MODELS_MAX ? currency : "";
    return &s->models[s->model_count++];
}

static void add_histogram(struct histogram *sum, const struct histogram *h)
{
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        metric_add(&sum->bucket[i], metric_get(&h->bucket[i]));
    metric_add(&sum->sum_nanos, metric_get(&h->sum_nanos));
}

/* A number at a place in each seat; of those that are empty now, only when `of_living` is false. */
static uint64_t sum_at(const struct sums *s, size_t offset, bool of_living)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < board_seats(s->board); i++) {
        const struct seat *seat = board_seat(s->board, i);

        if (!of_living || seat_is_live(seat))
            sum += metric_get((const struct metric *)((const char *)seat + offset));
    }
    return sum;
}

/* ------------------------------------------------------------------ families */

static void write_number(const struct sums *s, const char *name, uint64_t n)
{
    buf_printf(s->out, "%s %" PRIu64 "\n", name, n);
}

/* Exact: nanoseconds, and nanos of money, have nine decimals. */
static void write_nanos(struct buf *out, uint64_t nanos)
{
    buf_printf(out, "%" PRIu64 ".%09" PRIu64, nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
}

/* `model` null: the family has no labels. */
static void write_histogram(const struct sums *s, const char *name, const char *model,
                            const struct histogram *h)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        count += metric_get(&h->bucket[i]);
        buf_printf(s->out, "%s_bucket{", name);
        if (model)
            buf_printf(s->out, "gen_ai_request_model=\"%s\",", model);
        buf_printf(s->out, "le=\"");
        if (i < HISTOGRAM_BOUNDS)
            write_nanos(s->out, (uint64_t)histogram_bound(i));
        else
            buf_printf(s->out, "+Inf");
        buf_printf(s->out, "\"} %" PRIu64 "\n", count);
    }
    buf_printf(s->out, "%s_sum", name);
    if (model)
        buf_printf(s->out, "{gen_ai_request_model=\"%s\"}", model);
    buf_printf(s->out, " ");
    write_nanos(s->out, metric_get(&h->sum_nanos));
    buf_printf(s->out, "\n%s_count", name);
    if (model)
        buf_printf(s->out, "{gen_ai_request_model=\"%s\"}", model);
    buf_printf(s->out, " %" PRIu64 "\n", count);
}

static void write_seats_histogram(const struct sums *s, const char *name, size_t offset)
{
    struct histogram sum = {0};

    for (size_t i = 0; i < board_seats(s->board); i++)
        add_histogram(&sum,
                      (const struct histogram *)((const char *)board_seat(s->board, i) + offset));
    write_histogram(s, name, NULL, &sum);
}

static void write_build(const struct sums *s, const char *name)
{
    buf_printf(s->out, "%s{version=\"%s\"} 1\n", name, PACKAGE_VERSION);
}

static void write_calls(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < s->model_count; i++)
        for (unsigned k = 0; k < BOARD_OUTCOMES; k++)
            if (s->models[i].calls[k])
                buf_printf(s->out, "%s{gen_ai_request_model=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
                           name, s->models[i].name, outcome_name(k), s->models[i].calls[k]);
}

static void write_units(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < s->model_count; i++)
        for (size_t k = 0; k < BOARD_UNITS && unit_at(k); k++)
            if (s->models[i].units[k])
                buf_printf(s->out, "%s{gen_ai_request_model=\"%s\",unit=\"%s\"} %" PRIu64 "\n",
                           name, s->models[i].name, unit_at(k)->name, s->models[i].units[k]);
}

static void write_amounts(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < s->model_count; i++) {
        buf_printf(s->out, "%s{gen_ai_request_model=\"%s\",currency=\"%s\"} ", name,
                   s->models[i].name, s->models[i].currency);
        write_nanos(s->out, s->models[i].amount_nanos);
        buf_printf(s->out, "\n");
    }
}

static void write_whole(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < s->model_count; i++)
        write_histogram(s, name, s->models[i].name, &s->models[i].whole);
}

static void write_first_byte(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < s->model_count; i++)
        write_histogram(s, name, s->models[i].name, &s->models[i].first_byte);
}

static void write_responses(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < BOARD_STATUSES; i++) {
        uint64_t n =
            sum_at(s, offsetof(struct seat, responses[0]) + i * sizeof(struct metric), false);

        if (n)
            buf_printf(s->out, "%s{http_response_status_code=\"%zu\"} %" PRIu64 "\n", name, i + 100,
                       n);
    }
}

static void write_refusals(const struct sums *s, const char *name)
{
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        uint64_t n =
            sum_at(s, offsetof(struct seat, refusals[0]) + i * sizeof(struct metric), false);

        buf_printf(s->out, "%s{code=\"%s\"} %" PRIu64 "\n", name, problem_row(i)->name, n);
    }
}

static void write_admits(const struct sums *s, const char *name)
{
    write_seats_histogram(s, name, offsetof(struct seat, admits));
}

static void write_syncs(const struct sums *s, const char *name)
{
    write_seats_histogram(s, name, offsetof(struct seat, syncs));
}

static void write_workers(const struct sums *s, const char *name)
{
    uint64_t workers = sum_at(s, offsetof(struct seat, is_worker), true);
    uint64_t ready = sum_at(s, offsetof(struct seat, is_ready), true);

    buf_printf(s->out, "%s{state=\"ready\"} %" PRIu64 "\n%s{state=\"waiting\"} %" PRIu64 "\n", name,
               ready, name, workers > ready ? workers - ready : 0);
}

static void write_open_calls(const struct sums *s, const char *name)
{
    write_number(s, name, sum_at(s, offsetof(struct seat, open_calls), true));
}

static void write_open_holds(const struct sums *s, const char *name)
{
    write_number(s, name, sum_at(s, offsetof(struct seat, open_holds), true));
}

static void write_connections(const struct sums *s, const char *name)
{
    write_number(s, name, sum_at(s, offsetof(struct seat, connections), true));
}

static void write_unshipped(const struct sums *s, const char *name)
{
    write_number(s, name, sum_at(s, offsetof(struct seat, unshipped), true));
}

static void write_parked(const struct sums *s, const char *name)
{
    write_number(s, name, s->console->partitions_parked);
}

static void write_redis(const struct sums *s, const char *name)
{
    write_number(s, name, s->console->has_redis);
}

static void write_archive_fails(const struct sums *s, const char *name)
{
    write_number(s, name, s->console->archive_fails);
}

static void write_archived_at(const struct sums *s, const char *name)
{
    buf_printf(s->out, "%s ", name);
    write_nanos(s->out, (uint64_t)s->console->archived_at);
    buf_printf(s->out, "\n");
}

static void write_archive_lag(const struct sums *s, const char *name)
{
    int64_t since = s->console->unarchived_since, now = clock_now();

    buf_printf(s->out, "%s ", name);
    write_nanos(s->out, since && since < now ? (uint64_t)(now - since) : 0);
    buf_printf(s->out, "\n");
}

/* How many breakers of that backend are in each state, from a seat on; none when an earlier seat has it. */
static bool count_breakers(const struct sums *s, size_t seat, const char *backend,
                           unsigned states[BREAKER_STATES])
{
    memset(states, 0, BREAKER_STATES * sizeof *states);
    for (size_t i = 0; i < board_seats(s->board); i++) {
        const struct seat *other = board_seat(s->board, i);

        for (size_t k = 0; seat_is_live(other) && k < BOARD_BACKENDS; k++) {
            const struct board_breaker *b = &other->breakers[k];
            uint64_t state = metric_get(&b->state);

            if (!metric_get(&b->is_named) || strcmp(b->name, backend) != 0)
                continue;
            if (i < seat)
                return false;
            states[state < BREAKER_STATES ? state : BREAKER_CLOSED]++;
        }
    }
    return true;
}

static void write_breakers(const struct sums *s, const char *name)
{
    static const char *const words[BREAKER_STATES] = {"closed", "open", "half_open"};
    unsigned states[BREAKER_STATES];

    for (size_t i = 0; i < board_seats(s->board); i++) {
        const struct seat *seat = board_seat(s->board, i);

        for (size_t k = 0; seat_is_live(seat) && k < BOARD_BACKENDS; k++) {
            const char *backend = seat->breakers[k].name;

            if (!metric_get(&seat->breakers[k].is_named) || !count_breakers(s, i, backend, states))
                continue;
            for (int state = 0; state < BREAKER_STATES; state++)
                buf_printf(s->out, "%s{backend=\"%s\",state=\"%s\"} %u\n", name, backend,
                           words[state], states[state]);
        }
    }
}

static void write_unlogged(const struct sums *s, const char *name)
{
    write_number(s, name, sum_at(s, offsetof(struct seat, unlogged), false));
}

static void write_reloads(const struct sums *s, const char *name)
{
    buf_printf(s->out, "%s{result=\"done\"} %" PRIu64 "\n%s{result=\"refused\"} %" PRIu64 "\n",
               name, sum_at(s, offsetof(struct seat, reloads), false), name,
               sum_at(s, offsetof(struct seat, reloads_refused), false));
}

static void write_webhooks(const struct sums *s, const char *name)
{
    static const struct {
        const char *result;
        size_t offset;
    } rows[] = {{"delivered", offsetof(struct seat, webhooks_delivered)},
                {"failed", offsetof(struct seat, webhooks_failed)},
                {"given_up", offsetof(struct seat, webhooks_given_up)}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        buf_printf(s->out, "%s{result=\"%s\"} %" PRIu64 "\n", name, rows[i].result,
                   sum_at(s, rows[i].offset, false));
}

static void write_webhooks_pending(const struct sums *s, const char *name)
{
    write_number(s, name, sum_at(s, offsetof(struct seat, webhooks_pending), true));
}
