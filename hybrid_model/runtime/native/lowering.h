/* Lowering: the steps of a checked graph become nodes, each as many steps as one pass over a map can do. */
#ifndef DEWPOINT_LOWERING_H
#define DEWPOINT_LOWERING_H

#include "plan.h"

/* Fills in the nodes and where stages end. Returns 1, or 0 with the reason in `error`: none where memory ran out. */
int lower(Plan *plan, const Graph *graph, char error[PLAN_ERROR_BYTES]);

#endif
