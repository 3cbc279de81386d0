/* The check of a graph as it comes in: what passes can be lowered and run without a look beyond any end. */
#ifndef DEWPOINT_CHECK_H
#define DEWPOINT_CHECK_H

#include "plan.h"

/* Fills `tensors` (graph->buffer_count) with what each buffer holds. Returns 1, or 0 with the reason in `error`. */
int check_graph(const Graph *graph, Tensor *tensors, char error[PLAN_ERROR_BYTES]);

#endif
