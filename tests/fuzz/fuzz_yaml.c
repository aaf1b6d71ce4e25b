/* YAML text from anywhere: read, and what was read is written, read again, and the same. Then it is
 * a configuration: taken whole or refused with a line. */
#include "agent/config/config.h"
#include "agent/config/yaml.h"
#include "base/assert.h"
#include "base/buf.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const json_t *tree)
{
    struct buf text = BUF_INIT;
    struct error err = {0};
    json_t *again = NULL;
    if (yaml_write(tree, &text, &err) == 0 && text.len <= YAML_BYTES_MAX) {
        ASSERT(yaml_parse(buf_span(&text), &again, &err) == 0);
        ASSERT(json_equal(tree, again));
        json_decref(again);
    }
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_source source = {.path = "fuzz.yml", .cwd = "/", .home = "/root"};
    struct config_warnings warnings = {0};
    struct config config;
    struct error err = {0};
    json_t *tree = NULL;
    if (yaml_parse(span_of(data, size), &tree, &err) != 0) {
        ASSERT(err.code != 0 && err.text[0] != '\0');
        return 0;
    }
    round_trip(tree);
    err = (struct error){0};
    if (config_from_json(&source, tree, &config, &warnings, &err) == 0) {
        ASSERT(config.scope != NULL && config.postgresql.data_dir != NULL);
        config_free(&config);
    } else {
        ASSERT(strncmp(err.text, "fuzz.yml: ", 10) == 0);
    }
    config_warnings_free(&warnings);
    json_decref(tree);
    return 0;
}
