/* One code table, its names, and the two functions that build a text. What is cut may end within a
 * character, and paths may be of any encoding: a text goes into JSON, and would be lost there. */
#include "base/err.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        err->code = code;
        va_start(args, fmt);
        (void)vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        utf8_clean(err->text);
    }
    return code;
}

void error_wrap(struct error *err, const char *fmt, ...)
{
    char old[ERROR_TEXT_BYTES];
    va_list args;

    if (err == NULL) {
        return;
    }
    memcpy(old, err->text, sizeof old);
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text) {
        (void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
    }
    utf8_clean(err->text);
}

const char *err_name(int code)
{
    switch (code) {
    case 0: return "ok";
#define ERR_NAME(name, value, text) \
    case name: return text;
        ERR_CODES(ERR_NAME)
#undef ERR_NAME
    default: return "unknown code";
    }
}

int err_from_errno(int errnum)
{
    switch (errnum) {
    case 0: return 0;
    case ENOENT:
    case ENOTDIR:
    case ESRCH: return ERR_NOT_FOUND;
    case EEXIST: return ERR_EXISTS;
    case ENOMEM: return ERR_NOMEM;
    case ETIMEDOUT: return ERR_TIMEOUT;
    case ECANCELED: return ERR_CANCELED;
    case EPIPE:
    case ECONNRESET: return ERR_CLOSED;
    case ECONNREFUSED: return ERR_REFUSED;
    case EACCES:
    case EPERM: return ERR_PERMISSION;
    case EBUSY:
    case EADDRINUSE: return ERR_BUSY;
    case ENOSPC:
    case EDQUOT: return ERR_NO_SPACE;
    case EINVAL: return ERR_INVALID;
    default: return ERR_IO;
    }
}
