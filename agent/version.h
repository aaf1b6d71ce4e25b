/* The release. Dotted integers only: peers of Patroni parse it. */
#ifndef AGENT_VERSION_H
#define AGENT_VERSION_H

#ifndef PGQUORUM_VERSION /* `make next` plays another release */
#define PGQUORUM_VERSION "0.1.0"
#endif

#endif
