/* Open files, for agent and witness. */
#ifndef AGENT_APP_DESCRIPTORS_H
#define AGENT_APP_DESCRIPTORS_H

/* All that the listeners may take, and as many again for the rest. */
#define APP_DESCRIPTORS 4096

/* Provides for them; logs where that cannot be, and later when connections have to wait because
 * there are none left. */
void app_descriptors_provide(void);

#endif
