/* doctor.h - what `tollgate doctor` looks at: the machine and the Redis that a config names, as they
 * are now. It changes nothing but for a small file in the journal's directory, which it removes. */
#ifndef TOLLGATE_GATEWAY_DOCTOR_H
#define TOLLGATE_GATEWAY_DOCTOR_H

#include "gateway/options.h"
#include "lib/base/json.h"

enum health { HEALTH_GOOD, HEALTH_UNKNOWN, HEALTH_UNSAFE };

/* Findings as [{"about","health" (good, unknown, unsafe),"says","remedy" (absent when good)}]. */
struct doctor {
    const struct options *options;
    json_t *findings;
    size_t unsafe;
};

/* `remedy` null: there is nothing to do. */
void doctor_find(struct doctor *d, const char *about, enum health health, const char *remedy,
                 const char *format, ...) PRINTF_LIKE(5, 6);

void doctor_look_at_files(struct doctor *d);   /* modes of secrets, the certificate's end */
void doctor_look_at_journal(struct doctor *d); /* its disk */
void doctor_look_at_archive(struct doctor *d); /* whose it is, and its newest links */
void doctor_look_at_limits(struct doctor *d);  /* descriptors */
void doctor_look_at_redis(struct doctor *d);   /* each server, and then keys and models */
/* A change of the pepper that is under way (gateway/pepper.h). */
struct loop;
struct redis;
void doctor_look_at_keys(struct doctor *d, struct loop *loop, struct redis *redis);
/* Those that the config's backends can't serve (gateway/catalogue_backends.h). */
void doctor_look_at_models(struct doctor *d, struct loop *loop, struct redis *redis);

#endif
