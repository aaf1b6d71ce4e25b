/* An answer of a name server. What is taken has names and ports of use, and order loses none. */
#include "base/assert.h"
#include "base/net/srv_answer.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srv_answer answer = {.count = 0};
    struct error err = {0};
    int rc = srv_answer_parse(span_of(data, size), &answer, &err);
    ASSERT(rc == 0 || rc == ERR_NOT_FOUND || rc == ERR_CORRUPT || rc == ERR_REFUSED);
    if (rc != 0) {
        ASSERT(answer.count == 0);
        return 0;
    }
    ASSERT(answer.count > 0 && answer.count <= SRV_RECORDS_MAX);
    uint64_t ports = 0;
    for (size_t i = 0; i < answer.count; i++) {
        size_t len = strnlen(answer.records[i].target, SRV_TARGET_BYTES);
        ASSERT(len > 0 && len < SRV_TARGET_BYTES && answer.records[i].port > 0);
        ports += answer.records[i].port;
    }
    srv_answer_order(&answer, size);
    for (size_t i = 0; i < answer.count; i++) {
        ports -= answer.records[i].port;
        ASSERT(i == 0 || answer.records[i - 1].priority <= answer.records[i].priority);
    }
    ASSERT(ports == 0);
    return 0;
}
