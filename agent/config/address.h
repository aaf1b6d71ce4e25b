/* PURE. "host:port" in the file, and what one line says that is wrong with it. Private to
 * agent/config but for config_address_parse (config.h). */
#ifndef AGENT_CONFIG_ADDRESS_H
#define AGENT_CONFIG_ADDRESS_H

#include "agent/config/config.h"

struct address_form {
    bool listener;         /* may be every address, or a list; else others connect to it */
    uint16_t default_port; /* 0: the port has to be there */
    uint16_t usual_port;   /* of the example that a refusal gives */
};

/* As config_address_parse. */
int address_parse(const char *text, const struct address_form *form,
                  struct config_address *ret_address, struct error *err) MUST_CHECK;

/* "", "0.0.0.0", "::": to listen on, and never to connect to. */
bool address_is_every(const char *host);

/* Both cannot be listened on. Compared as they are written: a name and its address are told apart,
 * and one of the two listens fails then. One that is not given (text NULL) meets nobody. */
bool address_meets(const struct config_address *a, const struct config_address *b);

#endif
