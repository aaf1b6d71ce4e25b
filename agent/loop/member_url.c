#include "agent/loop/member_url.h"

#include "agent/config/config.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

bool member_url_address(const char *url, uint16_t default_port, char ret_host[PG_HOST_BYTES],
                        uint16_t *ret_port)
{
    const char *start = strstr(url, "://");
    struct config_address address;
    struct error err;
    char authority[PG_HOST_BYTES];

    if (start == NULL) {
        return false;
    }
    size_t len = strcspn(start + 3, "/?");
    if (len == 0 || len >= sizeof authority) {
        return false;
    }
    memcpy(authority, start + 3, len);
    authority[len] = '\0';
    if (config_address_parse(authority, default_port, &address, &err) != 0) {
        return false;
    }
    (void)snprintf(ret_host, PG_HOST_BYTES, "%s", address.host);
    *ret_port = address.port;
    mem_free((void *)(uintptr_t)address.text);
    mem_free((void *)(uintptr_t)address.host);
    return true;
}
