/* attr.h - what every header needs to state its promises to the compiler.
 *
 * AUTO(ledger) l = ledger_open(…);   ledger_free(l) runs on every way out of the block
 * return KEEP(l);                    except this one: ownership moves to the caller
 *
 * A module whose struct S has `void S_free(struct S *)` (accepting null) writes DEFINE_AUTO(S) in its header;
 * a value type with `void S_clear(struct S *)` writes DEFINE_AUTO_CLEAR(S) and is declared AUTO_CLEAR(S) v. */
#ifndef TOLLGATE_BASE_ATTR_H
#define TOLLGATE_BASE_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((__format__(__printf__, text, first)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define DEFINE_AUTO(S)                                                                             \
    static inline UNUSED void S##_auto_free(struct S **p)                                          \
    {                                                                                              \
        S##_free(*p);                                                                              \
    }
#define DEFINE_AUTO_CLEAR(S)                                                                       \
    static inline UNUSED void S##_auto_clear(struct S *p)                                          \
    {                                                                                              \
        S##_clear(p);                                                                              \
    }
#define AUTO(S) __attribute__((cleanup(S##_auto_free))) struct S *
#define AUTO_CLEAR(S) __attribute__((cleanup(S##_auto_clear))) struct S

/* Hands the pointer out and forgets it, so that its cleanup does nothing. */
#define KEEP(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) kept_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        kept_;                                                                                     \
    })

#endif
