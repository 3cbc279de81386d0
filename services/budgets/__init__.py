"""The budgets that exit control can keep, and what they are measured by. It imports nothing of ours.

BUDGETS["escalated_share"].measured(Tally(seconds=10, samples=200, escalated=40), None)  # 0.2
"""

from services.budgets.kinds import BUDGETS, BudgetKind, EscalationBudget, LatencyBudget
from services.budgets.tally import Costs, Tallies, Tally

__all__ = ["BUDGETS", "BudgetKind", "Costs", "EscalationBudget", "LatencyBudget", "Tallies", "Tally"]
