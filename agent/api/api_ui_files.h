/* The files of the page at /ui (agent/api/ui), as they stand in the program. */
#ifndef AGENT_API_UI_FILES_H
#define AGENT_API_UI_FILES_H

#include "base/span.h"

#include <stdbool.h>

struct api_ui_file {
    const char *name; /* behind "/ui/"; "" is the page itself */
    const char *type; /* of its content */
    struct span bytes;
};

/* False: there is none of that name. */
bool api_ui_file_find(const char *name, struct api_ui_file *ret_file);

#endif
