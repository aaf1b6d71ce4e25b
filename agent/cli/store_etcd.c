#include "agent/cli/store_etcd.h"

int store_etcd_open(uv_loop_t *loop, const struct config *config,
                    const struct dcs_etcd_config *base, struct dcs **ret_dcs, struct error *err)
{
    const struct config_etcd *etcd = &config->etcd;
    struct dcs_etcd_config own = *base;
    own.etcd.urls = etcd->urls;
    own.etcd.url_count = etcd->url_count;
    own.etcd.srv = etcd->srv;
    own.etcd.srv_suffix = etcd->srv_suffix;
    own.etcd.use_proxies = etcd->use_proxies;
    own.etcd.username = etcd->username;
    own.etcd.password = etcd->password.hidden;
    own.etcd.cacert = etcd->cacert;
    own.etcd.cert = etcd->cert;
    own.etcd.key = etcd->key;
    return config->store == CONFIG_STORE_ETCD2 ? dcs_etcd2_new(loop, &own, ret_dcs, err)
                                               : dcs_etcd3_new(loop, &own, ret_dcs, err);
}
