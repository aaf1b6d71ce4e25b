/* The release. Dotted integers only: peers of Patroni parse it. */
#ifndef AGENT_VERSION_H
#define AGENT_VERSION_H

#define PGQUORUM_VERSION "0.1.0"

#endif
