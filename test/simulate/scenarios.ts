import type { Scenario } from './scenario.ts';
import { cost } from './scenarios/cost.ts';
import { faults } from './scenarios/faults.ts';
import { hang } from './scenarios/hang.ts';
import { herd } from './scenarios/herd.ts';
import { limits } from './scenarios/limits.ts';
import { storm } from './scenarios/storm.ts';
import { strategies } from './scenarios/strategies.ts';
import { tenants } from './scenarios/tenants.ts';

export const SCENARIOS: readonly Scenario[] = [strategies, faults, herd, storm, limits, tenants, hang, cost];
