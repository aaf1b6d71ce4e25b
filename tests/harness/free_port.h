/* Ports for tests that listen, close and listen again on the same one. Taken from below the
 * kernel's ephemeral range: one from inside it can be given to somebody's outgoing connection in
 * between. */
#ifndef TESTS_HARNESS_FREE_PORT_H
#define TESTS_HARNESS_FREE_PORT_H

#include <stdint.h>

/* Free on 127.0.0.1 a moment ago, and never given twice by this process. Aborts if there is none.
 */
uint16_t free_port(void);

#endif
