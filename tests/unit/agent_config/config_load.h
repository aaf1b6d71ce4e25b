/* The text of a file, read as config_load() would read it. */
#ifndef TESTS_UNIT_AGENT_CONFIG_CONFIG_LOAD_H
#define TESTS_UNIT_AGENT_CONFIG_CONFIG_LOAD_H

#include "agent/config/config.h"
#include "agent/config/yaml.h"
#include "base/mem.h"

/* Frees the text. */
static inline int config_load_text(const struct config_source *source, char *text_take,
                                   struct config *ret_config, struct config_warnings *warnings,
                                   struct error *err)
{
    json_t *tree = NULL;
    int rc = yaml_parse(span_str(text_take), &tree, err);
    if (rc == 0) {
        rc = config_from_json(source, tree, ret_config, warnings, err);
    }
    json_decref(tree);
    mem_free(text_take);
    return rc;
}

#endif
