/* Which member of etcd is asked, and for how long. Plain data and arithmetic: no sockets, no clock.
 *
 * The list begins as the configuration gives it and is replaced by what the cluster says of itself
 * (its client URLs); the present member stays the present one while it is listed. When every one
 * has failed in a row the configured ones come back before it, in case the cluster has moved or
 * names itself by addresses that are not reached from here; hearing the same names again then
 * changes nothing. Inside agent/dcs. */
#ifndef AGENT_DCS_ETCD_HOSTS_H
#define AGENT_DCS_ETCD_HOSTS_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETCD_HOSTS_MAX      16
#define ETCD_TRY_MS_MIN     1000 /* a member gets at least that, if there is so much left */
#define ETCD_PAUSE_MS_FIRST 100  /* after every member has failed; doubled up to */
#define ETCD_PAUSE_MS_MAX   1000

struct etcd_hosts {
    char *configured[ETCD_HOSTS_MAX]; /* "http://10.0.0.4:2379", no slash at the end */
    size_t configured_count;
    char *urls[ETCD_HOSTS_MAX];
    size_t count;
    size_t current;
    unsigned failures; /* in a row, whoever it was */
    bool fell_back;    /* the configured ones stand before what the cluster said last */
};

/* `urls`: at most ETCD_HOSTS_MAX, copied. Zeroed struct before; etcd_hosts_free after. With none
 * the present member is "", until etcd_hosts_configure names some. */
void etcd_hosts_init(struct etcd_hosts *hosts, const char *const *urls, size_t count);
void etcd_hosts_free(struct etcd_hosts *hosts);

/* Others take the place of the configured ones (1 .. ETCD_HOSTS_MAX). Those that are not listed yet
 * bring all of them to the front, unless a member works. True if the present member changed. */
bool etcd_hosts_configure(struct etcd_hosts *hosts, const char *const *urls, size_t count);

const char *etcd_hosts_current(const struct etcd_hosts *hosts);
/* What the cluster says. Only http and https URLs count; none = the list stays. `random` shuffles,
 * so that not all agents go to the same member. True if the present member changed. */
bool etcd_hosts_discovered(struct etcd_hosts *hosts, const json_t *urls, uint64_t random);
/* `url` (may be one of ours) did not do: the next one is present, unless somebody has moved on
 * already. True if the present member changed. */
bool etcd_hosts_failed(struct etcd_hosts *hosts, const char *url);
void etcd_hosts_worked(struct etcd_hosts *hosts);
/* How long to wait before the next try: 0 until every member has failed once, then longer each
 * time, with up to half of it at random. */
int64_t etcd_hosts_pause_ms(const struct etcd_hosts *hosts, uint64_t random);

/* How long one try may take when `left_ms` remain of the operation. */
int64_t etcd_hosts_try_ms(const struct etcd_hosts *hosts, int64_t left_ms);

#endif
