/* The configuration of an instance: copied deeply, and refused whole. */
#ifndef PGCTL_JOBS_INSTANCE_CONFIG_H
#define PGCTL_JOBS_INSTANCE_CONFIG_H

#include "pgctl/pg_instance.h"
#include "pgctl/proc/pg_bin.h"

/* The programs' names are left out: they have been looked for. */
void instance_config_dup(const struct pg_instance_config *config,
                         struct pg_instance_config *ret_config);
void instance_config_free(struct pg_instance_config *config);

int instance_config_check(const struct pg_instance_config *config, struct error *err) MUST_CHECK;
/* Of libpq and of the server whose programs those are; an account may be NULL. */
int instance_config_check_accounts(const struct pg_account *superuser,
                                   const struct pg_account *replication,
                                   const struct pg_account *rewind, const struct pg_bin *bin,
                                   struct error *err) MUST_CHECK;

/* Deep copies of configuration parts; free with the partner. */
struct pg_parameters pg_parameters_dup(const struct pg_parameters *parameters);
void pg_parameters_free(struct pg_parameters *parameters);
struct pg_lines pg_lines_dup(const struct pg_lines *lines);
void pg_lines_free(struct pg_lines *lines);
/* Of the values alone: they are replaced by copies, and copies are freed. */
void pg_security_values_dup(struct pg_security *security);
void pg_security_values_free(const struct pg_security *security);

#endif
