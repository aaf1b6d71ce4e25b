#include "raft/engine/group_warnings.h"

#include "base/mem.h"

#include <string.h>

bool group_warnings_tell(struct group_warnings *warnings, const char *text, int64_t now_ms)
{
    for (size_t i = 0; i < GROUP_WARNINGS_KEPT; i++) {
        struct group_warning *warning = &warnings->list[i];
        if (warning->text == NULL || strcmp(warning->text, text) != 0) {
            continue;
        }
        if (now_ms - warning->told_ms < GROUP_WARNING_REPEAT_MS) {
            return false;
        }
        warning->told_ms = now_ms;
        return true;
    }
    struct group_warning *oldest = &warnings->list[warnings->next];
    warnings->next = (warnings->next + 1) % GROUP_WARNINGS_KEPT;
    mem_free(oldest->text);
    *oldest = (struct group_warning){.text = mem_strdup(text), .told_ms = now_ms};
    return true;
}

void group_warnings_free(struct group_warnings *warnings)
{
    for (size_t i = 0; i < GROUP_WARNINGS_KEPT; i++) {
        mem_free(warnings->list[i].text);
        warnings->list[i].text = NULL;
    }
}
