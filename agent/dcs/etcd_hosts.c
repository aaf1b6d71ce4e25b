#include "agent/dcs/etcd_hosts.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

static void set_urls(struct etcd_hosts *hosts, char *const *urls, size_t count)
{
    for (size_t i = 0; i < hosts->count; i++) {
        mem_free(hosts->urls[i]);
    }
    hosts->count = 0;
    for (size_t i = 0; i < count; i++) {
        hosts->urls[hosts->count++] = mem_strdup(urls[i]);
    }
    hosts->current = 0;
}

void etcd_hosts_init(struct etcd_hosts *hosts, const char *const *urls, size_t count)
{
    ASSERT(count > 0 && count <= ETCD_HOSTS_MAX);
    for (size_t i = 0; i < count; i++) {
        hosts->configured[i] = mem_strdup(urls[i]);
    }
    hosts->configured_count = count;
    set_urls(hosts, hosts->configured, count);
}

void etcd_hosts_free(struct etcd_hosts *hosts)
{
    set_urls(hosts, NULL, 0);
    for (size_t i = 0; i < hosts->configured_count; i++) {
        mem_free(hosts->configured[i]);
    }
    *hosts = (struct etcd_hosts){0};
}

const char *etcd_hosts_current(const struct etcd_hosts *hosts)
{
    return hosts->urls[hosts->current];
}

static bool is_listed(char *const *urls, size_t count, const char *url)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(urls[i], url) == 0) {
            return true;
        }
    }
    return false;
}

static char *clean(const char *url)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return NULL;
    }
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    return mem_strndup(url, len);
}

bool etcd_hosts_discovered(struct etcd_hosts *hosts, const json_t *urls, uint64_t random)
{
    char *found[ETCD_HOSTS_MAX];
    size_t count = 0;
    char *before = mem_strdup(etcd_hosts_current(hosts));

    for (size_t i = 0; i < json_array_size(urls) && count < ETCD_HOSTS_MAX; i++) {
        const char *text = json_string_value(json_array_get(urls, i));
        char *url = text == NULL ? NULL : clean(text);
        if (url == NULL || is_listed(found, count, url)) {
            mem_free(url);
            continue;
        }
        found[count++] = url;
    }
    for (size_t i = count; i > 1; i--) { /* Fisher-Yates */
        size_t j = (size_t)(random % i);
        char *swapped = found[i - 1];
        random = random * 6364136223846793005U + 1442695040888963407U;
        found[i - 1] = found[j];
        found[j] = swapped;
    }
    if (count > 0) {
        set_urls(hosts, found, count);
    }
    for (size_t i = 0; i < count; i++) {
        hosts->current = strcmp(found[i], before) == 0 ? i : hosts->current;
        mem_free(found[i]);
    }
    if (count == 0) {
        mem_free(before);
        return false;
    }
    bool changed = strcmp(etcd_hosts_current(hosts), before) != 0;
    mem_free(before);
    return changed;
}

bool etcd_hosts_failed(struct etcd_hosts *hosts, const char *url)
{
    if (strcmp(etcd_hosts_current(hosts), url) != 0) {
        return false;
    }
    hosts->failures++;
    hosts->current = (hosts->current + 1) % hosts->count;
    if (hosts->failures % (unsigned)hosts->count == 0) {
        set_urls(hosts, hosts->configured, hosts->configured_count);
    }
    return strcmp(etcd_hosts_current(hosts), url) != 0;
}

void etcd_hosts_worked(struct etcd_hosts *hosts)
{
    hosts->failures = 0;
}

int64_t etcd_hosts_pause_ms(const struct etcd_hosts *hosts, uint64_t random)
{
    unsigned rounds = hosts->failures / (unsigned)hosts->count;
    int64_t pause_ms = ETCD_PAUSE_MS_FIRST;

    if (rounds == 0) {
        return 0;
    }
    for (unsigned i = 1; i < rounds && pause_ms < ETCD_PAUSE_MS_MAX; i++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms > ETCD_PAUSE_MS_MAX ? ETCD_PAUSE_MS_MAX : pause_ms;
    return pause_ms + (int64_t)(random % (uint64_t)(pause_ms / 2 + 1));
}

int64_t etcd_hosts_try_ms(const struct etcd_hosts *hosts, int64_t left_ms)
{
    int64_t share_ms = left_ms / (int64_t)hosts->count;
    share_ms = share_ms < ETCD_TRY_MS_MIN ? ETCD_TRY_MS_MIN : share_ms;
    return share_ms < left_ms ? share_ms : left_ms;
}
