/* Errors: a code for machines, a text for people.
 *
 * Functions that can fail return 0 or one of the negative codes below and describe the failure in a
 * caller-owned `struct error`. A function either returns an error or logs it, never both. `err` may
 * be NULL where the caller only wants the code. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_CODES(X)                                                                             \
    X(ERR_INVALID, -1, "invalid") /* input breaks a rule; the caller must change it */           \
    X(ERR_NOT_FOUND, -2, "not found")                                                            \
    X(ERR_EXISTS, -3, "exists already")                                                          \
    X(ERR_LIMIT, -4, "over the limit") /* a named maximum was reached */                         \
    X(ERR_NOMEM, -5, "out of memory")                                                            \
    X(ERR_IO, -6, "input/output error")                                                          \
    X(ERR_TIMEOUT, -7, "timed out") /* outcome unknown if a request had been sent */             \
    X(ERR_CANCELED, -8, "canceled")                                                              \
    X(ERR_CLOSED, -9, "connection closed")                                                       \
    X(ERR_REFUSED, -10, "refused")         /* understood, and answered with no */                \
    X(ERR_CONFLICT, -11, "conflict")       /* a compare failed: somebody else was first */       \
    X(ERR_UNAVAILABLE, -12, "unavailable") /* no leader, no quorum, not started yet */           \
    X(ERR_UNKNOWN, -13, "outcome unknown") /* sent, and nobody can say whether it was applied */ \
    X(ERR_CORRUPT, -14, "corrupt")                                                               \
    X(ERR_PERMISSION, -15, "permission denied")                                                  \
    X(ERR_BUSY, -16, "busy")                                                                     \
    X(ERR_NO_SPACE, -17, "no space left")                                                        \
    X(ERR_UNSUPPORTED, -18, "not supported")                                                     \
    X(ERR_BUG, -19, "internal error")

enum err_code {
#define ERR_ENUM(name, value, text) name = (value),
    ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
};

#define ERROR_TEXT_BYTES 512

struct error {
    int code;
    char text[ERROR_TEXT_BYTES]; /* always terminated; cut, never overrun; well-formed UTF-8 */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Sets code and text; returns `code`, so that `return error_set(...)` reads well. */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " before the text that is there. */
void error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Name of a code; "ok" for 0. Never NULL. */
const char *err_name(int code);

/* Maps an errno value to a code of the table. */
int err_from_errno(int errnum);

#endif
