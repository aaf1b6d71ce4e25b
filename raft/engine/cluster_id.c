#include "raft/engine/cluster_id.h"

#define GENERATION_SHIFT 24
#define GENERATION_MASK  ((uint64_t)0xff << GENERATION_SHIFT)
#define RANDOM_MASK      ((uint64_t)0xffffff)
#define GENERATIONS_HALF 128

static uint8_t generation_of(uint64_t cluster)
{
    return (uint8_t)(cluster >> GENERATION_SHIFT);
}

static uint64_t root_of(uint64_t cluster)
{
    return cluster & ~(GENERATION_MASK | RANDOM_MASK);
}

uint64_t cluster_id_recovered(uint64_t cluster, uint64_t bits)
{
    uint64_t generation = (uint64_t)(uint8_t)(generation_of(cluster) + 1) << GENERATION_SHIFT;
    uint64_t recovered = root_of(cluster) | generation | (bits & RANDOM_MASK);
    return recovered != 0 ? recovered : 1;
}

bool cluster_id_replaces(uint64_t later, uint64_t earlier)
{
    uint8_t steps = (uint8_t)(generation_of(later) - generation_of(earlier));
    return later != 0 && earlier != 0 && root_of(later) == root_of(earlier) && steps > 0 &&
           steps < GENERATIONS_HALF;
}

bool cluster_id_is_foreign(uint64_t a, uint64_t b)
{
    return a != 0 && b != 0 && a != b && !cluster_id_replaces(a, b) && !cluster_id_replaces(b, a);
}
