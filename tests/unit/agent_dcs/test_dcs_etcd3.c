/* The contract of dcs.h on the v3 API of a real etcd. */
#include "tests/unit/agent_dcs/dcs_contract.h"

int main(void)
{
    return dcs_contract_run(ETCD_V3);
}
