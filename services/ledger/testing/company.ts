/** A company of fifty teams, as generated usage has it: what the ledger's figures depend on. */
export const COMPANY = {
  teams: 50,
  keys: 500,
  /** Of each key: twenty thousand in all. */
  users: 40,
  models: 12,
  /** Each key uses few of them. */
  modelsOfKey: 3,
  /** Of each team, as a tag. */
  projects: 4,
} as const;
