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
    ASSERT(count <= ETCD_HOSTS_MAX);
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
    return hosts->count == 0 ? "" : hosts->urls[hosts->current];
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

/* The configured ones, then what the cluster has said and is not among them. */
static void fall_back(struct etcd_hosts *hosts)
{
    char *urls[ETCD_HOSTS_MAX] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < hosts->configured_count; i++) {
        urls[count++] = mem_strdup(hosts->configured[i]);
    }
    for (size_t i = 0; i < hosts->count && count < ETCD_HOSTS_MAX; i++) {
        if (!is_listed(urls, count, hosts->urls[i])) {
            urls[count++] = mem_strdup(hosts->urls[i]);
        }
    }
    set_urls(hosts, urls, count);
    hosts->fell_back = true;
    for (size_t i = 0; i < count; i++) {
        mem_free(urls[i]);
    }
}

bool etcd_hosts_configure(struct etcd_hosts *hosts, const char *const *urls, size_t count)
{
    bool news = false;
    ASSERT(count > 0 && count <= ETCD_HOSTS_MAX);
    for (size_t i = 0; i < hosts->configured_count; i++) {
        mem_free(hosts->configured[i]);
    }
    for (size_t i = 0; i < count; i++) {
        hosts->configured[i] = mem_strdup(urls[i]);
        news = news || !is_listed(hosts->urls, hosts->count, urls[i]);
    }
    hosts->configured_count = count;
    if (!news || (hosts->count > 0 && hosts->failures == 0)) {
        return false;
    }
    char *before = mem_strdup(etcd_hosts_current(hosts));
    fall_back(hosts);
    hosts->failures = 0; /* of the new ones */
    bool changed = strcmp(etcd_hosts_current(hosts), before) != 0;
    mem_free(before);
    return changed;
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

static size_t clean_all(const json_t *urls, char **ret_found)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(urls) && count < ETCD_HOSTS_MAX; i++) {
        const char *text = json_string_value(json_array_get(urls, i));
        char *url = text == NULL ? NULL : clean(text);
        if (url == NULL || is_listed(ret_found, count, url)) {
            mem_free(url);
            continue;
        }
        ret_found[count++] = url;
    }
    return count;
}

static void shuffle(char **urls, size_t count, uint64_t random)
{
    for (size_t i = count; i > 1; i--) { /* Fisher-Yates */
        size_t j = (size_t)(random % i);
        char *swapped = urls[i - 1];
        random = random * 6364136223846793005U + 1442695040888963407U;
        urls[i - 1] = urls[j];
        urls[j] = swapped;
    }
}

bool etcd_hosts_discovered(struct etcd_hosts *hosts, const json_t *urls, uint64_t random)
{
    char *found[ETCD_HOSTS_MAX] = {NULL};
    size_t count = clean_all(urls, found);
    bool changed = false;
    bool news = !hosts->fell_back;

    for (size_t i = 0; i < count; i++) {
        news = news || !is_listed(hosts->urls, hosts->count, found[i]);
    }
    if (count > 0 && news) {
        char *before = mem_strdup(etcd_hosts_current(hosts));
        shuffle(found, count, random);
        set_urls(hosts, found, count);
        hosts->fell_back = false;
        for (size_t i = 0; i < count; i++) {
            hosts->current = strcmp(found[i], before) == 0 ? i : hosts->current;
        }
        changed = strcmp(etcd_hosts_current(hosts), before) != 0;
        mem_free(before);
    }
    for (size_t i = 0; i < count; i++) {
        mem_free(found[i]);
    }
    return changed;
}

bool etcd_hosts_failed(struct etcd_hosts *hosts, const char *url)
{
    if (hosts->count == 0 || strcmp(etcd_hosts_current(hosts), url) != 0) {
        return false;
    }
    char *failed = mem_strdup(url); /* it may be one of those that go */
    hosts->failures++;
    hosts->current = (hosts->current + 1) % hosts->count;
    if (hosts->failures % (unsigned)hosts->count == 0) {
        fall_back(hosts);
    }
    bool changed = strcmp(etcd_hosts_current(hosts), failed) != 0;
    mem_free(failed);
    return changed;
}

void etcd_hosts_worked(struct etcd_hosts *hosts)
{
    hosts->failures = 0;
}

int64_t etcd_hosts_pause_ms(const struct etcd_hosts *hosts, uint64_t random)
{
    unsigned rounds = hosts->count == 0 ? 0 : hosts->failures / (unsigned)hosts->count;
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
    int64_t share_ms = hosts->count == 0 ? left_ms : left_ms / (int64_t)hosts->count;
    share_ms = share_ms < ETCD_TRY_MS_MIN ? ETCD_TRY_MS_MIN : share_ms;
    return share_ms < left_ms ? share_ms : left_ms;
}
