/* A workspace: where each tensor lies while somebody needs it, and the scratch behind them. */
#ifndef DEWPOINT_WORKSPACE_H
#define DEWPOINT_WORKSPACE_H

#include "plan.h"

/* Lays out the workspace of a plan whose nodes are there. Returns NULL, or why it cannot be had. */
const char *lay_out_workspace(Plan *plan);

#endif
