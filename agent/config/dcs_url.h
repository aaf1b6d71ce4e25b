/* PURE. patronictl's --dcs-url: where the cluster's state is, whatever the file says. */
#ifndef AGENT_CONFIG_DCS_URL_H
#define AGENT_CONFIG_DCS_URL_H

#include "base/err.h"

#include <jansson.h>

/* [etcd|etcd3://]host[:port][/namespace]: takes every store's section out of `tree` and puts that
 * of the URL there, and its namespace if it has one. Without a scheme it is etcd's v2 API, as
 * patronictl has it. */
int dcs_url_apply(json_t *tree, const char *url, struct error *err) MUST_CHECK;

#endif
