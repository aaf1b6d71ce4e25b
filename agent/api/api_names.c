#include "agent/api/api_names.h"

#include "base/list.h"
#include "base/mem.h"

#include <string.h>

enum { LOOKUP_MS = 10000 };

struct name {
    struct list link;
    struct api_names *names;
    struct net_addr host;
    struct net_resolve *lookup; /* NULL = none is under way */
    bool wanted;
    bool told; /* that it is not found */
    size_t count;
    struct net_ip found[NET_RESOLVED_MAX];
};

struct api_names {
    uv_loop_t *loop;
    uv_timer_t timer;
    void (*on_lost)(void *arg, const char *host, const struct error *err);
    void *arg;
    struct list all;
    size_t count;
    bool closing;
    size_t open; /* the timer, and lookups while it is closed */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void part_closed(struct api_names *names)
{
    if (--names->open > 0) {
        return;
    }
    void (*closed)(void *arg) = names->closed;
    void *arg = names->closed_arg;
    mem_free(names);
    closed(arg);
}

static void drop(struct name *name)
{
    list_remove(&name->link);
    name->names->count--;
    mem_free(name);
}

static void on_found(void *arg, int rc, const struct net_resolved *resolved,
                     const struct error *err)
{
    struct name *name = arg;
    struct api_names *names = name->names;
    name->lookup = NULL;
    bool lost = rc != 0 && name->count == 0 && name->wanted && !names->closing;
    if (lost && !name->told) {
        names->on_lost(names->arg, name->host.host, err);
    }
    name->told = lost;
    if (rc == 0) {
        name->count = resolved->count;
        for (size_t i = 0; i < resolved->count; i++) {
            name->found[i] = net_ip_of((const struct sockaddr *)&resolved->addresses[i]);
        }
    }
    if (names->closing) {
        drop(name);
        part_closed(names);
    } else if (!name->wanted) {
        drop(name);
    }
}

static void look_up(struct name *name)
{
    struct error err;
    if (name->lookup == NULL && net_resolve_start(name->names->loop, &name->host, LOOKUP_MS,
                                                  on_found, name, &name->lookup, &err) != 0) {
        name->lookup = NULL; /* too many are under way: with the next look */
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct api_names *names = timer->data;
    LIST_EACH(item, &names->all)
    {
        look_up(LIST_OWNER(item, struct name, link));
    }
}

static struct name *find(const struct api_names *names, const char *host)
{
    LIST_EACH(item, &names->all)
    {
        struct name *name = LIST_OWNER(item, struct name, link);
        if (strcmp(name->host.host, host) == 0) {
            return name;
        }
    }
    return NULL;
}

static void want(struct api_names *names, const char *host)
{
    size_t len = strlen(host);
    struct name *name = find(names, host);
    if (name == NULL && len < NET_HOST_BYTES && names->count < API_NAMES_MAX) {
        name = mem_new(struct name);
        name->names = names;
        name->host.port = 1; /* any: the address alone is wanted */
        memcpy(name->host.host, host, len + 1);
        list_append(&names->all, &name->link);
        names->count++;
        look_up(name);
    }
    if (name != NULL) {
        name->wanted = true;
    }
}

void api_names_set(struct api_names *names, const char *const *hosts, size_t count)
{
    LIST_EACH(item, &names->all)
    {
        LIST_OWNER(item, struct name, link)->wanted = false;
    }
    for (size_t i = 0; i < count; i++) {
        want(names, hosts[i]);
    }
    LIST_EACH(item, &names->all)
    {
        struct name *name = LIST_OWNER(item, struct name, link);
        if (!name->wanted && name->lookup == NULL) {
            drop(name);
        }
    }
}

bool api_names_has(const struct api_names *names, const char *host, struct net_ip ip)
{
    const struct name *name = find(names, host);
    bool found = false;
    for (size_t i = 0; name != NULL && name->wanted && i < name->count; i++) {
        found = found || net_ip_equal(name->found[i], ip);
    }
    return found;
}

struct api_names *
api_names_new(uv_loop_t *loop,
              void (*on_lost)(void *arg, const char *host, const struct error *err), void *arg)
{
    struct api_names *names = mem_new(struct api_names);
    names->loop = loop;
    names->on_lost = on_lost;
    names->arg = arg;
    list_init(&names->all);
    names->timer.data = names;
    (void)uv_timer_init(loop, &names->timer);
    (void)uv_timer_start(&names->timer, on_timer, API_NAMES_AGAIN_MS, API_NAMES_AGAIN_MS);
    return names;
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void api_names_close(struct api_names *names, void (*closed)(void *arg), void *arg)
{
    names->closing = true;
    names->closed = closed;
    names->closed_arg = arg;
    names->open = 1;
    LIST_EACH(item, &names->all)
    {
        struct name *name = LIST_OWNER(item, struct name, link);
        if (name->lookup != NULL) {
            names->open++;
            net_resolve_cancel(name->lookup);
        } else {
            drop(name);
        }
    }
    uv_close((uv_handle_t *)&names->timer, on_timer_closed);
}
