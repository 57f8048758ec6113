/** What one decision of the router takes by itself: nothing else runs meanwhile. */
import { makeDecider, microseconds } from '../simulate/decision-cost.ts';
import { DECISION_SIZES, DECISION_STRATEGIES, decisionMs } from './scenarios.ts';

export interface Decision {
  readonly strategy: (typeof DECISION_STRATEGIES)[number];
  readonly deployments: number;
  readonly round: number;
  readonly us: number;
}

export function measureDecisions(round: number, isQuick: boolean): Decision[] {
  return DECISION_STRATEGIES.flatMap((strategy) =>
    DECISION_SIZES.map((deployments) => {
      const { us } = microseconds(makeDecider(deployments, strategy).decider, decisionMs(isQuick));
      return { strategy, deployments, round, us };
    }),
  );
}
