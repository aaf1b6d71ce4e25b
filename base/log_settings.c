#include "base/log_settings.h"

#include "base/assert.h"

void log_settings_init(struct log_settings *settings)
{
    struct error err;
    *settings = (struct log_settings){
        .level = LOG_LEVEL_INFO,
        .queue_max = LOG_QUEUE_MAX,
        .file = {.mode = -1, .num = 4, .size_bytes = LOG_FILE_SIZE},
    };
    log_format_init(&settings->format, false);
    int rc = log_format_parse(&settings->format, LOG_DEFAULT_FORMAT, &err);
    ASSERT(rc == 0);
}
