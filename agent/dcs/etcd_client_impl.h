/* What the files of etcd_client share. Inside agent/dcs. */
#ifndef AGENT_DCS_ETCD_CLIENT_IMPL_H
#define AGENT_DCS_ETCD_CLIENT_IMPL_H

#include "agent/dcs/etcd3_splitter.h"
#include "agent/dcs/etcd_client.h"
#include "agent/dcs/etcd_hosts.h"
#include "base/list.h"
#include "base/net/http_client.h"
#include "base/net/srv_lookup.h"

#define ETCD_SETUP_MS 3000 /* one step of the client's own */

/* In this order. */
enum etcd_setup { SETUP_SRV, SETUP_VERSION, SETUP_AUTHENTICATE, SETUP_MEMBERS, SETUP_READY };

/* The lookup of SRV records: etcd_srv.c. */
struct etcd_srv {
    char *domain; /* NULL: none is wanted */
    char *suffix; /* "", or with its '-' */
    bool own_nameserver;
    struct sockaddr_in nameserver;
    char *urls[ETCD_HOSTS_MAX]; /* of the file, for when nothing is found */
    size_t url_count;

    bool due;
    bool busy;
    int64_t next_ms;  /* mono: not before */
    int64_t until_ms; /* mono: no more kinds then */
    size_t kind;
    char name[SRV_NAME_BYTES_MAX + 1]; /* what is asked for */
    struct srv_lookup *lookup;         /* NULL: no thread is at it */
    struct srv_answer answer;
    size_t peer;       /* which of its records is asked for members */
    struct error last; /* why a kind gave nothing, though it might have */
    bool said_failed;
};

struct etcd_client {
    uv_loop_t *loop;
    struct http_client *http;
    const struct clock *clock;
    const struct random *random;
    enum etcd_dialect dialect;
    struct etcd_hosts hosts;
    struct etcd_srv srv;
    bool use_proxies;
    char *username;
    char *password;
    void (*on_switch)(void *arg);
    void (*on_note)(void *arg, enum log_level level, const char *text);
    void *arg;

    enum etcd_setup setup;
    bool setting_up; /* its call is under way */
    bool version_known;
    const char *prefix;
    char *token;
    unsigned token_number;  /* how many there have been */
    int64_t members_due_ms; /* mono */
    int64_t pause_until_ms; /* mono: nobody is asked before */
    struct error last;      /* why a member failed, since one worked */
    bool said_waiting;
    bool said_refused;
    bool switched; /* on_switch is due */

    struct list calls;
    size_t call_count;
    struct list streams;
    uv_timer_t timer;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct etcd_client_call {
    struct list in_client;
    struct etcd_client *client;
    struct http_client_exchange *exchange; /* NULL: it waits */
    char *method;
    char *path;
    bool absolute; /* without the gateway's prefix */
    bool own;      /* a step of the setup */
    bool repeatable;
    bool maybe_done; /* a try ended without a word of what became of it */
    unsigned reauthenticated;
    unsigned token_number; /* that it was sent with */
    char *body;
    size_t body_len;
    int64_t until_ms; /* mono */
    int64_t sent_ms;  /* lease clock, of the last send */
    char *url;        /* of the member it was sent to */
    etcd_done done;
    void *arg;
    struct error last; /* why the last try failed */
};

struct etcd_stream {
    struct list in_client;
    struct etcd_client *client;
    struct http_client_exchange *exchange;
    struct etcd3_splitter splitter;
    etcd_on_object on_object;
    etcd_on_end on_end;
    void *arg;
};

/* --- etcd_client.c ---------------------------------------------------------------------------- */
int64_t etcd_client_now_ms(const struct etcd_client *client);
/* The client's step comes from the loop, as soon as it can. */
void etcd_client_wake(struct etcd_client *client);
/* `url` did not do: the next one, after a pause when all have failed. */
void etcd_client_member_failed(struct etcd_client *client, const char *url,
                               const struct error *err);
/* The present member answers as it should; of the client's own calls the setup says so. */
void etcd_client_member_worked(struct etcd_client *client);
/* A step of the setup is sent to the present member; `done` may come from inside. */
void etcd_client_own_call(struct etcd_client *client, const struct etcd_call *wanted, bool absolute,
                          etcd_done done);
/* Calls that wait are told that. */
void etcd_client_tell_waiting(struct etcd_client *client, int rc, const struct error *err);
/* Headers of a request in this dialect (three pointers); `ret_token` is freed by the caller. */
void etcd_client_headers(const struct etcd_client *client, const char **ret_headers,
                         char **ret_token);

/* Something of the client that closes is done: it goes when nothing is left. */
void etcd_client_part_closed(struct etcd_client *client);

/* --- etcd_srv.c ------------------------------------------------------------------------------- */
/* The names that would be asked for are not too long. */
int etcd_srv_check(const struct etcd_client_config *config, struct error *err) MUST_CHECK;
void etcd_srv_init(struct etcd_client *client, const struct etcd_client_config *config);
void etcd_srv_free(struct etcd_client *client);
/* Every member has failed: look again where they are, as soon as may be. */
void etcd_srv_want(struct etcd_client *client);
int64_t etcd_srv_next_ms(const struct etcd_client *client); /* mono; INT64_MAX = not */
void etcd_srv_step(struct etcd_client *client);
/* If a thread is still at it, etcd_client_part_closed follows. */
void etcd_srv_close(struct etcd_client *client);

/* --- etcd_setup.c ----------------------------------------------------------------------------- */
/* What every call needs first: see the head of etcd_setup.c. */
void etcd_setup_init(struct etcd_client *client);
/* Now there are addresses. */
void etcd_setup_begin(struct etcd_client *client);
void etcd_setup_step(struct etcd_client *client);
bool etcd_setup_done(const struct etcd_client *client); /* calls may be sent */
void etcd_setup_need_token(struct etcd_client *client);

/* --- etcd_stream.c ---------------------------------------------------------------------------- */
void etcd_streams_end(struct etcd_client *client);

#endif
