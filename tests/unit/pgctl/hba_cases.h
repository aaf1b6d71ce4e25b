/* Lines of pg_hba.conf: what we say of them, and what PostgreSQL does. */
#ifndef TESTS_UNIT_PGCTL_HBA_CASES_H
#define TESTS_UNIT_PGCTL_HBA_CASES_H

#include <stddef.h>

struct hba_case {
    const char *line;
    const char *words; /* of our refusal; NULL = it is right */
};

static const struct hba_case hba_cases[] = {
    {"local all all trust", NULL},
    {"local\tall\tall\tpeer map=m", NULL},
    {"host all all 127.0.0.1/32 md5", NULL},
    {"host all all 127.0.0.1 255.255.255.255 md5", NULL},
    {"host replication replicator 172.20.0.10/0 scram-sha-256", NULL},
    {"host \"all\", b ,c \"x y\",+group samenet md5", "more than one value"},
    {"host \"all\",b,c \"x y\",+group samenet md5", NULL},
    {"host a, b c 10.0.0.0/8 md5", NULL},
    {"hostnossl all all ::1/128 password", NULL},
    {"hostnossl all all 2001:db8::/33 password # and why", NULL},
    {"hostssl all all all cert clientcert=verify-full map=x", NULL},
    {"hostssl all all .example.com md5 clientcert=verify-ca", NULL},
    {"hostgssenc all all all gss include_realm=0 krb_realm=X", NULL},
    {"hostnogssenc all all samehost reject", NULL},
    {"host all all db1.example.com ident map=m", NULL},
    {"host all all all ldap ldapserver=l ldapprefix=\"cn=\" ldapsuffix=\", dc=x\"", NULL},
    {"host all all all pam pamservice=x pam_use_hostname=1", NULL},
    {"host all all 1.2.3.4/32 \"trust\"", NULL},
    {"host all all :: ffff:: md5", NULL},
    {"host all all ::ffff:10.0.0.1/128 md5", NULL},
    {"host all all 1:2:3:4:5:6:7:8/64 md5", NULL},
    {"host all all 1::8/64 md5", NULL},
    {"host all all 1:2:3:4:5:6:7::/64 md5", NULL},
    {"host all all 1:2:3:4:5:6:10.0.0.1/64 md5", NULL},
    {"host all all 0.0.0.0 0.0.0.0 md5", NULL},
    {"host all all 1:2:3:4:5:6:7:8:9/64 md5", "no IP address"},
    {"host all all 1:2:3:4:5:6:7/64 md5", "no IP address"},
    {"host all all 1::2::3/64 md5", "no IP address"},
    {"host all all 12345::/64 md5", "no IP address"},
    {"host all all 1:/64 md5", "no IP address"},
    {"host all all :1/64 md5", "no IP address"},
    {"host all all ::ffff:10.0.0/128 md5", "no IP address"},
    {"hst all all 1.2.3.4/32 md5", "no kind of line"},
    {"host,local all all 1.2.3.4/32 md5", "more than one value"},
    {"host", "ends before a database"},
    {"host all", "ends before a user"},
    {"host all all", "ends before an address"},
    {"host all all 1.2.3.4/32", "ends before the method"},
    {"host all all 1.2.3.4 md5", "no mask"},
    {"host all all 1.2.3.4/33 md5", "0 to 32"},
    {"host all all ::1/129 md5", "0 to 128"},
    {"host all all 1.2.3.4/x md5", "length of a mask"},
    {"host all all 1.2.3.400/32 md5", "no IP address"},
    {"host all all db1/32 md5", "no IP address"},
    {"host all all 10.1 md5", "no IP address"},
    {"host all all ::1 255.255.255.255 md5", "no mask"},
    {"host all all 1.2.3.4/32,5.6.7.8/32 md5", "more than one value"},
    {"host all all 1.2.3.4/32 md5,trust", "more than one value"},
    {"host all all 1.2.3.4/32 scram", "is no method"},
    {"host all all 1.2.3.4/32 MD5", "is no method"},
    {"host all all 1.2.3.4/32 sspi", "is no method"},
    {"host all all 1.2.3.4/32 peer", "does not go with"},
    {"host all all 1.2.3.4/32 cert", "does not go with"},
    {"local all all gss", "does not go with"},
    {"hostgssenc all all all md5", NULL},
    {"host all all 1.2.3.4/32 md5 map", "is no option"},
    {"host all all 1.2.3.4/32 md5 map=x", "no option of method md5"},
    {"host all all 1.2.3.4/32 trust nonsense=1", "no option of method trust"},
    {"host all all 1.2.3.4/32 md5 clientcert=verify-full", "no option"},
    {"hostssl all all all md5 clientcert=1", "verify-full, or verify-ca"},
    {"hostssl all all all cert clientcert=verify-ca", "give verify-full"},
    {"hostssl all all all cert clientname=XX", "CN or DN"},
    {"host all all all ldap ldapserver=l", "needs one of"},
    {"host \"all all 1.2.3.4/32 md5", "without its partner"},
};
#define HBA_CASES (sizeof hba_cases / sizeof hba_cases[0])

#endif
